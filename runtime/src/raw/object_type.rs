//! Kinds of objects, as the collector sees them: a layout, and how to trace and drop one.
//!
//! An [`ObjectType`] is a type-level description: the functions it names are compiled once for
//! each visitor that a collector marks with, so that scanning a packet of a type is one indirect
//! call into a loop in which every edge is inlined. [`info`] gathers them into the static
//! [`TypeInfo`] that spans carry.
//!
//! The safe layer makes one of every Rust type that implements `Trace`; an author of a VM with
//! an object model of their own writes one that reads the shape from the object.

use crate::ports::mark::MarkModel;
use alloc_core::{Ops, TypeInfo};
use gc_mark::{Alone, Kind, Object, Packet, Shared, Sharing, Tracer, Visitor};
use std::ptr::NonNull;

/// Objects of more bytes than this are scanned in parts, so that several markers can share them.
pub const OBLET_BYTES: usize = 128 * 1024;

/// A kind of object.
///
/// # Safety
///
/// * `trace` reports every reference into the heap that the object holds; if `NOSCAN`, there are
///   none. `trace` stores nothing into the heap, allocates nothing in it and waits for no mutator.
/// * If `parts` answers more than one, `trace_part` of all parts together does the same.
/// * `drop` runs whatever must run before the memory is reused, and follows no reference into the
///   heap.
pub unsafe trait ObjectType {
    /// Bytes of an object; for kinds of dynamic size, of the smallest.
    const SIZE: usize;
    /// Alignment in bytes: a power of two, at most a page.
    const ALIGN: usize;
    /// No object of this kind holds a reference into the heap.
    const NOSCAN: bool;
    /// Dead objects must be dropped.
    const NEEDS_DROP: bool;

    /// The kind's name, for reports.
    fn name() -> &'static str {
        std::any::type_name::<Self>()
    }

    /// Reports the references that the object holds.
    ///
    /// # Safety
    ///
    /// `object` is a live, initialised object of this kind, and nobody changes it meanwhile but
    /// through atomics.
    unsafe fn trace<V: Visitor>(object: NonNull<u8>, visitor: &mut V);

    /// In how many parts to scan the object: one, unless it is larger than [`OBLET_BYTES`].
    ///
    /// # Safety
    ///
    /// As for `trace`.
    #[inline]
    unsafe fn parts(_object: NonNull<u8>) -> usize {
        1
    }

    /// Reports the references of one part.
    ///
    /// # Safety
    ///
    /// As for `trace`; `part` is below what `parts` answered for this object.
    unsafe fn trace_part<V: Visitor>(object: NonNull<u8>, _part: usize, visitor: &mut V) {
        // SAFETY: there is only one part: the object.
        unsafe { Self::trace(object, visitor) }
    }

    /// Drops a dead object in place.
    ///
    /// # Safety
    ///
    /// `object` is of this kind, unreachable, and never used again.
    unsafe fn drop(object: NonNull<u8>);
}

