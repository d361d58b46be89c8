//! Kinds of frames: a layout, and how to trace and drop one.
//!
//! A frame is a header, a *head* (one Rust value: plain data and references) and any number of
//! *slots* (values of one `Copy` type). Its [`TypeInfo`] is made in the same way as that of an
//! object, so a frame is traced as an object is. A kind has an address of its own, which the header
//! of each of its frames holds: a frame is used as what it is, or the use panics.
//!
//! ```text
//! | kind, serial, slots: 16 bytes | head | slot 0 | slot 1 | ... |  to a multiple of 16
//! ```

use crate::raw::ObjectType;
use crate::raw::object_type::InfoOf;
use crate::sync::UnsafeCell;
use alloc_core::TypeInfo;
use gc_mark::{Rebrand, SizedUnder, Trace, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// What frames begin and end at.
pub(crate) const FRAME_ALIGN: usize = 16;
/// Where a frame's head is.
const HEAD_AT: usize = size_of::<Header>();
/// Bytes of the largest frame: what is scanned at once is bounded by it.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

/// A type that a frame can hold, under the brand `'static`. Implemented for each that is.
pub trait FrameData: Trace + for<'to> SizedUnder<'to> + Send + Sync + 'static {}

impl<T: Trace + for<'to> SizedUnder<'to> + Send + Sync + 'static> FrameData for T {}

/// A type that is `Copy` under the brand `'to`; to be asked for every brand, as [`SizedUnder`] is.
pub trait CopyUnder<'to>: Rebrand<With<'to>: Sized + Copy> {}

impl<'to, T: Rebrand<With<'to>: Sized + Copy> + ?Sized> CopyUnder<'to> for T {}

/// A type that a slot can hold, under the brand `'static`. Implemented for each that is.
pub trait SlotData: Trace + for<'to> CopyUnder<'to> + Send + Sync + 'static {}

impl<T: Trace + for<'to> CopyUnder<'to> + Send + Sync + 'static> SlotData for T {}

/// What is at the beginning of a frame.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) kind: &'static Known,
    /// Serial number, and how many slots: one word, because a push writes it in one store.
    numbers: u64,
}

impl Header {
    #[inline(always)]
    pub(crate) fn new(kind: &'static Known, serial: u32, slots: u32) -> Self {
        let numbers = u64::from(serial) | u64::from(slots) << 32;
        Self { kind, numbers }
    }

    /// Tells the frame from others that were at its place.
    #[inline(always)]
    pub(crate) fn serial(&self) -> u32 {
        self.numbers as u32
    }

    #[inline(always)]
    pub(crate) fn slots(&self) -> u32 {
        (self.numbers >> 32) as u32
    }
}

const _: () = assert!(size_of::<Header>() == 16);

/// A kind without its types.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) info: &'static TypeInfo,
    /// Two kinds never share an address: what can change is not merged by the compiler, nor made
    /// static unasked.
    _identity: UnsafeCell<u8>,
}

// SAFETY: the cell is never looked at.
unsafe impl Sync for Known {}

/// A kind of frame, with heads of the type `H` and slots of the type `V`, both named under the
/// brand `'static`.
///
/// ```
/// use runtime::Gc;
/// use runtime::stack::FrameKind;
///
/// static CALL: FrameKind<u64, Option<Gc<'static, str>>> = FrameKind::new("call");
/// assert_eq!(CALL.name(), "call");
/// ```
pub struct FrameKind<H, V = ()> {
    known: Known,
    of: PhantomData<fn() -> (H, V)>,
}

impl<H: FrameData, V: SlotData> FrameKind<H, V> {
    /// A kind, to be kept in a `static`.
    pub const fn new(name: &'static str) -> Self {
        const {
            assert!(
                align_of::<H>() <= FRAME_ALIGN && align_of::<V>() <= FRAME_ALIGN,
                "what a frame holds is aligned to 16 bytes at most"
            );
        }
        let known = Known {
            name,
            info: &InfoOf::<FrameOf<H, V>>::INFO,
            _identity: UnsafeCell::new(0),
        };
        Self {
            known,
            of: PhantomData,
        }
    }

