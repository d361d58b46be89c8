//! What a cycle beside the mutators promises to each: that no closure waits for another's, that a
//! closure which does not end is named, and that the two kinds of fences are equally good.

mod common;

use common::{in_time, patience};
use runtime::{Builder, Cx, Debug, Gc, GcCell, Heap, Locked, Mutator, OnTheFly, Root, Trace};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[derive(Trace)]
struct Link<'gc> {
    number: usize,
    next: GcCell<'gc, Link<'gc>>,
}

/// A list of so many links, the last one first.
fn list<'gc>(cx: &Cx<'gc>, len: usize) -> Gc<'gc, Link<'gc>> {
    let mut first = None;
    for number in 0..len {
        let next = GcCell::new(first);
        first = Some(cx.alloc(Link { number, next }));
    }
    first.expect("a list of some links")
}

fn length(mutator: &mut Mutator, root: &Root<Link<'static>>) -> usize {
    mutator.enter(|cx| {
        let links = std::iter::successors(Some(root.get(cx)), |link| link.next.get());
        links.count()
    })
}

/// Waits until `holds`, for ten seconds' patience at most.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < patience(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A closure that does not end holds a cycle up, and nobody else: another mutator allocates as
/// much as the heap's limit allows, fails as a value then, and works on; and the report names who
/// it is. When the closure ends the cycle goes on.
#[test]
fn an_endless_closure_delays_the_cycle_alone() {
    in_time(|| {
        const LIMIT_BYTES: usize = 24 << 20;
        let heap = Heap::builder().limit_bytes(LIMIT_BYTES).build().unwrap();
        let (inside, told_inside) = mpsc::channel();
        let (end, told_end) = mpsc::channel::<()>();
        let endless = std::thread::spawn({
            let heap = heap.clone();
            move || {
                heap.mutator_named("endless").enter(|_| {
                    inside.send(()).unwrap();
                    told_end.recv().unwrap();
                });
            }
        });
        told_inside.recv().unwrap();
        let mut mutator = heap.mutator();
        let root = mutator.enter(|cx| cx.root(list(cx, 1_000)));
        let cycles = heap.stats().cycles;
        let mut allocated = 0;
        let cause = loop {
            // Every object is garbage at once.
            match mutator.enter(|cx| cx.try_alloc([7_u64; 16]).map(drop).map_err(|e| e.cause)) {
                Ok(()) => allocated += 128,
                Err(cause) => break cause,
            }
        };
        assert!(allocated > LIMIT_BYTES / 2, "{allocated} bytes: {cause}");
        assert_eq!(heap.stats().cycles, cycles, "no cycle can begin to mark");
        wait_until("the cycle says for whom it waits", || {
            heap.stats().late.is_some()
        });
        let late = heap.stats().late.expect("just seen");
        assert_eq!(late.mutator, "endless");
        assert!(late.wait >= Duration::from_millis(10), "{late:?}");
        assert_eq!(length(&mut mutator, &root), 1_000, "the heap is usable");

        end.send(()).unwrap();
        endless.join().unwrap();
        wait_until("the cycle goes on", || heap.stats().cycles > cycles);
        mutator.collect().unwrap();
        mutator
            .enter(|cx| cx.try_alloc([7_u64; 16]).ok().map(drop))
            .expect("memory");
        let stats = heap.stats();
        assert!(
            stats.late.is_none() && stats.late_max.is_some_and(|late| late.mutator == "endless")
        );
        assert_eq!(length(&mut mutator, &root), 1_000);
    });
}

/// A closure that began before the end of marking and allocates on and on does not keep the cycle
/// from ending: allocation's slow path acknowledges what it may.
#[test]
fn a_closure_that_allocates_lets_the_cycle_end() {
    in_time(|| {
        let debug = Debug {
            handshake_delay: Duration::from_millis(20),
            ..Debug::default()
        };
        let heap = Heap::builder().gc_off().debug(debug).build().unwrap();
        let mut mutator = heap.mutator();
        let root = mutator.enter(|cx| cx.root(list(cx, 1_000)));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let collector = scope.spawn(|| {
                let cycle = heap.collect().unwrap();
                over.store(true, Ordering::Release);
                cycle
            });
            // Three handshakes of 20 ms each arm; then this closure begins, and outlasts the rest.
            let mut closures = 0;
            while !over.load(Ordering::Acquire) {
                closures += 1;
                mutator.enter(|cx| {
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_millis(500) {
                        cx.alloc([0_u64; 64]);
                        if over.load(Ordering::Acquire) {
                            return;
                        }
                    }
                });
            }
            let cycle = collector.join().unwrap();
            assert!(
                cycle.waves >= 1 && closures <= 6,
                "{closures} closures, {cycle:?}"
            );
        });
        assert_eq!(length(&mut mutator, &root), 1_000);
    });
}

