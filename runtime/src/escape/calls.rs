//! What a call does: to its arguments, its results, and the memory that the arguments lead to.
//!
//! | who is called | what happens |
//! |---|---|
//! | a function of the batch | arguments flow to its parameters, its results to ours |
//! | a function analyzed before | each way of its [`Summary`] is taken |
//! | a value | each function and closure that it may be, as they become known |
//! | anything else | every argument escapes, and the results may be anything that has |
//!
//! An unknown function value may be a closure, and what it returns may be what it captured: so the
//! result of calling what a parameter holds is also whatever that parameter leads to. With it, a
//! caller who passes a closure learns from the summary that what it captured leaks, and closures
//! need no rule of their own across functions.

use super::flow::{Callee, Position, Slot, Var, When};
use super::graph::{ESCAPED, HEAP, Kind, Life, NOWHERE, Name, NodeId, ObjectId, Use, What, WhyId};
use super::lower::Batch;
use super::program::Known;
use super::summary::{Derefs, Sink, Source, Summary};

/// A call in a batch, and whom it has been bound to.
#[derive(Clone, Debug)]
pub(super) struct CallSite {
    function: u32,
    at: Position,
    /// Of each argument that carries pointers.
    arguments: Vec<Option<NodeId>>,
    results: Vec<Option<NodeId>>,
    /// Functions that it has been bound to, [`UNKNOWN`] for unknown code.
    bound: Vec<u32>,
}

/// Stands for unknown code among the functions that a call is bound to.
const UNKNOWN: u32 = u32::MAX;

impl<'a> Batch<'a> {
    /// Adds a call, and binds it as far as the callee is known.
    pub(super) fn call(
        &mut self,
        function: u32,
        at: Position,
        callee: &Callee,
        (arguments, results): (&[Var], &[Var]),
        when: When,
    ) {
        let why = self.graph.why(function, at, What::Deferred);
        let read = |batch: &mut Self, var: Var| {
            let from = (var != Var::NONE).then(|| batch.variable(function, var))?;
            Some(batch.deferred(function, from, when, why))
        };
        let arguments: Vec<_> = arguments.iter().map(|var| read(self, *var)).collect();
        let value = match callee {
            Callee::Value(var) => read(self, *var),
            _ => None,
        };
        let slot = |var: &Var| Slot {
            place: var.index,
            field: None,
        };
        let write = |var: &Var| (*var != Var::NONE).then(|| self.write(function, slot(var)));
        let results = results.iter().map(write).collect();
        if when == When::Spawned {
            let why = self.graph.why(function, at, What::Spawned);
            for node in arguments.iter().chain([&value]).flatten() {
                self.graph.flow(*node, ESCAPED, why);
            }
        }
        let call = self.calls.len() as u32;
        self.calls.push(CallSite {
            function,
            at,
            arguments,
            results,
            bound: Vec::new(),
        });
        match callee {
            Callee::Static(callee) => self.bind(call, callee.0),
            Callee::OneOf(callees) => {
                for callee in callees {
                    self.bind(call, callee.0);
                }
            }
            Callee::Value(_) => {
                if let Some(value) = value {
                    self.graph.attach(value, Use::Call(call));
                }
            }
            Callee::Unknown => self.bind(call, UNKNOWN),
        }
    }

    /// The call's function value may be this object.
    pub(super) fn bind_value(&mut self, call: u32, object: ObjectId) {
        match self.graph.objects[object as usize].kind {
            Kind::Function(function) => self.bind(call, function),
            Kind::Site {
                function, place, ..
            } => {
                if let Some(body) = self.body_of(function, place) {
                    self.bind(call, body);
                }
            }
            Kind::Heap => self.bind(call, UNKNOWN),
            Kind::Symbol { .. } => {
                self.bind(call, UNKNOWN);
                self.returns_captured(call, object);
            }
        }
    }

    /// The body of a closure's site.
    fn body_of(&self, function: u32, place: u32) -> Option<u32> {
        let Known::Defined(flows) = &self.program.functions[function as usize].known else {
            return None;
        };
        flows.iter().find_map(|flow| match &flow.action {
            super::flow::Action::Close { site, body, .. } if *site == place => Some(body.0),
            _ => None,
        })
    }

    /// What an unknown closure returns may be anything that it leads to.
    fn returns_captured(&mut self, call: u32, object: ObjectId) {
        let site = self.calls[call as usize].clone();
        let what = What::Result { callee: UNKNOWN };
        let why = self.graph.why(site.function, site.at, what);
        let held = self.graph.node(Life::Loose, Name::Step);
        self.graph.read(object, None, held, why);
        let deeper = Use::Load {
            to: held,
            field: None,
            why,
        };
        self.graph.attach(held, deeper);
        for to in site.results.into_iter().flatten() {
            self.graph.flow(held, to, why);
        }
    }

    fn bind(&mut self, call: u32, callee: u32) {
        let site = &mut self.calls[call as usize];
        if site.bound.contains(&callee) {
            return;
        }
        site.bound.push(callee);
        let site = site.clone();
        if let Some(entry) = self.program.functions.get(callee as usize) {
            self.escape_from(&site, entry.parameters as usize);
            self.unknown_from(&site, entry.results as usize);
        }
        if self.places.contains_key(&callee) {
            self.bind_within(&site, callee);
        } else if let Some(summary) = self.summary(callee) {
            self.bind_summary(&site, callee, summary);
        } else {
            self.bind_unknown(&site);
        }
    }

