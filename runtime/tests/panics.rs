//! Panics of the program's own code, wherever the heap calls it: in a `trace`, in drop glue, in a
//! closure, in an iterator. Each is contained where it happens, and the heap works on.
//!
//! Mutants: `keep-marks-after-panic`, `drop-panic-uncounted`, `unfinished-without-length`,
//! `filling-forgets` and `failed-cycle-tried-again-at-once` are killed here.

mod common;

use common::{Drops, Token, panic_of};
use runtime::{
    Builder, CollectError, Collector, Gc, GcCell, Heap, Locked, Mutator, OnTheFly, Rebrand, Root,
    StopTheWorld, Trace, Visitor, Weak,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Panics in `trace` when it is told to.
struct Grumpy<'gc> {
    angry: Arc<AtomicBool>,
    next: Option<Gc<'gc, Grumpy<'gc>>>,
    token: Option<Gc<'gc, Token>>,
}

// SAFETY: reports both references, or does not return; without drop code.
unsafe impl Trace for Grumpy<'_> {
    const NEEDS_TRACE: bool = true;

    fn trace<V: Visitor>(&self, visitor: &mut V) {
        self.next.trace(visitor);
        assert!(!self.angry.load(Ordering::Relaxed), "planned, in trace");
        self.token.trace(visitor);
    }
}

// SAFETY: the brand is replaced and nothing else.
unsafe impl Rebrand for Grumpy<'_> {
    type With<'to> = Grumpy<'to>;
}

/// A chain in which only number `angry_at` panics. Behind each link hangs a token: even ones are
/// reachable, odd ones garbage.
fn chain<C: Collector>(
    mutator: &mut Mutator<C>,
    drops: &Drops,
    angry: &Arc<AtomicBool>,
) -> Root<Grumpy<'static>> {
    mutator.enter(|cx| {
        let mut last = None;
        for id in 0..2_000 {
            cx.alloc(drops.token(2 * id + 1));
            last = Some(cx.alloc(Grumpy {
                angry: if id == 700 {
                    angry.clone()
                } else {
                    Arc::default()
                },
                next: last,
                token: Some(cx.alloc(drops.token(2 * id))),
            }));
        }
        cx.root(last.unwrap())
    })
}

/// A cycle that gives up frees nothing and leaves no mark behind; the next one is whole.
fn trace_panics(collector: impl Collector, ballast_bytes: usize) {
    let heap = Builder::new(collector).gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let (drops, angry) = (Drops::default(), Arc::new(AtomicBool::new(false)));
    let root = chain(&mut mutator, &drops, &angry);
    let _ballast: Vec<Root<[u64]>> = mutator.enter(|cx| {
        let parts = (0..ballast_bytes >> 19).map(|_| cx.alloc_slice(vec![1_u64; 1 << 16]));
        parts.map(|part| cx.root(part)).collect()
    });
    let ballast = ballast_bytes >> 19;
    for round in 1..=3 {
        angry.store(true, Ordering::Relaxed);
        let failed = mutator.collect().unwrap_err();
        let CollectError::TracePanicked { message } = &failed else {
            panic!("{failed}");
        };
        assert!(message.contains("planned, in trace"), "{message}");
        let garbage = if round == 1 { 2_000 } else { 0 };
        let stats = heap.stats();
        assert_eq!(
            (stats.trace_panics, stats.cycles),
            (round, round as u64 - 1)
        );
        let small_bytes = 2_000 * 32 + (2_000 + garbage) * 16;
        assert_eq!(stats.live_bytes, small_bytes + ballast * ((1 << 19) + 8192));
        angry.store(false, Ordering::Relaxed);

        assert_eq!(drops.dropped().len(), 2_000 - garbage, "nothing was freed");
        // With a mark left over, what is behind it would not be scanned and would be lost.
        let cycle = mutator.collect().unwrap();
        assert_eq!(cycle.objects_marked, 4_000 + ballast);
        assert_eq!(drops.dropped().len(), 2_000);
        assert!(drops.dropped().iter().all(|id| id % 2 == 1));
    }
    mutator.enter(|cx| {
        let mut link = Some(root.get(cx));
        let mut id = 2_000;
        while let Some(one) = link {
            id -= 1;
            assert_eq!(one.token.map(|token| token.id), Some(2 * id));
            link = one.next;
        }
        assert_eq!(id, 0);
    });
    drop(root);
    mutator.collect().unwrap();
    drops.assert_each_once();
}

#[test]
fn a_trace_panics_under_one_marker() {
    trace_panics(StopTheWorld::with_markers(1), 0);
    trace_panics(OnTheFly::with_markers(1), 0);
}

#[test]
fn a_trace_panics_under_many_markers() {
    trace_panics(StopTheWorld::with_markers(4), 64 << 20);
    trace_panics(OnTheFly::with_markers(4), 64 << 20);
}