/// What a collector does with objects of one kind.
pub(crate) struct TypeOps {
    pub(crate) scan_alone: unsafe fn(Packet<'_>, &mut Tracer<'_, MarkModel, Alone>),
    pub(crate) scan_shared: unsafe fn(Packet<'_>, &mut Tracer<'_, MarkModel, Shared>),
    pub(crate) part_alone: unsafe fn(Object, usize, &mut Tracer<'_, MarkModel, Alone>),
    pub(crate) part_shared: unsafe fn(Object, usize, &mut Tracer<'_, MarkModel, Shared>),
    /// For visitors that the heap does not know: a collector from outside, a checker.
    pub(crate) visit: unsafe fn(NonNull<u8>, &mut dyn FnMut(Object, Kind)),
    pub(crate) drop: unsafe fn(NonNull<u8>),
}

pub(crate) struct InfoOf<O>(std::marker::PhantomData<O>);

impl<O: ObjectType> InfoOf<O> {
    const OPS: TypeOps = TypeOps {
        scan_alone: scan::<O, Alone>,
        scan_shared: scan::<O, Shared>,
        part_alone: scan_part::<O, Alone>,
        part_shared: scan_part::<O, Shared>,
        visit: visit::<O>,
        drop: O::drop,
    };

    pub(crate) const INFO: TypeInfo = {
        assert!(
            O::ALIGN <= alloc_core::PAGE_BYTES,
            "an object is aligned to a page at most"
        );
        TypeInfo {
            name: O::name,
            size: O::SIZE,
            align: O::ALIGN,
            noscan: O::NOSCAN,
            needs_drop: O::NEEDS_DROP,
            ops: Ops::new(&Self::OPS),
        }
    };
}

/// The static description of `O`.
///
/// Two calls may give two addresses (in different units of compilation); the heap then keeps two
/// sets of spans for the kind, and nothing else follows from it.
#[inline(always)]
pub fn info<O: ObjectType>() -> &'static TypeInfo {
    const { &InfoOf::<O>::INFO }
}

/// The functions of a kind.
#[inline]
pub(crate) fn ops(info: &'static TypeInfo) -> &'static TypeOps {
    // SAFETY: every `TypeInfo` that reaches this heap was made by `InfoOf` (`RawMutator::alloc`
    // demands it), which wraps a `TypeOps`.
    unsafe { info.ops.get::<TypeOps>() }
}

/// How the marker names a kind: by the exposed address of its description.
#[inline(always)]
pub fn kind_of(info: &'static TypeInfo) -> Kind {
    Kind {
        id: std::ptr::from_ref(info).expose_provenance(),
        noscan: info.noscan,
    }
}

/// The description that a kind names.
#[inline]
pub(crate) fn info_of(kind: Kind) -> &'static TypeInfo {
    // SAFETY: `kind_of` made the id from a `&'static TypeInfo` and exposed it; visitors are told
    // kinds by `ObjectType::trace` alone, whose contract is to pass on what `kind_of` made.
    unsafe { &*std::ptr::with_exposed_provenance(kind.id) }
}

/// How the marker names an object: by its exposed address.
#[inline(always)]
pub fn object_at(address: NonNull<u8>) -> Object {
    Object(address.as_ptr().expose_provenance())
}

/// The address of an object.
#[inline(always)]
pub(crate) fn address_of(object: Object) -> NonNull<u8> {
    debug_assert!(object.0 != 0, "a null reference reached the marker");
    // SAFETY: `object_at` made the word from a pointer that is not null.
    unsafe { NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(object.0)) }
}

/// Scans a packet of objects of the kind `O`.
///
/// # Safety
///
/// The packet holds live objects of that kind.
unsafe fn scan<O: ObjectType, S: Sharing>(
    packet: Packet<'_>,
    tracer: &mut Tracer<'_, MarkModel, S>,
) {
    let kind = packet.kind();
    packet.drain(tracer, prefetch, |object, tracer| {
        let address = address_of(object);
        // SAFETY: a live object of the kind, by this function's precondition.
        let parts = unsafe { O::parts(address) };
        if parts > 1 {
            tracer.defer_parts(object, kind, parts);
        } else {
            // SAFETY: as above.
            unsafe { O::trace(address, tracer) }
        }
    });
}

/// Scans one part of a large object.
///
/// # Safety
///
/// As [`ObjectType::trace_part`].
unsafe fn scan_part<O: ObjectType, S: Sharing>(
    object: Object,
    part: usize,
    tracer: &mut Tracer<'_, MarkModel, S>,
) {
    // SAFETY: this function's own precondition.
    unsafe { O::trace_part(address_of(object), part, tracer) }
}

struct Reporter<'a>(&'a mut dyn FnMut(Object, Kind));

impl Visitor for Reporter<'_> {
    fn visit(&mut self, object: Object, kind: Kind) {
        (self.0)(object, kind);
    }
}

/// Reports an object's references to a closure.
///
/// # Safety
///
/// As [`ObjectType::trace`].
unsafe fn visit<O: ObjectType>(object: NonNull<u8>, report: &mut dyn FnMut(Object, Kind)) {
    // SAFETY: this function's own precondition.
    unsafe { O::trace(object, &mut Reporter(report)) }
}

/// Hints that the object will be read soon.
#[inline(always)]
pub(crate) fn prefetch(object: Object) {
    #[cfg(all(target_arch = "x86_64", not(heapwright_portable)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::with_exposed_provenance(object.0)) }
    }
    #[cfg(any(not(target_arch = "x86_64"), heapwright_portable))]
    let _ = object;
}
