//! Reference slots: mutators overwrite them while a marker loads them.
//!
//! Objects are numbers. Each has one slot, a mark, and a body that loom watches.

use super::model;
use crate::raw::barrier::{Slot, log_store};
use crate::raw::log::{Entry, LOG_ENTRIES, Log, Logs};
use crate::raw::phase::Phase;
use crate::sync::{AtomicU64, Ordering, load_visible};
use alloc_core::Bits;
use gc_mark::{Kind, Object, Roots, Visitor};
use loom::cell::UnsafeCell;
use loom::thread;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

const KIND: Kind = Kind {
    id: 0,
    noscan: false,
};
const OBJECTS: usize = 5;

fn entry(object: usize) -> Entry {
    (Object(object), KIND)
}

/// The word that refers to `object`; 0 is none.
fn word_of(object: usize) -> *mut u8 {
    std::ptr::without_provenance_mut(object)
}

fn some(word: *mut u8) -> Option<usize> {
    Some(word.addr()).filter(|object| *object != 0)
}

struct Heap {
    slots: [Slot; OBJECTS],
    bodies: [UnsafeCell<u32>; OBJECTS],
    marks: Bits,
    logs: Logs,
}

// SAFETY: loom's cell is not `Sync`, but it reports every access that the protocol fails to order.
unsafe impl Sync for Heap {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Heap {}

impl Heap {
    /// Objects whose slots refer to these.
    fn new(slots: [usize; OBJECTS]) -> Arc<Heap> {
        Arc::new(Heap {
            slots: slots.map(|object| Slot::new(word_of(object))),
            bodies: Default::default(),
            // SAFETY: under the model the words are boxes of their own, and the address is not
            // used.
            marks: unsafe { Bits::from_raw(NonNull::<u64>::dangling().cast(), 1) },
            logs: Logs::default(),
        })
    }

    /// Stores as a `GcCell` does.
    fn store(&self, at: usize, new: usize, phase: Phase, log: &mut Log) {
        self.slots[at].store(word_of(new), phase, |old| {
            let is_marked = |object: Object| self.marks.test(object.0);
            let push = |entry| assert!(!log.push(entry, LOG_ENTRIES), "a short log is full");
            let (old, new) = (some(old).map(entry), some(word_of(new)).map(entry));
            log_store(phase, old, new, is_marked, push);
        });
    }

    fn load(&self, at: usize) -> usize {
        self.slots[at].load().addr()
    }

    fn init(&self, object: usize) {
        // SAFETY: loom has checked that nobody else has access.
        self.bodies[object].with_mut(|body| unsafe { *body = 1 });
    }

    fn read(&self, object: usize) {
        // SAFETY: loom has checked that nobody writes.
        let body = self.bodies[object].with(|body| unsafe { *body });
        assert_eq!(body, 1, "object {object} is read before it was initialised");
    }

    /// Marks what is reached from `object`, as a marker does.
    fn mark(&self, object: usize) {
        // SAFETY: an object's bit.
        if object != 0 && unsafe { self.marks.claim(object) } {
            self.mark(self.load(object));
        }
    }

    /// Marks what the logs hold. When every mutator is done.
    fn drain(&self, logs: impl IntoIterator<Item = Log>) {
        struct Marking<'a>(&'a Heap);
        impl Visitor for Marking<'_> {
            fn visit(&mut self, object: Object, _kind: Kind) {
                self.0.mark(object.0);
            }
        }
        for mut log in logs {
            self.logs.hand_over(&mut log);
        }
        let roots = self.logs.take();
        (0..roots.jobs()).for_each(|job| roots.scan(job, &mut Marking(self)));
    }
}

/// What one thread may see, by `look`, of a word that another loads and then stores: how many
/// values come up.
fn seen<W: Send + Sync + 'static>(
    new: fn() -> W,
    load_then_store: fn(&W),
    look: fn(&W) -> usize,
) -> usize {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let found = seen.clone();
    loom::model(move || {
        let shared = Arc::new(new());
        let other = thread::spawn({
            let shared = shared.clone();
            move || load_then_store(&shared)
        });
        found.lock().unwrap().insert(look(&shared));
        other.join().unwrap();
    });
    seen.lock().unwrap().len()
}

