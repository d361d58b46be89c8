//! Graphs of nodes with two edges at most, by number.

use peers::Random;

/// No edge.
pub(crate) const NONE: u32 = u32::MAX;

/// Lists, where there are many.
const LISTS: usize = 1000;

/// Roots of a random graph.
const ROOTS: usize = 16;

/// A graph.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) edges: Vec<[u32; 2]>,
    pub(crate) roots: Vec<u32>,
}

impl Shape {
    /// Each node has two random edges.
    pub(crate) fn random(nodes: usize) -> Self {
        let mut random = Random::new(1);
        let edges = (0..nodes).map(|_| [(); 2].map(|()| random.below(nodes) as u32));
        Self {
            name: "random",
            edges: edges.collect(),
            roots: (0..ROOTS.min(nodes) as u32).collect(),
        }
    }

    /// A complete tree in the order of its nodes.
    pub(crate) fn tree(nodes: usize) -> Self {
        let there = |to: usize| if to < nodes { to as u32 } else { NONE };
        let edges = (0..nodes).map(|node| [there(2 * node + 1), there(2 * node + 2)]);
        Self {
            name: "tree",
            edges: edges.collect(),
            roots: vec![0],
        }
    }

    /// A thousand lists, in random order.
    pub(crate) fn lists(nodes: usize) -> Self {
        Self {
            name: "lists",
            ..Self::in_lists(nodes, LISTS.min(nodes))
        }
    }

    /// One list, in random order: as much as a miss takes, for each node.
    pub(crate) fn list(nodes: usize) -> Self {
        Self {
            name: "one list",
            ..Self::in_lists(nodes, 1)
        }
    }

    fn in_lists(nodes: usize, lists: usize) -> Self {
        let mut random = Random::new(1);
        let mut order: Vec<u32> = (0..nodes as u32).collect();
        for place in (1..nodes).rev() {
            order.swap(place, random.below(place + 1));
        }
        let mut edges = vec![[NONE; 2]; nodes];
        for (place, node) in order.iter().enumerate() {
            edges[*node as usize][0] = order.get(place + lists).copied().unwrap_or(NONE);
        }
        Self {
            name: "",
            edges,
            roots: order[..lists].to_vec(),
        }
    }

    /// Where a node's edges lead.
    pub(crate) fn targets(&self, node: u32) -> impl Iterator<Item = u32> + use<> {
        let edges = self.edges[node as usize];
        edges.into_iter().filter(|to| *to != NONE)
    }
}
