//! `LocalRefCell`: any data inside an object of a local heap, borrowed as from a `RefCell`.
//!
//! While a cycle marks, the first mutable borrow in that cycle logs all references that the data
//! holds before it hands out `&mut`: what any write through the guard may hide is in the log then.
//! So one test a borrow takes the place of a barrier a store, and the data may be anything: a
//! `Vec`, a `HashMap`.
//!
//! A mutable borrow demands `T: Rebrand<With<'gc> = T>`: whatever brand the data carries is that of
//! the context given, so nobody borrows an object of one heap with another heap's context, which
//! would log to the wrong one.

use crate::local::cx::LocalCx;
use crate::raw::stamp_lock::UNLOGGED;
use crate::raw::task::{self, STOPPED};
use gc_mark::{Rebrand, SizedUnder, Trace, Visitor};
use std::cell::{BorrowError, BorrowMutError, Cell, Ref, RefCell, RefMut};
use std::fmt;

/// Data that one thread changes: a `Vec` of references, a `HashMap`.
///
/// Guards cannot leave the closure. Not `Sync`, so that no shared heap takes an object that has
/// one.
#[derive(Default)]
pub struct LocalRefCell<T> {
    /// The last cycle in which the data was logged.
    logged_in: Cell<u64>,
    data: RefCell<T>,
}

impl<T> LocalRefCell<T> {
    /// `data`, not borrowed.
    pub fn new(data: T) -> Self {
        Self {
            logged_in: Cell::new(UNLOGGED),
            data: RefCell::new(data),
        }
    }

    /// Borrows the data to read. Costs no barrier.
    ///
    /// # Panics
    ///
    /// If it is borrowed mutably.
    #[inline]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.data.borrow()
    }

    /// As [`Self::borrow`].
    ///
    /// # Errors
    ///
    /// [`BorrowError`] if the data is borrowed mutably.
    #[inline]
    pub fn try_borrow(&self) -> Result<Ref<'_, T>, BorrowError> {
        self.data.try_borrow()
    }
}

impl<T: Trace> LocalRefCell<T> {
    /// Borrows the data to read and write.
    ///
    /// The first mutable borrow in a cycle, while that marks, takes time in proportion to the
    /// references in the data.
    ///
    /// # Panics
    ///
    /// If the data is borrowed; or if its `trace` panics, which it may be called for.
    #[inline]
    pub fn borrow_mut<'gc>(&self, cx: &LocalCx<'gc>) -> RefMut<'_, T>
    where
        T: Rebrand<With<'gc> = T>,
    {
        let guard = self.data.borrow_mut();
        self.log_first(cx, &guard);
        guard
    }

    /// As [`Self::borrow_mut`].
    ///
    /// # Errors
    ///
    /// [`BorrowMutError`] if the data is borrowed.
    ///
    /// # Panics
    ///
    /// If the data's `trace` panics, which it may be called for.
    #[inline]
    pub fn try_borrow_mut<'gc>(&self, cx: &LocalCx<'gc>) -> Result<RefMut<'_, T>, BorrowMutError>
    where
        T: Rebrand<With<'gc> = T>,
    {
        let guard = self.data.try_borrow_mut()?;
        self.log_first(cx, &guard);
        Ok(guard)
    }

    /// Logs the data unless that has been done in this cycle. Who panics here hands out no guard.
    #[inline(always)]
    fn log_first(&self, cx: &LocalCx<'_>, data: &T) {
        if T::NEEDS_TRACE && cx.is_marking() && self.logged_in.get() != cx.marking() {
            cx.log_all(data);
            self.logged_in.set(cx.marking());
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for LocalRefCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

// SAFETY: reports what the data reports; the drop glue is the data's.
unsafe impl<T: Trace> Trace for LocalRefCell<T> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;

    /// # Panics
    ///
    /// If it is called by hand, outside of a cycle, while the data is borrowed mutably.
    #[inline]
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        if !T::NEEDS_TRACE {
            return;
        }
        if task::current() == STOPPED {
            // SAFETY: a collector traces its own heap's objects, between closures, on the one
            // thread that can reach them. Guards borrow from inside a closure, so none is in use;
            // not even if one was leaked and the data still counts as borrowed.
            unsafe { &*self.data.as_ptr() }.trace(visitor);
        } else {
            self.borrow().trace(visitor);
        }
    }
}

// SAFETY: the data's brand is replaced and nothing else.
unsafe impl<T: for<'to> SizedUnder<'to>> Rebrand for LocalRefCell<T> {
    type With<'to> = LocalRefCell<T::With<'to>>;
}
