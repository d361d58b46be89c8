//! The walk: batch after batch, callees first, each until nothing flows any more.
//!
//! A node whose content has grown is taken from the queue, and each new member is put to each of
//! its uses. What reaches the node of the escaped drags its content after it. A member is put into
//! a node once, so the walk ends after at most (nodes × objects) of them, each tried once for each
//! use: cubic at worst in the size of a batch, and in practice linear in the program, because
//! batches do not grow with it and few nodes hold more than a handful. Go's walk ends after
//! Θ(places) walks of the whole batch, each of them Bellman–Ford.

use super::Options;
use super::batches::batches;
use super::explain::{Chain, chain};
use super::graph::{ESCAPED, Kind, Use};
use super::lower::Batch;
use super::program::Program;
use super::report::{Decision, Report, Verdict};
use super::summary::{Sink, Source, Summary};
use super::{Size, graph};

/// Analyzes every defined function.
pub(super) fn analyze<'a>(program: &'a Program, options: &Options) -> Report<'a> {
    let mut summaries = vec![None; program.functions.len()];
    let mut verdicts: Vec<Vec<Verdict>> = vec![Vec::new(); program.functions.len()];
    let mut leaks: Vec<Vec<Option<Chain>>> = vec![Vec::new(); program.functions.len()];
    let mut steps = 0;
    for functions in batches(program) {
        let mut batch = Batch::new(program, &summaries, &functions, options);
        batch.walk();
        steps += batch.graph.steps;
        let found: Vec<Summary> = functions.iter().map(|f| batch.summarize(*f)).collect();
        for function in &functions {
            verdicts[*function as usize] = batch.verdicts(*function, options);
            leaks[*function as usize] = batch.leaks(*function);
        }
        for (function, summary) in functions.iter().zip(found) {
            summaries[*function as usize] = Some(summary);
        }
    }
    Report::new(program, verdicts, leaks, summaries, steps)
}

impl Batch<'_> {
    /// Lets everything flow.
    fn walk(&mut self) {
        loop {
            while let Some(object) = self.graph.escaping.pop_front() {
                self.share(object);
            }
            let Some(node) = self.graph.next() else {
                return;
            };
            let at = node as usize;
            while self.graph.nodes[at].done < self.graph.nodes[at].members.len() {
                let member = self.graph.nodes[at].members[self.graph.nodes[at].done];
                let mut index = 0;
                while let Some(usage) = self.graph.nodes[at].uses.get(index).copied() {
                    match usage {
                        Use::Call(call) => self.bind_value(call, member.object),
                        usage => self.graph.put(node, member, usage),
                    }
                    index += 1;
                }
                self.graph.nodes[at].done += 1;
            }
        }
    }

    /// Where the function's inputs went.
    fn summarize(&self, function: u32) -> Summary {
        let entry = &self.program.functions[function as usize];
        let mut summary = Summary::harmless(entry.inputs(), entry.results);
        self.ways(function, ESCAPED, Sink::Heap, &mut summary);
        for (index, node) in (0..).zip(&self.results[&function]) {
            self.ways(function, *node, Sink::Result(index), &mut summary);
        }
        for object in &self.graph.objects {
            let Kind::Symbol {
                function: of,
                input,
                derefs,
            } = object.kind
            else {
                continue;
            };
            if of == function {
                let memory = Sink::Memory { input, derefs };
                self.ways(function, object.any, memory, &mut summary);
                if object.merged {
                    summary.add_inside(input, derefs);
                }
            }
        }
        summary
    }

    /// Adds what a node holds to the summary.
    fn ways(&self, function: u32, node: graph::NodeId, to: Sink, summary: &mut Summary) {
        for member in &self.graph.nodes[node as usize].members {
            match self.graph.objects[member.object as usize].kind {
                Kind::Symbol {
                    function: of,
                    input,
                    derefs,
                } => {
                    if of == function {
                        summary.add(Source::Input(input), derefs, to);
                    }
                }
                // What a caller does not know it takes for something on the heap, which sites
                // that a function gives away are.
                _ if to == Sink::Heap => {}
                _ => summary.add(Source::Heap, 0, to),
            }
        }
    }

    fn verdicts(&self, function: u32, options: &Options) -> Vec<Verdict> {
        let places = &self.program.functions[function as usize].places;
        let objects = &self.places[&function];
        let verdict = |(place, object): (&super::flow::Place, &u32)| {
            if self.graph.holds(ESCAPED, *object) {
                let chain = Some(chain(self, *object));
                let decision = Decision::Heap;
                return Verdict { decision, chain };
            }
            let decision = match place.size {
                Size::Bytes(_) => Decision::Frame,
                Size::Unknown => Decision::FrameUpTo(options.unknown_bytes_max),
            };
            let chain = None;
            Verdict { decision, chain }
        };
        places.iter().zip(objects).map(verdict).collect()
    }

    /// For each input that reaches the heap, how it does.
    fn leaks(&self, function: u32) -> Vec<Option<Chain>> {
        let inputs = self.program.functions[function as usize].inputs();
        let mut leaks = vec![None; inputs as usize];
        for member in &self.graph.nodes[ESCAPED as usize].members {
            if let Kind::Symbol {
                function: of,
                input,
                ..
            } = self.graph.objects[member.object as usize].kind
                && of == function
            {
                leaks[input as usize].get_or_insert_with(|| chain(self, member.object));
            }
        }
        leaks
    }
}
