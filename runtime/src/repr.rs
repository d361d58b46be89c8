//! How Rust types lie in the heap: values as they are, slices and strings behind their length.
//!
//! This is the one place that turns a type that implements `Trace` into a kind of object of the
//! raw layer ([`ObjectType`]).

use crate::raw::{OBLET_BYTES, ObjectType};
use gc_mark::{Trace, Visitor};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A type whose values can be objects: every `Sized` type that implements [`Trace`], slices of
/// such, and `str`.
///
/// # Safety
///
/// `target` leads from an object of the kind `Repr` to the value in it.
pub unsafe trait Managed: Trace {
    /// The kind of object.
    #[doc(hidden)]
    type Repr: ObjectType;

    /// The value in the object at `at`.
    ///
    /// # Safety
    ///
    /// An initialised object of the kind `Repr` is there.
    #[doc(hidden)]
    unsafe fn target(at: NonNull<u8>) -> NonNull<Self>;
}

/// The kind of object that is a `T` as it is.
pub struct Plain<T>(PhantomData<T>);

// SAFETY: `T`'s own `trace` and drop glue, with the same promises; a value is scanned in one part
// unless it is an array larger than any that should be by value.
unsafe impl<T: Trace> ObjectType for Plain<T> {
    const SIZE: usize = size_of::<T>();
    const ALIGN: usize = align_of::<T>();
    const NOSCAN: bool = !T::NEEDS_TRACE;
    const NEEDS_DROP: bool = std::mem::needs_drop::<T>();

    fn name() -> &'static str {
        std::any::type_name::<T>()
    }

    #[inline(always)]
    unsafe fn trace<V: Visitor>(object: NonNull<u8>, visitor: &mut V) {
        // SAFETY: an initialised `T` is there, shared (precondition).
        unsafe { object.cast::<T>().as_ref() }.trace(visitor);
    }

    unsafe fn trace_part<V: Visitor>(_object: NonNull<u8>, _part: usize, _visitor: &mut V) {
        unreachable!("a value is scanned in one go");
    }

    unsafe fn drop(object: NonNull<u8>) {
        // SAFETY: a `T` that nobody uses any more (precondition).
        unsafe { object.cast::<T>().drop_in_place() }
    }
}

// SAFETY: the object is the value.
unsafe impl<T: Trace> Managed for T {
    type Repr = Plain<T>;

    #[inline(always)]
    unsafe fn target(at: NonNull<u8>) -> NonNull<T> {
        at.cast()
    }
}

/// The kind of object that is a length and as many `T`.
pub struct SliceOf<T>(PhantomData<T>);

impl<T> SliceOf<T> {
    /// Where the elements begin.
    pub(crate) const ELEMENTS_AT: usize = if align_of::<T>() > size_of::<usize>() {
        align_of::<T>()
    } else {
        size_of::<usize>()
    };

    /// Bytes of an object of `len` elements; `None` if there is no such number.
    pub(crate) fn bytes(len: usize) -> Option<usize> {
        len.checked_mul(size_of::<T>())?
            .checked_add(Self::ELEMENTS_AT)
    }

    /// The address of the first element.
    ///
    /// # Safety
    ///
    /// Memory of this kind is at `at`.
    #[inline(always)]
    pub(crate) unsafe fn elements(at: NonNull<u8>) -> NonNull<T> {
        // SAFETY: an object is at least as long as its header (precondition).
        unsafe { at.add(Self::ELEMENTS_AT) }.cast()
    }

    /// The elements.
    ///
    /// # Safety
    ///
    /// An initialised object of this kind is at `at`.
    #[inline(always)]
    pub(crate) unsafe fn slice(at: NonNull<u8>) -> NonNull<[T]> {
        // SAFETY: it begins with its length (precondition).
        let len = unsafe { at.cast::<usize>().read() };
        // SAFETY: of this kind (precondition).
        NonNull::slice_from_raw_parts(unsafe { Self::elements(at) }, len)
    }

    /// How many elements a part has.
    const fn part_len() -> usize {
        let size = if size_of::<T>() == 0 {
            1
        } else {
            size_of::<T>()
        };
        if OBLET_BYTES > size {
            OBLET_BYTES / size
        } else {
            1
        }
    }
}

// SAFETY: all elements are reported, whole or in parts that cover them; all are dropped.
unsafe impl<T: Trace> ObjectType for SliceOf<T> {
    const SIZE: usize = Self::ELEMENTS_AT;
    const ALIGN: usize = if align_of::<T>() > align_of::<usize>() {
        align_of::<T>()
    } else {
        align_of::<usize>()
    };
    const NOSCAN: bool = !T::NEEDS_TRACE;
    const NEEDS_DROP: bool = std::mem::needs_drop::<T>();

    fn name() -> &'static str {
        std::any::type_name::<[T]>()
    }

    #[inline]
    unsafe fn trace<V: Visitor>(object: NonNull<u8>, visitor: &mut V) {
        // SAFETY: an initialised slice object is there (precondition).
        let slice = unsafe { Self::slice(object) };
        // SAFETY: initialised and shared (precondition).
        unsafe { slice.as_ref() }
            .iter()
            .for_each(|element| element.trace(visitor));
    }

    #[inline]
    unsafe fn parts(object: NonNull<u8>) -> usize {
        // SAFETY: it begins with its length (precondition).
        let len = unsafe { object.cast::<usize>().read() };
        if len > Self::part_len() {
            len.div_ceil(Self::part_len())
        } else {
            1
        }
    }

    unsafe fn trace_part<V: Visitor>(object: NonNull<u8>, part: usize, visitor: &mut V) {
        // SAFETY: an initialised slice object is there (precondition).
        let slice = unsafe { Self::slice(object) };
        // SAFETY: initialised and shared (precondition).
        let elements = unsafe { slice.as_ref() }.chunks(Self::part_len()).nth(part);
        elements
            .into_iter()
            .flatten()
            .for_each(|element| element.trace(visitor));
    }

    unsafe fn drop(object: NonNull<u8>) {
        // SAFETY: an initialised slice object is there (precondition).
        let slice = unsafe { Self::slice(object) };
        // SAFETY: nobody uses the elements any more (precondition).
        unsafe { slice.drop_in_place() }
    }
}

// SAFETY: the object is the slice behind its length.
unsafe impl<T: Trace> Managed for [T] {
    type Repr = SliceOf<T>;

    #[inline(always)]
    unsafe fn target(at: NonNull<u8>) -> NonNull<[T]> {
        // SAFETY: this function's own precondition.
        unsafe { SliceOf::slice(at) }
    }
}

// SAFETY: the object is the bytes behind their length; `Cx::alloc_str` alone makes a `Gc<str>`,
// from a string.
unsafe impl Managed for str {
    type Repr = SliceOf<u8>;

    #[inline(always)]
    unsafe fn target(at: NonNull<u8>) -> NonNull<str> {
        // SAFETY: this function's own precondition.
        let bytes = unsafe { SliceOf::<u8>::slice(at) };
        // SAFETY: not null; a `str` has the layout of its bytes.
        unsafe { NonNull::new_unchecked(bytes.as_ptr() as *mut str) }
    }
}
