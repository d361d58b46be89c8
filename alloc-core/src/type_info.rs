//! What the heap knows of a type: a span holds objects of one [`TypeInfo`], so no object has a
//! header and no word of it a pointer bit.
//!
//! The allocator itself uses the layout and the two flags alone. How an object is scanned or
//! dropped is the business of whoever owns the heap, and hangs on [`Ops`], which this crate hands
//! back untouched.

use std::fmt;

/// The static description of a kind of object.
pub struct TypeInfo {
    /// The type's name, for reports.
    pub name: fn() -> &'static str,
    /// Bytes an object takes; for objects of dynamic size (slices) the bytes of an empty one.
    pub size: usize,
    /// Alignment in bytes, at most [`crate::PAGE_BYTES`].
    pub align: usize,
    /// No object of the type holds a reference into the heap.
    pub noscan: bool,
    /// Dead objects of the type have drop glue to run.
    pub needs_drop: bool,
    /// What the heap's owner wants to find again from an object.
    pub ops: Ops,
}

impl fmt::Debug for TypeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeInfo({}, {} B)", (self.name)(), self.size)
    }
}

/// A table of functions that belongs to the heap's owner, with its type erased.
#[derive(Clone, Copy)]
pub struct Ops(*const ());

// SAFETY: made from a `&'static T` of a `T: Sync` only, and read as shared only.
unsafe impl Send for Ops {}
// SAFETY: as above.
unsafe impl Sync for Ops {}

impl Ops {
    /// No table: for a heap whose objects are neither scanned nor dropped.
    pub const NONE: Ops = Ops(std::ptr::null());

    /// Wraps a static table.
    pub const fn new<T: Sync>(table: &'static T) -> Self {
        Self(std::ptr::from_ref(table).cast())
    }

    /// The table again.
    ///
    /// # Safety
    ///
    /// This was made by `Ops::new::<T>` with the same `T`.
    #[inline]
    pub unsafe fn get<T: Sync>(self) -> &'static T {
        debug_assert!(!self.0.is_null(), "no table of operations");
        // SAFETY: it was a `&'static T` (precondition), so it is valid for ever.
        unsafe { &*self.0.cast() }
    }
}