/// The checker explores neither order of "load, then store" on one thread and a plain load on
/// another, so that a barrier would pass whatever it did. Seen by a load that it explores, both
/// come up; and slots are loaded by such a load. If the first assertion fails, the checker was
/// mended: drop `load_visible`.
///
/// Kills: `marker-loads-unseen`, `slot-loaded-unseen`.
#[test]
fn the_checker_misses_plain_loads() {
    let word = || AtomicU64::new(0);
    let load_then_store = |word: &AtomicU64| {
        word.load(Ordering::Acquire);
        word.store(1, Ordering::Release);
    };
    let plain = |word: &AtomicU64| word.load(Ordering::Acquire) as usize;
    assert_eq!(seen(word, load_then_store, plain), 1);
    let visible = |word: &AtomicU64| load_visible(word) as usize;
    assert_eq!(seen(word, load_then_store, visible), 2);
    let slot = || Slot::new(std::ptr::null_mut());
    let load_then_store = |slot: &Slot| {
        slot.load();
        slot.store(word_of(1), Phase::Idle, drop);
    };
    assert_eq!(seen(slot, load_then_store, |slot| slot.load().addr()), 2);
}

/// A mutator moves an object from a place that the marker has not seen yet to one that it has,
/// or the other way round. What was reachable at the beginning is marked in the end, and what that
/// refers to.
///
/// Kills: `old-unlogged`, `marked-logged`.
#[test]
fn overwrite_while_marking() {
    model("overwrite_while_marking", || {
        let heap = Heap::new([0, 0, 3, 4, 0]);
        let mutator = thread::spawn({
            let heap = heap.clone();
            move || {
                let mut log = Log::default();
                let moved = heap.load(2);
                heap.store(1, moved, Phase::Marking, &mut log);
                heap.store(2, 0, Phase::Marking, &mut log);
                log
            }
        });
        heap.mark(1);
        heap.mark(2);
        heap.drain([mutator.join().unwrap()]);
        assert_eq!(heap.marks.word(0), 0b11110, "the snapshot is marked");
    });
}

/// Two mutators overwrite one place. Each logs what it has itself overwritten: all that was ever
/// there and is no more is in a log. (Where one of them only reads before it writes, what the other
/// stores in between is in neither. The three handshakes make up for that, as the exhaustive search
/// tells; the exchange makes it unnecessary to.)
///
/// Kills: `swap-in-two-steps`.
#[test]
fn what_is_overwritten_is_logged() {
    model("what_is_overwritten_is_logged", || {
        let heap = Heap::new([1, 0, 0, 0, 0]);
        let mutators = [2, 3].map(|new| {
            let heap = heap.clone();
            thread::spawn(move || {
                let mut log = Log::default();
                heap.store(0, new, Phase::Marking, &mut log);
                log
            })
        });
        heap.drain(mutators.map(|mutator| mutator.join().unwrap()));
        let logged = heap.marks.word(0);
        assert_eq!(logged, 0b1110 & !(1 << heap.load(0)));
    });
}

/// One mutator arms, another is idle yet and moves an object into the place that the first stores
/// into. What the first has overwritten is in its log, and what it has stored. (Which of the two
/// is in the place in the end is not asked: loom lets an exchange read past a plain store that
/// comes before it.)
///
/// Kills: `arming-logs-nothing`, `arming-logs-half`.
#[test]
fn arming_beside_idle() {
    model("arming_beside_idle", || {
        let heap = Heap::new([2, 3, 0, 0, 0]);
        let idle = thread::spawn({
            let heap = heap.clone();
            move || {
                let moved = heap.load(1);
                heap.store(0, moved, Phase::Idle, &mut Log::default());
                heap.store(1, 0, Phase::Idle, &mut Log::default());
            }
        });
        let mut log = Log::default();
        heap.store(0, 4, Phase::Arming, &mut log);
        idle.join().unwrap();
        heap.drain([log]);
        assert!(heap.marks.test(4), "others may have read what was stored");
        assert!(
            heap.marks.test(2) != heap.marks.test(3),
            "what was overwritten"
        );
    });
}

