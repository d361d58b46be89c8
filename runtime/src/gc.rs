//! `Gc`: a reference into the heap, one word, valid while its closure runs.

use crate::raw::object_type::info;
use crate::raw::{ObjectType, kind_of, object_at};
use crate::repr::Managed;
use gc_mark::{Rebrand, Trace, Visitor};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

/// A reference to an object in the heap.
///
/// One word, `Copy`, dereferenced without a check: the brand `'gc` is the closure that the
/// reference cannot leave, and nothing that a closure can reach is freed while it runs. `T` may be
/// a slice or `str`; the length is in the object, so the reference stays one word.
pub struct Gc<'gc, T: ?Sized> {
    at: NonNull<u8>,
    /// Invariant: a reference of one closure never passes for one of another.
    brand: PhantomData<fn(&'gc ()) -> &'gc ()>,
    target: PhantomData<*const T>,
}

// SAFETY: a shared reference in effect, whose target is dropped by whatever thread sweeps it.
unsafe impl<T: ?Sized + Send + Sync> Send for Gc<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Gc<'_, T> {}

impl<T: ?Sized> Clone for Gc<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Gc<'_, T> {}

impl<'gc, T: ?Sized> Gc<'gc, T> {
    /// A reference to the object at `at`.
    ///
    /// # Safety
    ///
    /// A live, initialised object of `T`'s kind is there, held alive while `'gc` lasts.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(at: NonNull<u8>) -> Self {
        Self {
            at,
            brand: PhantomData,
            target: PhantomData,
        }
    }

    /// The object's address.
    #[inline(always)]
    pub(crate) fn at(this: Self) -> NonNull<u8> {
        this.at
    }

    /// The object's address, as a number: stable while the object lives.
    pub fn address(this: Self) -> usize {
        this.at.as_ptr().addr()
    }

    /// Whether both refer to the same object.
    pub fn ptr_eq(a: Self, b: Self) -> bool {
        a.at == b.at
    }
}

impl<'gc, T: ?Sized + Managed> Gc<'gc, T> {
    /// The object, for as long as the closure runs (unlike `&*gc`, which borrows `gc`).
    #[inline(always)]
    pub fn get(this: Self) -> &'gc T
    where
        T: 'gc,
    {
        // SAFETY: an object of `T`'s kind is there (`from_raw`).
        let target = unsafe { T::target(this.at) };
        // SAFETY: it is initialised, shared, and held alive while `'gc` lasts (`from_raw`).
        unsafe { target.as_ref() }
    }
}

impl<T: ?Sized + Managed> Deref for Gc<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: an object of `T`'s kind is there (`from_raw`).
        let target = unsafe { T::target(self.at) };
        // SAFETY: initialised, shared, and held alive while the brand, and so `self`, lasts.
        unsafe { target.as_ref() }
    }
}

// SAFETY: reports itself, with the kind that `Cx` allocates a `T` with; has no drop glue.
unsafe impl<T: ?Sized + Managed> Trace for Gc<'_, T> {
    const NEEDS_TRACE: bool = true;

    #[inline(always)]
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        visitor.visit(object_at(self.at), kind_of(info::<T::Repr>()));
    }
}

// SAFETY: the brand is replaced, here and in the target, and nothing else.
unsafe impl<'gc, T: ?Sized + Rebrand> Rebrand for Gc<'gc, T> {
    type With<'to> = Gc<'to, T::With<'to>>;
}

const _: () = assert!(size_of::<Option<Gc<'static, [u8]>>>() == size_of::<usize>());
const _: () = assert!(!<crate::repr::SliceOf<u8> as ObjectType>::NEEDS_DROP);

impl<T: ?Sized + Managed + fmt::Debug> fmt::Debug for Gc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + Managed + fmt::Display> fmt::Display for Gc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// By value, as for `Rc`; [`Gc::ptr_eq`] compares addresses.
impl<T: ?Sized + Managed + PartialEq> PartialEq for Gc<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Managed + Eq> Eq for Gc<'_, T> {}

impl<T: ?Sized + Managed + PartialOrd> PartialOrd for Gc<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Managed + Ord> Ord for Gc<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized + Managed + Hash> Hash for Gc<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
