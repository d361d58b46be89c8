//! Small things: what values print, rounds without roots, roots that are a slice.

#![cfg(not(heapwright_loom))]

mod common;

use common::{Heap, HeapRoots};
use gc_mark::{Marker, Object};
use std::sync::atomic::Ordering::Relaxed;

/// Two lists of two objects each.
fn heap() -> Heap {
    let mut heap = Heap {
        noscan_from: 2,
        ..Heap::default()
    };
    for first in [0, 2] {
        heap.add(0, vec![first + 1]);
        heap.add(0, Vec::new());
    }
    heap
}

fn marked(heap: &Heap) -> Vec<bool> {
    let nodes = heap.nodes.iter();
    nodes.map(|node| node.marked.load(Relaxed)).collect()
}

#[test]
fn a_slice_of_references_is_roots_and_nothing_is_none() {
    let heap = heap();
    let mut marker = Marker::new(1);
    marker.mark(&heap, &()).expect("no port panics");
    assert_eq!(marked(&heap), [false; 4]);
    let unasked = marker.round(&heap, &()).finish().expect("no port panics");
    assert!(unasked.drained, "nothing is done by nobody");
    let roots = [(Object(2), heap.kind(2))];
    let outcome = marker.mark(&heap, &roots[..]).expect("no port panics");
    assert_eq!(marked(&heap), [false, false, true, true]);
    assert_eq!(outcome.objects, 2);
}

#[test]
fn a_round_counts_what_its_workers_do() {
    // A list of four.
    let mut heap = Heap {
        noscan_from: 1,
        roots: vec![vec![0]],
        ..Heap::default()
    };
    for next in 1..4 {
        heap.add(0, vec![next]);
    }
    heap.add(0, Vec::new());
    let mut marker = Marker::new(2);
    let outcome = marker.mark(&heap, &HeapRoots(&heap)).unwrap();
    let counts = (outcome.objects, outcome.packets, outcome.steals);
    assert_eq!(counts, (4, 1, 0), "a list is followed in one go");

    heap.reset();
    let roots = HeapRoots(&heap);
    let round = marker.round(&heap, &roots);
    assert_eq!(round.objects_done(), 0);
    // One, and as many that hang on it.
    assert!(!round.run_some(0, 1));
    assert_eq!(round.objects_done(), 2);
    round.run(1);
    assert_eq!(round.objects_done(), 4);
    let outcome = round.finish().unwrap();
    let counts = (outcome.objects, outcome.packets, outcome.steals);
    assert_eq!(counts, (4, 2, 1));
    assert!(outcome.drained);
}

#[test]
fn markers_rounds_and_aborted_ones_print_what_they_are() {
    let mut heap = heap();
    heap.roots = vec![vec![0]];
    let mut marker = Marker::new(2);
    assert_eq!(format!("{marker:?}"), "Marker { workers: 2, .. }");
    let roots = HeapRoots(&heap);
    let round = marker.round(&heap, &roots);
    assert!(format!("{round:?}").starts_with("Round { marker: Marker"));
    round.run(0);
    round.finish().expect("no port panics");

    heap.reset();
    heap.panic_at = 1;
    let aborted = marker.mark(&heap, &HeapRoots(&heap)).unwrap_err();
    assert!(
        format!("{aborted:?}").contains("call 1 of a port"),
        "{aborted:?}"
    );
}
