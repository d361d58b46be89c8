//! A port that panics: the round ends on every thread, the payload comes back, nothing leaks, and
//! the marker can be used again.

#![cfg(not(heapwright_loom))]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use common::{Heap, HeapRoots, random_graph, wide};
use gc_mark::{
    Aborted, Alone, Kind, Marker, Object, ObjectModel, Outcome, Packet, Roots, Shared, Tracer,
    Visitor,
};

fn mark(marker: &mut Marker, heap: &Heap, threads: usize) -> Result<Outcome, Aborted> {
    let roots = HeapRoots(heap);
    if threads == 0 {
        return marker.mark(heap, &roots);
    }
    let round = marker.round(heap, &roots);
    thread::scope(|scope| {
        for index in 0..threads {
            let round = &round;
            scope.spawn(move || round.run(index));
        }
    });
    round.finish()
}

/// Panics at the n-th call of a port, for many n, and marks again without.
fn check(mut heap: Heap, threads: usize) {
    let mut marker = Marker::new(4);
    let mut aborts = 0;
    for panic_at in (1..100).step_by(3) {
        heap.reset();
        heap.panic_at = panic_at;
        match mark(&mut marker, &heap, threads) {
            Err(aborted) => {
                let message = format!("call {panic_at} of a port");
                assert!(aborted.to_string().contains(&message), "{aborted}");
                aborts += 1;
            }
            // How many calls there are depends on how the threads share.
            Ok(_) => assert!(heap.calls.load(Relaxed) < panic_at, "a panic was lost"),
        }
        assert!(marker.is_drained(), "a round that is over leaves work");
        heap.reset();
        heap.panic_at = 0;
        let outcome = mark(&mut marker, &heap, threads).expect("no port panics");
        assert_eq!(outcome.objects, heap.check("after an abort").0);
    }
    assert!(aborts > 3, "only {aborts} rounds had a call that panics");
}

#[test]
fn panics_in_scans_and_roots_end_the_round() {
    for threads in [0, 1, 2, 4] {
        check(random_graph(20_000, 30, 3, 21), threads);
    }
}

#[test]
fn panics_in_parts_end_the_round() {
    for threads in [0, 4] {
        check(wide(40, 22), threads);
    }
}

/// Every job panics with a payload of its own.
struct PanickingRoots(Arc<()>, Barrier);

// SAFETY: there are no roots.
unsafe impl Roots for PanickingRoots {
    fn jobs(&self) -> usize {
        2
    }

    fn scan<V: Visitor>(&self, _job: usize, _visitor: &mut V) {
        self.1.wait();
        resume_unwind(Box::new(Arc::clone(&self.0)));
    }
}

#[test]
fn the_first_of_two_payloads_comes_back_and_the_other_is_dropped() {
    let heap = Heap::default();
    let roots = PanickingRoots(Arc::new(()), Barrier::new(2));
    let mut marker = Marker::new(2);
    let round = marker.round(&heap, &roots);
    thread::scope(|scope| {
        scope.spawn(|| round.run(0));
        scope.spawn(|| round.run(1));
    });
    let aborted = round.finish().expect_err("both jobs panic");
    assert!(aborted.to_string().contains("not a string"));
    assert_eq!(Arc::strong_count(&roots.0), 2);
    let payload = catch_unwind(AssertUnwindSafe(|| resume_unwind(aborted.into_payload())))
        .expect_err("resumed");
    assert!(payload.is::<Arc<()>>());
    drop(payload);
    assert_eq!(Arc::strong_count(&roots.0), 1);
}

#[test]
fn an_aborted_round_that_is_dropped_leaves_nothing_to_the_next() {
    let mut heap = random_graph(20_000, 30, 3, 23);
    let mut marker = Marker::new(1);
    heap.panic_at = 20;
    marker.round(&heap, &HeapRoots(&heap)).run(0);
    heap.reset();
    heap.panic_at = 0;
    let outcome = mark(&mut marker, &heap, 1).expect("no port panics");
    assert_eq!(outcome.objects, heap.check("after an abort").0);
}

/// Its only job waits, twice, for somebody else to come.
struct SlowRoots(Barrier);

// SAFETY: there are no roots.
unsafe impl Roots for SlowRoots {
    fn jobs(&self) -> usize {
        1
    }

    fn scan<V: Visitor>(&self, _job: usize, _visitor: &mut V) {
        self.0.wait();
        self.0.wait();
    }
}

#[test]
fn a_worker_cannot_run_twice_at_once() {
    let heap = Heap::default();
    let roots = SlowRoots(Barrier::new(2));
    let mut marker = Marker::new(1);
    let round = marker.round(&heap, &roots);
    let misuse = thread::scope(|scope| {
        scope.spawn(|| round.run(0));
        roots.0.wait();
        let misuse = catch_unwind(AssertUnwindSafe(|| round.run(0)));
        roots.0.wait();
        misuse
    });
    let payload = misuse.expect_err("the worker is running");
    let message = payload.downcast_ref::<String>().expect("a message");
    assert_eq!(message, "worker 0 is running already");
    assert!(round.finish().expect("no port panics").drained);
}

/// Defers every object, and does not say how to scan a part.
struct Deferring;

// SAFETY: of the only object a mark is won each time, and no round with it drains.
unsafe impl ObjectModel for Deferring {
    fn claim(&self, _object: Object) -> bool {
        true
    }

    fn claim_alone(&self, _object: Object) -> bool {
        true
    }

    fn prefetch(&self, _object: Object) {}

    fn scan_alone(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Alone>) {
        tracer.defer_parts(packet.objects()[0], packet.kind(), 2);
    }

    fn scan_shared(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Shared>) {
        tracer.defer_parts(packet.objects()[0], packet.kind(), 2);
    }
}

#[test]
fn parts_that_nobody_can_scan_abort_the_round() {
    let kind = Kind {
        id: 5,
        noscan: false,
    };
    let roots = [(Object(9), kind)];
    let mut marker = Marker::new(1);
    let alone = marker.mark(&Deferring, &roots[..]);
    let round = marker.round(&Deferring, &roots[..]);
    round.run(0);
    for outcome in [alone, round.finish()] {
        let said = outcome.expect_err("a part was lost").to_string();
        assert!(said.contains("part 0 of Object(9)"), "{said}");
    }
}

#[test]
fn a_worker_that_finds_nothing_stays_until_the_round_is_over() {
    let heap = Heap::default();
    let roots = SlowRoots(Barrier::new(2));
    let mut marker = Marker::new(2);
    let round = marker.round(&heap, &roots);
    let has_left = thread::scope(|scope| {
        scope.spawn(|| round.run(0));
        roots.0.wait();
        let idle = scope.spawn(|| round.run(1));
        // Not to be on time, but for one who does not stay to be found out.
        thread::sleep(Duration::from_millis(20));
        let has_left = idle.is_finished();
        roots.0.wait();
        has_left
    });
    assert!(!has_left, "the other was still busy");
    assert!(round.finish().expect("no port panics").drained);
}

#[test]
#[should_panic(expected = "worker 2 of a marker with 2 workers")]
fn there_is_no_worker_beyond_the_last() {
    Marker::new(2).round(&Heap::default(), &()).run(2);
}

#[test]
#[should_panic(expected = "a marker needs 1 to 65535 workers, not 0")]
fn a_marker_without_workers_is_refused() {
    Marker::new(0);
}
