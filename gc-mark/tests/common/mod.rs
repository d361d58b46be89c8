//! A heap of indices in which everything that a scan does is counted, and graphs to fill it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use gc_mark::{
    Alone, Kind, Object, ObjectModel, PREFETCH_AHEAD, Packet, Roots, Shared, Sharing, Tracer,
    Visitor,
};

/// Places ahead of which a packet hints as well, where objects lie in order.
const PREFETCH_FAR: usize = 48;

/// Edges of one part of an object that is scanned in parts.
pub(crate) const PART_EDGES: usize = 100;

/// Numbers without a pattern that matters here (xorshift64*, Vigna 2016).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// An object: its kind's number, and the objects that it refers to.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) kind: usize,
    pub(crate) edges: Vec<usize>,
    pub(crate) marked: AtomicBool,
    pub(crate) scans: AtomicUsize,
    pub(crate) part_scans: Vec<AtomicUsize>,
}

/// A heap that counts, and panics on request.
#[derive(Default)]
pub(crate) struct Heap {
    pub(crate) nodes: Vec<Node>,
    pub(crate) roots: Vec<Vec<usize>>,
    /// Kinds from this number on hold no references.
    pub(crate) noscan_from: usize,
    /// The call of a port that panics, counted from 1; 0 for none.
    pub(crate) panic_at: usize,
    pub(crate) calls: AtomicUsize,
}

impl Heap {
    pub(crate) fn kind(&self, node: usize) -> Kind {
        let id = self.nodes[node].kind;
        // Far apart like addresses, and with low bits that say nothing, like addresses.
        Kind {
            id: id * 64 + 0x5000_0000,
            noscan: id >= self.noscan_from,
        }
    }

    pub(crate) fn add(&mut self, kind: usize, edges: Vec<usize>) -> usize {
        let parts = if edges.len() > PART_EDGES {
            edges.len().div_ceil(PART_EDGES)
        } else {
            0
        };
        let part_scans = (0..parts).map(|_| AtomicUsize::new(0)).collect();
        self.nodes.push(Node {
            kind,
            edges,
            part_scans,
            ..Node::default()
        });
        self.nodes.len() - 1
    }

    /// Unmarked and uncounted again.
    pub(crate) fn reset(&self) {
        self.calls.store(0, Relaxed);
        for node in &self.nodes {
            node.marked.store(false, Relaxed);
            node.scans.store(0, Relaxed);
            node.part_scans
                .iter()
                .for_each(|scans| scans.store(0, Relaxed));
        }
    }

    fn call(&self) {
        if self.calls.fetch_add(1, Relaxed) + 1 == self.panic_at {
            // Not `panic!`: hundreds of messages would tell nothing.
            resume_unwind(Box::new(format!("call {} of a port", self.panic_at)));
        }
    }

    fn report(&self, edges: &[usize], visitor: &mut impl Visitor) {
        edges
            .iter()
            .for_each(|&edge| visitor.visit(Object(edge), self.kind(edge)));
    }

    fn scan<S: Sharing>(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, S>) {
        self.call();
        let kind = packet.kind();
        assert!(!kind.noscan, "an object without references was queued");
        let objects = packet.objects();
        assert!(!objects.is_empty(), "an empty packet");
        let (hints, scans) = (Cell::new(0), Cell::new(0));
        packet.drain(
            tracer,
            |ahead| {
                if objects.get(hints.get()) == Some(&ahead) {
                    hints.set(hints.get() + 1);
                } else {
                    let far = objects.get(scans.get() + PREFETCH_FAR);
                    assert_eq!(far, Some(&ahead), "hints in order");
                }
                assert!(
                    self.nodes[ahead.0].marked.load(Relaxed),
                    "queued before marked"
                )
            },
            |object, tracer| {
                let place = scans.replace(scans.get() + 1);
                if let Some(&next) = objects.get(place) {
                    assert_eq!(object, next, "front to back");
                    let ahead = objects.len().min(place + 1 + PREFETCH_AHEAD);
                    assert_eq!(hints.get(), ahead, "so many ahead");
                }
                let node = &self.nodes[object.0];
                assert_eq!(self.kind(object.0), kind, "in a packet of another kind");
                node.scans.fetch_add(1, Relaxed);
                if node.part_scans.is_empty() {
                    self.report(&node.edges, tracer);
                } else {
                    tracer.defer_parts(object, kind, node.part_scans.len());
                }
            },
        );
    }

    fn scan_part<S: Sharing>(&self, node: usize, part: usize, tracer: &mut Tracer<'_, Self, S>) {
        self.call();
        let node = &self.nodes[node];
        node.part_scans[part].fetch_add(1, Relaxed);
        let edges = node
            .edges
            .chunks(PART_EDGES)
            .nth(part)
            .expect("a part that exists");
        self.report(edges, tracer);
    }

