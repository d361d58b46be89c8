//! The order in which functions are analyzed: callees first, mutually recursive ones together.
//!
//! A batch is a strongly connected component of the graph of who mentions whom: calls, function
//! values, and closures, which belong to the function that makes them and so mention it in turn.
//! Tarjan's algorithm (1972) with a stack of its own, linear in functions and mentions.

use super::flow::{Action, Callee, Flow, Function};
use super::program::{Known, Program};

/// Every defined function, in batches, callees first.
pub(super) fn batches(program: &Program) -> Vec<Vec<u32>> {
    let mentions = mentions(program);
    let count = mentions.len();
    let mut search = Search {
        mentions,
        number: vec![0; count],
        low: vec![0; count],
        open: vec![false; count],
        stack: Vec::new(),
        next: 1,
        batches: Vec::new(),
    };
    for function in 0..count as u32 {
        if search.number[function as usize] == 0 {
            search.from(function);
        }
    }
    let defined = |f: &u32| matches!(program.functions[*f as usize].known, Known::Defined(_));
    let mut batches = search.batches;
    batches.retain(|batch| batch.iter().all(defined));
    batches
}

struct Search {
    mentions: Vec<Vec<u32>>,
    /// When a function was found, from 1; 0 if not yet.
    number: Vec<u32>,
    /// The earliest function of its batch known so far.
    low: Vec<u32>,
    /// Whether it is on the stack.
    open: Vec<bool>,
    stack: Vec<u32>,
    next: u32,
    batches: Vec<Vec<u32>>,
}

impl Search {
    fn from(&mut self, function: u32) {
        let mut path = vec![(function, 0)];
        self.find(function);
        while let Some((function, at)) = path.last_mut() {
            let here = *function as usize;
            if let Some(next) = self.mentions[here].get(*at).copied() {
                *at += 1;
                if self.number[next as usize] == 0 {
                    self.find(next);
                    path.push((next, 0));
                } else if self.open[next as usize] {
                    self.low[here] = self.low[here].min(self.number[next as usize]);
                }
                continue;
            }
            path.pop();
            if let Some((before, _)) = path.last() {
                let before = *before as usize;
                self.low[before] = self.low[before].min(self.low[here]);
            }
            if self.low[here] == self.number[here] {
                self.close(here as u32);
            }
        }
    }

    fn find(&mut self, function: u32) {
        let index = function as usize;
        (self.number[index], self.low[index]) = (self.next, self.next);
        self.next += 1;
        self.open[index] = true;
        self.stack.push(function);
    }

    fn close(&mut self, first: u32) {
        let place = self.stack.iter().rposition(|function| *function == first);
        let mut batch = self.stack.split_off(place.unwrap_or(0));
        for function in &batch {
            self.open[*function as usize] = false;
        }
        batch.sort_unstable();
        self.batches.push(batch);
    }
}

/// Whom each function mentions.
fn mentions(program: &Program) -> Vec<Vec<u32>> {
    let mut mentions = vec![Vec::new(); program.functions.len()];
    for (function, entry) in (0u32..).zip(&program.functions) {
        let Known::Defined(flows) = &entry.known else {
            continue;
        };
        for Flow { action, .. } in flows {
            match action {
                Action::Call { callee, .. } => mentions[function as usize].extend(named(callee)),
                Action::FunctionValue { function: of, .. } => {
                    mentions[function as usize].push(of.0);
                }
                Action::Close { body, .. } => {
                    mentions[function as usize].push(body.0);
                    mentions[body.0 as usize].push(function);
                }
                _ => {}
            }
        }
    }
    mentions
}

/// The functions that a callee names.
fn named(callee: &Callee) -> Vec<u32> {
    match callee {
        Callee::Static(Function(function)) => vec![*function],
        Callee::OneOf(functions) => functions.iter().map(|function| function.0).collect(),
        Callee::Value(_) | Callee::Unknown => Vec::new(),
    }
}
