//! Models of the end of a round: two workers, a few objects, every schedule.
//!
//! Run with
//!
//! ```text
//! export RUSTFLAGS="--cfg heapwright_loom"
//! cargo test --profile loom -p gc-mark --features loom --test loom
//! ```
//!
//! The workers are the shipped ones. Under the cfg a full packet has two objects, a packet of one
//! is already shared with a worker at rest, and the deque is a locked queue (see `sync.rs`). Every
//! model but one runs without a bound, and all with 1, 2 and 3 preemptions: loom's bounded search
//! adds schedules of its own.

#![cfg(heapwright_loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as StdUsize, Ordering::SeqCst};

use gc_mark::{Alone, Kind, Marker, Object, ObjectModel, Packet, Shared, Sharing, Tracer, Visitor};
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;

/// Explores a model in the four ways.
fn model(name: &str, run: impl Fn() + Sync + Send + Copy + 'static) {
    explore(name, &[None, Some(1), Some(2), Some(3)], run);
}

/// Explores a model within each of the bounds, and says that each search was completed.
fn explore(name: &str, bounds: &[Option<usize>], run: impl Fn() + Sync + Send + Copy + 'static) {
    for &bound in bounds {
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

/// Each node is of a kind of its own: a child of the same kind would be followed at once, and no
/// work would ever be queued.
fn kind(node: usize) -> Kind {
    let noscan = false;
    Kind { id: node, noscan }
}

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
                    tracer.visit(Object(edge), kind(edge));
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
        .mark_some(heap, &[(Object(0), kind(0))][..], 0)
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

/// Works as long as there is something to do, and does not wait for more.
fn while_there_is_work(round: &Round, heap: &Heap, index: usize) {
    if round.run_some(index, 10) {
        heap.assert_all_scanned();
    }
}

/// One object, and both may scan it: whoever does not must wait for the other. (With a child of
/// another kind this is beyond an unbounded search; children are the next models' part.)
///
/// Kills `done-by-empty-queues`, `look-without-acquire`,
/// `exchange-without-release`, `begins-with-open-packets`.
#[test]
fn end_is_seen_once_all_is_scanned() {
    model("end_is_seen_once_all_is_scanned", || {
        two_workers(&[&[]], to_the_end, to_the_end);
    });
}

/// A thief leaves while the child of what it stole is queued; the other must find it.
///
/// Kills `rests-with-open-packets`, `queues-not-looked-at`, `quits-with-open-packets`.
#[test]
fn work_of_a_thief_that_left_is_found() {
    model("work_of_a_thief_that_left_is_found", || {
        two_workers(&[&[1], &[]], to_the_end, one_object);
    });
}

/// The owner of the work comes late, and leaves it queued or sees it stolen; the other must neither
/// miss it nor wait forever.
///
/// Kills `quits-not-counted`, `rests-while-nobody-works`.
#[test]
fn work_of_an_owner_that_left_is_found() {
    model("work_of_an_owner_that_left_is_found", || {
        two_workers(&[&[1], &[]], one_object, to_the_end);
    });
}

/// The child is queued for a worker at rest, who takes it while its owner runs out of work.
///
/// The one model without an unbounded search, which does not end within minutes: up to 6
/// preemptions instead, of which the mutant needs 5.
///
/// Kills `wakes-after-stealing`.
#[test]
fn thieves_count_before_they_steal() {
    let bounds = [1, 2, 3, 4, 5, 6].map(Some);
    explore("thieves_count_before_they_steal", &bounds, || {
        two_workers(&[&[1], &[]], while_there_is_work, to_the_end);
    });
}

/// The owner comes late, does all there is, and goes: the word is then as it was before it came.
///
/// Kills `exchange-without-acquire`.
#[test]
fn work_done_in_between_is_seen() {
    model("work_done_in_between_is_seen", || {
        two_workers(&[&[]], while_there_is_work, to_the_end);
    });
}

/// Whether, in any schedule, a thread that reads once sees what another stored after a look of its
/// own; `look` is how both read.
fn sees_a_store_after_a_look(bound: Option<usize>, look: fn(&AtomicUsize) -> usize) -> bool {
    let seen = Arc::new(StdUsize::new(0));
    let result = Arc::clone(&seen);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.check(move || {
        let word = loom::sync::Arc::new(AtomicUsize::new(0));
        let other = loom::sync::Arc::clone(&word);
        let thread = thread::spawn(move || {
            look(&other);
            other.store(1, Relaxed);
        });
        result.fetch_max(look(&word), SeqCst);
        thread.join().expect("the other thread does not panic");
    });
    seen.load(SeqCst) == 1
}

/// The checker's hole, kept in sight: loom 0.7.3 never lets a load see a store that its thread made
/// after a load, because it remembers only the latest access of a word. Should an upgrade close it,
/// this fails, and the steps that are read-modify-writes on its account can become loads.
///
/// The second half is the way around it that `sync.rs` takes.
#[test]
fn canary_of_the_checker() {
    for bound in [None, Some(1), Some(2), Some(3)] {
        let plain = sees_a_store_after_a_look(bound, |word| word.load(Relaxed));
        assert!(
            !plain,
            "loom explores a load against a store after a load, bound {bound:?}"
        );
        let visible = sees_a_store_after_a_look(bound, |word| word.fetch_add(0, Relaxed));
        assert!(
            visible,
            "a read-modify-write is not enough any more, bound {bound:?}"
        );
    }
}
