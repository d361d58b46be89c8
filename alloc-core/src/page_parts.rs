//! What a page heap does with parts: a run grows where it is, and memory is discarded by parts.
//!
//! A discard is the weaker sister of a release: the pages stay in use and committed, and what they
//! hold becomes zero. Two things are discarded: pages that their owner has no use for now, and the
//! *shadows* of pages that were released. A shadow is a table in the metadata with a byte for so
//! many bytes of the heap; while a page is free its part of the tables is nobody's.

use crate::os::PageSource;
use crate::page_error::Exhausted;
use crate::page_heap::PageHeap;
use crate::pages::{PAGE_SHIFT, PageRun, Taken};

/// Bytes of the heap to a byte of a shadow.
pub(crate) const SHADOW_RATIO: usize = 128;

impl<S: PageSource> PageHeap<S> {
    /// Takes the `pages` pages right behind a run, which is then that much longer; `None` if they
    /// are not free, or not to be had within the limit.
    ///
    /// # Errors
    ///
    /// [`Exhausted::Source`] if the source refuses; nothing has changed then.
    ///
    /// # Panics
    ///
    /// If `pages` is zero, or the run is not in use.
    pub fn take_behind(&self, run: PageRun, pages: u32) -> Result<Option<Taken>, Exhausted> {
        let (taken, grown) = {
            let mut state = self.state();
            let before = state.pages.counts();
            let in_use_bytes = (before.in_use as usize) << PAGE_SHIFT;
            let asked_bytes = (pages as usize) << PAGE_SHIFT;
            if asked_bytes > state.limit_bytes.saturating_sub(in_use_bytes) {
                return Ok(None);
            }
            let Some(taken) = state.pages.alloc_behind(run, pages) else {
                return Ok(None);
            };
            let grown = PageRun {
                start: before.grown,
                count: state.pages.counts().grown - before.grown,
            };
            (taken, (grown.count > 0).then_some(grown))
        };
        self.commit(taken, grown).map(Some)
    }

    /// Forgets what a part of pages in use holds; see [`PageSource::discard`].
    ///
    /// # Safety
    ///
    /// As for [`PageSource::discard`]; the pages were taken from this heap.
    pub(crate) unsafe fn discard(&self, offset: usize, bytes: usize) {
        // SAFETY: this function's own preconditions; pages in use are committed.
        unsafe { self.source.discard(&self.region, offset, bytes) };
    }

    /// The unit of a discard.
    pub(crate) fn discard_granule_bytes(&self) -> usize {
        self.source.discard_granule_bytes()
    }

    /// Names tables in the metadata, by their places from its base, that have a byte for each
    /// [`SHADOW_RATIO`] bytes of the heap: their memory goes back with that of the pages.
    ///
    /// # Safety
    ///
    /// While a page is free, its part of the tables may become zero at any time: whoever looks at
    /// it meanwhile takes zero as well as what was there, and nobody writes to it.
    pub(crate) unsafe fn set_shadows(&mut self, places: &[usize]) {
        let places = places.iter().map(|place| self.heap_bytes() + place);
        self.shadows = places.collect();
    }

    /// Discards the shadows of a run that was released and is not put back yet.
    pub(crate) fn discard_shadows(&self, run: PageRun) {
        let unit = self.discard_granule_bytes();
        let (from, to) = (run.offset_bytes(), run.offset_bytes() + run.bytes());
        for place in &self.shadows {
            let first = (place + from.div_ceil(SHADOW_RATIO)).next_multiple_of(unit);
            let end = (place + to / SHADOW_RATIO) / unit * unit;
            if first < end {
                // SAFETY: the tables' own part of the metadata, which stays committed; the run is
                // out of use until it is put back, so what `set_shadows` was promised holds.
                unsafe { self.discard(first, end - first) };
            }
        }
    }
}
