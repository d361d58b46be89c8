//! `RwLocked`: data inside an object that many read or one changes. Its barrier is told of in
//! [`crate::locked`]; what is added is the readers' guard.

use crate::collector::Collector;
use crate::cx::Cx;
use crate::locked::{Data, Reader, Writer};
use crate::raw::stamp_lock::{KEEP, StampLock, UNLOGGED};
use gc_mark::{Rebrand, SizedUnder, Trace, Visitor};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Data that many mutators read, or one changes, under a lock.
///
/// Reading costs no barrier in any phase, but a look at which it is.
#[derive(Default)]
pub struct RwLocked<T> {
    inner: Data<T>,
}

// SAFETY: the data is reached under the lock.
unsafe impl<T: Send> Send for RwLocked<T> {}
// SAFETY: as above; readers share the data.
unsafe impl<T: Send + Sync> Sync for RwLocked<T> {}

/// What the stamp becomes when a mutator reads: one that does not log may change what is behind a
/// lock inside of the data.
fn reader_stamp<C: Collector>(cx: &Cx<'_, C>) -> u64 {
    if cx.inside().phase().logs() {
        KEEP
    } else {
        UNLOGGED
    }
}

impl<T> RwLocked<T> {
    /// `data`, not locked.
    pub fn new(data: T) -> Self {
        Self {
            inner: Data::new(data),
        }
    }

    /// Waits until nobody writes. The guard cannot leave the closure.
    pub fn read<'a, C: Collector>(&'a self, cx: &'a Cx<'_, C>) -> ReadGuard<'a, T> {
        self.inner.lock.lock_shared(reader_stamp(cx));
        ReadGuard {
            reader: Reader { data: &self.inner },
        }
    }

    /// The right to read, if nobody writes.
    pub fn try_read<'a, C: Collector>(&'a self, cx: &'a Cx<'_, C>) -> Option<ReadGuard<'a, T>> {
        let is_locked = self.inner.lock.try_lock_shared(reader_stamp(cx));
        is_locked.then(|| ReadGuard {
            reader: Reader { data: &self.inner },
        })
    }
}

impl<T: Trace> RwLocked<T> {
    /// Waits until nobody reads or writes. The guard cannot leave the closure.
    ///
    /// As [`Locked::lock`](crate::Locked::lock) otherwise.
    pub fn write<'a, 'gc, C: Collector>(&'a self, cx: &'a Cx<'gc, C>) -> WriteGuard<'a, T>
    where
        T: Rebrand<With<'gc> = T>,
    {
        self.write_branded(cx)
    }

    /// As [`Self::write`], of data whose brand is known to be that of `cx`.
    pub(crate) fn write_branded<'a, C: Collector>(
        &'a self,
        cx: &'a Cx<'_, C>,
    ) -> WriteGuard<'a, T> {
        match self
            .inner
            .write_in(cx, |lock, stamp| Some(lock.lock(stamp)))
        {
            Some(writer) => WriteGuard { writer },
            None => unreachable!("a lock that was waited for"),
        }
    }

    /// The right to write, if nobody reads or writes.
    pub fn try_write<'a, 'gc, C: Collector>(
        &'a self,
        cx: &'a Cx<'gc, C>,
    ) -> Option<WriteGuard<'a, T>>
    where
        T: Rebrand<With<'gc> = T>,
    {
        let writer = self.inner.write_in(cx, StampLock::try_lock)?;
        Some(WriteGuard { writer })
    }
}

impl<T> fmt::Debug for RwLocked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLocked").finish_non_exhaustive()
    }
}

/// The right to read the data; ends with the guard.
pub struct ReadGuard<'a, T> {
    reader: Reader<'a, T>,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: locked while the guard lives.
        unsafe { self.reader.data.get() }
    }
}

/// The right to write the data; ends with the guard.
pub struct WriteGuard<'a, T: Trace> {
    writer: Writer<'a, T>,
}

impl<T: Trace> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: locked while the guard lives.
        unsafe { self.writer.data.get() }
    }
}

impl<T: Trace> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: locked, by this guard alone, which is borrowed for as long.
        unsafe { &mut *self.writer.data.data.get() }
    }
}

// SAFETY: as for `Locked`.
unsafe impl<T: Trace> Trace for RwLocked<T> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;

    /// # Panics
    ///
    /// If it is called by hand, outside of a cycle, while somebody writes.
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        self.inner.trace(visitor);
    }
}

// SAFETY: the data's brand is replaced and nothing else.
unsafe impl<T: for<'to> SizedUnder<'to>> Rebrand for RwLocked<T> {
    type With<'to> = RwLocked<T::With<'to>>;
}

#[cfg(all(test, not(heapwright_loom)))]
impl<T: Trace> RwLocked<T> {
    /// The lock's stamp; nobody has it.
    pub(crate) fn stamp(&self) -> Option<u64> {
        let stamp = self.inner.lock.try_lock(KEEP)?;
        self.inner.lock.unlock();
        Some(stamp)
    }
}
