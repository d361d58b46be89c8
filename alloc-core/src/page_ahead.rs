//! Memory put behind free pages before anybody asks for them.
//!
//! The first touch of a huge page makes the kernel clear 2 MiB, for which the toucher waits: 0.1 ms
//! where memory is at hand, milliseconds where a hypervisor has to find it first. A heap that grows
//! at a known pace need not let its mutators wait. When few free pages have memory behind them the
//! heap is [*low*](PageHeap::is_low); whoever has a thread to spare then calls
//! [`back_ahead`](PageHeap::back_ahead), which backs one huge page that is likely to be needed
//! next, with no lock held. Whether more is wanted at all (a heap near its goal wants none) is for
//! the caller to say.
//!
//! A page on its way in is marked in use and counted as released, as one that goes out is; so
//! nobody else gets it meanwhile, and an allocation that finds nothing else waits for it. The table
//! and the argument are in `page_heap`.
//!
//! The place is found next to the lowest run of free pages that holds a huge page, because
//! allocation fills from the lowest address up: no more than [`CHUNKS_LOOKED_AT`] chunks on, and
//! if the heap ends before, it grows by one.

use crate::os::PageSource;
use crate::page_alloc::{PageAlloc, pieces};
use crate::page_bits::CHUNK_PAGES;
use crate::page_heap::{PageHeap, State};
use crate::page_tree::Found;
use crate::pages::{HUGE_PAGE_BYTES, HUGE_PAGES, PAGE_SHIFT, PageRun};
use crate::sync::Ordering;

/// A large heap with less free memory than this is low: four huge pages, so that some can be filled
/// while the next is backed.
const LOW_PAGES: u32 = 4 * HUGE_PAGES;
/// A small one with less than this share of what is in use, and than one huge page: it fills memory
/// no faster, but four pages would be much of what it has.
const LOW_SHARE: u32 = 8;

/// Chunks in which a place is looked for, so that the search is short under the lock.
const CHUNKS_LOOKED_AT: usize = 8;

impl PageAlloc {
    /// Whether free pages with memory behind them are few, in a heap of huge pages.
    pub(crate) fn is_low(&self) -> bool {
        let counts = self.counts();
        let low_pages = (counts.in_use / LOW_SHARE).clamp(HUGE_PAGES, LOW_PAGES);
        self.grown() > self.huge_from() && counts.retained < low_pages
    }

    /// Takes a huge page's worth of free pages of which none has memory, close to where the next
    /// allocations will be. Nobody else gets it until it is put back. The second part is what the
    /// heap has grown by.
    ///
    /// O(log pages).
    pub(crate) fn take_ahead(&mut self) -> Option<(PageRun, Option<PageRun>)> {
        let first = match self.tree.find(HUGE_PAGES) {
            Some(Found::At(start)) => (start / CHUNK_PAGES) as usize,
            Some(Found::InChunk(index)) => index,
            None => self.chunks.len(),
        };
        let mut grown = None;
        for index in first..first + CHUNKS_LOOKED_AT {
            if index == self.chunks.len() {
                // By one chunk: a run that is longer than what is free at the end by a page.
                let free_at_end = self.tree.root().end;
                grown = Some(self.grow(free_at_end + 1)?);
            }
            let chunk = &self.chunks[index];
            let is_untouched = |at: &u32| {
                chunk.in_use.count_set(*at, HUGE_PAGES) == 0
                    && chunk.released.count_set(*at, HUGE_PAGES) == HUGE_PAGES
            };
            let mut blocks = (0..CHUNK_PAGES).step_by(HUGE_PAGES as usize);
            if let Some(at) = blocks.find(is_untouched) {
                let run = PageRun {
                    start: index as u32 * CHUNK_PAGES + at,
                    count: HUGE_PAGES,
                };
                self.mark_in_use(run);
                self.releasing += run.count;
                return Some((run, grown));
            }
        }
        None
    }

    /// Puts a run back that [`take_ahead`](Self::take_ahead) took; whether it has memory now.
    ///
    /// # Panics
    ///
    /// If the run was not taken.
    pub(crate) fn put_back_ahead(&mut self, run: PageRun, is_backed: bool) {
        if !is_backed {
            self.put_back_released(run);
            return;
        }
        self.note_refaults(run);
        for (chunk, start, count) in pieces(run) {
            self.chunks[chunk].released.clear(start, count);
        }
        self.released -= run.count;
        self.put_back_retained(run);
    }
}

impl<S: PageSource> PageHeap<S> {
    /// Whether few of the free pages have memory behind them, an eighth of those in use but from 2
    /// to 8 MiB, in a heap that is beyond its small beginning. As of the last allocation of pages,
    /// and false after a
    /// [`back_ahead`](Self::back_ahead) in vain, so that nobody asks again at once. No lock is
    /// taken.
    #[inline]
    pub fn is_low(&self) -> bool {
        // Relaxed: a hint.
        self.low.load(Ordering::Relaxed)
    }

    /// Notes whether the heap is low.
    pub(crate) fn note_low(&self, state: &State) {
        self.set_low(state.backs_ahead && state.pages.is_low());
    }

    /// The caller holds the lock.
    fn set_low(&self, is_low: bool) {
        // Relaxed, both: a hint; the test spares the bus.
        if self.low.load(Ordering::Relaxed) != is_low {
            // Relaxed: as above.
            self.low.store(is_low, Ordering::Relaxed);
        }
    }

    /// If the heap is low, puts memory behind 2 MiB of free pages, which may take milliseconds;
    /// whether it did. The pages are retained then. False also if there is no room for them within
    /// the heap's limit, and if the source refused, which is not asked again.
    pub fn back_ahead(&self) -> bool {
        let (run, grown) = {
            let mut state = self.state();
            self.note_low(&state);
            let in_use_bytes = (state.pages.counts().in_use as usize) << PAGE_SHIFT;
            let has_room = in_use_bytes.saturating_add(HUGE_PAGE_BYTES) <= state.limit_bytes;
            if !self.is_low() || !has_room {
                self.set_low(false);
                return false;
            }
            let Some(taken) = state.pages.take_ahead() else {
                self.set_low(false);
                return false;
            };
            taken
        };
        let mut backing = Backing {
            heap: self,
            run,
            is_backed: false,
        };
        if let Some(grown) = grown {
            self.advise_growth(grown);
        }
        let (offset, bytes) = (run.offset_bytes(), run.bytes());
        let committed = self.source.commit(&self.region, offset, bytes);
        let backed = committed.and_then(|()| self.source.populate(&self.region, offset, bytes));
        backing.is_backed = backed.is_ok();
        backing.is_backed
    }
}

/// A run on its way in; put back when it is dropped, by a source that panics too.
struct Backing<'a, S: PageSource> {
    heap: &'a PageHeap<S>,
    run: PageRun,
    is_backed: bool,
}

impl<S: PageSource> Drop for Backing<'_, S> {
    fn drop(&mut self) {
        let mut state = self.heap.state();
        state.pages.put_back_ahead(self.run, self.is_backed);
        state.backs_ahead &= self.is_backed;
        self.heap.note_low(&state);
        self.heap.put_back.notify_all();
    }
}