/// A thread that makes and drops handles without end keeps no cycle from ending: what is marked
/// need not be logged again.
#[test]
fn handles_dropped_without_end_let_the_cycle_end() {
    in_time(|| {
        let heap = Heap::builder().gc_off().build().unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let drops = scope.spawn(|| {
                let mut mutator = heap.mutator();
                let root = mutator.enter(|cx| cx.root(list(cx, 10)));
                let mut drops = 0_u64;
                // Acquire: with the Release below, all that came before the end.
                while !over.load(Ordering::Acquire) {
                    mutator.enter(|cx| {
                        let first = root.get(cx);
                        (0..100).for_each(|_| drop(cx.root(first)));
                    });
                    drops += 100;
                }
                drops
            });
            wait_until("a handle", || heap.stats().roots > 0);
            (0..20).for_each(|_| {
                heap.collect().unwrap();
            });
            over.store(true, Ordering::Release);
            assert!(drops.join().unwrap() > 0);
        });
    });
}

/// Stores while a cycle arms, marks and ends, on both kinds of fences: nothing is lost. The
/// markers follow a list whose links two mutators take out and put back all the time.
#[test]
fn links_that_move_are_not_lost_on_either_kind_of_fences() {
    for symmetric in [false, true] {
        let debug = Debug {
            check_marks: true,
            ..Debug::default()
        };
        let builder = Builder::new(OnTheFly::with_markers(1))
            .gc_off()
            .debug(debug);
        let builder = if symmetric {
            builder.symmetric_fences()
        } else {
            builder
        };
        let heap = builder.build().unwrap();
        let cycles = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (heap, cycles) = (&heap, &cycles);
                scope.spawn(move || {
                    let mut mutator = heap.mutator();
                    let root = mutator.enter(|cx| cx.root(list(cx, 500)));
                    let (mut at, mut moved) = (thread, 0);
                    while cycles.load(Ordering::Relaxed) < 30 || moved < 100 {
                        at = (at + 7) % 490;
                        mutator.enter(|cx| {
                            // Takes the link behind `before` out and puts it behind the first.
                            let first = root.get(cx);
                            let mut links = std::iter::successors(Some(first), |l| l.next.get());
                            let before = links.nth(at + 1).expect("a link");
                            let Some(moved) = before.next.swap(cx, None) else {
                                return;
                            };
                            before.next.set(cx, moved.next.get());
                            moved.next.set(cx, first.next.get());
                            first.next.set(cx, Some(moved));
                        });
                        moved += 1;
                    }
                    assert_eq!(length(&mut mutator, &root), 500);
                });
            }
            for _ in 0..30 {
                heap.collect().unwrap();
                cycles.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

#[derive(Trace)]
struct Shelf<'gc> {
    items: Locked<Vec<Gc<'gc, u64>>>,
}

/// A guard that is leaked leaves the lock taken, and what the lock holds alive.
#[test]
fn what_is_behind_a_leaked_guard_lives() {
    let heap = Heap::builder().gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let root = mutator.enter(|cx| {
        let items = (0..100).map(|number| cx.alloc(number)).collect();
        let items = Locked::new(items);
        let shelf = cx.root(cx.alloc(Shelf { items }));
        std::mem::forget(shelf.get(cx).items.lock(cx));
        shelf
    });
    for _ in 0..3 {
        let cycle = mutator.collect().unwrap();
        assert_eq!(cycle.objects_marked, 101);
        mutator.enter(|cx| assert!(root.get(cx).items.try_lock(cx).is_none()));
    }
}
