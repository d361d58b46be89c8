//! Cleanups: each runs once, when its object is gone, and holds nobody up; under both collectors.
//!
//! Mutants: `cleanups-of-the-living`, `cleanup-before-drop`, `cleanups-not-last` and
//! `canceled-twice` are killed here.

mod common;

use common::{Drops, Random, in_time, panic_of, seed};
use runtime::{
    Builder, CollectError, Collector, Gc, Heap, OnTheFly, Root, Runtime, StopTheWorld, Trace,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

fn heap<C: Collector + Default>() -> Runtime<C> {
    Builder::new(C::default()).gc_off().build().unwrap()
}

/// What cleanups have said.
type Said = Arc<Mutex<Vec<usize>>>;

fn say(said: &Said, what: usize) -> impl FnOnce() + Send + 'static {
    let said = said.clone();
    move || said.lock().unwrap().push(what)
}

fn each_runs_once_when_its_object_is_gone<C: Collector + Default>() {
    let heap = heap::<C>();
    let mut mutator = heap.mutator();
    let (said, drops) = (Said::default(), Drops::default());
    let kept = mutator.enter(|cx| {
        let objects: Vec<_> = (0..10).map(|n| cx.alloc(drops.token(n))).collect();
        for (n, &object) in objects.iter().enumerate() {
            let (drops, say) = (drops.clone(), say(&said, n));
            cx.on_death(object, move || {
                assert_eq!(drops.of(n as u64), 1, "it runs when the object is dropped");
                say();
            });
        }
        // A second one for the same object.
        cx.on_death(objects[4], say(&said, 100));
        [3, 5].map(|n| cx.root(objects[n]))
    });
    assert_eq!((heap.stats().cleanups, heap.run_cleanups()), (11, 0));
    mutator.collect().unwrap();
    heap.run_cleanups();
    let mut first = std::mem::take(&mut *said.lock().unwrap());
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2, 4, 6, 7, 8, 9, 100]);
    mutator.collect().unwrap();
    heap.run_cleanups();
    assert!(said.lock().unwrap().is_empty(), "they ran again");
    drop(kept);
    mutator.collect().unwrap();
    heap.run_cleanups();
    let stats = heap.stats();
    assert_eq!((stats.cleanups, stats.cleanups_queued), (0, 0));
    assert_eq!((stats.cleanups_run, stats.cleanup_panics), (11, 0));
}

#[test]
fn each_runs_once() {
    each_runs_once_when_its_object_is_gone::<OnTheFly>();
    each_runs_once_when_its_object_is_gone::<StopTheWorld>();
}

fn canceled_ones_do_not_run<C: Collector + Default>() {
    let heap = heap::<C>();
    let mut mutator = heap.mutator();
    let said = Said::default();
    let (first, root) = mutator.enter(|cx| {
        let object = cx.alloc(1_u8);
        (cx.on_death(object, say(&said, 1)), cx.root(object))
    });
    assert!(first.cancel(), "nothing has died");
    assert_eq!(
        Arc::strong_count(&said),
        1,
        "its closure is dropped at once"
    );
    let late = mutator.enter(|cx| {
        // Takes the place of the one that was canceled.
        cx.on_death(root.get(cx), say(&said, 2))
    });
    drop(root);
    mutator.collect().unwrap();
    let other = mutator.enter(|cx| {
        let object = cx.alloc(1_u8);
        cx.on_death(object, say(&said, 3));
        cx.root(object)
    });
    assert!(
        !late.cancel(),
        "too late, and not the one that has its place now"
    );
    heap.run_cleanups();
    assert_eq!(*said.lock().unwrap(), [2]);
    drop(other);
    mutator.collect().unwrap();
    heap.run_cleanups();
    assert_eq!(*said.lock().unwrap(), [2, 3]);
}

#[test]
fn cleanups_are_canceled() {
    canceled_ones_do_not_run::<OnTheFly>();
    canceled_ones_do_not_run::<StopTheWorld>();
}

/// A panic whose payload panics again when it is dropped.
struct Worse;

impl Drop for Worse {
    fn drop(&mut self) {
        panic!("planned");
    }
}

#[test]
fn a_panic_is_counted_and_the_others_run() {
    let heap = heap::<OnTheFly>();
    let mut mutator = heap.mutator();
    let said = Said::default();
    mutator.enter(|cx| {
        let object = cx.alloc(1_u8);
        cx.on_death(object, || panic!("planned"));
        cx.on_death(object, || std::panic::panic_any(Worse));
        cx.on_death(object, say(&said, 1));
    });
    mutator.collect().unwrap();
    heap.run_cleanups();
    assert_eq!(*said.lock().unwrap(), [1]);
    let stats = heap.stats();
    assert_eq!((stats.cleanups_run, stats.cleanup_panics), (3, 2));
}

