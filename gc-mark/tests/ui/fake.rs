//! A stand-in for a heap's reference, for the tests of the derive and its compile-fail cases.

use std::marker::PhantomData;

use gc_mark::{Kind, Object, Rebrand, Trace, Visitor};

/// A reference to a `T`: its number stands for the object. Invariant in the brand.
pub(crate) struct Gc<'gc, T: ?Sized> {
    pub(crate) object: usize,
    brand: PhantomData<fn(&'gc ()) -> &'gc ()>,
    target: PhantomData<*const T>,
}

impl<T: ?Sized> Gc<'_, T> {
    pub(crate) fn new(object: usize) -> Self {
        Self {
            object,
            brand: PhantomData,
            target: PhantomData,
        }
    }
}

impl<T: ?Sized> Clone for Gc<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Gc<'_, T> {}

// SAFETY: a test's number is no reference; it is reported as if it were, and has no drop glue.
unsafe impl<T: ?Sized> Trace for Gc<'_, T> {
    const NEEDS_TRACE: bool = true;
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        visitor.visit(
            Object(self.object),
            Kind {
                id: 7,
                noscan: false,
            },
        );
    }
}

// SAFETY: the brand and the target's brand are replaced, and nothing else.
unsafe impl<T: Rebrand + ?Sized> Rebrand for Gc<'_, T> {
    type With<'to> = Gc<'to, T::With<'to>>;
}
