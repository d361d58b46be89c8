//! What a hardened heap knows beyond a plain one, and what it finds by that.
//!
//! * A *live bit* a granule, set at the first granule of each object that is in its user's hands:
//!   not of slots that are free in a magazine. Handing out and taking back are one exchange each,
//!   so of two who free an object one is told, in whichever threads and however long after.
//! * A *pattern* in all free memory of small objects: written over a span when it is born and over
//!   a slot when it is freed, and looked for when a slot is handed out. Whoever wrote through a
//!   pointer to freed memory is found then (not who only read: they find the pattern).
//!
//! Where it stops: a slot that was freed is handed out again soon, so a second free of the *new*
//! object through the old pointer looks right. Large objects are overwritten, but not checked,
//! because their pages go their own way.

use crate::bits::Bits;
use crate::malloc::back::{foreign, freed_twice};
use crate::malloc::byte_heap::ByteHeap;
use crate::malloc::classes::class_of;
use crate::malloc::fatal::misuse;
use crate::malloc::shape::Shape;
use crate::os::PageSource;
use crate::page_error::ReserveError;
use crate::pages::{HUGE_PAGE_BYTES, PAGE_BYTES, PAGE_SHIFT};
use crate::size_class::{GRANULE_BYTES, SizeClass};
use std::alloc::Layout;
use std::ptr::NonNull;

/// What freed memory holds.
pub(crate) const PATTERN: u8 = 0xDE;
/// Eight bytes of it.
const PATTERN_WORD: u64 = u64::from_ne_bytes([PATTERN; 8]);

/// The checks of a hardened heap.
pub(crate) struct Guard<S: PageSource> {
    live: Bits,
    _region: S::Region,
}

impl<S: PageSource> Guard<S> {
    /// Room for a heap of up to `heap_bytes`, rounded as the page heap rounds.
    pub(crate) fn new(source: &S, heap_bytes: usize) -> Result<Self, ReserveError> {
        let growth = (crate::PageAlloc::GROWTH_PAGES as usize) << PAGE_SHIFT;
        let heap_bytes = heap_bytes.max(1).saturating_add(growth) / growth * growth;
        let bytes = (heap_bytes / GRANULE_BYTES / 8).next_multiple_of(HUGE_PAGE_BYTES);
        let failed = |error| ReserveError::new(heap_bytes, bytes, error);
        let region = source.reserve(bytes).map_err(failed)?;
        source.commit(&region, 0, bytes).map_err(failed)?;
        // SAFETY: the region is as long, aligned to a huge page, committed, zero, and moves into
        // the guard beside the bits, which are all that knows of it.
        let live = unsafe { Bits::from_raw(source.base(&region), bytes / 8) };
        Ok(Self {
            live,
            _region: region,
        })
    }

    /// Overwrites free memory.
    pub(crate) fn poison(&self, memory: NonNull<u8>, bytes: usize) {
        // SAFETY: the callers have the memory for themselves, and it is as long: a slot that is
        // free, or a span that nobody knows of yet.
        unsafe { memory.write_bytes(PATTERN, bytes) };
    }

    /// An object goes into its user's hands.
    pub(crate) fn hand_out(&self, granule: usize, object: NonNull<u8>, class: Option<SizeClass>) {
        for word in 0..class.map_or(0, |class| class.bytes() / 8) {
            // SAFETY: within the slot.
            let word = unsafe { object.cast::<u64>().add(word) };
            // SAFETY: the slot was written when its span was born, at the latest; it is aligned
            // to a granule, and free, so nobody else may write it.
            if unsafe { word.read_volatile() } != PATTERN_WORD {
                misuse(
                    "write after free",
                    word.as_ptr().addr(),
                    format_args!(
                        "memory of the object at {:#x} was changed while it was free",
                        object.as_ptr().addr()
                    ),
                );
            }
        }
        // SAFETY: a granule of the heap, for all of which there are bits.
        if !unsafe { self.live.claim(granule) } {
            misuse(
                "corrupt heap",
                object.as_ptr().addr(),
                format_args!("a slot that is in use was about to be handed out"),
            );
        }
    }

    /// An object comes back, after [`ByteHeap::check`].
    pub(crate) fn take_back(&self, granule: usize, object: NonNull<u8>, bytes: usize) {
        if !self.live.unclaim(granule) {
            freed_twice(object.as_ptr().addr());
        }
        self.poison(object, bytes);
    }
}

impl<S: PageSource> ByteHeap<S> {
    /// Stops the program unless an object in use begins at the address, with that layout.
    pub(crate) fn check(&self, guard: &Guard<S>, object: NonNull<u8>, layout: Option<Layout>) {
        let address = object.as_ptr().addr();
        if !self.contains(address) {
            foreign(address);
        }
        let page = address.wrapping_sub(self.base().as_ptr().addr()) / PAGE_BYTES;
        let Some(span) = self.heap().spans().containing(page as u32) else {
            // The pages of what was freed may be gone.
            misuse(
                "double free or foreign pointer",
                address,
                format_args!("no object is on this page"),
            );
        };
        let slot_bytes = self.heap().slot_bytes(span);
        let offset = address - self.heap().address_of(span).as_ptr().addr();
        let class = self.heap().spans().class(span);
        let into = match class {
            Some(class) => Shape::of(class).past_start(class, offset),
            None => offset,
        };
        if into != 0 {
            misuse(
                "interior pointer",
                address,
                format_args!("it was freed, but the object begins {into} bytes before"),
            );
        }
        if !guard.live.test(self.granule_of(object)) {
            freed_twice(address);
        }
        let Some(layout) = layout else { return };
        let is_right = match class_of(layout.size(), layout.align()) {
            None => {
                class.is_none()
                    && layout.size().div_ceil(PAGE_BYTES).max(1) == {
                        self.heap().spans().pages(span) as usize
                    }
            }
            some => class == some,
        };
        if !is_right {
            misuse(
                "wrong layout",
                address,
                format_args!(
                    "freed as {} bytes aligned to {}, but the slot has {slot_bytes}",
                    layout.size(),
                    layout.align()
                ),
            );
        }
    }
}