/// Allocates until so many cycles have given up; the bytes that live then.
fn fail<C: Collector>(mutator: &mut Mutator<C>, panics: usize) -> f64 {
    while mutator.heap().stats().trace_panics < panics {
        mutator.enter(|cx| (0..100).for_each(|n| _ = cx.alloc([n; 64])));
    }
    mutator.heap().stats().live_bytes as f64
}

/// A cycle that the heap's growth began and that gives up is counted, and the program runs on.
fn trace_panics_at_the_goal<C: Collector>(collector: C) {
    let heap = Builder::new(collector).gc_percent(25).build().unwrap();
    let mut mutator = heap.mutator();
    let (drops, angry) = (Drops::default(), Arc::new(AtomicBool::new(true)));
    let root = chain(&mut mutator, &drops, &angry);
    fail(&mut mutator, 2);
    assert_eq!((heap.stats().cycles, drops.dropped().len()), (0, 0));
    angry.store(false, Ordering::Relaxed);
    while heap.stats().cycles < 2 {
        mutator.enter(|cx| (0..100).for_each(|n| _ = cx.alloc([n; 64])));
    }
    mutator.collect().unwrap();
    assert_eq!(drops.dropped().len(), 2_000);
    drop(root);
}

#[test]
fn a_trace_panics_at_the_goal() {
    trace_panics_at_the_goal(OnTheFly::default());
    trace_panics_at_the_goal(StopTheWorld::default());
}

/// The next cycle after one that gave up waits until the heap has grown by a quarter again. (By a
/// collector that runs at the closure's edge: so no closure allocates meanwhile.)
#[test]
fn a_cycle_in_vain_is_not_tried_again_at_once() {
    let builder = Builder::new(StopTheWorld::default());
    let mut mutator = builder.gc_percent(25).build().unwrap().mutator();
    let (drops, angry) = (Drops::default(), Arc::new(AtomicBool::new(true)));
    let _root = chain(&mut mutator, &drops, &angry);
    let growth = fail(&mut mutator, 1).recip() * fail(&mut mutator, 9);
    assert!(growth > 5.0, "eight times a quarter, and not {growth}");
}

/// Weak references still find their target after a cycle that gave up.
#[test]
fn weak_references_survive_a_cycle_that_gives_up() {
    let mut mutator = Heap::builder().gc_off().build().unwrap().mutator();
    let angry = Arc::new(AtomicBool::new(true));
    let (weak, strong) = mutator.enter(|cx| {
        let target = cx.alloc(Grumpy {
            angry: angry.clone(),
            next: None,
            token: None,
        });
        let weak: Weak<'_, Grumpy<'_>> = cx.downgrade(target);
        (cx.root(cx.alloc(weak)), cx.root(target))
    });
    assert!(mutator.collect().is_err());
    assert!(mutator.enter(|cx| weak.get(cx).upgrade(cx).is_some()));
    angry.store(false, Ordering::Relaxed);
    mutator.collect().unwrap();
    assert!(mutator.enter(|cx| weak.get(cx).upgrade(cx).is_some()));
    drop(strong);
    mutator.collect().unwrap();
    assert!(mutator.enter(|cx| weak.get(cx).upgrade(cx).is_none()));
}

/// Panics when it is dropped, if its number is divisible by three.
#[derive(Trace)]
#[trace(noscan)]
struct Bomb(Token);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0.id.is_multiple_of(3), "planned, in drop");
    }
}

/// Drop glue that panics is counted; everything else is dropped all the same, once.
#[test]
fn drop_glue_panics() {
    let heap = Heap::builder().gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let drops = Drops::default();
    let large = |id| (Bomb(drops.token(id)), [0_u64; 5_000]);
    mutator.enter(|cx| {
        (0..3_000).for_each(|id| _ = cx.alloc(Bomb(drops.token(id))));
        (3_000..3_030).for_each(|id| _ = cx.alloc(large(id)));
        let elements: Vec<Bomb> = (4_001..4_004).map(|id| Bomb(drops.token(id))).collect();
        cx.alloc_slice(elements);
    });
    mutator.collect().unwrap();
    assert_eq!(heap.stats().drop_panics, 1_000 + 10 + 1);
    assert_eq!(heap.stats().live_bytes, 0);
    drops.assert_each_once();

    // At the heap's end as well.
    mutator.enter(|cx| (6_000..6_100).for_each(|id| _ = cx.alloc(Bomb(drops.token(id)))));
    drop((mutator, heap));
    drops.assert_each_once();
}

#[derive(Trace)]
struct Shelf<'gc> {
    items: Locked<Vec<Gc<'gc, Token>>>,
    first: GcCell<'gc, Token>,
}

