//! The heap: pages, spans and their metadata in one reserved range, and what the owner of a
//! collector does with them.
//!
//! ```text
//! base                                  base + heap bytes
//! | 8 KiB pages, spans of one type each | mark bits | allocation bits | lines | span heads |
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
use crate::pages::{PAGE_BYTES, PageRun};
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
const NO_CENTRAL: u32 = u32::MAX;
/// The address from which on a heap counts as large: a huge page of mark bits stands for 256 MiB,
/// so asking earlier would cost a small heap more memory than it holds.
const METADATA_HUGE_FROM: usize = 64 << 20;
/// Bytes between two arrays of metadata, so that a span's places in them do not lie a large power
/// of two apart. Zen finds a line in its first-level cache by a hash of address bits 12 to 27: of
/// two lines with equal hashes it holds one, and sweeping, which goes to and fro between marks and
/// allocation bits, missed at every step.
const SKEW_BYTES: usize = 5 * 4096 + 5 * 64;
const PAGE_GRANULES: usize = PAGE_BYTES / GRANULE_BYTES;

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

/// What sweeping a span came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Slots that became free.
    pub freed_objects: u32,
    /// Their bytes.
    pub freed_bytes: usize,
    /// Nothing is left: the caller retires the span and then calls [`Heap::free_span`].
    pub span_empty: bool,
}

/// An object that an address leads to.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The object's address.
    pub start: NonNull<u8>,
    /// Bytes of its slot.
    pub slot_bytes: usize,
    /// What it is.
    pub info: &'static TypeInfo,
}

