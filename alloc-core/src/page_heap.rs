//! The pages of one heap: a reserved range, its free pages, and the operating system.
//!
//! The range is reserved once and holds two things: the heap's pages and, just behind them, the
//! side metadata, so that an address in one leads to the other by arithmetic. The heap grows
//! through its range by 4 MiB at a time.
//!
//! One lock guards the [`PageAlloc`]; the source is never called under it. What is on its way to or
//! from the operating system is marked in use meanwhile:
//!
//! | a page is | in use, released | who may touch it | next |
//! |---|---|---|---|
//! | released | 0, 1 | nobody | committing, by `alloc` under the lock |
//! | committing | 1, 1 | the source, for who allocates | in use; released, if it fails |
//! | in use | 1, 0 | its owner | retained, by `free` |
//! | retained | 0, 0 | nobody | in use or releasing, both under the lock |
//! | releasing | 1, as it was | the source, for who releases | released; as it was, if refused |
//! | backing | 1, 1 | the source, for who backs | retained; released, if refused |
//!
//! *No page is released while it is allocated.* A page becomes releasing only if it is free, and
//! allocated only if it is free; both are decided and marked in one critical section, so whoever is
//! first hides the page from the other. The end of a release frees the page in a second critical
//! section, after the source has returned, so the next owner's lock acquires what the source did.
//!
//! *No run is missed.* A range that is exhausted except for pages on their way out or in is not
//! exhausted: `alloc` waits for them, and is woken when they are put back.
//!
//! The other direction is in `page_release`; memory that comes before it is asked for, in
//! `page_ahead`.
//!
//! Huge pages: a heap that stays below 16 MiB is left alone, so that it stays small. What it grows
//! to beyond that is advised huge, step by step, and is released by whole huge pages from then on,
//! or in pieces where few pages are in use, as far as the caller's [`Reach`](crate::Reach) goes.

use std::ptr::NonNull;

use crate::os::{PageSource, SourceError};
use crate::page_alloc::PageAlloc;
use crate::page_error::{Exhausted, ReserveError};
use crate::pages::{
    HUGE_PAGE_BYTES, HUGE_PAGES, PAGE_BYTES, PAGE_SHIFT, PageCounts, PageRun, PageState, PageStats,
    Taken,
};
use crate::sync::{AtomicBool, Condvar, Mutex, MutexGuard, lock, wait};

/// The unit in which ranges are reserved and grow.
const GROWTH_BYTES: usize = (PageAlloc::GROWTH_PAGES as usize) << PAGE_SHIFT;

/// Where huge pages begin: the first 16 MiB of a heap are of small ones.
const HUGE_FROM_PAGES: u32 = if cfg!(heapwright_loom) {
    PageAlloc::GROWTH_PAGES
} else {
    8 * HUGE_PAGES
};

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) pages: PageAlloc,
    pub(crate) limit_bytes: usize,
    pub(crate) releases: u64,
    pub(crate) releases_refused: u64,
    pub(crate) released_total_pages: u64,
    pub(crate) blocks_broken: u64,
    pub(crate) blocks_mended: u64,
    /// The source has not refused to put memory behind free pages.
    pub(crate) backs_ahead: bool,
}

/// A heap's reserved range and its free pages. All methods may be called from any thread.
///
/// ```
/// use alloc_core::{Mmap, PAGE_BYTES, PageHeap, Reach};
///
/// let heap = PageHeap::new(Mmap::new(), 1 << 30, 4 << 20, |heap_bytes| heap_bytes / 64)?;
/// let run = heap.alloc(2)?;
/// let object = heap.address(run).cast::<u64>();
/// // SAFETY: the run is ours until it is freed; its pages are writable and aligned.
/// unsafe { object.write(7) };
/// // SAFETY: the run came from this heap, and nothing uses it any more.
/// unsafe { heap.free(run) };
/// assert_eq!(heap.stats().retained_bytes, 2 * PAGE_BYTES);
/// heap.release(usize::MAX, Reach::Whole);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PageHeap<S: PageSource> {
    pub(crate) source: S,
    pub(crate) region: S::Region,
    heap_bytes: usize,
    metadata_bytes: usize,
    state: Mutex<State>,
    /// Notified when pages that were on their way out or in are free again.
    pub(crate) put_back: Condvar,
    /// Few free pages have memory behind them. Written under the lock.
    pub(crate) low: AtomicBool,
    /// Where tables begin, from the region's base, of which the part of a free page may become
    /// zero; see `page_parts`.
    pub(crate) shadows: Vec<usize>,
}