/// A closure may panic at any point: what it has made is garbage or not, as if it had returned.
#[test]
fn a_closure_panics_at_each_step() {
    let heap = Heap::builder().gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let drops = Drops::default();
    let shelf = mutator.enter(|cx| {
        cx.root(cx.alloc(Shelf {
            items: Locked::default(),
            first: GcCell::empty(),
        }))
    });
    for step in 0..6 {
        let id = 10 * step;
        let said = panic_of(|| {
            mutator.enter(|cx| {
                let check = |at| assert!(step != at, "planned, at {at}");
                check(0);
                let kept = cx.alloc(drops.token(id));
                check(1);
                let shelf = shelf.get(cx);
                shelf.first.set(cx, Some(kept));
                check(2);
                let mut items = shelf.items.lock(cx);
                check(3);
                items.push(kept);
                check(4);
                drop(items);
                let _root = cx.root(kept);
                check(5);
            });
        });
        assert_eq!(said, format!("planned, at {step}"));
        assert_eq!(heap.stats().roots, 1, "a root on the stack was unwound");
        mutator.collect().unwrap();
        mutator.enter(|cx| {
            let shelf = shelf.get(cx);
            let items = shelf.items.try_lock(cx).expect("unlocked by the unwinding");
            let pushed = step.saturating_sub(3) as usize;
            assert_eq!(items.len(), pushed, "the content is as it was left");
            let first = shelf.first.get().map(|token| token.id);
            let stored = [None, None, Some(20), Some(30), Some(40), Some(50)];
            assert_eq!(first, stored[step as usize]);
        });
        let (_, dropped) = drops.totals();
        assert_eq!(
            dropped as u64,
            [0, 1, 1, 2, 3, 3][step as usize],
            "after step {step}"
        );
    }
}

/// An iterator panics half-way: what it had yielded is dropped once, and the slot is free again.
#[test]
fn the_iterator_of_a_slice_panics() {
    let heap = Heap::builder().gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    // Keeps the spans, so that the slots below are used again, with old content in them.
    let stale = Drops::default();
    let tokens = |len: u32| (0..len).map(|id| stale.token(u64::from(id)));
    let _keeps: Vec<Root<[Token]>> = mutator.enter(|cx| {
        (0..64).for_each(|_| _ = cx.alloc_slice(tokens(10)));
        vec![cx.root(cx.alloc_slice(tokens(10)))]
    });
    mutator.collect().unwrap();
    let kept_bytes = heap.stats().live_bytes;
    let dropped = stale.totals();
    for (len, at) in [(10_u32, 0), (10, 5), (10, 9), (5_000, 4_000)] {
        let drops = Drops::default();
        let elements = (0..len).map(|id| {
            assert!(id != at, "planned, at {id}");
            drops.token(u64::from(id))
        });
        // A large slice and, caught inside of the closure, a panic that the closure survives.
        let said = panic_of(|| mutator.enter(|cx| cx.alloc_slice(elements.clone()).len()));
        assert_eq!(said, format!("planned, at {at}"));
        assert_eq!(drops.totals(), (at as usize, at as usize));
        drops.assert_each_once();
        mutator.enter(|cx| {
            panic_of(|| cx.alloc_slice(elements));
            assert_eq!(cx.alloc_slice(0..10).len(), 10);
        });
        mutator.collect().unwrap();
        drops.assert_each_once();
        assert_eq!(
            heap.stats().live_bytes,
            kept_bytes,
            "panic at {at} of {len}"
        );
        assert_eq!(stale.totals(), dropped, "nothing old is dropped again");
    }
    // Nor is anything of it dropped a second time at the heap's end.
    let drops = Drops::default();
    let elements = (0..3_u32).map(|id| {
        if id == 2 {
            panic!("planned")
        } else {
            drops.token(u64::from(id))
        }
    });
    panic_of(|| mutator.enter(|cx| cx.alloc_slice(elements).len()));
    drop((mutator, heap));
    drops.assert_each_once();
}

/// A mutator that is dropped by unwinding, on its own thread, gives its spans back and keeps
/// nobody waiting.
#[test]
fn a_thread_panics_with_its_mutator() {
    let heap = Heap::builder().gc_off().build().unwrap();
    let drops = Drops::default();
    let panicked = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut mutator = heap.mutator();
            mutator.enter(|cx| {
                cx.alloc(drops.token(1));
                panic!("planned, inside");
            })
        });
        thread.join().is_err()
    });
    assert!(panicked);
    assert_eq!(heap.stats().mutators, 0, "gone by its drop");
    let mut mutator = heap.mutator();
    mutator.collect().unwrap();
    drops.assert_each_once();
    assert_eq!(heap.stats().live_bytes, 0);
}
