//! `GcCell`: one reference inside an object that can be replaced.

use crate::collector::Collector;
use crate::cx::Cx;
use crate::gc::Gc;
use crate::raw::barrier::Slot;
use crate::raw::{info, kind_of, object_at};
use crate::repr::Managed;
use gc_mark::{Rebrand, Trace, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A place for a reference, or none: one atomic word.
///
/// A store needs the closure's [`Cx`], because a collector that marks beside the mutators must
/// hear of it: while it marks, a store logs what it overwrites; otherwise it costs a test more
/// than a plain one.
pub struct GcCell<'gc, T: ?Sized> {
    word: Slot,
    holds: PhantomData<Gc<'gc, T>>,
    /// Invariant in `T`: a cell of a type is no cell of a supertype, through which another value
    /// could be stored. A function's type, so that `Send` and `Sync` hang on `holds` alone.
    stores: PhantomData<fn(*const T) -> *const T>,
}

impl<'gc, T: ?Sized> GcCell<'gc, T> {
    /// A cell that holds `value`.
    pub fn new(value: Option<Gc<'gc, T>>) -> Self {
        Self {
            word: Slot::new(to_word(value)),
            holds: PhantomData,
            stores: PhantomData,
        }
    }

    /// A cell that holds nothing.
    pub fn empty() -> Self {
        Self::new(None)
    }

    /// What the cell holds.
    #[inline]
    pub fn get(&self) -> Option<Gc<'gc, T>> {
        // SAFETY: the word came from a `Gc` of this type and brand.
        unsafe { from_word(self.word.load()) }
    }
}

impl<'gc, T: ?Sized + Managed> GcCell<'gc, T> {
    /// Stores `value`.
    #[inline(always)]
    pub fn set<C: Collector>(&self, cx: &Cx<'gc, C>, value: Option<Gc<'gc, T>>) {
        self.word.store(to_word(value), cx.inside().phase(), |old| {
            // SAFETY: the word came from a `Gc` of this type and brand.
            log_store(cx, unsafe { from_word(old) }, value);
        });
    }

    /// Stores `value` and returns what the cell held.
    pub fn swap<C: Collector>(
        &self,
        cx: &Cx<'gc, C>,
        value: Option<Gc<'gc, T>>,
    ) -> Option<Gc<'gc, T>> {
        // SAFETY: the word came from a `Gc` of this type and brand.
        let old = unsafe { from_word(self.word.swap(to_word(value))) };
        log_store(cx, old, value);
        old
    }

    /// Stores `new` if the cell holds `current` (the same object); else returns what it holds.
    ///
    /// # Errors
    ///
    /// What the cell holds, if that is not `current`.
    pub fn compare_exchange<C: Collector>(
        &self,
        cx: &Cx<'gc, C>,
        current: Option<Gc<'gc, T>>,
        new: Option<Gc<'gc, T>>,
    ) -> Result<(), Option<Gc<'gc, T>>> {
        match self.word.compare_exchange(to_word(current), to_word(new)) {
            Ok(_) => {
                log_store(cx, current, new);
                Ok(())
            }
            // SAFETY: the word came from a `Gc` of this type and brand.
            Err(found) => Err(unsafe { from_word(found) }),
        }
    }
}

impl<'gc, T: ?Sized + Managed> GcCell<'gc, T> {
    /// Stores into each cell of `to` what the cell of `from` at the same place holds. The two may
    /// overlap: it is as if all were read before any is stored. Another thread may see some stored
    /// and others not.
    ///
    /// ```
    /// use runtime::{Gc, GcCell, Heap};
    ///
    /// let mut mutator = Heap::new()?.mutator();
    /// mutator.enter(|cx| {
    ///     let cells = (0..4_u32).map(|n| GcCell::new(Some(cx.alloc(n))));
    ///     let cells: Gc<'_, [GcCell<'_, u32>]> = cx.alloc_slice(cells);
    ///     GcCell::copy(cx, &cells[..3], &cells[1..]);
    ///     let numbers = cells.iter().map(|cell| *cell.get().unwrap());
    ///     assert_eq!(numbers.collect::<Vec<_>>(), [0, 0, 1, 2]);
    /// });
    /// # Ok::<(), runtime::ReserveError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If there are not as many cells in `to` as in `from`; nothing is stored then.
    pub fn copy<C: Collector>(cx: &Cx<'gc, C>, from: &[Self], to: &[Self]) {
        assert_eq!(
            from.len(),
            to.len(),
            "cells are copied from a slice to one of another length"
        );
        let pairs = from.iter().zip(to);
        if from.as_ptr() < to.as_ptr() {
            pairs.rev().for_each(|(from, to)| to.set(cx, from.get()));
        } else {
            pairs.for_each(|(from, to)| to.set(cx, from.get()));
        }
    }
}

/// Tells the collector of a store; see [`crate::raw::Inside::log_store`].
#[inline(always)]
fn log_store<'gc, C: Collector, T: ?Sized + Managed>(
    cx: &Cx<'gc, C>,
    old: Option<Gc<'gc, T>>,
    new: Option<Gc<'gc, T>>,
) {
    let entry = |gc: Gc<'gc, T>| (object_at(Gc::at(gc)), kind_of(info::<T::Repr>()));
    // SAFETY: references of this heap, by their brand, to objects of `T`'s kind.
    unsafe { cx.inside().log_store(old.map(entry), new.map(entry)) }
}

fn to_word<T: ?Sized>(value: Option<Gc<'_, T>>) -> *mut u8 {
    value.map_or(std::ptr::null_mut(), |gc| Gc::at(gc).as_ptr())
}

/// The reference in a word.
///
/// # Safety
///
/// The word came from `to_word` of the same type and brand.
unsafe fn from_word<'gc, T: ?Sized>(word: *mut u8) -> Option<Gc<'gc, T>> {
    // SAFETY: then an object of `T`'s kind is there; it is reachable from the cell, which the
    // caller reaches.
    NonNull::new(word).map(|at| unsafe { Gc::from_raw(at) })
}

impl<T: ?Sized> Default for GcCell<'_, T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: ?Sized + Managed + fmt::Debug> fmt::Debug for GcCell<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GcCell").field(&self.get()).finish()
    }
}

// SAFETY: reports the reference that it holds; has no drop glue.
unsafe impl<'gc, T: ?Sized + Managed> Trace for GcCell<'gc, T> {
    const NEEDS_TRACE: bool = true;

    #[inline(always)]
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        if let Some(gc) = self.get() {
            gc.trace(visitor);
        }
    }
}

// SAFETY: the brand is replaced, here and in the target, and nothing else.
unsafe impl<'gc, T: ?Sized + Rebrand> Rebrand for GcCell<'gc, T> {
    type With<'to> = GcCell<'to, T::With<'to>>;
}
