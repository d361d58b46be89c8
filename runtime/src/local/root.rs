//! `LocalRoot`: a handle to an object of a [`LocalHeap`](crate::LocalHeap), from outside of it.

use crate::gc::Gc;
use crate::local::cx::LocalCx;
use crate::raw::roots::Handle;
use crate::repr::Managed;
use gc_mark::Rebrand;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A handle that keeps an object alive between closures.
///
/// `T` is the object's type under the brand `'static`: a `LocalRoot<Node<'static>>` gives a
/// `Gc<'gc, Node<'gc>>` in each closure. Made by [`LocalCx::root`]; cloned and dropped in constant
/// time, at any moment. A root that outlives its heap keeps nothing and finds nothing. It stays on
/// its heap's thread.
pub struct LocalRoot<T: ?Sized> {
    handle: Handle,
    at: NonNull<u8>,
    /// Neither `Send` nor `Sync`.
    target: PhantomData<*const T>,
}

impl<T: ?Sized> LocalRoot<T> {
    pub(crate) fn new(handle: Handle, at: NonNull<u8>) -> Self {
        Self {
            handle,
            at,
            target: PhantomData,
        }
    }
}

impl<T: ?Sized + Rebrand> LocalRoot<T> {
    /// The object, in this closure.
    ///
    /// # Panics
    ///
    /// If the root is of another heap.
    #[inline]
    pub fn get<'gc>(&self, cx: &LocalCx<'gc>) -> Gc<'gc, T::With<'gc>>
    where
        T::With<'gc>: Managed,
    {
        assert!(
            self.handle.is_of(&cx.core().roots),
            "a root was used in a closure of another heap"
        );
        // SAFETY: the handle keeps the object alive, `self` lives now, and nothing is freed while
        // the closure runs. The type is the same but for the brand (`Rebrand`).
        unsafe { Gc::from_raw(self.at) }
    }
}

impl<T: ?Sized> Clone for LocalRoot<T> {
    fn clone(&self) -> Self {
        Self::new(self.handle.clone(), self.at)
    }
}

impl<T: ?Sized> fmt::Debug for LocalRoot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LocalRoot<{}>({:p})",
            std::any::type_name::<T>(),
            self.at
        )
    }
}
