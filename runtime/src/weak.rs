//! `Weak`: a reference that does not keep its object alive.
//!
//! A weak reference is a reference to a cell of its own, a small object that holds the address and
//! does not report it. Cells are of one type and so lie in spans of their own: when marking is
//! over, every marked cell is looked at and those whose target is not marked are cleared, before
//! anything is swept. An upgrade therefore never finds a dead object, and never brings one back.

use crate::collector::Collector;
use crate::cx::Cx;
use crate::gc::Gc;
use crate::ports::source::AnySource;
use crate::raw::object_type::InfoOf;
use crate::raw::{ObjectType, kind_of, object_at};
use crate::repr::Managed;
use crate::sync::{AtomicPtr, Ordering};
use alloc_core::TypeInfo;
use gc_mark::{Rebrand, Trace, Visitor};
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

/// Clears the cells whose target is not marked.
///
/// # Safety
///
/// Marking is over, nothing has been swept since, and the world is stopped.
pub(crate) unsafe fn clear_dead(heap: &alloc_core::Heap<AnySource>) {
    for span in heap.spans_of(weak_info()) {
        let clear = |object: NonNull<u8>| {
            // SAFETY: an allocated object of a span of weak cells is one, initialised: no mutator
            // is between its allocation and its first write.
            let cell = unsafe { object.cast::<WeakCell>().as_ref() };
            // Relaxed: the world is stopped; `resume` publishes.
            let target = cell.target.load(Ordering::Relaxed);
            let dead =
                |target: NonNull<u8>| !heap.marks().test(heap.granule_of(target.addr().get()));
            if NonNull::new(target).is_some_and(dead) {
                // Relaxed: as above.
                cell.target.store(std::ptr::null_mut(), Ordering::Relaxed);
            }
        };
        // SAFETY: nobody allocates or sweeps (precondition).
        unsafe { heap.for_each_object(span, false, clear) };
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
    /// The object, if it has not been found dead.
    pub fn upgrade<C: Collector>(&self, _cx: &Cx<'gc, C>) -> Option<Gc<'gc, T>> {
        // SAFETY: a live cell is there (`from_raw`).
        let cell = unsafe { self.at.cast::<WeakCell>().as_ref() };
        // Relaxed: written while the world is stopped, and `enter` ordered that before us.
        let target = NonNull::new(cell.target.load(Ordering::Relaxed))?;
        // SAFETY: not cleared, so it was alive at the last cycle's end, and no cycle frees
        // anything while a closure runs.
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
