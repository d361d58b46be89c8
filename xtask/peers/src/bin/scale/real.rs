//! The real marker over the same graphs, on as many threads as this machine has processors.
//!
//! Nodes have 32 B, marks a bit each in an array of their own, as in the runtime's heap; each node
//! is prefetched as far ahead as there.

use crate::shape::Shape;
use gc_mark::{Alone, Kind, Marker, Object, ObjectModel, Outcome, Packet, Shared, Sharing};
use gc_mark::{Tracer, Visitor};
use peers::cost;
use peers::limits::prefetch;
use std::sync::atomic::{AtomicU64, Ordering};

const NODE: Kind = Kind {
    id: 1,
    noscan: false,
};

/// Rounds of which the quickest counts: others use the machine too.
const ROUNDS: usize = 7;

/// 32 B.
#[derive(Clone)]
struct Node {
    edges: [u32; 2],
    _rest: [u64; 3],
}

/// Nodes, their mark bits, and where marking begins.
pub(crate) struct Heap {
    nodes: Vec<Node>,
    marks: Vec<AtomicU64>,
    roots: Vec<(Object, Kind)>,
}

/// The quickest round, by the processor time of all its threads: a marker that is waiting for a
/// processor costs nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) ns_an_object: f64,
    pub(crate) packets: usize,
    pub(crate) steals: usize,
}

impl Heap {
    pub(crate) fn new(shape: &Shape) -> Self {
        let node = |edges: &[u32; 2]| Node {
            edges: *edges,
            _rest: [0; 3],
        };
        let words = shape.edges.len().div_ceil(64);
        let roots = shape
            .roots
            .iter()
            .map(|root| (Object(*root as usize), NODE));
        Self {
            nodes: shape.edges.iter().map(node).collect(),
            marks: (0..words).map(|_| AtomicU64::new(0)).collect(),
            roots: roots.collect(),
        }
    }

    fn scan<S: Sharing>(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, S>) {
        packet.drain(
            tracer,
            |object| prefetch(&self.nodes[object.0]),
            |object, tracer| {
                for edge in self.nodes[object.0].edges {
                    if edge != crate::shape::NONE {
                        tracer.visit(Object(edge as usize), NODE);
                    }
                }
            },
        );
    }

    fn clear(&mut self) {
        self.marks.iter_mut().for_each(|word| *word.get_mut() = 0);
    }

    fn word_and_bit(&self, object: Object) -> (&AtomicU64, u64) {
        (&self.marks[object.0 / 64], 1 << (object.0 % 64))
    }

    /// Marks by one marker that knows to be alone.
    fn mark_alone(&mut self) -> Result<Outcome, gc_mark::Aborted> {
        self.clear();
        Marker::new(1).mark(&*self, &self.roots[..])
    }

    /// Marks by so many that share the work.
    fn mark_together(&mut self, markers: usize) -> Result<Outcome, gc_mark::Aborted> {
        self.clear();
        let mut marker = Marker::new(markers);
        let round = marker.round(&*self, &self.roots[..]);
        std::thread::scope(|scope| {
            let round = &round;
            for index in 1..markers {
                scope.spawn(move || round.run(index));
            }
            round.run(0);
        });
        round.finish()
    }
}

// SAFETY: a bit is set by one `fetch_or`, whose caller alone sees it clear, or by the only marker;
// `scan` reports each edge of each node, and there is one kind. Nodes do not change.
unsafe impl ObjectModel for Heap {
    fn claim(&self, object: Object) -> bool {
        let (word, bit) = self.word_and_bit(object);
        // Relaxed: whoever wins hands the object on through queues, which synchronize.
        word.load(Ordering::Relaxed) & bit == 0
            // Relaxed: as above.
            && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    fn claim_alone(&self, object: Object) -> bool {
        let (word, bit) = self.word_and_bit(object);
        // Relaxed: nobody else marks.
        let old = word.load(Ordering::Relaxed);
        // Relaxed: as above.
        word.store(old | bit, Ordering::Relaxed);
        old & bit == 0
    }

    fn prefetch(&self, object: Object) {
        prefetch(&self.nodes[object.0]);
    }

    fn scan_alone(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Alone>) {
        self.scan(packet, tracer);
    }

    fn scan_shared(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Shared>) {
        self.scan(packet, tracer);
    }
}

fn quickest(
    mut round: impl FnMut() -> Result<Outcome, gc_mark::Aborted>,
) -> Result<Measured, gc_mark::Aborted> {
    let mut best = Measured {
        ns_an_object: f64::INFINITY,
        packets: 0,
        steals: 0,
    };
    for _ in 0..ROUNDS {
        let (outcome, cost) = cost(&mut round);
        let outcome = outcome?;
        let ns_an_object = cost.cpu.as_secs_f64() * 1e9 / outcome.objects as f64;
        if ns_an_object < best.ns_an_object {
            best = Measured {
                ns_an_object,
                packets: outcome.packets,
                steals: outcome.steals,
            };
        }
    }
    Ok(best)
}

/// One marker, in the loops for one.
pub(crate) fn alone(shape: &Shape) -> Result<Measured, gc_mark::Aborted> {
    let mut heap = Heap::new(shape);
    quickest(|| heap.mark_alone())
}

/// So many markers, in the loops for many; `markers` may be one.
pub(crate) fn together(shape: &Shape, markers: usize) -> Result<Measured, gc_mark::Aborted> {
    let mut heap = Heap::new(shape);
    quickest(|| heap.mark_together(markers))
}

/// Two markers that share nothing but the machine, in the loops for many: each has a heap of its
/// own.
pub(crate) fn beside(shape: &Shape) -> Result<Measured, gc_mark::Aborted> {
    let mut heaps = [(); 2].map(|()| Heap::new(shape));
    quickest(|| {
        std::thread::scope(|scope| {
            let mark = |heap: &'_ mut Heap| heap.mark_together(1);
            let [first, second] = heaps.each_mut();
            let other = scope.spawn(move || mark(second));
            let mut both = mark(first)?;
            let other = other.join();
            let other = other.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            both.objects += other.objects;
            both.packets += other.packets;
            Ok(both)
        })
    })
}
