//! `Ephemeron`: a key and a value, which keeps the value alive as long as both it and the key are.
//!
//! What the collector does about them is said in [`crate::raw::ephemerons`].

use crate::collector::{Barrier, Collector};
use crate::cx::Cx;
use crate::gc::Gc;
use crate::raw::ephemerons::EphemeronCell;
use crate::raw::{ObjectType, info, kind_of, object_at};
use crate::repr::Managed;
use gc_mark::{Rebrand, Trace, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A pair of a key, held weakly, and a value, which lives as long as the pair and the key do, even
/// if the value leads back to the key.
///
/// A reference to a pair in the heap: `Copy`, one word, may be kept in objects. When the key has
/// been found dead the pair is empty for ever. [`WeakMap`](crate::WeakMap) is a map of them.
pub struct Ephemeron<'gc, K: ?Sized, V: ?Sized> {
    /// The cell.
    at: NonNull<u8>,
    holds: PhantomData<(Gc<'gc, K>, Gc<'gc, V>)>,
    /// Invariant, as [`GcCell`](crate::GcCell): the value can be replaced.
    stores: PhantomData<Stores<K, V>>,
}

/// A function's type, so that `Send` and `Sync` hang on what is held alone.
type Stores<K, V> = fn(*const K, *const V) -> (*const K, *const V);

// SAFETY: a shared reference in effect, to references that can be taken out, as `Gc`.
unsafe impl<K: ?Sized + Send + Sync, V: ?Sized + Send + Sync> Send for Ephemeron<'_, K, V> {}
// SAFETY: as above; the value is one atomic word.
unsafe impl<K: ?Sized + Send + Sync, V: ?Sized + Send + Sync> Sync for Ephemeron<'_, K, V> {}

impl<K: ?Sized, V: ?Sized> Clone for Ephemeron<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Copy for Ephemeron<'_, K, V> {}

impl<'gc, C: Collector> Cx<'gc, C> {
    /// A pair that keeps `value` alive as long as the pair and `key` are.
    ///
    /// # Panics
    ///
    /// If there is no memory for its 24 bytes.
    pub fn ephemeron<K, V>(&self, key: Gc<'gc, K>, value: Gc<'gc, V>) -> Ephemeron<'gc, K, V>
    where
        K: ?Sized + Managed,
        V: ?Sized + Managed,
    {
        let cell = EphemeronCell::new(Gc::at(key), Gc::at(value), info::<V::Repr>());
        let inside = self.inside();
        // SAFETY: the size of the kind; initialised by the next statement.
        match unsafe { inside.alloc(info::<EphemeronCell>(), EphemeronCell::SIZE) } {
            Ok(at) => {
                // SAFETY: fresh memory of the right size and alignment.
                unsafe { at.cast().write(cell) };
                inside.list_ephemeron(at);
                Ephemeron {
                    at,
                    holds: PhantomData,
                    stores: PhantomData,
                }
            }
            Err(cause) => crate::cx::out_of_memory(&crate::Exhausted { value: (), cause }),
        }
    }
}

impl<'gc, K: ?Sized, V: ?Sized> Ephemeron<'gc, K, V> {
    fn cell(&self) -> &EphemeronCell {
        // SAFETY: made by `Cx::ephemeron`, and a live cell while its brand lasts, as for `Gc`.
        unsafe { self.at.cast().as_ref() }
    }

    /// Whether the key has been found dead.
    pub(crate) fn is_cleared(&self) -> bool {
        self.cell().key().is_none()
    }

    /// Whether the key is this object, which the caller holds.
    pub(crate) fn is_of(&self, key: Gc<'gc, K>) -> bool {
        self.cell().key() == Some(Gc::at(key))
    }
}

impl<'gc, K: ?Sized, V: ?Sized + Managed> Ephemeron<'gc, K, V> {
    /// A value that was read from the pair while its key was held.
    fn take_out<C: Collector>(&self, cx: &Cx<'gc, C>, value: *mut u8) -> Option<Gc<'gc, V>> {
        let value = NonNull::new(value)?;
        let entry = (object_at(value), kind_of(info::<V::Repr>()));
        if C::BARRIER != Barrier::None && !cx.inside().upgrade(entry) {
            return None;
        }
        // SAFETY: alive at the last cycle's end, for its key was; and marked or logged, if a cycle
        // is about to find out what is dead. Nothing is freed of what a closure holds.
        Some(unsafe { Gc::from_raw(value) })
    }

    /// The value of a pair whose key the caller holds.
    pub(crate) fn get<C: Collector>(&self, cx: &Cx<'gc, C>) -> Option<Gc<'gc, V>> {
        self.cell().get(|value| self.take_out(cx, value))
    }

    /// Replaces the value of a pair whose key the caller holds.
    pub(crate) fn swap<C: Collector>(
        &self,
        cx: &Cx<'gc, C>,
        value: Option<Gc<'gc, V>>,
    ) -> Option<Gc<'gc, V>> {
        let new = value.map_or(std::ptr::null_mut(), |value| Gc::at(value).as_ptr());
        let entry = value.map(|gc| (object_at(Gc::at(gc)), kind_of(info::<V::Repr>())));
        let old = self.cell().swap(new, |old| self.take_out(cx, old));
        // SAFETY: a reference of this heap, by its brand, to an object of `V`'s kind. The old value
        // was logged by taking it out.
        unsafe { cx.inside().log_store(None, entry) };
        old
    }
}

impl<'gc, K: ?Sized + Managed, V: ?Sized + Managed> Ephemeron<'gc, K, V> {
    /// The key, if it has not been found dead.
    pub fn key<C: Collector>(&self, cx: &Cx<'gc, C>) -> Option<Gc<'gc, K>> {
        let key = self.cell().key()?;
        let entry = (object_at(key), kind_of(info::<K::Repr>()));
        if C::BARRIER != Barrier::None && !cx.inside().upgrade(entry) {
            return None;
        }
        // SAFETY: as a weak reference's target: not cleared, so alive at the last cycle's end; and
        // marked or logged.
        Some(unsafe { Gc::from_raw(key) })
    }

    /// The value, if the key has not been found dead.
    pub fn value<C: Collector>(&self, cx: &Cx<'gc, C>) -> Option<Gc<'gc, V>> {
        self.key(cx)?;
        self.get(cx)
    }

    /// Replaces the value, or takes it away; what it was. Does nothing if the key has been found
    /// dead.
    pub fn set<C: Collector>(
        &self,
        cx: &Cx<'gc, C>,
        value: Option<Gc<'gc, V>>,
    ) -> Option<Gc<'gc, V>> {
        self.key(cx)?;
        self.swap(cx, value)
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Ephemeron<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Ephemeron)")
    }
}

// SAFETY: reports its cell, with the kind that it was allocated with; has no drop glue.
unsafe impl<K: ?Sized, V: ?Sized> Trace for Ephemeron<'_, K, V> {
    const NEEDS_TRACE: bool = true;

    fn trace<T: Visitor>(&self, visitor: &mut T) {
        visitor.visit(object_at(self.at), kind_of(info::<EphemeronCell>()));
    }
}

// SAFETY: the brand is replaced, here and in both types, and nothing else.
unsafe impl<'gc, K: ?Sized + Rebrand, V: ?Sized + Rebrand> Rebrand for Ephemeron<'gc, K, V> {
    type With<'to> = Ephemeron<'to, K::With<'to>, V::With<'to>>;
}