/// One mutator marks already: it reads an object, refers to it from a new one, which is black, and
/// publishes that. Another is only armed, and overwrites the place that the object was read from.
/// No marker scans the black object, so the log has to have the other.
///
/// Kills: `armed-logs-nothing`.
#[test]
fn overwritten_by_one_who_is_armed() {
    model("overwritten_by_one_who_is_armed", || {
        // 1 and 2 are roots, 4 is new.
        let heap = Heap::new([0, 3, 0, 0, 0]);
        let marking = thread::spawn({
            let heap = heap.clone();
            move || {
                let mut log = Log::default();
                let held = heap.load(1);
                heap.marks.set_in_word(0, 1 << 4);
                heap.store(4, held, Phase::Marking, &mut log);
                heap.store(2, 4, Phase::Marking, &mut log);
                log
            }
        });
        let mut log = Log::default();
        heap.store(1, 0, Phase::Armed, &mut log);
        let logs = [log, marking.join().unwrap()];
        heap.mark(1);
        heap.mark(2);
        heap.drain(logs);
        let held = heap.load(4);
        assert!(
            held == 0 || heap.marks.test(held),
            "lost behind a black object"
        );
    });
}

/// One mutator marks already and publishes a new object, which is black. Another is only armed, and
/// stores a new one of its own, which is white, into that.
///
/// Kills: `armed-logs-half`.
#[test]
fn white_into_black() {
    model("white_into_black", || {
        let heap = Heap::new([0; OBJECTS]);
        let marking = thread::spawn({
            let heap = heap.clone();
            move || {
                heap.marks.set_in_word(0, 1 << 4);
                heap.init(4);
                heap.store(1, 4, Phase::Marking, &mut Log::default());
            }
        });
        let mut log = Log::default();
        heap.init(3);
        let black = heap.load(1);
        if black != 0 {
            heap.read(black);
            heap.store(black, 3, Phase::Armed, &mut log);
        }
        marking.join().unwrap();
        heap.mark(1);
        heap.drain([log]);
        assert!(black == 0 || heap.marks.test(3), "lost in a black object");
    });
}

/// An object is initialised, then published by a store of a mutator that logs nothing. A marker
/// that finds it reads it.
///
/// Kills: `slot-relaxed-idle-store`, `slot-relaxed-load`.
#[test]
fn publish() {
    model("publish", || {
        let heap = Heap::new([0; OBJECTS]);
        let mutator = thread::spawn({
            let heap = heap.clone();
            move || {
                heap.init(1);
                heap.store(0, 1, Phase::Idle, &mut Log::default());
            }
        });
        let found = heap.load(0);
        if found != 0 {
            heap.read(found);
        }
        mutator.join().unwrap();
    });
}

/// Two threads publish by exchange: who gets the other's object reads it.
///
/// Kills: `swap-without-acquire`, `swap-without-release`.
#[test]
fn publish_by_swap() {
    model("publish_by_swap", || {
        let heap = Heap::new([0; OBJECTS]);
        let exchange = |heap: &Heap, object| {
            heap.init(object);
            if let Some(old) = some(heap.slots[0].swap(word_of(object))) {
                heap.read(old);
            }
        };
        let other = thread::spawn({
            let heap = heap.clone();
            move || exchange(&heap, 1)
        });
        exchange(&heap, 2);
        other.join().unwrap();
    });
}

/// Two threads publish by compare-exchange: one wins, and the other reads the winner's object.
///
/// Kills: `exchange-relaxed-failure`, `exchange-without-release`.
#[test]
fn publish_by_compare_exchange() {
    model("publish_by_compare_exchange", || {
        let heap = Heap::new([0; OBJECTS]);
        let exchange = |heap: &Heap, object| {
            heap.init(object);
            let exchanged = heap.slots[0].compare_exchange(word_of(0), word_of(object));
            if let Err(found) = exchanged {
                heap.read(found.addr());
            }
            exchanged.is_ok()
        };
        let other = thread::spawn({
            let heap = heap.clone();
            move || exchange(&heap, 1)
        });
        let own = exchange(&heap, 2);
        assert!(own != other.join().unwrap(), "one of them wins");
    });
}

/// A program takes a cell for a lock: who finds in it what it knows already, by an exchange that
/// succeeds, sees what the thread did that stored it.
///
/// Kills: `exchange-without-acquire`.
#[test]
fn a_cell_as_a_lock() {
    model("a_cell_as_a_lock", || {
        let heap = Heap::new([0; OBJECTS]);
        let other = thread::spawn({
            let heap = heap.clone();
            move || {
                heap.init(1);
                heap.slots[0].store(word_of(2), Phase::Idle, |_| ());
            }
        });
        if heap.slots[0]
            .compare_exchange(word_of(2), word_of(3))
            .is_ok()
        {
            heap.read(1);
        }
        other.join().unwrap();
    });
}
