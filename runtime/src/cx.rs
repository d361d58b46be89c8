//! `Cx`: what a closure can do in the heap.

use crate::collector::{Barrier, Collector};
use crate::external::External;
use crate::gc::Gc;
use crate::on_the_fly::OnTheFly;
use crate::raw::object_type::info;
use crate::raw::{Inside, ObjectType, kind_of, object_at};
use crate::repr::{Managed, SliceOf};
use crate::root::Root;
use crate::weak::{Weak, WeakCell, weak_info};
use alloc_core::TypeInfo;
use gc_mark::{Rebrand, Trace};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// The inside of one heap, for one closure.
pub struct Cx<'gc, C: Collector = OnTheFly> {
    inside: NonNull<Inside<'gc, C>>,
    /// Invariant, as [`Gc`]'s brand.
    brand: PhantomData<fn(&'gc ()) -> &'gc ()>,
}

/// There was no memory for a value, which comes back.
///
/// Leave the closure, drop what can be dropped, [collect](crate::Mutator::collect), try again.
pub struct Exhausted<T> {
    /// What could not be allocated.
    pub value: T,
    /// Why.
    pub cause: alloc_core::Exhausted,
}

impl<T> fmt::Debug for Exhausted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exhausted")
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Exhausted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = std::any::type_name::<T>();
        write!(f, "no memory for a {name}: {}", self.cause)
    }
}

impl<T> std::error::Error for Exhausted<T> {}

impl<'gc, C: Collector> Cx<'gc, C> {
    /// The guard outlives the closure that gets the `Cx`: `enter` keeps both on its frame.
    #[inline(always)]
    pub(crate) fn new(inside: &Inside<'gc, C>) -> Self {
        Self {
            inside: NonNull::from(inside),
            brand: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn inside(&self) -> &Inside<'gc, C> {
        // SAFETY: the closure that was lent this `Cx` cannot keep it (its lifetime is that of a
        // borrow in `Mutator::enter`), and the guard lives until the closure has returned.
        unsafe { self.inside.as_ref() }
    }

    /// Allocates `value`.
    ///
    /// # Errors
    ///
    /// [`Exhausted`], with the value, if there is no memory.
    #[inline(always)]
    pub fn try_alloc<T>(&self, value: T) -> Result<Gc<'gc, T>, Exhausted<T>>
    where
        T: Managed + Rebrand<With<'gc> = T> + Send + Sync,
    {
        // SAFETY: the size of the kind; initialised by the next statement.
        match unsafe { self.inside().alloc(info::<T::Repr>(), size_of::<T>()) } {
            Ok(at) => {
                // SAFETY: fresh memory of `T`'s size and alignment.
                unsafe { at.cast::<T>().write(value) };
                // SAFETY: just initialised; nothing is freed while the closure runs.
                Ok(unsafe { Gc::from_raw(at) })
            }
            Err(cause) => Err(Exhausted { value, cause }),
        }
    }

    /// Allocates `value`: the form for programs that have nothing to do without memory.
    ///
    /// # Panics
    ///
    /// If there is no memory. The closure unwinds and the heap stays usable.
    #[inline(always)]
    pub fn alloc<T>(&self, value: T) -> Gc<'gc, T>
    where
        T: Managed + Rebrand<With<'gc> = T> + Send + Sync,
    {
        match self.try_alloc(value) {
            Ok(gc) => gc,
            Err(exhausted) => out_of_memory(&exhausted),
        }
    }

    /// Allocates a slice of what `elements` yields: as many as it says that it has, or fewer.
    ///
    /// # Errors
    ///
    /// [`Exhausted`], with the iterator as it came, if there is no memory.
    ///
    /// # Panics
    ///
    /// If the iterator does; what it had yielded is dropped.
    pub fn try_alloc_slice<T, I>(&self, elements: I) -> Result<Gc<'gc, [T]>, Exhausted<I::IntoIter>>
    where
        I: IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        T: Trace + Rebrand<With<'gc> = T> + Send + Sync,
    {
        let elements = elements.into_iter();
        // SAFETY: `fill_slice` asks for memory as its kind needs it, and initialises it.
        fill_slice(elements, |info, bytes| unsafe {
            self.inside().alloc(info, bytes)
        })
    }

    /// Allocates a slice of what `elements` yields.
    ///
    /// # Panics
    ///
    /// If there is no memory, or the iterator panics.
    pub fn alloc_slice<T, I>(&self, elements: I) -> Gc<'gc, [T]>
    where
        I: IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        T: Trace + Rebrand<With<'gc> = T> + Send + Sync,
    {
        match self.try_alloc_slice(elements) {
            Ok(gc) => gc,
            Err(exhausted) => out_of_memory(&exhausted),
        }
    }

    /// Allocates a copy of `text`.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if there is no memory.
    pub fn try_alloc_str<'t>(&self, text: &'t str) -> Result<Gc<'gc, str>, Exhausted<&'t str>> {
        into_str(text, self.try_alloc_slice(text.bytes()))
    }

