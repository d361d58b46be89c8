//! The lock of data inside objects: writers, readers, a marker that waits for neither, and sleep.

use super::model;
use crate::locked::{Data, Moment, Writer};
use crate::raw::inside::LogSink;
use crate::raw::log::Entry;
use crate::raw::phase::Phase;
use crate::raw::stamp_lock::{KEEP, UNLOGGED};
use crate::raw::task::Task;
use gc_mark::{Kind, Object, Trace, Visitor};
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32;
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// The cycle that marks, or is about to.
const CYCLE: u64 = 5;

/// References, whose every use loom watches.
struct Refs {
    objects: UnsafeCell<Vec<usize>>,
    /// A step amidst each use, at which another thread may run.
    step: AtomicU32,
    /// A mutator that traces panics.
    angry: bool,
}

// SAFETY: loom's cell is not `Sync`, but it reports every access that the protocol fails to order.
unsafe impl Sync for Refs {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Refs {}

impl Refs {
    fn change(&self, change: impl FnOnce(&mut Vec<usize>)) {
        self.objects.with_mut(|objects| {
            self.step.fetch_add(1, Relaxed);
            // SAFETY: loom has checked that nobody else has access.
            change(unsafe { &mut *objects });
        });
    }

    fn read(&self) -> Vec<usize> {
        self.objects.with(|objects| {
            self.step.fetch_add(1, Relaxed);
            // SAFETY: loom has checked that nobody writes.
            unsafe { &*objects }.clone()
        })
    }
}

// SAFETY: reports all.
unsafe impl Trace for Refs {
    const NEEDS_TRACE: bool = true;

    fn trace<V: Visitor>(&self, visitor: &mut V) {
        const KIND: Kind = Kind {
            id: 0,
            noscan: false,
        };
        let objects = self.read();
        objects
            .into_iter()
            .for_each(|object| visitor.visit(Object(object), KIND));
        if self.angry {
            // Not through the hook, which would print each.
            resume_unwind(Box::new("planned"));
        }
    }
}

/// What a marker traces.
#[derive(Default)]
struct Seen(Vec<usize>);

impl Visitor for Seen {
    fn visit(&mut self, object: Object, _kind: Kind) {
        self.0.push(object.0);
    }
}

/// Where mutators log. Of std: not explored.
#[derive(Default)]
struct Sink {
    logged: Mutex<Vec<usize>>,
    given_up: AtomicBool,
}

impl LogSink for Sink {
    fn log_all(&self, entries: &[Entry]) {
        let objects = entries.iter().map(|(object, _)| object.0);
        self.logged.lock().unwrap().extend(objects);
    }

    fn give_up(&self) {
        self.given_up.store(true, Relaxed);
    }
}

/// Data behind a lock.
struct Place {
    data: Data<Refs>,
    sink: Sink,
}

// SAFETY: the data is reached under the lock, or loom says so.
unsafe impl Sync for Place {}

impl Place {
    fn new(objects: &[usize], angry: bool) -> Arc<Place> {
        Arc::new(Place {
            data: Data::new(Refs {
                objects: UnsafeCell::new(objects.to_vec()),
                step: AtomicU32::new(0),
                angry,
            }),
            sink: Sink::default(),
        })
    }

    fn refs(&self) -> &Refs {
        // SAFETY: shared; its own cell is what loom watches.
        unsafe { self.data.get() }
    }

    /// A guard of a mutator in `phase`, under which the data changes.
    fn write(&self, phase: Phase, change: impl FnOnce(&mut Vec<usize>)) {
        self.write_and(phase, change, |writer| drop(writer));
    }

