//! Which pages are free: address-ordered first fit over a bitmap.
//!
//! Two bits a page. *In use*: somebody has it. *Released*: its memory is with the operating system,
//! because it was given back or never touched. First fit by address packs the heap towards its low
//! end, so that the high end empties and whole huge pages can be given back; a tree of summaries
//! ([`SummaryTree`]) finds the place in logarithmic time.
//!
//! The structure is plain data: no lock, no memory, no operating system. Two things therefore
//! happen in two steps, between which the owner calls the operating system with no lock held:
//!
//! | step | in use | released | counted as |
//! |---|---|---|---|
//! | [`alloc`](PageAlloc::alloc) | set | kept | in use |
//! | [`committed`](PageAlloc::committed), if that worked | | cleared | in use |
//! | [`free`](PageAlloc::free), if it failed | cleared | kept | as before |
//! | [`take_for_release`](PageAlloc::take_for_release) | set | kept | as before, and releasing |
//! | [`put_back_released`](PageAlloc::put_back_released) | cleared | set | released |
//! | [`put_back_retained`](PageAlloc::put_back_retained), if refused | cleared | kept | as before |
//!
//! A page on its way out is marked in use, so that nobody can take it: that is the whole of the
//! protection against releasing memory that is allocated. The released bit is kept until the call
//! has succeeded, so that a failure can be undone exactly.
//!
//! The last three, and the choice of what goes, are in `page_reach`; what is counted as released
//! in vain, in `page_refault`.

use crate::page_bits::{CHUNK_PAGES, ChunkBits};
use crate::page_reach::Reaches;
use crate::page_refault::Refaults;
use crate::page_tree::{Found, Summary, SummaryTree};
use crate::pages::{HUGE_PAGES, PageCounts, PageRun, PageState, Taken};

/// The bits of 512 pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub(crate) in_use: ChunkBits,
    pub(crate) released: ChunkBits,
}

/// A part of a run in one chunk: the chunk's index, the first page in it, and how many there are.
pub(crate) type Piece = (usize, u32, u32);

/// Blocks of a huge page in a chunk.
const CHUNK_BLOCKS: usize = (CHUNK_PAGES / HUGE_PAGES) as usize;

/// The free pages of a range, single-threaded and without memory.
///
/// ```
/// use alloc_core::{PageAlloc, PageRun};
///
/// let mut pages = PageAlloc::new(1024);
/// pages.grow(512);
/// let taken = pages.alloc(3).map(|taken| taken.run);
/// assert_eq!(taken, Some(PageRun { start: 0, count: 3 }));
/// assert_eq!(pages.alloc(510), None, "only 509 are left until it grows again");
/// ```
#[derive(Debug)]
pub struct PageAlloc {
    pub(crate) chunks: Vec<Chunk>,
    chunks_max: usize,
    /// Free runs: the clear runs of `in_use`.
    pub(crate) tree: SummaryTree,
    in_use: u32,
    pub(crate) released: u32,
    pub(crate) releasing: u32,
    /// A block: whether it was huge, and was released in pieces.
    pub(crate) broken: Vec<bool>,
    pub(crate) refaults: Refaults,
    /// For each reach the page at and above which nothing can be released by it.
    pub(crate) release_below: Reaches<u32>,
    /// Pages in a unit of release where memory is made of small pages.
    pub(crate) granule: u32,
    /// From this page on, memory is made of huge pages. A multiple of a chunk.
    pub(crate) huge_from: u32,
}

/// The parts of a run in the chunks that it touches.
pub(crate) fn pieces(run: PageRun) -> impl Iterator<Item = Piece> {
    let chunks = run.start / CHUNK_PAGES..run.end().div_ceil(CHUNK_PAGES);
    chunks.map(move |chunk| {
        let base = chunk * CHUNK_PAGES;
        let start = run.start.max(base) - base;
        let end = run.end().min(base + CHUNK_PAGES) - base;
        (chunk as usize, start, end - start)
    })
}

impl PageAlloc {
    /// The most pages that it can manage: 2³¹, 16 TiB.
    pub const PAGES_MAX: u32 = 1 << 31;

    /// The pages by which it grows: a chunk, 4 MiB.
    pub const GROWTH_PAGES: u32 = CHUNK_PAGES;

    /// No pages, with room for `pages_max`, rounded down to whole chunks of 512.
    ///
    /// Reserves all the memory it will ever need, less than three and a half bits a page, without
    /// touching it.
    ///
    /// # Panics
    ///
    /// If `pages_max` is above [`PAGES_MAX`](Self::PAGES_MAX).
    #[must_use]
    pub fn new(pages_max: u32) -> Self {
        assert!(
            pages_max <= Self::PAGES_MAX,
            "{pages_max} pages are too many"
        );
        let chunks_max = (pages_max / CHUNK_PAGES) as usize;
        PageAlloc {
            chunks: Vec::with_capacity(chunks_max),
            chunks_max,
            tree: SummaryTree::with_capacity(chunks_max),
            in_use: 0,
            released: 0,
            releasing: 0,
            broken: Vec::with_capacity(chunks_max * CHUNK_BLOCKS),
            refaults: Refaults::with_capacity(chunks_max),
            release_below: Reaches::default(),
            granule: 1,
            huge_from: u32::MAX,
        }
    }

