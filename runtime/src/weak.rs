//! `Weak`: a reference that does not keep its object alive.
//!
//! A weak reference is a reference to a cell of its own, a small object that holds the address and
//! does not report it. Cells are of one type and so lie in spans of their own: when marking is
//! over, every marked cell is looked at and those whose target is not marked are cleared, before
//! anything is swept. An upgrade therefore never finds a dead object, and never brings one back.

use crate::collector::{Barrier, Collector};
use crate::cx::Cx;
use crate::gc::Gc;
use crate::raw::core::Core;
use crate::raw::object_type::{InfoOf, address_of};
use crate::raw::{ObjectType, info, kind_of, object_at};
use crate::repr::Managed;
use crate::sync::{AtomicPtr, Mutex, Ordering, lock};
use alloc_core::TypeInfo;
use gc_mark::{Object, Rebrand, Trace, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The object behind a weak reference.
pub(crate) struct WeakCell {
    target: AtomicPtr<u8>,
}

impl WeakCell {
    pub(crate) fn new(target: NonNull<u8>) -> Self {
        Self {
            target: AtomicPtr::new(target.as_ptr()),
        }
    }
}

// SAFETY: holds its target weakly: it reports nothing, and is cleared before the target is freed.
unsafe impl ObjectType for WeakCell {
    const SIZE: usize = size_of::<Self>();
    const ALIGN: usize = align_of::<Self>();
    const NOSCAN: bool = true;
    const NEEDS_DROP: bool = false;

    unsafe fn trace<V: Visitor>(_object: NonNull<u8>, _visitor: &mut V) {}

    unsafe fn drop(_object: NonNull<u8>) {}
}

/// The description of all weak cells: one address, so that their spans can be found.
pub(crate) fn weak_info() -> &'static TypeInfo {
    static INFO: TypeInfo = InfoOf::<WeakCell>::INFO;
    &INFO
}

/// The weak cells of a heap: all that were made and handed over, and have not been found dead.
#[derive(Debug, Default)]
pub(crate) struct WeakList {
    cells: Mutex<Vec<usize>>,
}

impl WeakList {
    /// Takes over cells that a mutator has made. A cell that is made while a collector marks has a
    /// target that its mutator holds, so it need not be listed for that cycle.
    pub(crate) fn add(&self, cells: &mut Vec<usize>) {
        if !cells.is_empty() {
            lock(&self.cells).append(cells);
        }
    }

    /// How many cells there are, those apart that mutators have not handed over.
    pub(crate) fn len(&self) -> usize {
        lock(&self.cells).len()
    }

    /// Keeps the list, and so a collector before it clears anything.
    #[cfg(all(test, not(heapwright_loom)))]
    pub(crate) fn hold(&self) -> crate::sync::MutexGuard<'_, Vec<usize>> {
        lock(&self.cells)
    }

    /// Forgets the cells that are not marked, and clears those whose target is not.
    ///
    /// # Safety
    ///
    /// Marking is over, nothing has been swept since, and mutators that do not know so judge each
    /// target by its mark.
    pub(crate) unsafe fn clear_dead(&self, core: &Core) {
        // SAFETY: this function's own precondition.
        unsafe { self.clear(core, false) }
    }

    /// Clears the cells whose target is not marked, and forgets none: some may be brought back.
    ///
    /// # Safety
    ///
    /// As [`Self::clear_dead`], which comes later in the same cycle.
    pub(crate) unsafe fn clear_targets(&self, core: &Core) {
        // SAFETY: this function's own precondition.
        unsafe { self.clear(core, true) }
    }

    /// # Safety
    ///
    /// As [`Self::clear_dead`].
    unsafe fn clear(&self, core: &Core, keep_cells: bool) {
        let mut cells = std::mem::take(&mut *lock(&self.cells));
        cells.retain(|&cell| {
            if !keep_cells && !core.is_marked(Object(cell)) {
                return false;
            }
            // SAFETY: listed since it was initialised; a cell leaves the list before it is freed.
            let cell = unsafe { address_of(Object(cell)).cast::<WeakCell>().as_ref() };
            // Relaxed: made by a mutator that has handed the cell over since, by the lock.
            let target = cell.target.load(Ordering::Relaxed);
            if !target.is_null() && !core.is_marked(Object(target.addr())) {
                // Relaxed: who marks still judges by the mark; who does not has acknowledged the
                // end of the cycle, which comes later.
                cell.target.store(std::ptr::null_mut(), Ordering::Relaxed);
            }
            true
        });
        lock(&self.cells).append(&mut cells);
    }
}

/// A reference that does not keep its object alive. May be kept in objects.
pub struct Weak<'gc, T: ?Sized> {
    /// The cell.
    at: NonNull<u8>,
    refers: PhantomData<Gc<'gc, T>>,
}

// SAFETY: as `Gc`: it upgrades to one.
unsafe impl<T: ?Sized + Send + Sync> Send for Weak<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Weak<'_, T> {}

impl<T: ?Sized> Clone for Weak<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Weak<'_, T> {}

impl<'gc, T: ?Sized> Weak<'gc, T> {
    /// The weak reference whose cell is at `at`.
    ///
    /// # Safety
    ///
    /// A cell with an object of `T`'s kind is there, held alive while `'gc` lasts.
    pub(crate) unsafe fn from_raw(at: NonNull<u8>) -> Self {
        Self {
            at,
            refers: PhantomData,
        }
    }
}

impl<'gc, T: ?Sized + Managed> Weak<'gc, T> {
    /// Where the object is, unless it has been found dead: for a heap whose own thread finds that.
    pub(crate) fn target(&self) -> Option<NonNull<u8>> {
        // SAFETY: a live cell is there (`from_raw`).
        let cell = unsafe { self.at.cast::<WeakCell>().as_ref() };
        // Relaxed: cleared by this thread.
        NonNull::new(cell.target.load(Ordering::Relaxed))
    }

    /// The object, if it has not been found dead.
    pub fn upgrade<C: Collector>(&self, cx: &Cx<'gc, C>) -> Option<Gc<'gc, T>> {
        // SAFETY: a live cell is there (`from_raw`).
        let cell = unsafe { self.at.cast::<WeakCell>().as_ref() };
        // Relaxed: cleared before this mutator acknowledged the end of the cycle; or later, and
        // then the gate judges.
        let target = NonNull::new(cell.target.load(Ordering::Relaxed))?;
        if C::BARRIER != Barrier::None {
            let entry = (object_at(target), kind_of(info::<T::Repr>()));
            if !cx.inside().upgrade(entry) {
                return None;
            }
        }
        // SAFETY: alive at the last cycle's end, as it was not cleared; and marked or logged, if
        // a cycle is about to find out what is dead. Nothing is freed of what a closure holds.
        Some(unsafe { Gc::from_raw(target) })
    }
}

impl<T: ?Sized> fmt::Debug for Weak<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Weak)")
    }
}

// SAFETY: reports its cell; has no drop glue.
unsafe impl<T: ?Sized + Managed> Trace for Weak<'_, T> {
    const NEEDS_TRACE: bool = true;

    fn trace<V: Visitor>(&self, visitor: &mut V) {
        visitor.visit(object_at(self.at), kind_of(weak_info()));
    }
}

// SAFETY: the brand is replaced, here and in the target, and nothing else.
unsafe impl<'gc, T: ?Sized + Rebrand> Rebrand for Weak<'gc, T> {
    type With<'to> = Weak<'to, T::With<'to>>;
}
