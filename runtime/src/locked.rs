//! `Locked`, and what it shares with `RwLocked`: any data inside an object, behind a lock.
//!
//! A guard borrows the closure's `Cx`, so none is used after its closure. While a collector marks
//! beside the mutators, the first guard in a cycle that can write logs all references that the
//! data holds before it hands out `&mut`: what any of its writes may hide is in the log then. So
//! one test a guard takes the place of a barrier a store, and the data may be anything: a `Vec`,
//! a `HashMap`. While a cycle arms, each guard also logs what it has added: it remembers what the
//! data held and compares. How the marker reads the data without waiting, and what the lock's
//! stamp says, is told in [`crate::raw::stamp_lock`].
//!
//! `trace` is a safe method and may be called by anyone at any time: whoever is no marker takes
//! the lock. (A writer that logs comes to the locks inside of what it has locked, and passes those
//! whose guard was leaked: nobody else can hold one.)

use crate::collector::Collector;
use crate::cx::Cx;
use crate::raw::inside::LogSink;
use crate::raw::log::Entry;
use crate::raw::phase::Phase;
use crate::raw::stamp_lock::{KEEP, StampLock, UNLOGGED, stamp_of_cycle};
use crate::raw::task::{self, STOPPED, Task};
use crate::sync::UnsafeCell;
use gc_mark::{Rebrand, SizedUnder, Trace, Visitor};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Where a writer's mutator is in a cycle.
pub(crate) struct Moment<'a> {
    pub(crate) phase: Phase,
    /// The cycle that arms or marks.
    pub(crate) cycle: u64,
    pub(crate) sink: &'a dyn LogSink,
}

impl<'a> Moment<'a> {
    fn of<C: Collector>(cx: &'a Cx<'_, C>) -> Self {
        let inside = cx.inside();
        Self {
            phase: inside.phase(),
            cycle: inside.cycle(),
            sink: inside,
        }
    }
}

/// Data and its lock; what `Locked` and `RwLocked` share.
#[derive(Default)]
pub(crate) struct Data<T> {
    pub(crate) lock: StampLock,
    pub(crate) data: UnsafeCell<T>,
}

impl<T> Data<T> {
    pub(crate) fn new(data: T) -> Self {
        Self {
            lock: StampLock::default(),
            data: UnsafeCell::new(data),
        }
    }

    /// # Safety
    ///
    /// The caller holds the lock.
    pub(crate) unsafe fn get(&self) -> &T {
        // SAFETY: whoever writes holds the lock alone.
        unsafe { &*self.data.get() }
    }
}

