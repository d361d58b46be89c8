//! A heap that has nothing to do with Rust objects, marked through the port: nodes in a vector that
//! name each other by index. No derive, no address; about what a virtual machine would write.

use std::cell::Cell;

use gc_mark::{
    Alone, Kind, Marker, Object, ObjectModel, Packet, Roots, Shared, Sharing, Tracer, Visitor,
};

const NODE: Kind = Kind {
    id: 7,
    noscan: false,
};

/// Not `Sync`: a heap of one thread, with plain cells for marks.
struct Heap {
    edges: Vec<Vec<usize>>,
    marked: Vec<Cell<bool>>,
    globals: Vec<Vec<usize>>,
}

impl Heap {
    fn new(edges: Vec<Vec<usize>>, globals: Vec<Vec<usize>>) -> Heap {
        let marked = vec![Cell::new(false); edges.len()];
        Heap {
            edges,
            marked,
            globals,
        }
    }

    fn scan<S: Sharing>(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, S>) {
        assert_eq!(packet.kind(), NODE);
        packet.drain(
            tracer,
            |_| {},
            |object, tracer| {
                self.edges[object.0]
                    .iter()
                    .for_each(|&edge| tracer.visit(Object(edge), NODE));
            },
        );
    }

    fn live(&self) -> Vec<usize> {
        (0..self.edges.len())
            .filter(|&node| self.marked[node].get())
            .collect()
    }
}

// SAFETY: `replace` returns false to the first claim only; `scan` reports every edge of each node.
unsafe impl ObjectModel for Heap {
    fn claim(&self, object: Object) -> bool {
        self.claim_alone(object)
    }

    fn claim_alone(&self, object: Object) -> bool {
        !self.marked[object.0].replace(true)
    }

    fn prefetch(&self, _object: Object) {}

    fn scan_alone(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Alone>) {
        self.scan(packet, tracer);
    }

    fn scan_shared(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Shared>) {
        self.scan(packet, tracer);
    }
}

/// Each table of globals is a job.
struct Globals<'h>(&'h Heap);

// SAFETY: every global of every table is reported.
unsafe impl Roots for Globals<'_> {
    fn jobs(&self) -> usize {
        self.0.globals.len()
    }

    fn scan<V: Visitor>(&self, job: usize, visitor: &mut V) {
        self.0.globals[job]
            .iter()
            .for_each(|&node| visitor.visit(Object(node), NODE));
    }
}

/// Two rings of 1,000 nodes, of which one is a root, and a node that points into it.
fn two_rings() -> Heap {
    let ring = |from: usize| (0..1000).map(move |node| vec![from + (node + 1) % 1000]);
    let mut edges: Vec<Vec<usize>> = ring(0).chain(ring(1000)).collect();
    edges.push(vec![0]);
    Heap::new(edges, vec![vec![], vec![17], vec![17, 3]])
}

#[test]
fn what_globals_reach_is_marked_and_nothing_else() {
    let heap = two_rings();
    let outcome = Marker::new(1)
        .mark(&heap, &Globals(&heap))
        .expect("no port panics");
    assert!(outcome.drained);
    assert_eq!(outcome.objects, 1000);
    assert_eq!(heap.live(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn increments_mark_what_one_go_marks() {
    let width = if cfg!(miri) { 500 } else { 5000 };
    // Node 0 refers to that many nodes, each of which refers to one more.
    let mut edges = vec![(1..=width).collect::<Vec<_>>()];
    edges.extend((1..=width).map(|node| vec![node + width]));
    edges.extend((0..width).map(|_| vec![]));
    let heap = Heap::new(edges, vec![vec![0]]);
    let mut marker = Marker::new(1);
    let first = marker
        .mark_some(&heap, &Globals(&heap), 100)
        .expect("no port panics");
    assert!(!first.drained && !marker.is_drained());
    let (mut objects, mut increments) = (first.objects, 1);
    loop {
        let outcome = marker.mark_some(&heap, &(), 100).expect("no port panics");
        objects += outcome.objects;
        increments += 1;
        if outcome.drained {
            break;
        }
    }
    assert_eq!(objects, heap.edges.len());
    assert_eq!(heap.live().len(), heap.edges.len());
    assert!(increments > 3, "the budget had no effect");
}
