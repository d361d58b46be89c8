//! dumpster: counted references whose cycles are found; here its pointers of one thread.

use super::alloc::Alloc;
use super::ring::{Message, Messages, Table, ends, message};
use super::run::System;
use super::trees::Trees;
use super::{Failure, Params};
use dumpster::Trace;
use dumpster::unsync::Gc;
use std::hint::black_box;

/// dumpster's pointers.
#[derive(Debug)]
pub struct Cycles;

impl System for Cycles {
    fn start(_: &Params) -> Result<Self, Failure> {
        Ok(Self)
    }
}

/// 16 B, and the pointer's own words.
#[derive(Trace)]
pub struct Node {
    left: Option<Gc<Node>>,
    right: Option<Gc<Node>>,
}

fn make(depth: u32) -> Gc<Node> {
    let child = || (depth > 0).then(|| make(depth - 1));
    Gc::new(Node {
        left: child(),
        right: child(),
    })
}

fn count(node: &Node) -> u64 {
    let below = |child: &Option<Gc<Node>>| child.as_ref().map_or(0, |child| count(child));
    1 + below(&node.left) + below(&node.right)
}

impl Trees for Cycles {
    type Maker<'s> = ();
    type Kept = Gc<Node>;

    fn maker(&self) {}

    fn keep((): &mut (), depth: u32) -> Gc<Node> {
        make(depth)
    }

    fn count((): &mut (), kept: &Gc<Node>) -> u64 {
        count(kept)
    }

    fn make_and_count((): &mut (), depth: u32) -> u64 {
        count(&make(depth))
    }
}

impl Alloc for Cycles {
    fn allocate<const WORDS: usize>(&self, objects: u64) -> u64 {
        let mut last = None;
        let mut sum = 0_u64;
        for number in 0..objects {
            let mut words = [0; WORDS];
            words[0] = number;
            let new = black_box(Gc::new(words));
            sum = sum.wrapping_add(last.replace(new).map_or(0, |old| old[0]));
        }
        sum
    }
}

/// A thread's messages.
pub struct CountedTable(Vec<Option<Gc<Message>>>);

impl Messages for Cycles {
    type Table<'s> = CountedTable;

    fn table(&self, places: usize) -> CountedTable {
        CountedTable((0..places).map(|_| None).collect())
    }
}

impl Table for CountedTable {
    #[inline]
    fn replace(&mut self, at: usize, number: u64) -> u64 {
        let old = self.0[at].replace(Gc::new(message(number)));
        old.map_or(0, |old| ends(&old))
    }

    fn first(&mut self, at: usize) -> u64 {
        self.0[at].as_ref().map_or(0, |held| held[0])
    }
}
