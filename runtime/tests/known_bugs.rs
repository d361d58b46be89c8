//! Bugs that other runtimes had, or that were seeded here, and that no other test caught:
//! `docs/known-bugs.md` and `docs/seeded.md` list them all.
//!
//! Mutants: `cells-copied-forwards`, `local-heap-never-rewinds`, `external-resized-wraps`,
//! `gate-shut-after-a-panic` and `finalizer-drops-its-handle-first`.

use runtime::{
    Barrier, Builder, CollectError, Collector, Crew, Debug, External, Gc, GcCell, Heap, LocalHeap,
    LocalRoot, Mutator, Rebrand, Root, Session, Trace, Visitor, Weak,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// As a bulk copy that forgets that its ends may overlap.
#[test]
fn cells_are_copied_as_if_all_were_read_first() {
    let mut mutator = Heap::new().unwrap().mutator();
    for shift in 0..6 {
        for is_up in [false, true] {
            let copied: Vec<u32> = mutator.enter(|cx| {
                let cells = (0..8_u32).map(|n| GcCell::new(Some(cx.alloc(n))));
                let cells: Gc<'_, [GcCell<'_, u32>]> = cx.alloc_slice(cells);
                let (low, high) = (&cells[..8 - shift], &cells[shift..]);
                let (from, to) = if is_up { (low, high) } else { (high, low) };
                GcCell::copy(cx, from, to);
                cells.iter().map(|cell| *cell.get().unwrap()).collect()
            });
            let mut plain: Vec<u32> = (0..8).collect();
            let (from, to) = if is_up { (0, shift) } else { (shift, 0) };
            plain.copy_within(from..from + 8 - shift, to);
            assert_eq!(copied, plain, "by {shift}, up: {is_up}");
        }
    }
}

/// As a count that is given back another size than it was charged, and wraps.
#[test]
fn external_bytes_are_given_back_at_their_last_size() {
    let heap = Heap::builder().gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let outside = || heap.stats().external_bytes;
    let mut one: External = mutator.enter(|cx| cx.external(1000));
    let other = mutator.enter(|cx| cx.external(5));
    for bytes in [10, 4000, 0, 7] {
        one.set_bytes(bytes);
        assert_eq!((one.bytes(), outside()), (bytes, bytes + 5));
    }
    drop(one);
    assert_eq!(outside(), 5);
    drop(other);
    assert_eq!(outside(), 0);
}

/// As a sweep whose free slots nobody finds again: a heap in which each span keeps somebody alive.
#[test]
fn a_local_heap_uses_again_what_a_cycle_has_freed() {
    let mut heap = LocalHeap::builder().gc_off().build().unwrap();
    let mut kept: Vec<LocalRoot<[u64; 4]>> = Vec::new();
    let mut after_ten = 0;
    for round in 0..100 {
        heap.enter(|cx| {
            for number in 0..2048_u64 {
                let object = cx.alloc([number; 4]);
                // Half a span's slots apart.
                if number % 128 == 0 {
                    kept.push(cx.root(object));
                }
            }
        });
        heap.collect().unwrap();
        if round == 10 {
            after_ten = heap.stats().heap_bytes;
        }
    }
    let live_bytes = kept.len() * 32;
    let heap_bytes = heap.stats().heap_bytes;
    assert!(
        heap_bytes <= after_ten + 2 * live_bytes,
        "{heap_bytes} bytes of pages, {after_ten} after ten rounds, for {live_bytes} that live"
    );
}

/// As a weak reference to an object of no bytes that is alive for ever, or never was.
#[test]
fn an_object_of_no_bytes_is_one_of_its_own_and_dies() {
    let mut mutator = Heap::builder().gc_off().build().unwrap().mutator();
    let (_strong, [kept, gone]) = mutator.enter(|cx| {
        let (one, other) = (cx.alloc(()), cx.alloc(()));
        assert!(!Gc::ptr_eq(one, other));
        let weaks = [one, other].map(|target| {
            let weak: Weak<'_, ()> = cx.downgrade(target);
            cx.root(cx.alloc(weak))
        });
        (cx.root(one), weaks)
    });
    mutator.collect().unwrap();
    mutator.enter(|cx| {
        assert!(kept.get(cx).upgrade(cx).is_some());
        assert!(gone.get(cx).upgrade(cx).is_none());
    });
}

/// Panics in `trace` when it is told to.
struct Grumpy(Arc<AtomicBool>);

// SAFETY: holds no reference; without drop code.
unsafe impl Trace for Grumpy {
    const NEEDS_TRACE: bool = true;

    fn trace<V: Visitor>(&self, _visitor: &mut V) {
        assert!(!self.0.load(Ordering::Relaxed), "planned, in trace");
    }
}

// SAFETY: there is no brand.
unsafe impl Rebrand for Grumpy {
    type With<'to> = Self;
}

type Act = Box<dyn FnOnce() + Send>;

