//! From a function's flows to the graph of its batch.
//!
//! Each place becomes an object with nodes of its own, each input also gets its first symbol, each
//! result a node for what the caller gets. Then each action becomes a flow or a use. Nothing is
//! decided here but what size alone decides.

use std::collections::HashMap;

use super::Options;
use super::calls::CallSite;
use super::flow::{Action, Capture, Flow, Function, PlaceKind, Size, Slot, Var, When};
use super::graph::{ESCAPED, Graph, HEAP, Kind, Life, NOWHERE, Name, NodeId, ObjectId};
use super::graph::{Use, What, WhyId};
use super::program::{Entry, Known, Program};
use super::summary::Summary;

/// The graph of mutually recursive functions, and where their places are in it.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) program: &'a Program,
    /// Of every function analyzed so far.
    pub(super) summaries: &'a [Option<Summary>],
    pub(super) graph: Graph,
    /// The object of each place of each function of the batch.
    pub(super) places: HashMap<u32, Vec<ObjectId>>,
    /// What callers get as each result.
    pub(super) results: HashMap<u32, Vec<NodeId>>,
    pub(super) calls: Vec<CallSite>,
}

impl<'a> Batch<'a> {
    /// The graph of these functions, before anything has flowed.
    pub(super) fn new(
        program: &'a Program,
        summaries: &'a [Option<Summary>],
        functions: &[u32],
        options: &Options,
    ) -> Batch<'a> {
        let mut batch = Batch {
            program,
            summaries,
            graph: Graph::new(),
            places: HashMap::new(),
            results: HashMap::new(),
            calls: Vec::new(),
        };
        for function in functions {
            batch.declare(*function, options);
        }
        for function in functions {
            if let Known::Defined(flows) = &program.functions[*function as usize].known {
                for (index, flow) in (0..).zip(flows) {
                    batch.act(*function, index, flow);
                }
            }
        }
        batch
    }

    fn declare(&mut self, function: u32, options: &Options) {
        let entry = &self.program.functions[function as usize];
        let split = split(entry);
        let mut objects = Vec::with_capacity(entry.places.len());
        for (index, place) in (0u32..).zip(&entry.places) {
            let name = Name::Place {
                function,
                place: index,
            };
            let depth = place.depth;
            let any = self.graph.node(Life::Frame { function, depth }, name);
            let mut all = any;
            if split[index as usize] {
                all = self.graph.node(Life::Loose, name);
                let why = self.graph.why(function, place.at, What::Assigned);
                self.graph.flow(any, all, why);
            }
            let kind = Kind::Site {
                function,
                place: index,
                depth,
            };
            let object = self.graph.object(kind, any, all, any != all);
            objects.push(object);
            self.measure(function, index, object, options);
            if index < entry.inputs() {
                let symbol = self.graph.symbol(function, index, 0);
                let why = self.graph.why(function, place.at, What::Entered);
                self.graph.insert(any, symbol, NOWHERE, why);
            }
        }
        let results = (0..entry.results).map(|index| {
            let result = entry.result(index);
            let node = self
                .graph
                .node(Life::Beyond { function }, Name::Result { function, index });
            let from = self.graph.objects[objects[result as usize] as usize].all;
            let at = entry.places[result as usize].at;
            let why = self.graph.why(function, at, What::Assigned);
            self.graph.flow(from, node, why);
            node
        });
        let results = results.collect();
        self.results.insert(function, results);
        self.places.insert(function, objects);
    }

    /// What is too large is on the heap. What has no known size may be, so its content is.
    fn measure(&mut self, function: u32, index: u32, object: ObjectId, options: &Options) {
        let place = &self.program.functions[function as usize].places[index as usize];
        let limit = match place.kind {
            PlaceKind::Allocation | PlaceKind::Closure => options.implicit_bytes_max,
            _ => options.explicit_bytes_max,
        };
        let why = self.graph.why(function, place.at, What::TooLarge);
        match place.size {
            Size::Bytes(bytes) if bytes <= limit => {}
            Size::Unknown if options.unknown_bytes_max > 0 => self.share(object),
            _ => self.graph.insert(ESCAPED, object, NOWHERE, why),
        }
    }

    /// The object's content may be on the heap: it escapes, and may come from anywhere.
    pub(super) fn share(&mut self, object: ObjectId) {
        let (any, all) = {
            let entry = &self.graph.objects[object as usize];
            (entry.any, entry.all)
        };
        let why = self
            .graph
            .why(u32::MAX, Default::default(), What::Content(object));
        self.graph.flow(all, ESCAPED, why);
        self.graph.insert(any, HEAP, NOWHERE, why);
    }

    fn act(&mut self, function: u32, index: u32, flow: &Flow) {
        let at = flow.at;
        let mut why = |what| self.graph.why(function, at, what);
        match &flow.action {
            Action::Take { to, of } => {
                let why = why(What::Taken);
                let object = self.places[&function][*of as usize];
                let to = self.write(function, *to);
                self.graph.insert(to, object, NOWHERE, why);
            }
            Action::TakeInside { to, of } => {
                let why = why(What::Taken);
                let object = self.places[&function][*of as usize];
                let to = self.write(function, *to);
                self.graph.insert(to, object, NOWHERE, why);
                self.graph.merge(object);
            }
            Action::Copy { to, from } => {
                let why = why(What::Assigned);
                let to = self.write(function, *to);
                let from_object = self.places[&function][from.place as usize];
                self.graph.read(from_object, from.field, to, why);
            }
            Action::Load { .. } | Action::Store { .. } | Action::Inside { .. } => {
                self.indirect(function, flow);
            }
            Action::FunctionValue { to, function: of } => {
                let why = why(What::Taken);
                let to = self.write(function, *to);
                let all = self.graph.objects[HEAP as usize].all;
                let kind = Kind::Function(of.0);
                let object = self.graph.object(kind, ESCAPED, all, false);
                self.graph.insert(to, object, NOWHERE, why);
            }
            Action::Close {
                site,
                body,
                captures,
            } => {
                let why = why(What::Captured { body: body.0 });
                self.close(function, *site, *body, captures, why);
            }
            Action::Call {
                callee,
                arguments,
                results,
                when,
            } => self.call(function, at, callee, (arguments, results), *when),
            Action::Leak { from, .. } => {
                let why = why(What::Told(index));
                let from = self.place(function, *from);
                self.graph.flow(from, ESCAPED, why);
            }
            Action::Arrive { to } => {
                let why = why(What::Told(index));
                let to = self.write(function, *to);
                self.graph.insert(to, HEAP, NOWHERE, why);
            }
        }
    }

    /// Actions through a pointer.
    fn indirect(&mut self, function: u32, flow: &Flow) {
        match flow.action {
            Action::Load {
                to,
                pointer,
                derefs,
                field,
            } => {
                let why = self.graph.why(function, flow.at, What::Loaded);
                let to = self.write(function, to);
                let mut from = self.place(function, pointer);
                for _ in 1..derefs {
                    let step = self.graph.node(Life::Loose, Name::Step);
                    let usage = Use::Load {
                        to: step,
                        field: None,
                        why,
                    };
                    self.graph.attach(from, usage);
                    from = step;
                }
                self.graph.attach(from, Use::Load { to, field, why });
            }
            Action::Store {
                pointer,
                field,
                from,
            } => {
                let what = What::Stored(pointer.place);
                let why = self.graph.why(function, flow.at, what);
                let pointer = self.place(function, pointer);
                let from = self.place(function, from);
                self.graph.attach(pointer, Use::Store { from, field, why });
            }
            Action::Inside { to, pointer } => {
                let why = self.graph.why(function, flow.at, What::Assigned);
                let to = self.write(function, to);
                let pointer = self.place(function, pointer);
                self.graph.flow(pointer, to, why);
                self.graph.attach(pointer, Use::Inside);
            }
            _ => {}
        }
    }

    /// A closure's record holds what it captures, and so does its body, whose parameters unknown
    /// code may pass too.
    fn close(
        &mut self,
        function: u32,
        site: u32,
        body: Function,
        captures: &[Capture],
        why: WhyId,
    ) {
        let record = self.places[&function][site as usize];
        let record = self.graph.objects[record as usize].any;
        let entry = &self.program.functions[body.0 as usize];
        for (index, capture) in (0u32..).zip(captures) {
            let mut into = vec![record];
            if let Some(places) = self.places.get(&body.0) {
                let inside = places[(entry.parameters + index) as usize];
                into.push(self.graph.objects[inside as usize].any);
            }
            for to in into {
                match *capture {
                    Capture::Value(var) if var == Var::NONE => {}
                    Capture::Value(var) => {
                        let from = self.variable(function, var);
                        self.graph.flow(from, to, why);
                    }
                    Capture::Reference(var) => {
                        let object = self.places[&function][var.index as usize];
                        self.graph.insert(to, object, NOWHERE, why);
                    }
                }
            }
        }
        for parameter in 0..entry.parameters {
            if let Some(places) = self.places.get(&body.0) {
                let object = places[parameter as usize];
                let to = self.graph.objects[object as usize].any;
                self.graph.insert(to, HEAP, NOWHERE, why);
            }
        }
    }

    /// A value that waits until the function ends.
    pub(super) fn deferred(
        &mut self,
        function: u32,
        from: NodeId,
        when: When,
        why: WhyId,
    ) -> NodeId {
        if when != When::Deferred {
            return from;
        }
        let life = Life::Frame { function, depth: 0 };
        let node = self.graph.node(life, Name::Step);
        self.graph.flow(from, node, why);
        node
    }

    /// The node that the whole of a variable is read from.
    pub(super) fn variable(&mut self, function: u32, var: Var) -> NodeId {
        let object = self.places[&function][var.index as usize];
        self.graph.objects[object as usize].all
    }

    fn place(&mut self, function: u32, slot: Slot) -> NodeId {
        let object = self.places[&function][slot.place as usize];
        self.graph.objects[object as usize].all
    }

    /// The node that a write to a slot goes to.
    pub(super) fn write(&mut self, function: u32, slot: Slot) -> NodeId {
        let object = self.places[&function][slot.place as usize];
        self.graph.written(object, slot.field)
    }
}

/// Which places may have fields that are told apart, or content beyond what is assigned to them.
fn split(entry: &Entry) -> Vec<bool> {
    let allocation = |place: &super::flow::Place| place.kind == PlaceKind::Allocation;
    let mut split: Vec<bool> = entry.places.iter().map(allocation).collect();
    let Known::Defined(flows) = &entry.known else {
        return split;
    };
    let closure = |place: u32| entry.places[place as usize].kind == PlaceKind::Closure;
    for Flow { action, .. } in flows {
        match action {
            Action::Take { of, .. } | Action::TakeInside { of, .. } if !closure(*of) => {
                split[*of as usize] = true;
            }
            Action::Copy { to, from } => {
                for slot in [to, from].into_iter().filter(|slot| slot.field.is_some()) {
                    split[slot.place as usize] = true;
                }
            }
            Action::Close { captures, .. } => {
                for capture in captures {
                    if let Capture::Reference(var) = capture {
                        split[var.index as usize] = true;
                    }
                }
            }
            _ => {}
        }
    }
    split
}