    /// Says in which units memory can be released: `granule` pages (a power of two, at most
    /// [`HUGE_PAGES`]), and whole huge pages from page `huge_from` on (rounded up to a chunk;
    /// `u32::MAX` for nowhere). At first it is single pages everywhere.
    ///
    /// # Panics
    ///
    /// If `granule` is none of these.
    pub fn set_release_units(&mut self, granule: u32, huge_from: u32) {
        assert!(
            granule.is_power_of_two() && granule <= HUGE_PAGES,
            "a unit of release of {granule} pages is no power of two up to {HUGE_PAGES}"
        );
        self.granule = granule;
        self.huge_from = huge_from
            .checked_next_multiple_of(CHUNK_PAGES)
            .unwrap_or(u32::MAX);
        self.release_below = Reaches::all_at(self.grown());
    }

    /// The first page of those that are huge.
    pub(crate) fn huge_from(&self) -> u32 {
        self.huge_from
    }

    /// The pages it has grown to.
    pub(crate) fn grown(&self) -> u32 {
        self.chunks.len() as u32 * CHUNK_PAGES
    }

    /// How many pages are what. O(1).
    #[must_use]
    pub fn counts(&self) -> PageCounts {
        PageCounts {
            grown: self.grown(),
            in_use: self.in_use,
            retained: self.grown() - self.in_use - self.released,
            released: self.released,
            releasing: self.releasing,
        }
    }

    /// What a page is.
    #[must_use]
    pub fn state(&self, page: u32) -> PageState {
        let Some(chunk) = self.chunks.get((page / CHUNK_PAGES) as usize) else {
            return PageState::Ungrown;
        };
        let at = page % CHUNK_PAGES;
        match (chunk.in_use.get(at), chunk.released.get(at)) {
            (true, _) => PageState::InUse,
            (false, false) => PageState::Retained,
            (false, true) => PageState::Released,
        }
    }

    /// Grows until a run of `pages` fits behind the last page in use, by whole chunks. The new
    /// pages are free and released. Returns them, or `None`, without change, if there is no room.
    ///
    /// # Panics
    ///
    /// If `pages` is zero.
    pub fn grow(&mut self, pages: u32) -> Option<PageRun> {
        assert!(pages > 0, "growth by no pages");
        let missing = pages.saturating_sub(self.tree.root().end).max(1);
        let chunks = missing.div_ceil(CHUNK_PAGES) as usize;
        if chunks > self.chunks_max - self.chunks.len() {
            return None;
        }
        let start = self.grown();
        for _ in 0..chunks {
            self.chunks.push(Chunk {
                in_use: ChunkBits::default(),
                released: ChunkBits::ALL,
            });
            self.tree.push(Summary::all_free(CHUNK_PAGES));
            self.broken.extend([false; CHUNK_BLOCKS]);
            self.refaults.push();
        }
        let count = chunks as u32 * CHUNK_PAGES;
        self.released += count;
        Some(PageRun { start, count })
    }

    /// Takes the lowest free run of `pages`; `None` if there is none among the grown pages.
    ///
    /// The released ones among them stay marked: after they were committed say so by
    /// [`committed`](Self::committed), or give the run back by [`free`](Self::free). O(log pages).
    ///
    /// # Panics
    ///
    /// If `pages` is zero.
    pub fn alloc(&mut self, pages: u32) -> Option<Taken> {
        self.alloc_units(pages, 1)
    }

    /// As [`alloc`](Self::alloc), and takes what is free right behind the run as well, in units of
    /// `pages`, up to `units_max` units in all and to the chunk's end. The lowest room is used
    /// first all the same: a longer run further up is not looked for.
    ///
    /// # Panics
    ///
    /// If `pages` or `units_max` is zero.
    pub fn alloc_units(&mut self, pages: u32, units_max: u32) -> Option<Taken> {
        assert!(pages > 0 && units_max > 0, "an allocation of no pages");
        let start = match self.tree.find(pages)? {
            Found::At(start) => start,
            Found::InChunk(index) => {
                let inside = self.chunks[index].in_use.find_clear_run(pages);
                assert!(inside.is_some(), "a page summary promises a run it lacks");
                index as u32 * CHUNK_PAGES + inside.unwrap_or_default()
            }
        };
        let mut run = PageRun {
            start,
            count: pages,
        };
        while run.count / pages < units_max && self.is_free_in_chunk(run.end(), pages) {
            run.count += pages;
        }
        Some(self.mark_taken(run))
    }

    /// Marks a free run as in use.
    fn mark_taken(&mut self, run: PageRun) -> Taken {
        let released_pages = self.count_released(run);
        self.mark_in_use(run);
        self.in_use += run.count;
        self.released -= released_pages;
        Taken {
            run,
            released_pages,
        }
    }