/// The default collector's cycle, with something to do once everyone marks and nothing is marked.
#[derive(Clone, Default)]
struct Halting(Arc<Mutex<Option<Act>>>);

// SAFETY: sweeping begins only when `Beside::drain` says that all that is reachable is marked.
unsafe impl Collector for Halting {
    const NAME: &'static str = "halting";
    const BARRIER: Barrier = Barrier::Deletion;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        session.finish_sweep();
        let mut crew = Crew::new(1);
        let mut world = session.arm();
        if let Some(act) = self.0.lock().unwrap().take() {
            act();
        }
        world.mark(&mut crew)?;
        while !world.drain(&mut crew)? {}
        // SAFETY: `drain` has just answered true.
        unsafe { world.begin_sweep() };
        Ok(())
    }
}

/// As a weak reference to the living that finds nothing. A cycle gives up when all but what its
/// finalizers bring back is marked; weak references are judged by their marks then, and must not
/// be when the next cycle begins, which has marked nothing yet.
#[test]
fn a_weak_reference_holds_in_the_cycle_after_one_that_gave_up_late() {
    let halting = Halting::default();
    let heap = Builder::new(halting.clone()).gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let angry = Arc::new(AtomicBool::new(true));
    let (_strong, weak): (Root<u64>, Root<Weak<'static, u64>>) = mutator.enter(|cx| {
        let target = cx.alloc(7_u64);
        cx.finalize(cx.alloc(Grumpy(angry.clone())), |_, _| ());
        let weak = cx.alloc(cx.downgrade(target));
        (cx.root(target), cx.root(weak))
    });
    let failed = mutator.collect().unwrap_err();
    assert!(matches!(failed, CollectError::TracePanicked { .. }));
    angry.store(false, Ordering::Relaxed);

    let found = Arc::new(Mutex::new(None));
    let mut other: Mutator<Halting> = heap.mutator();
    let act: Act = Box::new({
        let found = found.clone();
        let upgrade = move || other.enter(|cx| weak.get(cx).upgrade(cx).map(|target| *target));
        // A thread of its own: the collector's may not enter.
        move || *found.lock().unwrap() = std::thread::spawn(upgrade).join().ok()
    });
    *halting.0.lock().unwrap() = Some(act);
    mutator.collect().unwrap();
    assert_eq!(*found.lock().unwrap(), Some(Some(7)));
}

/// A stop of all mutators, with something to do in it; says when all is swept.
#[derive(Clone, Default)]
struct Stopping {
    act: Arc<Mutex<Option<Act>>>,
    is_swept: Arc<AtomicBool>,
}

// SAFETY: sweeping begins when all that is reachable has been marked.
unsafe impl Collector for Stopping {
    const NAME: &'static str = "stopping";
    const BARRIER: Barrier = Barrier::None;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        session.finish_sweep();
        let mut crew = Crew::new(1);
        session.stop_the_world(|world| {
            if let Some(act) = self.act.lock().unwrap().take() {
                act();
            }
            world.mark(&mut crew)?;
            // SAFETY: all is marked.
            unsafe { world.begin_sweep() };
            Ok(())
        })??;
        session.finish_sweep();
        self.is_swept.store(true, Ordering::Release);
        Ok(())
    }
}

/// As an object that is collected while its finalizer waits to enter. A thread takes a finalizer
/// while the world is stopped, and may enter when what is dead has been found.
#[test]
fn a_finalizers_object_is_held_until_it_has_run() {
    let stopping = Stopping::default();
    let poisoning = Debug {
        poison: true,
        ..Debug::default()
    };
    let builder = Builder::new(stopping.clone()).gc_off().debug(poisoning);
    let heap = builder.build().unwrap();
    let mut mutator = heap.mutator();
    let seen = Arc::new(Mutex::new(None));
    mutator.enter(|cx| {
        let (is_swept, seen) = (stopping.is_swept.clone(), seen.clone());
        cx.finalize(cx.alloc([7_u64; 4]), move |_, object| {
            while !is_swept.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            *seen.lock().unwrap() = Some(*object);
        });
    });
    mutator.collect().unwrap();
    stopping.is_swept.store(false, Ordering::Release);
    assert_eq!(heap.stats().finalizers_queued, 1);

    let (stopped, goes_on) = mpsc::channel();
    *stopping.act.lock().unwrap() = Some(Box::new({
        let heap = heap.clone();
        move || {
            stopped.send(()).unwrap();
            while heap.stats().finalizers_queued > 0 {
                std::thread::yield_now();
            }
            // If it were to drop its handle, it would have by now.
            std::thread::sleep(Duration::from_millis(20));
        }
    }));
    let collecting = std::thread::spawn(move || heap.collect().map(|_| ()));
    goes_on.recv().unwrap();
    assert_eq!(mutator.run_finalizers(), 1);
    collecting.join().unwrap().unwrap();
    assert_eq!(*seen.lock().unwrap(), Some([7; 4]));
}
