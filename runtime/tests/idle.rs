//! A heap that has emptied is noticed without a call, and without a cycle that growth begins.
//!
//! Mutants: `idle-never`, `idle-with-somebody-inside` are killed here.
#![cfg(not(heapwright_loom))]

use runtime::{Builder, FakeSource, Gc, Heap, Locked, Mutator, OnTheFly, Root, Stats};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

type Table = Root<Locked<Vec<Gc<'static, [u64; 512]>>>>;

/// A table of so many pieces of 4 KiB.
fn table(mutator: &mut Mutator, pieces: usize) -> Table {
    let table: Table =
        mutator.enter(|cx| cx.root(cx.alloc(Locked::new(Vec::<Gc<'_, [u64; 512]>>::new()))));
    for _ in 0..pieces {
        mutator.enter(|cx| table.get(cx).lock(cx).push(cx.alloc([7; 512])));
    }
    table
}

/// Allocates a little now and then until `holds`, which must be within many times what it takes.
fn lightly_until(mutator: &mut Mutator, holds: impl Fn(&Heap) -> bool) {
    let (heap, begun) = (mutator.heap(), Instant::now());
    while !holds(&heap) {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            heap.stats()
        );
        mutator.enter(|cx| _ = cx.alloc([0_u64; 8]));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_heap_that_has_emptied_is_noticed() {
    let source = FakeSource::new();
    let builder = Builder::new(OnTheFly::default()).page_source(source.clone());
    let heap = builder.reserve_bytes(256 * MIB).build().unwrap();
    let mut mutator = heap.mutator();
    let kept = table(&mut mutator, 1000);
    let dropped = table(&mut mutator, 31_000);
    mutator.collect().unwrap();
    assert!(heap.stats().heap_bytes > 120 * MIB);
    let cycles = heap.stats().cycles;
    drop(dropped);
    lightly_until(&mut mutator, |heap| heap.stats().heap_bytes < 16 * MIB);
    assert!(heap.stats().cycles < cycles + 5, "they become rare");
    // What is free goes back at once, and its part of the heap's tables with it.
    lightly_until(&mut mutator, |_| source.discarded_bytes() > 64 * MIB / 128);
    mutator.enter(|cx| {
        let table = kept.get(cx);
        let pieces = table.lock(cx);
        assert!(pieces.iter().all(|piece| piece[..] == [7; 512]));
    });
}

/// A cycle waits for closures, and so none is begun for the sake of memory alone while one runs.
#[test]
fn nobody_is_made_to_log_for_a_closure_that_sleeps() {
    let heap = Heap::new().unwrap();
    let mut mutator = heap.mutator();
    let dropped = table(&mut mutator, 16_000);
    mutator.collect().unwrap();
    drop(dropped);
    let before = heap.stats();
    mutator.enter(|cx| {
        _ = cx.alloc([0_u64; 8]);
        std::thread::sleep(Duration::from_secs(2));
    });
    let late = |stats: &Stats| {
        stats
            .late_max
            .as_ref()
            .map_or(Duration::ZERO, |late| late.wait)
    };
    assert!(late(&heap.stats()) < Duration::from_secs(1).max(late(&before) * 2));
    assert_eq!(heap.stats().cycles, before.cycles);
    lightly_until(&mut mutator, |heap| heap.stats().heap_bytes < 16 * MIB);
}