    /// A kind that is named at run time, as for a function of a program that an interpreter has
    /// read. It is never freed.
    pub fn leak(name: &str) -> &'static Self {
        Box::leak(Box::new(Self::new(Box::leak(name.into()))))
    }
}

impl<H, V> FrameKind<H, V> {
    /// What the kind is called in reports.
    pub fn name(&self) -> &'static str {
        self.known.name
    }

    pub(crate) fn known(&'static self) -> &'static Known {
        &self.known
    }
}

impl<H, V> fmt::Debug for FrameKind<H, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameKind({})", self.known.name)
    }
}

/// The layout of frames.
pub(crate) struct FrameOf<H, V>(PhantomData<(H, V)>);

impl<H, V> FrameOf<H, V> {
    const SLOTS_AT: usize = (HEAD_AT + size_of::<H>()).next_multiple_of(align_of::<V>());

    /// Bytes of a frame, if that does not depend on how many slots it has.
    pub(crate) const BYTES: Option<usize> = match size_of::<V>() {
        0 => Some(Self::SLOTS_AT.next_multiple_of(FRAME_ALIGN)),
        _ => None,
    };

    /// Bytes of a frame with so many slots; `None` if that is more than a frame may have.
    #[inline(always)]
    pub(crate) fn bytes(slots: usize) -> Option<usize> {
        // Checked before it is multiplied.
        if slots > FRAME_BYTES_MAX {
            return None;
        }
        let bytes = (Self::SLOTS_AT + slots * size_of::<V>()).next_multiple_of(FRAME_ALIGN);
        (bytes <= FRAME_BYTES_MAX).then_some(bytes)
    }

    /// The head of a frame.
    ///
    /// # Safety
    ///
    /// Memory of such a frame is at `frame`.
    #[inline(always)]
    pub(crate) unsafe fn head(frame: NonNull<u8>) -> NonNull<H> {
        // SAFETY: a frame is longer than its header (precondition).
        unsafe { frame.add(HEAD_AT) }.cast()
    }

    /// The first slot of a frame.
    ///
    /// # Safety
    ///
    /// As for [`Self::head`].
    #[inline(always)]
    pub(crate) unsafe fn slots(frame: NonNull<u8>) -> NonNull<V> {
        // SAFETY: a frame is at least as long as its header and its head (precondition).
        unsafe { frame.add(Self::SLOTS_AT) }.cast()
    }
}

// SAFETY: the head and all slots are reported; the head is dropped, slots are `Copy`.
unsafe impl<H: Trace, V: Trace> ObjectType for FrameOf<H, V> {
    const SIZE: usize = Self::SLOTS_AT;
    const ALIGN: usize = FRAME_ALIGN;
    const NOSCAN: bool = !(H::NEEDS_TRACE || V::NEEDS_TRACE);
    const NEEDS_DROP: bool = std::mem::needs_drop::<H>();

    unsafe fn trace<T: Visitor>(frame: NonNull<u8>, visitor: &mut T) {
        // SAFETY: an initialised frame (precondition).
        let head = unsafe { Self::head(frame) };
        // SAFETY: initialised and shared (precondition).
        unsafe { head.as_ref() }.trace(visitor);
        if !V::NEEDS_TRACE {
            return;
        }
        // SAFETY: a frame begins with its header (precondition).
        let count = unsafe { frame.cast::<Header>().as_ref() }.slots() as usize;
        // SAFETY: as above.
        let slots = NonNull::slice_from_raw_parts(unsafe { Self::slots(frame) }, count);
        // SAFETY: as many slots are initialised, and shared (precondition).
        unsafe { slots.as_ref() }
            .iter()
            .for_each(|slot| slot.trace(visitor));
    }

    unsafe fn drop(frame: NonNull<u8>) {
        // SAFETY: a frame (precondition).
        let head = unsafe { Self::head(frame) };
        // SAFETY: initialised, and never used again (precondition).
        unsafe { head.drop_in_place() };
    }
}

/// What a frame is when its value has been moved out.
pub(crate) static TAKEN: FrameKind<()> = FrameKind::new("taken");
