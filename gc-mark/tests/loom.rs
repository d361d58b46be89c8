//! Models of the end of a round: two workers, a few objects, every schedule.
//!
//! Run with
//!
//! ```text
//! RUSTFLAGS="--cfg heapwright_loom" \
//!     cargo test --profile loom -p gc-mark --features loom --test loom
//! ```
//!
//! The workers are the shipped ones. Under the cfg a full packet has two objects, a packet of one
//! is already shared with a worker at rest, and the deque is a locked queue (see `sync.rs`). Every
//! model runs without a bound and with 1, 2 and 3 preemptions: loom's bounded search adds
//! schedules of its own.

#![cfg(heapwright_loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as StdUsize, Ordering::SeqCst};

use gc_mark::{Alone, Kind, Marker, Object, ObjectModel, Packet, Shared, Sharing, Tracer, Visitor};
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;

/// Explores a model in the four ways, and says that each search was completed.
fn model(name: &str, run: impl Fn() + Sync + Send + Copy + 'static) {
    for bound in [None, Some(1), Some(2), Some(3)] {
        let executions = Arc::new(StdUsize::new(0));
        let count = Arc::clone(&executions);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = bound;
        builder.max_duration = None;
        builder.check(move || {
            count.fetch_add(1, SeqCst);
            run();
        });
        let executions = executions.load(SeqCst);
        println!("{name}, preemptions at most {bound:?}: completed, {executions} executions");
    }
}

const NODE: Kind = Kind {
    id: 0,
    noscan: false,
};

/// Nodes that refer to each other by index. Marks are no step of these models: the claim of a mark
/// is the heap's, and modeled there.
struct Heap {
    edges: &'static [&'static [usize]],
    marks: Vec<StdUsize>,
    /// Written relaxed, once: who sees a 1 of another worker was synchronized with it.
    scans: Vec<AtomicUsize>,
    scan_count: StdUsize,
}

impl Heap {
    fn new(edges: &'static [&'static [usize]]) -> Heap {
        Heap {
            edges,
            marks: edges.iter().map(|_| StdUsize::new(0)).collect(),
            scans: edges.iter().map(|_| AtomicUsize::new(0)).collect(),
            scan_count: StdUsize::new(0),
        }
    }

    fn scan<S: Sharing>(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, S>) {
        packet.drain(
            tracer,
            |_| {},
            |object, tracer| {
                for &edge in self.edges[object.0] {
                    tracer.visit(Object(edge), NODE);
                }
                // The visible step of the work; after the edges, so that a worker that ends the
                // round in between is found out.
                self.scans[object.0].store(1, Relaxed);
                let scans = self.scan_count.fetch_add(1, SeqCst);
                assert!(
                    scans < self.edges.len(),
                    "{object:?} or another is scanned twice"
                );
            },
        );
    }

    /// What a worker may believe when its round is over.
    fn assert_all_scanned(&self) {
        for (node, scans) in self.scans.iter().enumerate() {
            assert_eq!(
                scans.load(Relaxed),
                1,
                "the round is over and {node} was not scanned"
            );
        }
    }
}

// SAFETY: a mark is swapped in once; a scan reports every edge.
unsafe impl ObjectModel for Heap {
    fn claim(&self, object: Object) -> bool {
        self.marks[object.0].fetch_or(1, SeqCst) == 0
    }

    fn claim_alone(&self, object: Object) -> bool {
        self.claim(object)
    }

    fn prefetch(&self, _object: Object) {}

    fn scan_alone(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Alone>) {
        self.scan(packet, tracer);
    }

    fn scan_shared(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Shared>) {
        self.scan(packet, tracer);
    }
}

/// Queues node 0 with worker 0, then runs worker 1 on a thread of its own and worker 0 on this one.
///
/// The round borrows the marker and loom's threads want `'static`, so both are leaked: a few KiB
/// for each of some 10^5 executions.
fn two_workers(edges: &'static [&'static [usize]], zero: Worker, one: Worker) {
    let heap: &'static Heap = Box::leak(Box::new(Heap::new(edges)));
    let marker: &'static mut Marker = Box::leak(Box::new(Marker::new(2)));
    marker
        .mark_some(heap, &[(Object(0), NODE)][..], 0)
        .expect("no port panics");
    let round = Arc::new(marker.round(heap, &()));
    let other = Arc::clone(&round);
    let thread = thread::spawn(move || one(&other, heap, 1));
    zero(&round, heap, 0);
    thread.join().expect("the other worker does not panic");
    let round = Arc::into_inner(round).expect("both workers are done");
    let outcome = round.finish().expect("no port panics");
    assert_eq!(outcome.drained, heap.scan_count.load(SeqCst) == edges.len());
}

type Round = gc_mark::Round<'static, Heap, ()>;
type Worker = fn(&Round, &Heap, usize);

/// Works until the round is over, and then believes that all is scanned.
fn to_the_end(round: &Round, heap: &Heap, index: usize) {
    round.run(index);
    heap.assert_all_scanned();
}

/// Leaves after one object, with what it found queued.
fn one_object(round: &Round, heap: &Heap, index: usize) {
    if round.run_some(index, 1) {
        heap.assert_all_scanned();
    }
}

/// One object with one child: whoever finds nothing to do must wait for the other.
#[test]
fn end_is_seen_once_all_is_scanned() {
    model("end_is_seen_once_all_is_scanned", || {
        two_workers(&[&[1], &[]], to_the_end, to_the_end);
    });
}

/// One worker leaves while its object's child is queued; the other must find it.
#[test]
fn work_of_a_worker_that_left_is_found() {
    model("work_of_a_worker_that_left_is_found", || {
        two_workers(&[&[1], &[]], to_the_end, one_object);
    });
}