    /// Takes the `pages` pages right behind a run in use, if all of them are free; grows for that
    /// where the run is the last one. As [`alloc`](Self::alloc) else.
    ///
    /// # Panics
    ///
    /// If `pages` is zero, or there is no such run.
    pub fn alloc_behind(&mut self, run: PageRun, pages: u32) -> Option<Taken> {
        assert!(pages > 0, "an allocation of no pages");
        self.assert_in_use(run, "extended");
        let extra = PageRun {
            start: run.end(),
            count: pages,
        };
        let end = extra.start.checked_add(pages)?;
        if end > self.grown() {
            let free_at_end = self.tree.root().end;
            // What is free at the end begins right behind the run, or does not begin there at all.
            if self.grown() - free_at_end > extra.start || self.grow(pages).is_none() {
                return None;
            }
        }
        let is_free = pieces(extra)
            .all(|(chunk, start, count)| self.chunks[chunk].in_use.count_set(start, count) == 0);
        is_free.then(|| self.mark_taken(extra))
    }

    /// Whether `pages` pages from `start` are free and in one grown chunk, not its first.
    fn is_free_in_chunk(&self, start: u32, pages: u32) -> bool {
        let inside = start % CHUNK_PAGES;
        let chunk = self.chunks.get((start / CHUNK_PAGES) as usize);
        inside != 0
            && inside + pages <= CHUNK_PAGES
            && chunk.is_some_and(|chunk| (inside..inside + pages).all(|at| !chunk.in_use.get(at)))
    }

    /// The released pages of an allocated run are committed: they are ordinary pages now.
    ///
    /// # Panics
    ///
    /// If a page of the run is not in use.
    pub fn committed(&mut self, run: PageRun) {
        self.assert_in_use(run, "committed");
        self.note_refaults(run);
        for (chunk, start, count) in pieces(run) {
            self.chunks[chunk].released.clear(start, count);
        }
    }

    /// Gives a run back. Its pages are retained now; those still marked as released are released.
    ///
    /// # Panics
    ///
    /// If a page of the run is not in use: it was freed twice, or never allocated.
    pub fn free(&mut self, run: PageRun) {
        self.assert_in_use(run, "freed");
        self.released += self.count_released(run);
        self.in_use -= run.count;
        self.mark_free(run);
        self.raise_release_cursors(run);
    }

    pub(crate) fn count_released(&self, run: PageRun) -> u32 {
        pieces(run)
            .map(|(chunk, start, count)| self.chunks[chunk].released.count_set(start, count))
            .sum()
    }

    /// Marks a free run.
    pub(crate) fn mark_in_use(&mut self, run: PageRun) {
        let chunks = &mut self.chunks;
        self.tree.update(pieces(run), |(chunk, start, count), old| {
            chunks[chunk].in_use.set_summed(start, count, old)
        });
    }

    /// Marks a run of which no page is free.
    pub(crate) fn mark_free(&mut self, run: PageRun) {
        let chunks = &mut self.chunks;
        self.tree.update(pieces(run), |(chunk, start, count), old| {
            chunks[chunk].in_use.clear_summed(start, count, old)
        });
    }

    pub(crate) fn assert_in_use(&self, run: PageRun, verb: &str) {
        let end = run.start.checked_add(run.count);
        assert!(
            run.count > 0 && end.is_some_and(|end| end <= self.grown()),
            "{run:?} was {verb}, but is no run of this heap's {} pages",
            self.grown()
        );
        for (chunk, start, count) in pieces(run) {
            let free = self.chunks[chunk].in_use.first_clear(start, count);
            assert!(
                free.is_none(),
                "{run:?} was {verb}, but page {} is free: freed twice, or never allocated",
                chunk as u32 * CHUNK_PAGES + free.unwrap_or_default()
            );
        }
    }

    /// Recomputes every summary and every count from the bits, and compares. O(pages).
    ///
    /// # Panics
    ///
    /// If something disagrees, naming it.
    pub fn check_invariants(&self) {
        let (mut in_use, mut free_released, mut free_retained) = (0, 0, 0);
        for (index, chunk) in self.chunks.iter().enumerate() {
            let summary = chunk.in_use.summary_of_clear();
            assert_eq!(summary, self.tree.chunk(index), "summary of chunk {index}");
            in_use += chunk.in_use.count_set(0, CHUNK_PAGES);
            for page in 0..CHUNK_PAGES {
                match self.state(index as u32 * CHUNK_PAGES + page) {
                    PageState::Released => free_released += 1,
                    PageState::Retained => free_retained += 1,
                    PageState::InUse | PageState::Ungrown => {}
                }
            }
        }
        self.tree.check();
        let counts = self.counts();
        assert_eq!(in_use, counts.in_use + counts.releasing, "pages in use");
        // A page on its way out is counted as retained or released, but its bits say in use.
        let released = free_released..=free_released + counts.releasing;
        assert!(released.contains(&counts.released), "released {counts:?}");
        let retained = free_retained..=free_retained + counts.releasing;
        assert!(retained.contains(&counts.retained), "retained {counts:?}");
        self.check_release();
        self.check_refaults();
    }
}
