//! Every way to mark against the slow and obvious twin: a depth-first search. The same objects are
//! marked, and each is scanned exactly once, whatever the graph and the number of workers.

#![cfg(not(heapwright_loom))]

mod common;

use std::thread;

use common::{Heap, HeapRoots, lists, random_graph, wide};
use gc_mark::{Marker, Outcome};

/// Marks with so many threads; each works within budgets of `step` objects if there is one, and
/// the first until the end.
fn mark_shared(marker: &mut Marker, heap: &Heap, threads: usize, step: Option<usize>) -> Outcome {
    let roots = HeapRoots(heap);
    let round = marker.round(heap, &roots);
    thread::scope(|scope| {
        for index in 0..threads {
            let round = &round;
            scope.spawn(move || match step {
                Some(step) if index > 0 => {
                    while !round.run_some(index, step) {
                        thread::yield_now();
                    }
                }
                _ => round.run(index),
            });
        }
    });
    round.finish().expect("no port panics")
}

/// Marks in increments, by turns alone and with two threads that both stop early.
fn mark_in_increments(marker: &mut Marker, heap: &Heap, step: usize) -> Outcome {
    let mut sum = marker
        .mark_some(heap, &HeapRoots(heap), step)
        .expect("no port panics");
    for turn in 0.. {
        if sum.drained {
            break;
        }
        let outcome = if turn % 2 == 0 {
            let round = marker.round(heap, &());
            thread::scope(|scope| {
                scope.spawn(|| round.run_some(0, step));
                scope.spawn(|| round.run_some(1, step));
            });
            round.finish().expect("no port panics")
        } else {
            marker.mark_some(heap, &(), step).expect("no port panics")
        };
        sum.drained = outcome.drained;
        sum.objects += outcome.objects;
        sum.parts += outcome.parts;
    }
    sum
}

/// Marks the heap in every way with one marker, and compares with the twin each time.
fn check(heap: &Heap) {
    let mut marker = Marker::new(4);
    let mut compare = |how: &str, mark: &dyn Fn(&mut Marker) -> Outcome| {
        heap.reset();
        let outcome = mark(&mut marker);
        let (objects, parts) = heap.check(how);
        assert!(outcome.drained, "{how}");
        assert!(marker.is_drained(), "{how}");
        assert_eq!(outcome.objects, objects, "objects, {how}");
        assert_eq!(outcome.parts, parts, "parts, {how}");
    };
    compare("alone", &|marker| {
        marker.mark(heap, &HeapRoots(heap)).expect("no port panics")
    });
    for threads in if cfg!(miri) { vec![2] } else { vec![1, 2, 4] } {
        for step in [None, Some(1), Some(700)] {
            let how = format!("{threads} threads, budget {step:?}");
            compare(&how, &|marker| mark_shared(marker, heap, threads, step));
        }
    }
    for step in [1, 5000] {
        // The threads of each increment are new ones: many increments only where there is little.
        if step == 1 && heap.nodes.len() > 1000 {
            continue;
        }
        let how = format!("increments of {step}");
        compare(&how, &|marker| mark_in_increments(marker, heap, step));
    }
}

#[test]
fn random_graphs_of_several_kinds() {
    for seed in 1..if cfg!(miri) { 2 } else { 4 } {
        check(&random_graph(12_000, 10, 4, seed));
        check(&random_graph(500, 20, 3, seed));
    }
}

#[test]
fn empty_and_tiny_heaps() {
    check(&Heap::default());
    check(&random_graph(1, 1, 0, 9));
    check(&random_graph(3, 2, 2, 10));
}

#[test]
fn more_kinds_than_open_packets() {
    for kinds in if cfg!(miri) {
        vec![65]
    } else {
        vec![64, 65, 100, 5000]
    } {
        check(&random_graph(15_000, kinds, 4, kinds as u64));
    }
}

#[test]
fn lists_of_one_kind_and_of_several() {
    check(&lists(1, 10_000));
    check(&lists(3, 3_000));
    check(&lists(300, 50));
}

#[test]
fn wide_objects_in_parts() {
    for seed in 1..if cfg!(miri) { 2 } else { 4 } {
        check(&wide(60, seed));
    }
}

/// Whatever the packets and the lists: who may not do much at once asks for little at once.
///
/// Kills: `budget-forgotten-alone`, `budget-forgotten-among-others`.
#[test]
fn a_budget_is_kept() {
    for heap in [random_graph(5_000, 5, 3, 11), lists(3, 2_000)] {
        let (mut marker, roots) = (Marker::new(1), HeapRoots(&heap));
        let outcome = marker.mark_some(&heap, &roots, 200).unwrap();
        assert!((1..=400).contains(&outcome.objects), "{outcome:?}");
        for step in [1, 10, 50] {
            let outcome = marker.mark_some(&heap, &(), step).unwrap();
            // As many again may be followed from what is scanned.
            assert!((1..=2 * step).contains(&outcome.objects), "{outcome:?}");
            let round = marker.round(&heap, &());
            assert!(!round.run_some(0, step));
            let outcome = round.finish().unwrap();
            assert!((1..=2 * step).contains(&outcome.objects), "{outcome:?}");
        }
    }
}

#[test]
fn a_budget_ends_inside_of_a_packet_and_all_is_told() {
    // Ten roots of each of five kinds, which refer to nothing.
    let mut heap = Heap {
        noscan_from: 5,
        roots: vec![(0..50).collect()],
        ..Heap::default()
    };
    (0..50).for_each(|node| _ = heap.add(node % 5, Vec::new()));
    let (mut marker, roots) = (Marker::new(1), HeapRoots(&heap));
    let outcome = marker.mark_some(&heap, &roots, 12).unwrap();
    assert_eq!(outcome.objects, 12);
    marker.clear();
    heap.reset();
    let round = marker.round(&heap, &roots);
    assert!(!round.run_some(0, 12));
    assert_eq!(round.objects_done(), 12);
    round.run(0);
    assert_eq!(round.objects_done(), 50);
    assert_eq!(round.finish().unwrap().objects, 50);
}

#[test]
fn a_worker_that_starts_after_the_end_returns() {
    let heap = random_graph(2_000, 5, 3, 11);
    let mut marker = Marker::new(3);
    let roots = HeapRoots(&heap);
    let round = marker.round(&heap, &roots);
    round.run(2);
    round.run(0);
    assert!(round.run_some(1, 10));
    assert!(round.finish().expect("no port panics").drained);
    heap.check("one after the other");
}

#[test]
fn a_round_that_nobody_runs_is_not_drained() {
    let heap = random_graph(100, 5, 3, 12);
    let mut marker = Marker::new(2);
    let outcome = marker
        .round(&heap, &HeapRoots(&heap))
        .finish()
        .expect("no port panics");
    assert_eq!(outcome, Outcome::default());
}

#[test]
fn a_cleared_marker_forgets_what_it_had_queued() {
    let heap = random_graph(20_000, 5, 3, 13);
    let mut marker = Marker::new(2);
    let first = marker
        .mark_some(&heap, &HeapRoots(&heap), 1)
        .expect("no port panics");
    assert!(!first.drained);
    marker.clear();
    assert!(marker.is_drained());
    heap.reset();
    let outcome = marker
        .mark(&heap, &HeapRoots(&heap))
        .expect("no port panics");
    assert_eq!(outcome.objects, heap.check("after clear").0);
}