impl<T: Trace> Data<T> {
    /// Takes the lock for a writer by `take`, which is told the stamp.
    #[inline]
    pub(crate) fn write_in<'a, C: Collector>(
        &'a self,
        cx: &'a Cx<'_, C>,
        take: impl FnOnce(&StampLock, u64) -> Option<u64>,
    ) -> Option<Writer<'a, T>> {
        if T::NEEDS_TRACE && cx.inside().phase().logs() {
            return self.write(Moment::of(cx), |stamp| take(&self.lock, stamp));
        }
        take(&self.lock, UNLOGGED)?;
        Some(Writer {
            data: self,
            logs_new: None,
        })
    }

    /// Takes the lock for a writer, and logs what must be.
    #[cold]
    #[inline(never)]
    pub(crate) fn write<'a>(
        &'a self,
        now: Moment<'a>,
        take: impl FnOnce(u64) -> Option<u64>,
    ) -> Option<Writer<'a, T>> {
        let stamp = stamp_of_cycle(now.phase, now.cycle);
        let before = take(stamp)?;
        let unlogged = Unlogged {
            lock: &self.lock,
            stamp: before,
            sink: now.sink,
        };
        let is_logged = before == stamp;
        let mut had = Vec::new();
        if now.phase.logs_new() || !is_logged {
            // SAFETY: locked.
            had = unsafe { self.references() };
        }
        if now.phase.logs() && !is_logged {
            now.sink.log_all(&had);
        }
        std::mem::forget(unlogged);
        let sink = now.sink;
        Some(Writer {
            data: self,
            logs_new: now.phase.logs_new().then(|| Box::new(New { had, sink })),
        })
    }

    /// What the data holds.
    ///
    /// # Safety
    ///
    /// The caller holds the lock to write.
    unsafe fn references(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        // SAFETY: the caller holds the lock.
        let data = unsafe { self.get() };
        task::during(Task::Logging, || data.trace(&mut Collecting(&mut entries)));
        entries
    }

    pub(crate) fn trace<V: Visitor>(&self, visitor: &mut V) {
        if T::NEEDS_TRACE {
            self.trace_during(task::current(), visitor);
        }
    }

    /// What the thread that traces is doing decides how it gets at the data.
    pub(crate) fn trace_during<V: Visitor>(&self, task: Task, visitor: &mut V) {
        match task {
            STOPPED => {
                // SAFETY: the world is stopped and guards live inside closures only, so nobody
                // writes the data; not even if a guard was leaked and the lock is still taken.
                unsafe { self.get() }.trace(visitor);
            }
            Task::Marking { cycle } => {
                let stamp = stamp_of_cycle(Phase::Marking, cycle);
                self.lock.trace(stamp, || {
                    // SAFETY: as a reader, or behind a leaked guard (`StampLock::trace`).
                    unsafe { self.get() }.trace(visitor);
                });
            }
            Task::Logging if !self.lock.try_lock_shared(KEEP) => {
                // SAFETY: this data is part of other data, of which a writer has the lock: who
                // reaches it goes through that lock, so the guard that is in the way was leaked,
                // and nobody writes.
                unsafe { self.get() }.trace(visitor);
            }
            Task::Logging => {
                let _reader = Reader { data: self };
                // SAFETY: locked.
                unsafe { self.get() }.trace(visitor);
            }
            Task::None | Task::DropGlue => {
                assert!(
                    self.lock.try_lock_shared(KEEP),
                    "a `Locked` was traced by hand while its lock is held"
                );
                let _reader = Reader { data: self };
                // SAFETY: locked.
                unsafe { self.get() }.trace(visitor);
            }
        }
    }
}

/// The right to write.
///
/// Two words, of which the second is empty but in the phases of arming: a guard is returned and
/// dropped in registers.
pub(crate) struct Writer<'a, T: Trace> {
    pub(crate) data: &'a Data<T>,
    logs_new: Option<Box<New<'a>>>,
}

/// In phases of arming: what the data holds besides these is logged at the end.
struct New<'a> {
    had: Vec<Entry>,
    sink: &'a dyn LogSink,
}

/// A lock that was taken for data that is not logged yet. Dropped by a `trace` that panics: the
/// lock goes back to its stamp, and the cycle is told that a marker may have passed the data by,
/// trusting the other; or that what was written is not known.
struct Unlogged<'a> {
    lock: &'a StampLock,
    stamp: u64,
    sink: &'a dyn LogSink,
}

impl Drop for Unlogged<'_> {
    fn drop(&mut self) {
        self.sink.give_up();
        self.lock.unlock_unlogged(self.stamp);
    }
}

impl<T: Trace> Writer<'_, T> {
    /// Ends the guard: logs what the data holds now and did not hold in the same place.
    #[cold]
    #[inline(never)]
    fn log_new(&self, New { had, sink }: New<'_>) {
        let lock = &self.data.lock;
        let unlogged = Unlogged {
            lock,
            stamp: UNLOGGED,
            sink,
        };
        // SAFETY: the writer holds the lock.
        let has = unsafe { self.data.references() };
        sink.log_all(new_part(&had, &has));
        std::mem::forget(unlogged);
        lock.unlock();
    }
}