    fn write_and(
        &self,
        phase: Phase,
        change: impl FnOnce(&mut Vec<usize>),
        end: impl FnOnce(Writer<'_, Refs>),
    ) {
        let now = Moment {
            phase,
            cycle: CYCLE,
            sink: &self.sink,
        };
        let take = |stamp| Some(self.data.lock.lock(stamp));
        let writer = self
            .data
            .write(now, take)
            .expect("a lock that is waited for");
        self.refs().change(change);
        end(writer);
    }

    fn logged(&self) -> Vec<usize> {
        self.sink.logged.lock().unwrap().clone()
    }

    /// What a marker of the cycle finds.
    fn traced(&self) -> Vec<usize> {
        let mut seen = Seen::default();
        let task = Task::Marking { cycle: CYCLE };
        self.data.trace_during(task, &mut seen);
        seen.0
    }

    /// A reader of the data.
    fn read(&self) -> Vec<usize> {
        self.data.lock.lock_shared(KEEP);
        let objects = self.refs().read();
        self.data.lock.unlock_shared(KEEP);
        objects
    }
}

/// A writer that marks changes the data while the marker comes to it. What the data held is logged
/// or traced.
///
/// Kills: `lock-stamps-late`, `marker-reads-beside-the-writer`, `marker-exchange-unordered`,
/// `lock-release-relaxed`, `marking-writer-logs-nothing`.
#[test]
fn writer_against_marker() {
    model("writer_against_marker", || {
        let place = Place::new(&[1], false);
        let writer = thread::spawn({
            let place = place.clone();
            move || place.write(Phase::Marking, |objects| *objects = vec![2])
        });
        let mut found = place.traced();
        writer.join().unwrap();
        found.extend(place.logged());
        assert!(found.contains(&1), "what the data held is lost");
    });
}

/// Two writers that mark, and no marker: the first logs, and only the first. Who waits is woken.
///
/// Kills: `lock-exchange-relaxed`, `unlock-relaxed`, `marking-writer-logs-always`,
/// `unlock-forgets-sleepers`, `unlock-wakes-nobody`, `sleeper-unannounced`,
/// `sleeper-does-not-look`.
#[test]
fn two_writers() {
    model("two_writers", || {
        let place = Place::new(&[1], false);
        let other = thread::spawn({
            let place = place.clone();
            move || place.write(Phase::Marking, |objects| objects.push(2))
        });
        place.write(Phase::Marking, |objects| objects.push(3));
        other.join().unwrap();
        assert_eq!(place.logged(), [1], "logged once, before anything changed");
        assert_eq!(place.read().len(), 3);
    });
}

/// Two readers' guards and a writer, who sleeps until both are given up; and a reader who may have
/// to sleep until the writer has gone. Then a marker, which traces once.
///
/// Kills: `reader-forgets-sleepers`, `reader-beside-writer`, `writer-beside-reader`,
/// `waiting-writer-beside-reader`, `reader-stamps-nothing`.
#[test]
fn readers_and_a_writer() {
    model("readers_and_a_writer", || {
        let place = Place::new(&[1], false);
        place.data.lock.lock_shared(KEEP);
        place.data.lock.lock_shared(KEEP);
        let writer = thread::spawn({
            let place = place.clone();
            move || place.write(Phase::Idle, |objects| objects.push(2))
        });
        place.data.lock.unlock_shared(KEEP);
        assert_eq!(place.refs().read(), [1]);
        place.data.lock.unlock_shared(KEEP);
        assert!(matches!(place.read().len(), 1 | 2));
        writer.join().unwrap();
        assert_eq!(place.traced(), [1, 2]);
        assert!(place.traced().is_empty(), "once a cycle");
    });
}

/// A writer's `trace` panics while it logs, and the marker comes by, sees the stamp and trusts it.
/// Then the cycle is given up.
///
/// Kills: `unlogged-and-trusted`.
#[test]
fn a_writer_that_cannot_log() {
    model("a_writer_that_cannot_log", || {
        let place = Place::new(&[1], true);
        let writer = thread::spawn({
            let place = place.clone();
            move || {
                let write = AssertUnwindSafe(|| place.write(Phase::Marking, |_| ()));
                assert!(catch_unwind(write).is_err());
            }
        });
        let marker = AssertUnwindSafe(|| place.traced());
        let found = catch_unwind(marker);
        writer.join().unwrap();
        let sound = found.is_err() || place.sink.given_up.load(Relaxed);
        assert!(sound, "neither logged nor traced, and nobody knows");
    });
}

/// One mutator marks already and writes, one is armed and forgets its guard: the marker finds what
/// the second has added, without the lock, and nobody else does.
///
/// Kills: `armed-keeps-the-stamp`, `marking-begins-with-the-stamp-of-arming`.
#[test]
fn a_forgotten_guard() {
    model("a_forgotten_guard", || {
        let place = Place::new(&[1], false);
        let armed = thread::spawn({
            let place = place.clone();
            move || {
                let add = |objects: &mut Vec<usize>| objects.push(3);
                place.write_and(Phase::Armed, add, |writer| std::mem::forget(writer));
            }
        });
        // It may come too late to wait for.
        let now = Moment {
            phase: Phase::Marking,
            cycle: CYCLE,
            sink: &place.sink,
        };
        let take = |stamp| place.data.lock.try_lock(stamp);
        drop(place.data.write(now, take));
        armed.join().unwrap();
        let mut found = place.traced();
        found.extend(place.logged());
        assert!(found.contains(&1) && found.contains(&3), "{found:?}");
    });
}

/// One mutator marks already: it reads data under a reader's guard, and what it read lives on in a
/// new object, which nobody scans. Another is armed and removes it from the data.
///
/// Kills: `armed-logs-no-beginning`, `armed-logs-no-end`.
#[test]
fn removed_by_one_who_is_armed() {
    model("removed_by_one_who_is_armed", || {
        let place = Place::new(&[1], false);
        let armed = thread::spawn({
            let place = place.clone();
            move || place.write(Phase::Armed, |objects| *objects = vec![2])
        });
        let held = place.read();
        armed.join().unwrap();
        let mut found = place.logged();
        assert!(
            found.contains(&2),
            "others may have read what an armed writer adds"
        );
        found.extend(place.traced());
        assert!(
            held.iter().all(|object| found.contains(object)),
            "{found:?}"
        );
    });
}

/// Data to which writers of a cycle that arms add one by one is logged whole once, and then what
/// they add; unless one who does not log comes in between, by writing or by reading (and then by
/// a lock inside of the data).
///
/// Kills: `armed-logs-all-again`.
#[test]
fn what_armed_writers_log() {
    model("what_armed_writers_log", || {
        let place = Place::new(&[1, 2], false);
        let add = |phase, object| place.write(phase, |objects| objects.push(object));
        add(Phase::Arming, 3);
        add(Phase::Armed, 4);
        assert_eq!(place.logged(), [1, 2, 3, 4]);
        add(Phase::Idle, 5);
        add(Phase::Armed, 6);
        assert_eq!(place.logged()[4..], [1, 2, 3, 4, 5, 6]);
        place.data.lock.lock_shared(UNLOGGED);
        place.data.lock.unlock_shared(KEEP);
        add(Phase::Armed, 7);
        assert_eq!(place.logged()[10..], [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(
            place.traced().len(),
            7,
            "what was logged while arming is traced as well"
        );
    });
}

/// One mutator is idle still and adds to the data, another arms already and takes that out again:
/// it is logged, whoever comes first.
///
/// Kills: `idle-writer-keeps-the-stamp`.
#[test]
fn added_by_one_who_is_idle() {
    model("added_by_one_who_is_idle", || {
        let place = Place::new(&[1], false);
        place.write(Phase::Arming, |objects| objects.push(2));
        let idle = thread::spawn({
            let place = place.clone();
            move || place.write(Phase::Idle, |objects| objects.push(3))
        });
        let mut taken = None;
        place.write(Phase::Arming, |objects| taken = objects.pop());
        idle.join().unwrap();
        let taken = taken.unwrap();
        assert!(place.logged().contains(&taken), "{taken} is lost");
    });
}
