//! `LocalCell`: one reference inside an object of a local heap that can be replaced.

use crate::gc::Gc;
use crate::local::cx::LocalCx;
use crate::repr::Managed;
use gc_mark::{Rebrand, Trace, Visitor};
use std::cell::Cell;
use std::fmt;

/// A place for a reference, or none: one word, as a `Cell`.
///
/// A store needs the closure's [`LocalCx`], because a cycle that marks between closures must hear
/// of it: while one does, a store logs what it overwrites; otherwise it costs a test more than a
/// plain one. Not `Sync`, so that no shared heap takes an object that has one.
pub struct LocalCell<'gc, T: ?Sized> {
    value: Cell<Option<Gc<'gc, T>>>,
}

impl<'gc, T: ?Sized> LocalCell<'gc, T> {
    /// A cell that holds `value`.
    pub fn new(value: Option<Gc<'gc, T>>) -> Self {
        Self {
            value: Cell::new(value),
        }
    }

    /// A cell that holds nothing.
    pub fn empty() -> Self {
        Self::new(None)
    }

    /// What the cell holds.
    #[inline(always)]
    pub fn get(&self) -> Option<Gc<'gc, T>> {
        self.value.get()
    }
}

impl<'gc, T: ?Sized + Managed> LocalCell<'gc, T> {
    /// Stores `value`.
    #[inline(always)]
    pub fn set(&self, cx: &LocalCx<'gc>, value: Option<Gc<'gc, T>>) {
        self.replace(cx, value);
    }

    /// Stores `value` and returns what the cell held.
    #[inline(always)]
    pub fn replace(&self, cx: &LocalCx<'gc>, value: Option<Gc<'gc, T>>) -> Option<Gc<'gc, T>> {
        let old = self.value.replace(value);
        if cx.is_marking()
            && let Some(old) = old
        {
            cx.log(old);
        }
        old
    }

    /// Empties the cell and returns what it held.
    pub fn take(&self, cx: &LocalCx<'gc>) -> Option<Gc<'gc, T>> {
        self.replace(cx, None)
    }
}

impl<T: ?Sized> Default for LocalCell<'_, T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: ?Sized + Managed + fmt::Debug> fmt::Debug for LocalCell<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalCell").field(&self.get()).finish()
    }
}

// SAFETY: reports the reference that it holds; has no drop glue.
unsafe impl<'gc, T: ?Sized + Managed> Trace for LocalCell<'gc, T> {
    const NEEDS_TRACE: bool = true;

    #[inline(always)]
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        if let Some(gc) = self.get() {
            gc.trace(visitor);
        }
    }
}

// SAFETY: the brand is replaced, here and in the target, and nothing else.
unsafe impl<'gc, T: ?Sized + Rebrand> Rebrand for LocalCell<'gc, T> {
    type With<'to> = LocalCell<'to, T::With<'to>>;
}
