//! `Root`: a handle to an object, from outside of the heap.

use crate::collector::Collector;
use crate::cx::Cx;
use crate::gc::Gc;
use crate::raw::roots::Handle;
use crate::repr::Managed;
use gc_mark::Rebrand;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A handle that keeps an object alive between closures.
///
/// `T` is the object's type under the brand `'static`: a `Root<Node<'static>>` gives a
/// `Gc<'gc, Node<'gc>>` in each closure. Made by [`Cx::root`]; cloned and dropped in constant
/// time, anywhere, at any moment. A root that outlives its heap keeps nothing and finds nothing.
pub struct Root<T: ?Sized> {
    handle: Handle,
    at: NonNull<u8>,
    target: PhantomData<*const T>,
}

// SAFETY: a shared reference in effect, as `Gc`.
unsafe impl<T: ?Sized + Send + Sync> Send for Root<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Root<T> {}

impl<T: ?Sized> Root<T> {
    pub(crate) fn new(handle: Handle, at: NonNull<u8>) -> Self {
        Self {
            handle,
            at,
            target: PhantomData,
        }
    }
}

impl<T: ?Sized + Rebrand> Root<T> {
    /// The object, in this closure.
    ///
    /// # Panics
    ///
    /// If the root is of another heap.
    #[inline]
    pub fn get<'gc, C: Collector>(&self, cx: &Cx<'gc, C>) -> Gc<'gc, T::With<'gc>>
    where
        T::With<'gc>: Managed,
    {
        assert!(
            self.handle.is_of(&cx.inside().shared.core.roots),
            "a root was used in a closure of another heap"
        );
        // SAFETY: the handle keeps the object alive, `self` lives now, and nothing that is alive
        // at some moment of a closure is freed before its end. The type is the same but for the
        // brand (`Rebrand`).
        unsafe { Gc::from_raw(self.at) }
    }
}

impl<T: ?Sized> Clone for Root<T> {
    fn clone(&self) -> Self {
        Self::new(self.handle.clone(), self.at)
    }
}

impl<T: ?Sized> fmt::Debug for Root<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root<{}>({:p})", std::any::type_name::<T>(), self.at)
    }
}