/// Reserves a range for a heap of `heap_bytes` and makes its metadata usable.
fn reserve<S: PageSource>(
    source: &S,
    heap_bytes: usize,
    metadata_bytes: usize,
) -> Result<S::Region, SourceError> {
    let total = heap_bytes
        .checked_add(metadata_bytes)
        .and_then(|bytes| bytes.checked_next_multiple_of(HUGE_PAGE_BYTES))
        .unwrap_or(usize::MAX / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES);
    let region = source.reserve(total)?;
    if metadata_bytes > 0 {
        source.commit(&region, heap_bytes, metadata_bytes)?;
    }
    Ok(region)
}

impl<S: PageSource> PageHeap<S> {
    /// Reserves the range for a heap of `heap_bytes` and for its metadata, of which a heap of n
    /// bytes needs `metadata_bytes(n)`. If the source refuses, half of it is tried, and so on down
    /// to `heap_bytes_min`. Sizes are rounded up to 4 MiB, those of metadata to pages; a heap has
    /// at most 16 TiB.
    ///
    /// # Errors
    ///
    /// If the source refuses even the minimum.
    ///
    /// # Panics
    ///
    /// If `heap_bytes_min` is above `heap_bytes`, or the source's unit of release is no power of
    /// two from a page to a huge page.
    pub fn new(
        source: S,
        heap_bytes: usize,
        heap_bytes_min: usize,
        metadata_bytes: impl Fn(usize) -> usize,
    ) -> Result<Self, ReserveError> {
        assert!(
            heap_bytes_min <= heap_bytes,
            "the smallest heap, {heap_bytes_min} bytes, is larger than the largest, {heap_bytes}"
        );
        let granule = source.release_granule_bytes() >> PAGE_SHIFT;
        let rounded = |bytes: usize| {
            let steps = bytes.div_ceil(GROWTH_BYTES).max(1);
            let steps_max = (PageAlloc::PAGES_MAX / PageAlloc::GROWTH_PAGES) as usize;
            steps.min(steps_max).saturating_mul(GROWTH_BYTES)
        };
        let (mut bytes, bytes_min) = (rounded(heap_bytes), rounded(heap_bytes_min));
        loop {
            let metadata = metadata_bytes(bytes)
                .checked_next_multiple_of(PAGE_BYTES)
                .unwrap_or(usize::MAX);
            match reserve(&source, bytes, metadata) {
                Ok(region) => {
                    let mut pages = PageAlloc::new((bytes >> PAGE_SHIFT) as u32);
                    pages.set_release_units(granule as u32, HUGE_FROM_PAGES);
                    return Ok(PageHeap {
                        source,
                        region,
                        heap_bytes: bytes,
                        metadata_bytes: metadata,
                        state: Mutex::new(State {
                            pages,
                            limit_bytes: usize::MAX,
                            releases: 0,
                            releases_refused: 0,
                            released_total_pages: 0,
                            blocks_broken: 0,
                            blocks_mended: 0,
                            backs_ahead: true,
                        }),
                        put_back: Condvar::new(),
                        low: AtomicBool::new(false),
                        shadows: Vec::new(),
                    });
                }
                Err(error) if bytes <= bytes_min => {
                    return Err(ReserveError::new(bytes, metadata, error));
                }
                Err(_) => bytes = rounded(bytes / 2).max(bytes_min),
            }
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The first byte of the heap's range, at a multiple of [`HUGE_PAGE_BYTES`]. The pointer may be
    /// used for the whole range and for the metadata behind it.
    pub fn base(&self) -> NonNull<u8> {
        self.source.base(&self.region)
    }

    /// The length of the heap's range.
    pub fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    /// The first byte of the metadata, just behind the heap's range, at a multiple of
    /// [`HUGE_PAGE_BYTES`]. It reads as zero at first and stays committed.
    pub fn metadata_base(&self) -> NonNull<u8> {
        // SAFETY: the region is at least as long as the heap's range.
        unsafe { self.base().add(self.heap_bytes) }
    }

    /// The length of the metadata, as asked for at the beginning, rounded up to pages.
    pub fn metadata_bytes(&self) -> usize {
        self.metadata_bytes
    }

    /// The first byte of a run.
    ///
    /// # Panics
    ///
    /// If the run is not inside the heap's range.
    pub fn address(&self, run: PageRun) -> NonNull<u8> {
        let offset = run.offset_bytes();
        assert!(
            offset + run.bytes() <= self.heap_bytes,
            "{run:?} is outside of a heap of {} bytes",
            self.heap_bytes
        );
        // SAFETY: the offset was just checked to lie inside the region.
        unsafe { self.base().add(offset) }
    }

    /// Takes `pages` neighboring pages, the lowest there are, and makes them usable.
    ///
    /// # Errors
    ///
    /// [`Exhausted`], which says what to do; nothing has changed then.
    ///
    /// # Panics
    ///
    /// If `pages` is zero.
    pub fn alloc(&self, pages: u32) -> Result<PageRun, Exhausted> {
        self.take(pages).map(|taken| taken.run)
    }

    /// As [`alloc`](Self::alloc), and tells how many of the pages are fresh from the source, hence
    /// zero.
    ///
    /// # Errors
    ///
    /// As for `alloc`.
    ///
    /// # Panics
    ///
    /// If `pages` is zero.
    pub fn take(&self, pages: u32) -> Result<Taken, Exhausted> {
        self.take_units(pages, 1)
    }

    /// As [`take`](Self::take), for up to `units_max` neighboring units of `pages` pages: at least
    /// one, and as many as are free right behind it and within the limit. Costs no more than one.
    ///
    /// # Errors
    ///
    /// As `take`, if there is not even one.
    ///
    /// # Panics
    ///
    /// If `pages` or `units_max` is zero.
    pub fn take_units(&self, pages: u32, units_max: u32) -> Result<Taken, Exhausted> {
        assert!(pages > 0 && units_max > 0, "an allocation of no pages");
        let (taken, grown) = self.find(pages, units_max)?;
        self.commit(taken, grown)
    }

    /// Makes a run that was taken usable, or gives it back; advises what was grown by for it.
    pub(crate) fn commit(&self, taken: Taken, grown: Option<PageRun>) -> Result<Taken, Exhausted> {
        let committing = Committing {
            heap: self,
            run: taken.run,
        };
        if let Some(grown) = grown {
            self.advise_growth(grown);
        }
        if taken.released_pages > 0 {
            let (offset, bytes) = (taken.run.offset_bytes(), taken.run.bytes());
            self.source
                .commit(&self.region, offset, bytes)
                .map_err(Exhausted::Source)?;
            self.state().pages.committed(taken.run);
        }
        std::mem::forget(committing);
        Ok(taken)
    }

    /// Finds a run, growing if there is none, and marks it in use. Returns also what it grew by.
    fn find(&self, pages: u32, units_max: u32) -> Result<(Taken, Option<PageRun>), Exhausted> {
        let mut state = self.state();
        loop {
            let in_use_bytes = (state.pages.counts().in_use as usize) << PAGE_SHIFT;
            let asked_bytes = (pages as usize) << PAGE_SHIFT;
            let room_bytes = state.limit_bytes.saturating_sub(in_use_bytes);
            if asked_bytes > room_bytes {
                return Err(Exhausted::Limit {
                    asked_bytes,
                    in_use_bytes,
                    limit_bytes: state.limit_bytes,
                });
            }
            let units = units_max.min(u32::try_from(room_bytes / asked_bytes).unwrap_or(u32::MAX));
            if let Some(taken) = state.pages.alloc_units(pages, units) {
                self.note_low(&state);
                return Ok((taken, None));
            }
            if let Some(grown) = state.pages.grow(pages) {
                let taken = state.pages.alloc_units(pages, units);
                assert!(taken.is_some(), "no run of {pages} pages in {grown:?}");
                if let Some(taken) = taken {
                    self.note_low(&state);
                    return Ok((taken, Some(grown)));
                }
            }
            if state.pages.counts().releasing == 0 {
                return Err(Exhausted::Range {
                    asked_bytes,
                    in_use_bytes,
                    reserved_bytes: self.heap_bytes,
                });
            }
            state = wait(&self.put_back, state);
        }
    }

    /// Asks for huge pages behind new pages that are beyond the small beginning.
    pub(crate) fn advise_growth(&self, grown: PageRun) {
        let start = grown.start.max(HUGE_FROM_PAGES);
        if start >= grown.end() {
            return;
        }
        let (from, to) = (
            (start as usize) << PAGE_SHIFT,
            (grown.end() as usize) << PAGE_SHIFT,
        );
        if self
            .source
            .advise_huge(&self.region, from, to - from)
            .is_err()
        {
            // There are no huge pages that a small release could destroy.
            let granule = self.source.release_granule_bytes() >> PAGE_SHIFT;
            let mut state = self.state();
            state.pages.set_release_units(granule as u32, u32::MAX);
        }
    }

    /// Asks for huge pages behind a part of the metadata, `offset` bytes from its base: for the
    /// whole huge pages in it, and for nothing if there are none. May be asked repeatedly for a
    /// part that grows. Whether there are huge pages makes no difference but in speed.
    ///
    /// # Panics
    ///
    /// If the part is not inside the metadata.
    pub fn advise_metadata(&self, offset: usize, bytes: usize) {
        assert!(
            offset <= self.metadata_bytes && bytes <= self.metadata_bytes - offset,
            "{bytes} bytes at {offset} are outside of {} bytes of metadata",
            self.metadata_bytes
        );
        let from = offset.next_multiple_of(HUGE_PAGE_BYTES);
        let to = (offset + bytes) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
        if from < to {
            // A hint: without huge pages the metadata works as well.
            let _ = self
                .source
                .advise_huge(&self.region, self.heap_bytes + from, to - from);
        }
    }

    /// Gives a run back. Its memory is retained until it is allocated again or released.
    ///
    /// # Panics
    ///
    /// If a page of the run is free already.
    ///
    /// # Safety
    ///
    /// - The run, or the runs it is made of, came from this heap's `alloc` or `take` and were not
    ///   freed since.
    /// - Nobody uses its memory any more, or relies on what it holds.
    pub unsafe fn free(&self, run: PageRun) {
        self.state().pages.free(run);
    }

    /// Gives several runs back under one lock.
    ///
    /// # Panics
    ///
    /// If a page of a run is free already. The runs before it are freed then.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free), for each run.
    pub unsafe fn free_batch(&self, runs: &[PageRun]) {
        let mut state = self.state();
        for run in runs {
            state.pages.free(*run);
        }
    }

    /// Sets the most bytes that may be in use at once; at first there is no limit but the range.
    /// What is in use beyond it stays.
    pub fn set_limit(&self, limit_bytes: usize) {
        self.state().limit_bytes = limit_bytes;
    }

    /// A snapshot of the counts, consistent in itself. O(1).
    pub fn stats(&self) -> PageStats {
        let state = self.state();
        let counts = state.pages.counts();
        let bytes = |pages: u32| (pages as usize) << PAGE_SHIFT;
        PageStats {
            reserved_bytes: self.heap_bytes,
            grown_bytes: bytes(counts.grown),
            in_use_bytes: bytes(counts.in_use),
            retained_bytes: bytes(counts.retained),
            released_bytes: bytes(counts.released),
            limit_bytes: state.limit_bytes,
            releases: state.releases,
            releases_refused: state.releases_refused,
            released_total_bytes: state.released_total_pages << PAGE_SHIFT,
            refaulted_bytes: state.pages.refaulted_pages() << PAGE_SHIFT,
            free_run_max_bytes: bytes(state.pages.free_run_max()),
            blocks_broken: state.blocks_broken,
            blocks_mended: state.blocks_mended,
        }
    }

    /// How many pages are what. O(1).
    pub fn counts(&self) -> PageCounts {
        self.state().pages.counts()
    }

    /// What a page is, at this moment.
    pub fn page_state(&self, page: u32) -> PageState {
        self.state().pages.state(page)
    }

    /// Whether a page lies in a block that was huge and was released in pieces since.
    pub fn is_broken(&self, page: u32) -> bool {
        self.state().pages.is_broken(page)
    }

    /// Recomputes everything that is known about the pages, and compares. O(pages).
    ///
    /// # Panics
    ///
    /// If something disagrees, naming it.
    pub fn check_invariants(&self) {
        self.state().pages.check_invariants();
    }
}

/// A run whose commit is under way. Dropped when that fails or panics: the run is free again, and
/// its released pages are still marked as such.
struct Committing<'a, S: PageSource> {
    heap: &'a PageHeap<S>,
    run: PageRun,
}

impl<S: PageSource> Drop for Committing<'_, S> {
    fn drop(&mut self) {
        self.heap.state().pages.free(self.run);
    }
}
