//! The heap: pages, spans and their metadata in one reserved range, and what the owner of a
//! collector does with them.
//!
//! ```text
//! base                                  base + heap bytes
//! | 8 KiB pages, spans of one type each | mark bits | allocation bits | lines | span heads | glue |
//! ```
//!
//! The metadata lies a fixed distance behind the heap, each kind in an array of its own, so that
//! looking up a mark touches marks alone. "Is this address mine" is one compare.
//!
//! The heap knows nothing of cycles: it sweeps a span when told to, by letting the marks become
//! the allocation bits. Who may tell it is a matter of the span's generation word (see `span.rs`)
//! and of the callers' promises.

use crate::bits::Bits;
use crate::central::Central;
use crate::os::PageSource;
use crate::page_error::{Exhausted, ReserveError};
use crate::page_heap::PageHeap;
use crate::page_parts::SHADOW_RATIO;
use crate::pages::{PAGE_BYTES, Taken};
use crate::refill::Refill;
use crate::size_class::{GRANULE_BYTES, SizeClass};
use crate::span::{Birth, Spans};
use crate::sync::{AtomicBool, Mutex, Ordering, lock};
use crate::thread_cache::{PAGE_WORDS, WORD_BYTES};
use crate::type_info::TypeInfo;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;

/// `central` of a span that holds one large object.
pub(crate) const NO_CENTRAL: u32 = u32::MAX;
/// The address from which on a heap counts as large: a huge page of mark bits stands for 256 MiB,
/// so asking earlier would cost a small heap more memory than it holds.
const METADATA_HUGE_FROM: usize = 64 << 20;
/// Pages that a central grows by at once, at the most (or one span, if that is more).
const GROWTH_PAGES_MAX: u32 = 32;
pub(crate) const PAGE_GRANULES: usize = PAGE_BYTES / GRANULE_BYTES;
/// Bytes between two arrays of metadata, so that a span's places in them do not lie a large power
/// of two apart. Zen finds a line in its first-level cache by a hash of address bits 12 to 27: of
/// two lines with equal hashes it holds one, and sweeping, which goes to and fro between marks and
/// allocation bits, missed at every step.
const SKEW_BYTES: usize = 5 * 4096 + 5 * 64;

/// A heap of typed spans.
pub struct Heap<S: PageSource> {
    pages: PageHeap<S>,
    base: NonNull<u8>,
    marks: Bits,
    allocs: Bits,
    spans: Spans,
    registry: Mutex<Registry>,
    /// Huge pages were asked for behind the metadata.
    metadata_is_huge: AtomicBool,
}

// SAFETY: `base` is the start of the page heap's own mapping, which any thread may use; who may
// touch which object is the callers' affair and said at each method.
unsafe impl<S: PageSource> Send for Heap<S> {}
// SAFETY: as above; everything else is atomics and locks.
unsafe impl<S: PageSource> Sync for Heap<S> {}

#[derive(Default)]
struct Registry {
    by_key: HashMap<(usize, SizeClass), u32>,
    centrals: Vec<Arc<Central>>,
}

/// Rounds up to a cache line, so that each array of metadata begins on one.
const fn line_up(bytes: usize) -> usize {
    bytes.next_multiple_of(64)
}

const fn bit_bytes(heap_bytes: usize) -> usize {
    line_up(heap_bytes / GRANULE_BYTES / 8) + SKEW_BYTES
}

const fn head_bytes(heap_bytes: usize) -> usize {
    line_up((heap_bytes / PAGE_BYTES).div_ceil(64) * 8)
}

const fn metadata_bytes(heap_bytes: usize) -> usize {
    2 * (bit_bytes(heap_bytes) + head_bytes(heap_bytes))
        + Spans::line_bytes(heap_bytes / PAGE_BYTES)
}

/// Bytes of pages of which a [`Heap`] can have so many in use that they and what it knows of them
/// take `bytes` together: 128 parts of 131.
///
/// ```
/// assert_eq!(alloc_core::pages_within(131 << 20), 128 << 20);
/// ```
#[must_use]
pub const fn pages_within(bytes: usize) -> usize {
    bytes / (PAGE_BYTES + 3 * (PAGE_BYTES / SHADOW_RATIO)) * PAGE_BYTES
}

