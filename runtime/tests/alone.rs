//! Cycles that the only mutator runs by itself at its closure's edge: `runtime/src/alone.rs`.
//!
//! Mutants: `few-though-more`, `alone-beside-a-sweep` are killed here.
#![cfg(not(heapwright_loom))]

mod common;

use common::Drops;
use runtime::{CycleStats, Debug, Gc, GcCell, Heap, Mutator, Root, Trace};
use std::hint::black_box;
use std::sync::{Arc, Mutex, mpsc};

#[derive(Trace)]
struct Node<'gc> {
    number: u64,
    next: GcCell<'gc, Node<'gc>>,
}

fn heap() -> Heap {
    let debug = Debug {
        poison: true,
        ..Debug::default()
    };
    Heap::builder().debug(debug).build().unwrap()
}

/// A list of so many nodes.
fn list(mutator: &mut Mutator, nodes: u64) -> Root<Node<'static>> {
    mutator.enter(|cx| {
        let node = |number, next| {
            let next = GcCell::new(next);
            cx.alloc(Node { number, next })
        };
        let last = node(0, None);
        let first = (1..nodes).fold(last, |next, number| node(number, Some(next)));
        cx.root(first)
    })
}

/// Walks the list to its end.
fn assert_whole(mutator: &mut Mutator, list: &Root<Node<'static>>, nodes: u64) {
    mutator.enter(|cx| {
        let mut node = Some(list.get(cx));
        let mut number = nodes;
        while let Some(at) = node {
            number -= 1;
            assert_eq!(at.number, number, "a reachable node was freed");
            node = at.next.get();
        }
        assert_eq!(number, 0, "the list ends early");
    });
}

/// Allocates what dies at once until there have been `cycles` more; the last of them.
fn churn(mutator: &mut Mutator, cycles: u64) -> CycleStats {
    let heap = mutator.heap();
    let end = heap.stats().cycles + cycles;
    while heap.stats().last_cycle.number < end {
        mutator.enter(|cx| {
            for _ in 0..1000 {
                black_box(cx.alloc([0_u64; 8]));
            }
        });
    }
    heap.stats().last_cycle
}

/// Whether some of the next cycles are run at a closure's edge. On a machine that is busy with
/// other things one may take too long, and leave some to the collector's thread.
fn runs_alone(mutator: &mut Mutator) -> bool {
    (0..50).any(|_| churn(mutator, 1).waves == 0)
}

#[test]
fn a_small_heap_is_collected_at_the_edge() {
    let heap = heap();
    let mut mutator = heap.mutator();
    let kept = list(&mut mutator, 100);
    assert!(
        runs_alone(&mut mutator),
        "each cycle is run beside the mutator"
    );
    let cycle = heap.stats().last_cycle;
    assert!((100..200).contains(&cycle.objects_marked), "{cycle:?}");
    assert_whole(&mut mutator, &kept, 100);
    let stats = heap.stats();
    assert!(
        stats.heap_bytes < 64 << 20,
        "{} B of pages",
        stats.heap_bytes
    );
}

/// What has grown since the last cycle is marked whole, beside the mutator.
#[test]
fn a_heap_that_has_grown_is_left_to_the_collector() {
    let heap = heap();
    let mut mutator = heap.mutator();
    for _ in 0..5 {
        assert!(runs_alone(&mut mutator));
        let kept = list(&mut mutator, 50_000);
        let cycle = churn(&mut mutator, 1);
        assert!(cycle.waves > 0, "{cycle:?}");
        churn(&mut mutator, 2);
        assert_whole(&mut mutator, &kept, 50_000);
    }
}

/// Weak references are cleared, cleanups are run, and drop glue as well.
#[test]
fn the_dead_are_noticed() {
    #[derive(Trace)]
    struct Mortal {
        _token: common::Token,
    }
    let heap = heap();
    let mut mutator = heap.mutator();
    let drops = Drops::default();
    let (tell, told) = mpsc::channel();
    let mut weaks = Vec::new();
    for id in 0..100 {
        let weak = mutator.enter(|cx| {
            let mortal = cx.alloc(Mortal {
                _token: drops.token(id),
            });
            let tell = tell.clone();
            cx.on_death(mortal, move || tell.send(id).unwrap());
            cx.root(cx.alloc(GcCell::new(Some(cx.alloc(cx.downgrade(mortal))))))
        });
        weaks.push(weak);
    }
    assert!(runs_alone(&mut mutator));
    churn(&mut mutator, 2);
    heap.run_cleanups();
    let mut dead: Vec<u64> = told.try_iter().collect();
    dead.sort_unstable();
    assert!(dead.iter().copied().eq(0..100), "{dead:?}");
    assert!(drops.dropped().iter().copied().eq(0..100));
    mutator.enter(|cx| {
        for weak in &weaks {
            let cell: Gc<'_, _> = weak.get(cx);
            assert!(cell.get().is_some_and(|weak| weak.upgrade(cx).is_none()));
        }
    });
}

/// Waits for the gate before it is gone.
#[derive(Trace)]
#[trace(noscan)]
struct Held(Arc<Mutex<()>>);

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.lock().unwrap());
    }
}

/// While drop glue of the last cycle runs on the collector's thread, none is run at the edge: the
/// marks are still set.
#[test]
fn a_sweep_that_is_not_over_is_not_passed_by() {
    let heap = heap();
    let mut mutator = heap.mutator();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    mutator.enter(|cx| _ = cx.alloc(Held(gate.clone())));
    let before = heap.stats();
    let allocate = |mutator: &mut Mutator, bytes: usize| {
        let end = heap.stats().allocated_bytes + bytes;
        while heap.stats().allocated_bytes < end {
            mutator.enter(|cx| (0..1000).for_each(|_| _ = black_box(cx.alloc([0_u64; 8]))));
        }
    };
    allocate(&mut mutator, 64 << 20);
    assert_eq!(
        heap.stats().cycles,
        before.cycles + 1,
        "the next waits for the sweep"
    );
    drop(closed);
    churn(&mut mutator, 2);
    assert_eq!(Arc::strong_count(&gate), 1);
}

/// Two mutators on threads of their own: neither collects for the other, nor is anything lost.
#[test]
fn two_mutators_collect_beside() {
    let heap = heap();
    let mut mutator = heap.mutator();
    let mut other = heap.mutator();
    let (kept, others) = (list(&mut mutator, 100), list(&mut other, 100));
    let cycle = churn(&mut mutator, 3);
    assert!(cycle.waves > 0, "{cycle:?}");
    assert_whole(&mut other, &others, 100);
    assert_whole(&mut mutator, &kept, 100);
    drop(other);
    assert!(runs_alone(&mut mutator), "it is the only one again");
}