fn the_rest_runs_when_the_heap_goes<C: Collector + Default>() {
    let (said, drops) = (Said::default(), Drops::default());
    let heap = heap::<C>();
    let mut mutator = heap.mutator();
    let (root, canceled) = mutator.enter(|cx| {
        let objects: Vec<_> = (0..1_000).map(|n| cx.alloc(drops.token(n))).collect();
        for (n, &object) in objects.iter().enumerate() {
            let (drops, say) = (drops.clone(), say(&said, n));
            cx.on_death(object, move || {
                assert_eq!(drops.of(n as u64), 1, "objects are dropped first");
                say();
            });
        }
        let canceled = cx.on_death(objects[0], || panic!("canceled"));
        (cx.root(objects[0]), canceled)
    });
    assert!(canceled.cancel());
    drop(heap);
    assert!(said.lock().unwrap().is_empty());
    drop(mutator);
    let said = said.lock().unwrap();
    assert!(
        said.iter().copied().eq(0..1_000),
        "in the order of registration"
    );
    drop(root);
}

#[test]
fn the_rest_runs_last() {
    the_rest_runs_when_the_heap_goes::<OnTheFly>();
    the_rest_runs_when_the_heap_goes::<StopTheWorld>();
    the_rest_runs_when_the_heap_goes::<runtime::NoGc>();
}

/// Somebody who asks all the time does not get them before their objects are dropped.
fn none_comes_before_the_drop<C: Collector + Default>() {
    let (heap, drops, is_over) = (heap::<C>(), Drops::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (heap, is_over) = (&heap, &is_over);
        let asking = scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                heap.run_cleanups();
            }
        });
        let mut mutator = heap.mutator();
        for round in 0..60 {
            mutator.enter(|cx| {
                for n in round * 200..(round + 1) * 200 {
                    let drops_too = drops.clone();
                    let check = move || assert_eq!(drops_too.of(n), 1, "not dropped yet");
                    cx.on_death(cx.alloc(drops.token(n)), check);
                }
            });
            mutator.collect().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        asking.join().unwrap();
    });
    heap.run_cleanups();
    let stats = heap.stats();
    assert_eq!((stats.cleanups_run, stats.cleanup_panics), (12_000, 0));
}

#[test]
fn they_come_after_the_drop() {
    none_comes_before_the_drop::<OnTheFly>();
    none_comes_before_the_drop::<StopTheWorld>();
}

fn nobody_need_ask<C: Collector + Default>() {
    let heap = Builder::new(C::default()).gc_percent(100).build().unwrap();
    let mut mutator = heap.mutator();
    let (sender, receiver) = mpsc::channel();
    mutator.enter(|cx| {
        let send = move || sender.send(std::thread::current().name().map(str::to_owned));
        cx.on_death(cx.alloc(1_u8), move || send().unwrap());
    });
    // It dies of the heap's growth, with no word from us.
    let name = loop {
        mutator.enter(|cx| (0..1_000).for_each(|_| _ = cx.alloc([0_u64; 100])));
        if let Ok(name) = receiver.try_recv() {
            break name;
        }
    };
    assert_eq!(name.as_deref(), Some("heapwright-cleanup"));
}

#[test]
fn they_run_by_themselves() {
    in_time(nobody_need_ask::<OnTheFly>);
    in_time(nobody_need_ask::<StopTheWorld>);
}

/// One that waits holds up neither cycles nor those who run others; whoever asks for all waits.
#[test]
fn one_that_waits_holds_nobody_up() {
    in_time(|| {
        let heap = heap::<OnTheFly>();
        let mut mutator = heap.mutator();
        let (entered, has_entered) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        mutator.enter(|cx| {
            cx.on_death(cx.alloc(1_u8), move || {
                entered.send(()).unwrap();
                may_go.recv().unwrap();
            });
        });
        mutator.collect().unwrap();
        has_entered.recv().unwrap();
        mutator.collect().unwrap();
        mutator.enter(|cx| cx.alloc(1_u8).checked_add(1).unwrap());
        let (is_over, other) = (Arc::new(AtomicBool::new(false)), heap.clone());
        let over = is_over.clone();
        let asking = std::thread::spawn(move || {
            assert_eq!(other.run_cleanups(), 0);
            assert!(over.load(Ordering::SeqCst), "it did not wait");
        });
        std::thread::sleep(Duration::from_millis(20));
        is_over.store(true, Ordering::SeqCst);
        go.send(()).unwrap();
        asking.join().unwrap();
    });
}

/// A cleanup may enter, allocate, register, collect, ask for cleanups, and be the last user.
#[test]
fn a_cleanup_may_use_the_heap() {
    in_time(|| {
        let (heap, said) = (heap::<OnTheFly>(), Said::default());
        let mut mutator = heap.mutator();
        let (inner, again, done) = (heap.clone(), said.clone(), mpsc::channel());
        mutator.enter(|cx| {
            cx.on_death(cx.alloc(1_u8), move || {
                let mut mutator = inner.mutator();
                mutator.enter(|cx| _ = cx.on_death(cx.alloc(2_u8), say(&again, 2)));
                mutator.collect().unwrap();
                assert_eq!(inner.run_cleanups(), 1);
                // The last of the heap, perhaps.
                drop((mutator, inner));
                done.0.send(()).unwrap();
            });
        });
        mutator.collect().unwrap();
        drop((mutator, heap));
        done.1.recv().unwrap();
        assert_eq!(*said.lock().unwrap(), [2]);
    });
}