impl<T: Trace> Drop for Writer<'_, T> {
    #[inline]
    fn drop(&mut self) {
        match self.logs_new.take() {
            None => self.data.lock.unlock(),
            Some(new) => self.log_new(*new),
        }
    }
}

/// `has` without what it begins and ends with as `had` did: of a list that has grown, what was
/// added.
fn new_part<'a>(had: &[Entry], has: &'a [Entry]) -> &'a [Entry] {
    let same = had.iter().zip(has).take_while(|(a, b)| a == b).count();
    let (had, has) = (&had[same..], &has[same..]);
    let pairs = had.iter().rev().zip(has.iter().rev());
    let same = pairs.take_while(|(a, b)| a == b).count();
    &has[..has.len() - same]
}

/// Gathers references.
struct Collecting<'a>(&'a mut Vec<Entry>);

impl Visitor for Collecting<'_> {
    fn visit(&mut self, object: gc_mark::Object, kind: gc_mark::Kind) {
        self.0.push((object, kind));
    }
}

/// The right to read.
pub(crate) struct Reader<'a, T> {
    pub(crate) data: &'a Data<T>,
}

impl<T> Drop for Reader<'_, T> {
    fn drop(&mut self) {
        self.data.lock.unlock_shared(KEEP);
    }
}

/// Data that mutators change under a lock: a `Vec` of references, a `HashMap`.
#[derive(Default)]
pub struct Locked<T> {
    inner: Data<T>,
}

// SAFETY: the data is reached under the lock, by one thread at a time.
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: as above; a marker, which reads beside no writer, reports references and keeps none.
unsafe impl<T: Send> Sync for Locked<T> {}

impl<T> Locked<T> {
    /// `data`, not locked.
    pub fn new(data: T) -> Self {
        Self {
            inner: Data::new(data),
        }
    }
}

impl<T: Trace> Locked<T> {
    /// Waits for the lock. The guard cannot leave the closure. The brand of the data is that of the
    /// context: another heap's would log to the wrong heap.
    ///
    /// A thread that asks twice waits for itself. The first guard in a cycle, while a collector
    /// marks, takes time in proportion to the references in the data; so does each in the closures
    /// in which a cycle begins.
    #[inline]
    pub fn lock<'a, 'gc, C: Collector>(&'a self, cx: &'a Cx<'gc, C>) -> LockedGuard<'a, T>
    where
        T: Rebrand<With<'gc> = T>,
    {
        match self
            .inner
            .write_in(cx, |lock, stamp| Some(lock.lock(stamp)))
        {
            Some(writer) => LockedGuard { writer },
            None => unreachable!("a lock that was waited for"),
        }
    }

    /// The lock if nobody has it.
    pub fn try_lock<'a, 'gc, C: Collector>(
        &'a self,
        cx: &'a Cx<'gc, C>,
    ) -> Option<LockedGuard<'a, T>>
    where
        T: Rebrand<With<'gc> = T>,
    {
        let writer = self.inner.write_in(cx, StampLock::try_lock)?;
        Some(LockedGuard { writer })
    }
}

impl<T> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}

/// The right to the data; ends with the guard.
pub struct LockedGuard<'a, T: Trace> {
    writer: Writer<'a, T>,
}

impl<T: Trace> Deref for LockedGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: locked while the guard lives.
        unsafe { self.writer.data.get() }
    }
}

impl<T: Trace> DerefMut for LockedGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: locked, by this guard alone, which is borrowed for as long.
        unsafe { &mut *self.writer.data.data.get() }
    }
}

// SAFETY: reports what the data reports; the drop glue is the data's.
unsafe impl<T: Trace> Trace for Locked<T> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;

    /// # Panics
    ///
    /// If it is called by hand, outside of a cycle, while the lock is held.
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        self.inner.trace(visitor);
    }
}

// SAFETY: the data's brand is replaced and nothing else.
unsafe impl<T: for<'to> SizedUnder<'to>> Rebrand for Locked<T> {
    type With<'to> = Locked<T::With<'to>>;
}