    /// Allocates a copy of `text`.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn alloc_str(&self, text: &str) -> Gc<'gc, str> {
        match self.try_alloc_str(text) {
            Ok(gc) => gc,
            Err(exhausted) => out_of_memory(&exhausted),
        }
    }

    /// A handle that keeps the object alive after the closure, and finds it again in another.
    ///
    /// Constant time.
    pub fn root<T>(&self, gc: Gc<'gc, T>) -> Root<T::With<'static>>
    where
        T: ?Sized + Managed + Rebrand,
    {
        let kind = kind_of(info::<T::Repr>());
        Root::new(
            self.inside().handle(object_at(Gc::at(gc)), kind),
            Gc::at(gc),
        )
    }

    /// Counts so many bytes as owned by an object, outside of the heap; to be kept in that object.
    pub fn external(&self, bytes: usize) -> External {
        self.inside().external(bytes)
    }

    /// Lets a cycle go on while this closure runs for long. That it begins, and that it begins to
    /// mark, waits for the closure's end. Allocating does so by itself now and then. A few
    /// instructions if there is nothing to do.
    #[inline]
    pub fn poll(&self) {
        if C::BARRIER != Barrier::None {
            self.inside().poll();
        }
    }

    /// A reference that does not keep the object alive.
    ///
    /// # Panics
    ///
    /// If there is no memory for its 16 bytes.
    pub fn downgrade<T: ?Sized + Managed>(&self, gc: Gc<'gc, T>) -> Weak<'gc, T> {
        // SAFETY: the size of the kind; initialised by the next statement.
        match unsafe { self.inside().alloc(weak_info(), WeakCell::SIZE) } {
            Ok(at) => {
                // SAFETY: fresh memory of the right size and alignment.
                unsafe { at.cast().write(WeakCell::new(Gc::at(gc))) };
                self.inside().list_weak(at);
                // SAFETY: just initialised with an object of `T`'s kind.
                unsafe { Weak::from_raw(at) }
            }
            Err(cause) => out_of_memory(&Exhausted { value: (), cause }),
        }
    }
}

/// Has `alloc` find memory for a slice object, and fills it with what `elements` yields.
pub(crate) fn fill_slice<'gc, T: Trace, E: ExactSizeIterator<Item = T>>(
    elements: E,
    alloc: impl FnOnce(&'static TypeInfo, usize) -> Result<NonNull<u8>, alloc_core::Exhausted>,
) -> Result<Gc<'gc, [T]>, Exhausted<E>> {
    let len = elements.len();
    let Some(bytes) = SliceOf::<T>::bytes(len) else {
        let cause = alloc_core::Exhausted::Range {
            asked_bytes: usize::MAX,
            in_use_bytes: 0,
            reserved_bytes: 0,
        };
        return Err(Exhausted {
            value: elements,
            cause,
        });
    };
    match alloc(info::<SliceOf<T>>(), bytes) {
        Ok(at) => {
            let mut filling = Filling {
                at,
                len: 0,
                of: PhantomData,
            };
            elements.take(len).for_each(|element| filling.push(element));
            // SAFETY: initialised; nothing is freed while the closure runs.
            Ok(unsafe { Gc::from_raw(filling.done()) })
        }
        Err(cause) => Err(Exhausted {
            value: elements,
            cause,
        }),
    }
}

/// The bytes of `text`, allocated as a slice, as a string.
pub(crate) fn into_str<'gc, 't, E>(
    text: &'t str,
    bytes: Result<Gc<'gc, [u8]>, Exhausted<E>>,
) -> Result<Gc<'gc, str>, Exhausted<&'t str>> {
    match bytes {
        // SAFETY: a slice of the same kind, whose bytes are those of a string.
        Ok(bytes) => Ok(unsafe { Gc::from_raw(Gc::at(bytes)) }),
        Err(exhausted) => Err(Exhausted {
            value: text,
            cause: exhausted.cause,
        }),
    }
}

#[cold]
#[inline(never)]
pub(crate) fn out_of_memory<T>(exhausted: &Exhausted<T>) -> ! {
    panic!("{exhausted}")
}

/// A slice object that is being filled; if that stops half-way, an empty one remains, for the next
/// cycle to free.
struct Filling<T> {
    at: NonNull<u8>,
    len: usize,
    of: PhantomData<T>,
}

impl<T> Filling<T> {
    fn push(&mut self, element: T) {
        // SAFETY: memory of this kind is there.
        let elements = unsafe { SliceOf::<T>::elements(self.at) };
        // SAFETY: the object has room for as many elements as are pushed.
        let place = unsafe { elements.add(self.len) };
        // SAFETY: in the object, aligned, not yet initialised.
        unsafe { place.write(element) };
        self.len += 1;
    }

    fn done(self) -> NonNull<u8> {
        let filling = ManuallyDrop::new(self);
        // SAFETY: the object begins with its length.
        unsafe { filling.at.cast::<usize>().write(filling.len) };
        filling.at
    }
}

impl<T> Drop for Filling<T> {
    fn drop(&mut self) {
        // SAFETY: memory of this kind is there.
        let elements = unsafe { SliceOf::<T>::elements(self.at) };
        let filled = NonNull::slice_from_raw_parts(elements, self.len);
        // SAFETY: these were pushed, and nobody else has seen them.
        unsafe { filled.drop_in_place() };
        // SAFETY: the object begins with its length. An empty slice is as good as any: nobody
        // knows of it, and the next cycle frees it. (The slot itself may be in another's hands
        // for sweeping by now, if the iterator allocated.)
        unsafe { self.at.cast::<usize>().write(0) };
    }
}