#[test]
fn they_are_not_asked_for_inside_a_closure() {
    let heap = heap::<OnTheFly>();
    let text = panic_of(|| heap.mutator().enter(|_| heap.run_cleanups()));
    assert!(text.contains("inside a closure"), "{text}");
}

#[derive(Trace)]
#[trace(noscan)]
struct Asks(Mutex<Option<Heap>>);

impl Drop for Asks {
    fn drop(&mut self) {
        let heap = self.0.get_mut().unwrap().take();
        heap.unwrap().run_cleanups();
    }
}

#[test]
fn drop_glue_may_not_ask_for_them() {
    let heap = heap::<OnTheFly>();
    let mut mutator = heap.mutator();
    mutator.enter(|cx| _ = cx.alloc(Asks(Mutex::new(Some(heap.clone())))));
    mutator.collect().unwrap();
    assert_eq!(heap.stats().drop_panics, 1);
}

struct Broken(AtomicBool);

// SAFETY: it holds no reference.
unsafe impl Trace for Broken {
    const NEEDS_TRACE: bool = true;

    fn trace<V: runtime::Visitor>(&self, _visitor: &mut V) {
        assert!(!self.0.load(Ordering::Relaxed), "planned");
    }
}

// SAFETY: it has no brand.
unsafe impl runtime::Rebrand for Broken {
    type With<'to> = Broken;
}

fn a_cycle_that_gives_up_runs_none<C: Collector + Default>() {
    let heap = heap::<C>();
    let mut mutator = heap.mutator();
    let said = Said::default();
    let broken: Root<Broken> = mutator.enter(|cx| {
        cx.on_death(cx.alloc(1_u8), say(&said, 1));
        cx.root(cx.alloc(Broken(AtomicBool::new(true))))
    });
    let error = mutator.collect().unwrap_err();
    assert!(matches!(error, CollectError::TracePanicked { .. }));
    assert_eq!((heap.run_cleanups(), heap.stats().cleanups), (0, 1));
    mutator.enter(|cx| broken.get(cx).0.store(false, Ordering::Relaxed));
    mutator.collect().unwrap();
    heap.run_cleanups();
    assert_eq!(*said.lock().unwrap(), [1]);
}

#[test]
fn they_wait_for_a_cycle_that_succeeds() {
    a_cycle_that_gives_up_runs_none::<OnTheFly>();
    a_cycle_that_gives_up_runs_none::<StopTheWorld>();
}

#[derive(Trace)]
struct Link<'gc>(u64, Option<Gc<'gc, Link<'gc>>>);

/// Threads that register, cancel, let die, and keep, while cycles begin by themselves.
fn storm<C: Collector + Default>() {
    const EACH: usize = 8_000;
    let heap = Builder::new(C::default()).gc_percent(5).build().unwrap();
    let ran: Arc<Vec<AtomicUsize>> = Arc::new((0..4 * EACH).map(|_| AtomicUsize::new(0)).collect());
    let seed = seed();
    // 0: may die, 1: canceled in time, 2: kept.
    let fates: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads = (0..4).map(|thread| {
            let (heap, ran) = (&heap, &ran);
            scope.spawn(move || {
                let mut random = Random::new(seed + thread as u64);
                let mut mutator = heap.mutator();
                let (mut kept, mut fates) = (Vec::new(), Vec::new());
                for n in thread * EACH..(thread + 1) * EACH {
                    let fate = random.below(3);
                    let counts = ran.clone();
                    let (cleanup, root) = mutator.enter(|cx| {
                        (0..random.below(20)).for_each(|n| _ = cx.alloc([n; 20]));
                        let link = cx.alloc(Link(n as u64, None));
                        let object = cx.alloc(Link(n as u64, Some(link)));
                        let count = move || _ = counts[n].fetch_add(1, Ordering::SeqCst);
                        (
                            cx.on_death(link, count),
                            (fate == 2).then(|| cx.root(object)),
                        )
                    });
                    kept.extend(root);
                    let canceled = fate == 1 && cleanup.cancel();
                    fates.push(if canceled { 1 } else { fate as u8 / 2 * 2 });
                    if n % 1_000 == 0 {
                        heap.run_cleanups();
                    }
                }
                mutator.collect().unwrap();
                heap.run_cleanups();
                mutator.enter(|cx| {
                    for root in &kept {
                        let object = root.get(cx);
                        let link = object.1.unwrap();
                        assert_eq!(
                            (object.0, ran[link.0 as usize].load(Ordering::SeqCst)),
                            (link.0, 0)
                        );
                    }
                });
                fates
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    heap.collect().unwrap();
    heap.run_cleanups();
    let fates = fates.concat();
    for (n, fate) in fates.iter().enumerate() {
        assert_eq!(
            ran[n].load(Ordering::SeqCst),
            usize::from(*fate != 1),
            "{n}, {fate}"
        );
    }
    assert_eq!(heap.stats().cleanups, 0);
}

#[test]
fn none_is_lost_and_none_runs_twice() {
    storm::<OnTheFly>();
    storm::<StopTheWorld>();
}