    fn summary(&self, callee: u32) -> Option<&'a Summary> {
        let (program, summaries) = (self.program, self.summaries);
        let summary = summaries.get(callee as usize)?.as_ref();
        match &program.functions[callee as usize].known {
            Known::Imported(promised) => Some(promised),
            Known::Defined(_) => summary,
            Known::Declared => None,
        }
    }

    fn bind_unknown(&mut self, site: &CallSite) {
        self.escape_from(site, 0);
        self.unknown_from(site, 0);
    }

    /// Arguments from `first` on escape.
    fn escape_from(&mut self, site: &CallSite, first: usize) {
        let why = self.graph.why(site.function, site.at, What::UnknownCall);
        for node in site.arguments.iter().skip(first).flatten() {
            self.graph.flow(*node, ESCAPED, why);
        }
    }

    /// Results from `first` on may be anything.
    fn unknown_from(&mut self, site: &CallSite, first: usize) {
        let why = self.graph.why(site.function, site.at, What::UnknownCall);
        for node in site.results.iter().skip(first).flatten() {
            self.graph.insert(*node, HEAP, NOWHERE, why);
        }
    }

    fn bind_within(&mut self, site: &CallSite, callee: u32) {
        let entry = &self.program.functions[callee as usize];
        for (index, from) in (0..entry.parameters).zip(&site.arguments) {
            let Some(from) = from else { continue };
            let object = self.places[&callee][index as usize];
            let to = self.graph.objects[object as usize].any;
            let what = What::Argument { callee, index };
            let why = self.graph.why(site.function, site.at, what);
            self.graph.flow(*from, to, why);
        }
        let why = self
            .graph
            .why(site.function, site.at, What::Result { callee });
        let results = self.results[&callee].clone();
        for (from, to) in results.into_iter().zip(&site.results) {
            if let Some(to) = to {
                self.graph.flow(from, *to, why);
            }
        }
    }

    fn bind_summary(&mut self, site: &CallSite, callee: u32, summary: &Summary) {
        let mut paths = Paths {
            callee,
            nodes: Vec::new(),
        };
        for way in summary.ways() {
            let Some(to) = self.sink(site, &mut paths, way.to) else {
                continue;
            };
            let Source::Input(input) = way.from else {
                let why = self
                    .graph
                    .why(site.function, site.at, What::Result { callee });
                let from = self.graph.objects[HEAP as usize].all;
                self.join(from, to, why);
                continue;
            };
            let what = What::Summary { callee, input };
            let why = self.graph.why(site.function, site.at, what);
            for derefs in way.derefs.iter() {
                if let Some(from) = self.path(site, &mut paths, input, derefs) {
                    self.join(from, to, why);
                }
            }
        }
        for (input, counts) in summary.insides() {
            for derefs in counts.iter() {
                if let Some(node) = self.path(site, &mut paths, *input, derefs) {
                    self.graph.attach(node, Use::Inside);
                }
            }
        }
    }

    fn sink(&mut self, site: &CallSite, paths: &mut Paths, to: Sink) -> Option<Into> {
        match to {
            Sink::Heap => Some(Into::Node(ESCAPED)),
            Sink::Result(index) => site.results.get(index as usize)?.map(Into::Node),
            Sink::Memory { input, derefs } => {
                self.path(site, paths, input, derefs).map(Into::Memory)
            }
        }
    }

    fn join(&mut self, from: NodeId, to: Into, why: WhyId) {
        match to {
            Into::Node(to) => self.graph.flow(from, to, why),
            Into::Memory(pointer) => {
                let usage = Use::Store {
                    from,
                    field: None,
                    why,
                };
                self.graph.attach(pointer, usage);
            }
        }
    }

    /// The node of an argument after so many dereferences.
    fn path(
        &mut self,
        site: &CallSite,
        paths: &mut Paths,
        input: u32,
        derefs: u32,
    ) -> Option<NodeId> {
        let argument = (*site.arguments.get(input as usize)?)?;
        if derefs == 0 {
            return Some(argument);
        }
        let key = |(i, d, _): &&(u32, u32, NodeId)| (*i, *d) == (input, derefs);
        if let Some((_, _, node)) = paths.nodes.iter().find(key) {
            return Some(*node);
        }
        let before = self.path(site, paths, input, derefs - 1)?;
        let what = What::Summary {
            callee: paths.callee,
            input,
        };
        let why = self.graph.why(site.function, site.at, what);
        let to = self.graph.node(Life::Loose, Name::Step);
        let load = Use::Load {
            to,
            field: None,
            why,
        };
        self.graph.attach(before, load);
        if derefs == Derefs::LAST {
            self.graph.attach(to, load);
        }
        paths.nodes.push((input, derefs, to));
        Some(to)
    }
}

/// Where a way of a summary ends at a call.
#[derive(Clone, Copy)]
enum Into {
    Node(NodeId),
    /// What the node's members point to.
    Memory(NodeId),
}

/// The nodes of a call's arguments after one dereference and more.
struct Paths {
    callee: u32,
    nodes: Vec<(u32, u32, NodeId)>,
}
