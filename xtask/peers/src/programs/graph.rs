//! `graph`: the shapes, by node numbers; a system makes the nodes and sets the edges.
//!
//! Nodes are allocated in the order of their numbers, each with two edges and a word, its number.
//! The answer is the number of nodes that are reached, times 31, and the exclusive or of their
//! words, found by a walk of the program's own after the collections.

use super::params::SplitMix;
use super::{Failure, Params};

/// How many lists there are.
const LISTS: usize = 1000;

/// How many nodes are roots of a random graph.
const ROOTS: usize = 16;

/// Nodes if not told otherwise.
const NODES: usize = 2_000_000;

/// Forced collections that are measured.
pub(super) const COLLECTIONS: usize = 5;

/// A graph's shape.
pub(super) struct Shape {
    kind: String,
    /// How many nodes there are.
    pub(super) nodes: usize,
    random: SplitMix,
    /// Which allocated node is the shape's.
    order: Vec<u32>,
}

impl Shape {
    /// The shape that `kind` and `nodes` say.
    pub(super) fn new(params: &Params) -> Result<Self, Failure> {
        let kind = params.text("kind", "random").to_owned();
        let nodes: usize = params.number("nodes", NODES)?;
        let mut random = params.random(0)?;
        let order = match kind.as_str() {
            "random" | "tree" => Vec::new(),
            "shuffled" | "lists" => random.permutation(nodes),
            _ => return Err(format!("there is no graph {kind}").into()),
        };
        Ok(Self {
            kind,
            nodes,
            random,
            order,
        })
    }

    /// The allocated node that stands at a place of the shape.
    fn at(&self, place: usize) -> usize {
        self.order.get(place).map_or(place, |node| *node as usize)
    }

    /// Calls `set` with a node and what its two edges lead to, for each node that has an edge.
    pub(super) fn link(&mut self, mut set: impl FnMut(usize, [Option<usize>; 2])) {
        let nodes = self.nodes;
        for place in 0..nodes {
            let there = |to: usize| (to < nodes).then(|| self.at(to));
            let edges = match self.kind.as_str() {
                "random" => [(); 2].map(|()| Some(self.random.below(nodes))),
                "lists" => [there(place + LISTS), None],
                _ => [there(2 * place + 1), there(2 * place + 2)],
            };
            set(self.at(place), edges);
        }
    }

    /// The nodes that roots lead to.
    pub(super) fn roots(&self) -> Vec<usize> {
        let places = match self.kind.as_str() {
            "random" => ROOTS,
            "lists" => LISTS,
            _ => 1,
        };
        (0..places.min(self.nodes)).map(|at| self.at(at)).collect()
    }
}

/// The walk's own mark bits, and what it has found.
pub(super) struct Walk {
    seen: Vec<u64>,
    /// Nodes found.
    pub(super) reached: u64,
    words: u64,
}

impl Walk {
    /// Nothing has been seen.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            seen: vec![0; nodes.div_ceil(64)],
            reached: 0,
            words: 0,
        }
    }

    /// Whether the node with this word is seen for the first time.
    pub(super) fn is_new(&mut self, word: u64) -> bool {
        let (at, bit) = ((word / 64) as usize, 1 << (word % 64));
        let is_new = self.seen[at] & bit == 0;
        if is_new {
            self.seen[at] |= bit;
            self.reached += 1;
            self.words ^= word;
        }
        is_new
    }

    /// The workload's answer.
    pub(super) fn answer(&self) -> u64 {
        self.reached.wrapping_mul(31).wrapping_add(self.words)
    }
}
