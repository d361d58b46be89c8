//! `Locked`: any data inside an object, behind a lock.
//!
//! A guard borrows the closure's `Cx`, so none outlives its closure. The marker of a stopped world
//! therefore reads the data without the lock: every mutator is outside, and a guard that was
//! leaked can no longer be written through, although the lock stays taken. `trace` is a safe
//! method, though, and may be called by anyone at any time: whoever is no marker takes the lock.

use crate::collector::Collector;
use crate::cx::Cx;
use crate::raw::task::{self, Task};
use crate::sync::{DataGuard, DataLock};
use gc_mark::{Rebrand, SizedUnder, Trace, Visitor};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Data that mutators change under a lock: a `Vec` of references, a `HashMap`.
#[derive(Default)]
pub struct Locked<T> {
    data: DataLock<T>,
}

impl<T> Locked<T> {
    /// `data`, not locked.
    pub fn new(data: T) -> Self {
        Self {
            data: DataLock::new(data),
        }
    }

    /// Waits for the lock. The guard cannot leave the closure.
    ///
    /// A thread that asks twice waits for itself.
    pub fn lock<'a, C: Collector>(&'a self, _cx: &'a Cx<'_, C>) -> LockedGuard<'a, T> {
        LockedGuard {
            guard: self.data.lock(),
        }
    }

    /// The lock if nobody has it.
    pub fn try_lock<'a, C: Collector>(&'a self, _cx: &'a Cx<'_, C>) -> Option<LockedGuard<'a, T>> {
        self.data.try_lock().map(|guard| LockedGuard { guard })
    }
}

impl<T> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}

/// The right to the data; ends with the guard.
pub struct LockedGuard<'a, T> {
    guard: DataGuard<'a, T>,
}

impl<T> Deref for LockedGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for LockedGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

// SAFETY: reports what the data reports; the drop glue is the data's.
unsafe impl<T: Trace> Trace for Locked<T> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;

    /// # Panics
    ///
    /// If it is called by hand, outside of a cycle, while the lock is held.
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        if !T::NEEDS_TRACE {
            return;
        }
        if task::current() == Task::Marking {
            // SAFETY: a marker's thread marks while every mutator is outside, and guards live
            // inside only, so nobody writes the data.
            unsafe { &*self.data.data_ptr() }.trace(visitor);
        } else {
            let Some(data) = self.data.try_lock() else {
                panic!("a `Locked` was traced by hand while its lock is held");
            };
            T::trace(&data, visitor);
        }
    }
}

// SAFETY: the data's brand is replaced and nothing else.
unsafe impl<T: for<'to> SizedUnder<'to>> Rebrand for Locked<T> {
    type With<'to> = Locked<T::With<'to>>;
}