impl<S: PageSource> Heap<S> {
    /// Reserves a heap of up to `reserve_bytes` (halved until the source accepts, down to
    /// `reserve_bytes_min`) and its metadata. Nothing is touched yet.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] if not even the minimum can be reserved.
    pub fn new(
        source: S,
        reserve_bytes: usize,
        reserve_bytes_min: usize,
    ) -> Result<Self, ReserveError> {
        let mut pages = PageHeap::new(source, reserve_bytes, reserve_bytes_min, metadata_bytes)?;
        let heap_bytes = pages.heap_bytes();
        let page_count = heap_bytes / PAGE_BYTES;
        let marks_at = pages.metadata_base();
        // SAFETY: the metadata is `metadata_bytes` long, of which these are the first parts.
        let allocs_at = unsafe { marks_at.add(bit_bytes(heap_bytes)) };
        // SAFETY: as above.
        let lines_at = unsafe { allocs_at.add(bit_bytes(heap_bytes)) };
        // SAFETY: as above.
        let heads_at = unsafe { lines_at.add(Spans::line_bytes(page_count)) };
        // SAFETY: as above.
        let glue_at = unsafe { heads_at.add(head_bytes(heap_bytes)) };
        let bit_words = heap_bytes / GRANULE_BYTES / 64;
        // SAFETY: fresh zero memory of the right size, aligned (page heap, `line_up`), used
        // through this view alone and unmapped after it.
        let marks = unsafe { Bits::from_raw(marks_at, bit_words) };
        // SAFETY: as above.
        let allocs = unsafe { Bits::from_raw(allocs_at, bit_words) };
        // SAFETY: as above.
        let heads = unsafe { Bits::from_raw(heads_at, page_count.div_ceil(64)) };
        // SAFETY: as above.
        let glue = unsafe { Bits::from_raw(glue_at, page_count.div_ceil(64)) };
        // SAFETY: as above; a multiple of 64 behind a page-aligned base.
        let lines = unsafe { Spans::lines_at(lines_at, page_count) };
        const { assert!(PAGE_BYTES / Spans::line_bytes(1) == SHADOW_RATIO) };
        const { assert!(GRANULE_BYTES * 8 == SHADOW_RATIO) };
        // SAFETY: bits of a free page are zero already: pages go back when no bit of their granules
        // is set. Its line says generation 0, as zeros do, and nobody writes to the line of a span
        // that is dead: a span's number outlives it at most with those who find that generation.
        unsafe { pages.set_shadows(&[0, bit_bytes(heap_bytes), 2 * bit_bytes(heap_bytes)]) };
        Ok(Self {
            base: pages.base(),
            pages,
            marks,
            allocs,
            spans: Spans::new(lines, heads, glue),
            registry: Mutex::default(),
            metadata_is_huge: AtomicBool::new(false),
        })
    }

    /// The page heap below.
    pub fn pages(&self) -> &PageHeap<S> {
        &self.pages
    }

    /// The heap's first address.
    #[inline]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The mark bits, one a granule from [`Self::base`].
    #[inline]
    pub fn marks(&self) -> &Bits {
        &self.marks
    }

    /// The granule of an address in the heap: its place in the bits.
    #[inline]
    pub fn granule_of(&self, address: usize) -> usize {
        address.wrapping_sub(self.base.as_ptr().addr()) / GRANULE_BYTES
    }

    pub(crate) fn allocs(&self) -> &Bits {
        &self.allocs
    }

    pub(crate) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// The address that a word of bits begins at.
    pub(crate) fn address_of_word(&self, index: usize) -> *mut u8 {
        self.base.as_ptr().wrapping_add(index * WORD_BYTES)
    }

    /// The central of (`info`, `class`), made at first use.
    pub(crate) fn central(&self, info: &'static TypeInfo, class: SizeClass) -> Arc<Central> {
        let mut registry = lock(&self.registry);
        let index = registry.centrals.len() as u32;
        let found = *registry
            .by_key
            .entry((std::ptr::from_ref(info).addr(), class))
            .or_insert(index);
        if found == index {
            registry
                .centrals
                .push(Arc::new(Central::new(info, class, index)));
        }
        registry.centrals[found as usize].clone()
    }

    /// The central with that index.
    pub(crate) fn registered(&self, central: u32) -> Arc<Central> {
        lock(&self.registry).centrals[central as usize].clone()
    }

    /// All centrals.
    pub(crate) fn centrals(&self) -> Vec<Arc<Central>> {
        lock(&self.registry).centrals.clone()
    }

    /// Takes a candidate for allocation if it is swept and has a free slot.
    pub(crate) fn try_own<R: Refill>(&self, central: &Central, span: u32, refill: &R) -> bool {
        if self.spans.generation(span) != refill.generation() && !refill.ready(span) {
            return false;
        }
        self.spans.live(span) < central.class.slots() && self.spans.own(span, central.index)
    }

    /// Pages for up to `spans_max` neighboring spans, at least one; a heap that has grown large
    /// gets huge pages behind its metadata.
    pub(crate) fn take_pages(&self, pages: u32, spans_max: u32) -> Result<Taken, Exhausted> {
        let taken = self.pages.take_units(pages, spans_max)?;
        let far = taken.run.start as usize >= METADATA_HUGE_FROM / PAGE_BYTES;
        // Relaxed: asking twice does no harm.
        if far && !self.metadata_is_huge.swap(true, Ordering::Relaxed) {
            self.pages.advise_metadata(0, self.pages.metadata_bytes());
        }
        Ok(taken)
    }