/// The spans of one type and size class, counted.
#[derive(Clone, Copy, Debug)]
pub struct Census {
    /// The type.
    pub info: &'static TypeInfo,
    /// Bytes of a slot; of a large object, of its pages.
    pub slot_bytes: usize,
    /// Spans.
    pub spans: usize,
    /// Slots in use, as last counted: what is being allocated from counts as it was when taken.
    pub objects: usize,
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
    2 * bit_bytes(heap_bytes) + Spans::line_bytes(heap_bytes / PAGE_BYTES) + head_bytes(heap_bytes)
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
        let pages = PageHeap::new(source, reserve_bytes, reserve_bytes_min, metadata_bytes)?;
        let heap_bytes = pages.heap_bytes();
        let page_count = heap_bytes / PAGE_BYTES;
        let marks_at = pages.metadata_base();
        // SAFETY: the metadata is `metadata_bytes` long, of which these are the first parts.
        let allocs_at = unsafe { marks_at.add(bit_bytes(heap_bytes)) };
        // SAFETY: as above.
        let lines_at = unsafe { allocs_at.add(bit_bytes(heap_bytes)) };
        // SAFETY: as above.
        let heads_at = unsafe { lines_at.add(Spans::line_bytes(page_count)) };
        let bit_words = heap_bytes / GRANULE_BYTES / 64;
        // SAFETY: fresh zero memory of the right size, aligned (page heap, `line_up`), used
        // through this view alone and unmapped after it.
        let marks = unsafe { Bits::from_raw(marks_at, bit_words) };
        // SAFETY: as above.
        let allocs = unsafe { Bits::from_raw(allocs_at, bit_words) };
        // SAFETY: as above.
        let heads = unsafe { Bits::from_raw(heads_at, page_count.div_ceil(64)) };
        // SAFETY: as above; a multiple of 64 behind a page-aligned base.
        let lines = unsafe { Spans::lines_at(lines_at, page_count) };
        Ok(Self {
            base: pages.base(),
            pages,
            marks,
            allocs,
            spans: Spans::new(lines, heads),
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

    fn centrals(&self) -> Vec<Arc<Central>> {
        lock(&self.registry).centrals.clone()
    }

    /// Takes a candidate for allocation if it is swept and has a free slot.
    pub(crate) fn try_own<R: Refill>(&self, central: &Central, span: u32, refill: &R) -> bool {
        if self.spans.generation(span) != refill.generation() && !refill.ready(span) {
            return false;
        }
        self.spans.live(span) < central.class.slots() && self.spans.own(span, central.index)
    }

    /// Pages for a span; a heap that has grown large gets huge pages behind its metadata.
    fn alloc_pages(&self, pages: u32) -> Result<PageRun, Exhausted> {
        let run = self.pages.alloc(pages)?;
        let far = run.start as usize >= METADATA_HUGE_FROM / PAGE_BYTES;
        // Relaxed: asking twice does no harm.
        if far && !self.metadata_is_huge.swap(true, Ordering::Relaxed) {
            self.pages.advise_metadata(0, self.pages.metadata_bytes());
        }
        Ok(run)
    }

    /// A fresh span, owned by the caller.
    pub(crate) fn new_span(&self, central: &Central, generation: u32) -> Result<u32, Exhausted> {
        let pages = central.class.pages();
        let run = self.alloc_pages(pages)?;
        let class = Some(central.class);
        let birth = Birth {
            info: central.info,
            class,
            pages,
            central: central.index,
            generation,
        };
        self.spans.birth(run.start, birth);
        central.add(&self.spans, run.start);
        Ok(run.start)
    }

    /// Memory for one object of `bytes` bytes that owns its span, uninitialised; see
    /// [`crate::ThreadCache::alloc`] for what the caller owes.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if the page heap has no run that long.
    pub fn alloc_large<R: Refill>(
        &self,
        refill: &R,
        info: &'static TypeInfo,
        bytes: usize,
    ) -> Result<NonNull<u8>, Exhausted> {
        let pages = u32::try_from(bytes.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX);
        let run = self.alloc_pages(pages.max(1))?;
        let birth = Birth {
            info,
            class: None,
            pages: run.count,
            central: NO_CENTRAL,
            generation: refill.generation(),
        };
        self.allocs.store_word((run.start * PAGE_WORDS) as usize, 1);
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
        let word = self.allocs.word(granule / 64);
        self.allocs
            .store_word(granule / 64, word & !(1 << (granule % 64)));
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

    /// The span's generation word: 0 where there is no span. Acquire.
    #[inline]
    pub fn generation(&self, span: u32) -> u32 {
        self.spans.generation(span)
    }

    /// Moves the generation word, by compare-exchange; true for the one who did.
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

    /// Lets the marks of a span become its allocation bits, and clears the marks.
    ///
    /// The caller publishes the generation afterwards, or, if the span is empty and of no use to
    /// it, publishes 0 and frees the span. A large object that is dead leaves an empty span that
    /// is of no use to anyone. A few nanoseconds for 8 KiB.
    ///
    /// # Safety
    ///
    /// * The caller holds the claim on the span's sweep, and nobody owns the span.
    /// * Marking has ended: what is not marked is unreachable, and its drop glue has run.
    pub unsafe fn sweep(&self, span: u32) -> Swept {
        let class = self.spans.class(span);
        let pages = self.spans.pages(span);
        let words = if class.is_some() {
            pages * PAGE_WORDS
        } else {
            1
        };
        let first = (span * PAGE_WORDS) as usize;
        let live = self.allocs.become_marks(&self.marks, first, words as usize);
        let freed_objects = self.spans.live(span) - live;
        self.spans.set_live(span, live);
        let slot_bytes = class.map_or(pages as usize * PAGE_BYTES, SizeClass::bytes);
        let freed_bytes = freed_objects as usize * slot_bytes;
        Swept {
            freed_objects,
            freed_bytes,
            span_empty: live == 0,
        }
    }

    /// Gives the pages of an empty span back to the page heap.
    ///
    /// # Safety
    ///
    /// * The caller claimed the span's sweep, found it empty, and published generation 0 as the
    ///   claim's end.
    /// * Nobody frees it a second time.
    pub unsafe fn free_span(&self, span: u32) {
        let pages = self.spans.pages(span);
        let central = self.spans.central(span);
        if central != NO_CENTRAL {
            self.registered(central).remove(&self.spans, span);
        }
        self.spans.bury(span);
        // SAFETY: the run came from `alloc` for this span; it is empty and unlisted, so nobody
        // uses its memory, and this is the only call for it (precondition).
        unsafe {
            self.pages.free(PageRun {
                start: span,
                count: pages,
            })
        }
    }

    fn registered(&self, central: u32) -> Arc<Central> {
        lock(&self.registry).centrals[central as usize].clone()
    }

    /// Offers a swept span with free slots to allocators that may have passed it by.
    pub fn offer(&self, span: u32) {
        let (central, class) = (self.spans.central(span), self.spans.class(span));
        let free = class.is_some_and(|class| self.spans.live(span) < class.slots());
        if free && central != NO_CENTRAL {
            self.registered(central).offer(&self.spans, span);
        }
    }

    /// A new cycle of sweeping: every span is a candidate for allocation again.
    ///
    /// # Panics
    ///
    /// Never; but the caller makes sure that no cache holds a span (all were flushed).
    pub fn rewind(&self) {
        self.centrals().iter().for_each(|central| central.rewind());
    }

    /// Forgets every mark, as if the marking had not been.
    ///
    /// # Safety
    ///
    /// Nobody marks or sweeps meanwhile.
    pub unsafe fn clear_marks(&self) {
        let mut from = 0;
        while let Some(span) = self.next_span(from, self.spans_end()) {
            let pages = self.spans.pages(span);
            let first = (span * PAGE_WORDS) as usize;
            let words = if self.spans.class(span).is_some() {
                pages * PAGE_WORDS
            } else {
                1
            };
            (first..first + words as usize).for_each(|word| self.marks.store_word(word, 0));
            from = span + pages;
        }
    }

    /// Calls `visit` with each object of the span that is allocated and, if `dead_only`, not
    /// marked.
    ///
    /// # Safety
    ///
    /// The span's bits keep still: the caller holds its claim, or nobody allocates or sweeps.
    pub unsafe fn for_each_object(
        &self,
        span: u32,
        dead_only: bool,
        mut visit: impl FnMut(NonNull<u8>),
    ) {
        let large = self.spans.class(span).is_none();
        let words = if large {
            1
        } else {
            self.spans.pages(span) * PAGE_WORDS
        };
        let first = (span * PAGE_WORDS) as usize;
        for index in first..first + words as usize {
            let skip = if dead_only { self.marks.word(index) } else { 0 };
            let mut word = self.allocs.word(index) & !skip;
            while word != 0 {
                let granule = index * 64 + word.trailing_zeros() as usize;
                word &= word - 1;
                // SAFETY: a granule of a span lies in the reserved range.
                visit(unsafe { self.base.add(granule * GRANULE_BYTES) });
            }
        }
    }

    /// The object that `address` points to or into, if it is allocated.
    ///
    /// # Safety
    ///
    /// Nobody allocates or sweeps meanwhile (else the answer may be out of date, and a word that
    /// was taken counts as allocated).
    pub unsafe fn object_containing(&self, address: usize) -> Option<Found> {
        let offset = address.wrapping_sub(self.base.as_ptr().addr());
        if offset >= self.pages.heap_bytes() {
            return None;
        }
        let span = self.spans.containing((offset / PAGE_BYTES) as u32)?;
        let info = self.spans.info(span)?;
        let slot_bytes = match self.spans.class(span) {
            Some(class) => class.bytes(),
            None => self.spans.pages(span) as usize * PAGE_BYTES,
        };
        let into = offset - span as usize * PAGE_BYTES;
        let start_granule = span as usize * PAGE_GRANULES + into / slot_bytes * slot_bytes / 16;
        // The tail of a span that is too short for a slot has no start bit, so the test refuses it.
        if !self.allocs.test(start_granule) {
            return None;
        }
        // SAFETY: in the reserved range, as the offset was.
        let start = unsafe { self.base.add(start_granule * GRANULE_BYTES) };
        Some(Found {
            start,
            slot_bytes,
            info,
        })
    }

    /// Counts spans and objects by type and size class. Linear in the number of spans.
    pub fn census(&self) -> Vec<Census> {
        let mut rows: HashMap<(usize, usize), Census> = HashMap::new();
        let end = self.spans_end();
        let mut from = 0;
        while let Some(span) = self.next_span(from, end) {
            let pages = self.spans.pages(span);
            from = span + pages.max(1);
            let Some(info) = self.spans.info(span) else {
                continue;
            };
            let slot_bytes = match self.spans.class(span) {
                Some(class) => class.bytes(),
                None => pages as usize * PAGE_BYTES,
            };
            let row = rows
                .entry((std::ptr::from_ref(info).addr(), slot_bytes))
                .or_insert(Census {
                    info,
                    slot_bytes,
                    spans: 0,
                    objects: 0,
                });
            row.spans += 1;
            row.objects += self.spans.live(span) as usize;
        }
        rows.into_values().collect()
    }

    /// The spans of `info` with small objects, in no order; none is made or freed meanwhile only
    /// if the caller sees to it.
    pub fn spans_of(&self, info: &'static TypeInfo) -> Vec<u32> {
        let mut spans = Vec::new();
        for central in self.centrals() {
            if std::ptr::eq(central.info, info) {
                central.for_each(|span| spans.push(span));
            }
        }
        spans
    }
}