    /// The slow and obvious twin: what the roots reach, depth first.
    pub(crate) fn reachable(&self) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        let mut stack: Vec<usize> = self.roots.iter().flatten().copied().collect();
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut reached[node], true) {
                stack.extend(&self.nodes[node].edges);
            }
        }
        reached
    }

    /// Every reachable object is marked and scanned exactly once, and no other. Returns the number
    /// of reachable objects and that of their parts.
    pub(crate) fn check(&self, how: &str) -> (usize, usize) {
        let reachable = self.reachable();
        let mut parts = 0;
        for (index, (node, &live)) in self.nodes.iter().zip(&reachable).enumerate() {
            let scans = usize::from(live && !self.kind(index).noscan);
            assert_eq!(node.marked.load(Relaxed), live, "mark of {index}, {how}");
            assert_eq!(node.scans.load(Relaxed), scans, "scans of {index}, {how}");
            for part in &node.part_scans {
                assert_eq!(
                    part.load(Relaxed),
                    scans,
                    "scans of a part of {index}, {how}"
                );
                parts += scans;
            }
        }
        (reachable.iter().filter(|&&live| live).count(), parts)
    }
}

// SAFETY: a mark is swapped in once; a scan reports every edge of its object, or defers the object
// in parts which together hold every edge; kinds are those of the nodes and never change.
unsafe impl ObjectModel for Heap {
    fn claim(&self, object: Object) -> bool {
        let marked = &self.nodes[object.0].marked;
        !marked.load(Relaxed) && !marked.swap(true, Relaxed)
    }

    fn claim_alone(&self, object: Object) -> bool {
        let marked = &self.nodes[object.0].marked;
        let was = marked.load(Relaxed);
        marked.store(true, Relaxed);
        !was
    }

    fn prefetch(&self, object: Object) {
        assert!(
            self.nodes[object.0].marked.load(Relaxed),
            "queued before marked"
        );
    }

    fn scan_alone(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Alone>) {
        self.scan(packet, tracer);
    }

    fn scan_shared(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Shared>) {
        self.scan(packet, tracer);
    }

    fn scan_part_alone(
        &self,
        object: Object,
        kind: Kind,
        part: usize,
        tracer: &mut Tracer<'_, Self, Alone>,
    ) {
        assert_eq!(self.kind(object.0), kind);
        self.scan_part(object.0, part, tracer);
    }

    fn scan_part_shared(
        &self,
        object: Object,
        kind: Kind,
        part: usize,
        tracer: &mut Tracer<'_, Self, Shared>,
    ) {
        assert_eq!(self.kind(object.0), kind);
        self.scan_part(object.0, part, tracer);
    }
}

/// The heap's own roots.
pub(crate) struct HeapRoots<'h>(pub(crate) &'h Heap);

// SAFETY: every job reports all of its roots.
unsafe impl Roots for HeapRoots<'_> {
    fn jobs(&self) -> usize {
        self.0.roots.len()
    }

    fn scan<V: Visitor>(&self, job: usize, visitor: &mut V) {
        self.0.call();
        self.0.report(&self.0.roots[job], visitor);
    }
}

/// So much smaller are heaps under Miri, which takes a millisecond where others take a microsecond.
const SHRINK: usize = if cfg!(miri) { 250 } else { 1 };

/// Random edges: `kinds` kinds, the last tenth of them without references.
pub(crate) fn random_graph(nodes: usize, kinds: usize, edges_max: usize, seed: u64) -> Heap {
    let nodes = nodes.div_ceil(SHRINK);
    let mut random = Random(seed);
    let mut heap = Heap {
        noscan_from: kinds - kinds / 10,
        ..Heap::default()
    };
    for _ in 0..nodes {
        let kind = random.below(kinds);
        let edges = if kind < heap.noscan_from {
            random.below(edges_max + 1)
        } else {
            0
        };
        let edges = (0..edges).map(|_| random.below(nodes)).collect();
        heap.add(kind, edges);
    }
    heap.roots = (0..7)
        .map(|job| (0..job).map(|_| random.below(nodes)).collect())
        .collect();
    heap
}

/// Lists that change their kind at every node, at some or never; some share their tails.
pub(crate) fn lists(lists: usize, length: usize) -> Heap {
    let mut heap = Heap {
        noscan_from: 3,
        ..Heap::default()
    };
    let mut heads = Vec::new();
    for list in 0..lists {
        let mut next = heads.last().copied().into_iter().collect::<Vec<_>>();
        if list % 3 != 0 {
            next.clear();
        }
        for node in 0..length.div_ceil(SHRINK) {
            let kind = if list % 2 == 0 {
                node * (list + 1) % 3
            } else {
                0
            };
            next = vec![heap.add(kind, next)];
        }
        heads.extend(next);
    }
    heap.roots = vec![heads.split_off(heads.len() / 2), vec![]];
    heap
}

/// Wide objects, some of them exactly as wide as a part, that refer to one another and to leaves.
pub(crate) fn wide(objects: usize, seed: u64) -> Heap {
    let mut random = Random(seed);
    let mut heap = Heap {
        noscan_from: 2,
        ..Heap::default()
    };
    let nodes = objects.div_ceil(SHRINK) * 20;
    for node in 0..nodes {
        let width = match node % 20 {
            0 => [PART_EDGES, PART_EDGES + 1, 10 * PART_EDGES, 1234][random.below(4)],
            1..10 => random.below(3),
            _ => 0,
        };
        let kind = if node % 20 < 10 { node % 2 } else { 2 };
        let edges = (0..width).map(|_| random.below(nodes)).collect();
        heap.add(kind, edges);
    }
    heap.roots = vec![vec![0]];
    heap
}