    /// Fresh spans for a central that has no free slot left: one that the caller owns, and
    /// candidates. A central grows by up to an eighth, so that a large one asks for pages seldom;
    /// where the lowest free room is short, by less.
    pub(crate) fn grow(&self, central: &Central, generation: u32) -> Result<u32, Exhausted> {
        let pages = central.class.pages();
        let wanted = (central.len() as u32 / 8).clamp(1, GROWTH_PAGES_MAX.div_ceil(pages));
        let run = self.take_pages(pages, wanted)?.run;
        let birth = Birth {
            info: central.info,
            class: Some(central.class),
            pages,
            central: central.index,
            generation,
        };
        let spans = (run.start..run.end()).step_by(pages as usize);
        spans.clone().for_each(|span| self.spans.birth(span, birth));
        central.add(&self.spans, spans);
        Ok(run.start)
    }

    /// Memory for one object of `bytes` bytes that owns its span, uninitialised, and marked if
    /// `black`; see [`crate::ThreadCache::alloc`] for what the caller owes.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if the page heap has no run that long.
    pub fn alloc_large<R: Refill>(
        &self,
        refill: &R,
        info: &'static TypeInfo,
        bytes: usize,
        black: bool,
    ) -> Result<NonNull<u8>, Exhausted> {
        let pages = u32::try_from(bytes.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX);
        let run = self.take_pages(pages.max(1), 1)?.run;
        let birth = Birth {
            info,
            class: None,
            pages: run.count,
            central: NO_CENTRAL,
            generation: refill.generation(),
        };
        let word = (run.start * PAGE_WORDS) as usize;
        self.allocs.store_word(word, 1);
        if black {
            self.marks.set_in_word(word, 1);
        }
        self.spans.birth(run.start, birth);
        self.spans.set_live(run.start, 1);
        self.spans.disown(run.start);
        refill.charge(run.count as usize * PAGE_BYTES);
        Ok(self.address_of(run.start))
    }

    /// The address at which a span begins.
    pub fn address_of(&self, span: u32) -> NonNull<u8> {
        // SAFETY: pages of spans lie in the reserved range.
        unsafe { self.base.add(span as usize * PAGE_BYTES) }
    }

    /// Takes back a slot that was handed out and never initialised.
    ///
    /// # Safety
    ///
    /// * `object` came from this heap's allocation, to this caller, and nobody else knows of it.
    /// * The cache it came from has not been flushed since (a large object: no cycle has passed).
    pub unsafe fn unallocate(&self, object: NonNull<u8>) {
        let granule = self.granule_of(object.as_ptr().addr());
        let (index, bit) = (granule / 64, 1 << (granule % 64));
        self.allocs
            .store_word(index, self.allocs.word(index) & !bit);
        // A black cache has marked it.
        self.marks.clear_in_word(index, bit);
    }

    /// Bytes of one slot of the span: all of it, if it is a large object's.
    pub fn slot_bytes(&self, span: u32) -> usize {
        match self.spans().class(span) {
            Some(class) => class.bytes(),
            None => self.spans().pages(span) as usize * PAGE_BYTES,
        }
    }

    /// One past the last page that ever held a span.
    pub fn spans_end(&self) -> u32 {
        (self.pages.stats().grown_bytes / PAGE_BYTES) as u32
    }

    /// The first span at or after page `from` and before `end`.
    #[inline]
    pub fn next_span(&self, from: u32, end: u32) -> Option<u32> {
        self.spans.next(from, end)
    }

    /// The spans among the 64 pages from `from`, a multiple of 64, whose objects need to be dropped
    /// or need not: bit `i` for a span that begins at `from + i`. Of spans that are born or die
    /// meanwhile nothing is known.
    #[inline]
    pub fn spans_by_drop(&self, from: u32, needs_drop: bool) -> u64 {
        self.spans.by_drop(from, needs_drop)
    }

    /// The span's generation word: 0 where there is no span. Acquire.
    #[inline]
    pub fn generation(&self, span: u32) -> u32 {
        self.spans.generation(span)
    }

    /// Moves the generation word, by compare-exchange; true for the one who did. Acquire.
    #[inline]
    pub fn exchange_generation(&self, span: u32, current: u32, new: u32) -> bool {
        self.spans.exchange_generation(span, current, new)
    }

    /// Ends a claim of the generation word.
    #[inline]
    pub fn publish_generation(&self, span: u32, generation: u32) {
        self.spans.publish_generation(span, generation);
    }

    /// What the span's objects are; `None` where no span begins.
    #[inline]
    pub fn info(&self, span: u32) -> Option<&'static TypeInfo> {
        self.spans.info(span)
    }
}
