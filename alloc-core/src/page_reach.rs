//! Which free pages are given back first: how far a release reaches into huge pages.
//!
//! Memory is released in units: single pages where memory is made of small ones, whole *blocks* of
//! 2 MiB where it is made of huge ones, because one small release there destroys the huge page
//! (measured: 12 µs for 8 KiB, 30 times the price per byte, and every later touch costs what a
//! small page costs). But a block that holds a few used pages would keep its whole memory forever.
//! So a release has a [`Reach`], and a block may be *broken*: from then on it goes piece by piece.
//!
//! | a block above the small beginning is | what of it can go | next |
//! |---|---|---|
//! | whole | all of it, if it is free; by a longer reach, pieces | broken, when a piece is taken |
//! | broken | pieces; all of it, if it is free | whole, when all of it was released |
//!
//! The owner says so to the operating system: small pages are advised for a block before its first
//! piece goes, lest the kernel makes it huge again and gives every page of it memory; huge ones
//! before it goes as a whole.
//!
//! *The bit and the advice agree.* A block breaks when a piece of it is taken and mends when all
//! of it is put back, both under the owner's lock, and the advice is given while the run is out. A
//! run that mends is the whole block, all of it free when it was taken: so no piece is out then,
//! and none can be taken before the run is back.
//!
//! A unit is released when all of it is free and some of it is retained: the highest first, since
//! allocation fills from the lowest; and nothing breaks while anything can go without.
//!
//! Where it stops: a broken block whose pages are all used again stays of small pages. Making it
//! huge costs the kernel a copy (2 to 4 ms measured), on whose time nobody here can judge.

use crate::page_alloc::{PageAlloc, pieces};
use crate::page_bits::CHUNK_PAGES;
use crate::pages::{HUGE_PAGES, PageRun};

/// Blocks with at most so many used pages are sparse: a quarter.
///
/// Breaking one returns three quarters of a huge page or more, for the cost of small pages behind
/// the rest.
const SPARSE_PAGES_MAX: u32 = HUGE_PAGES / 4;

/// How far a release goes. Each reach includes those before it, and turns to its own only when
/// they have nothing left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// What costs no huge page: whole free blocks of 2 MiB, and free pages where memory is made of
    /// small ones or was broken before.
    Whole,
    /// Also free pages in blocks of which at most a quarter is in use, which breaks them.
    Sparse,
    /// Every free page.
    All,
}

impl Reach {
    const EACH: [Reach; 3] = [Reach::Whole, Reach::Sparse, Reach::All];
}

/// Something for each reach.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reaches<T>([T; 3]);

impl<T: Copy> Reaches<T> {
    pub(crate) fn all_at(value: T) -> Self {
        Reaches([value; 3])
    }

    fn get(&mut self, reach: Reach) -> &mut T {
        &mut self.0[reach as usize]
    }
}

/// What a release does to the block that its run lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: memory goes in the pieces that it is made of.
    None,
    /// The block was whole and is broken now: small pages are to be advised for it.
    Breaks,
    /// The block is broken, and all of it goes: huge pages are to be advised for it, and then it
    /// is [`mended`](PageAlloc::mended).
    Mends,
}

/// A run that was taken for release. It lies in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The pages.
    pub run: PageRun,
    /// What becomes of their block.
    pub effect: Effect,
}

impl Outgoing {
    /// The whole block that the run lies in.
    #[must_use]
    pub const fn block(self) -> PageRun {
        PageRun {
            start: self.run.start / HUGE_PAGES * HUGE_PAGES,
            count: HUGE_PAGES,
        }
    }
}

impl PageAlloc {
    /// Whether a page's block was huge and was released in pieces since.
    #[must_use]
    pub fn is_broken(&self, page: u32) -> bool {
        let block = (page / HUGE_PAGES) as usize;
        self.broken.get(block).copied().unwrap_or(false)
    }

    /// Takes the highest run that can be released without a longer reach than needed, at most
    /// `pages_max` pages of it (rounded up to a unit) and at most a block. Nobody else gets it
    /// until it is put back.
    ///
    /// Linear in the blocks above the run, but each is looked at once between two events above
    /// it: a free, or a block that breaks.
    pub fn take_for_release(&mut self, pages_max: u32, reach: Reach) -> Option<Outgoing> {
        if pages_max == 0 {
            return None;
        }
        let reaches = Reach::EACH.into_iter().filter(|step| *step <= reach);
        let mut found = reaches.map(|step| self.take_by(step, pages_max));
        found.find_map(|outgoing| outgoing)
    }

    /// Takes the highest run that this reach has, and the reaches before it do not.
    fn take_by(&mut self, reach: Reach, pages_max: u32) -> Option<Outgoing> {
        loop {
            let below = *self.release_below.get(reach);
            if below == 0 {
                return None;
            }
            let block = (below - 1) / HUGE_PAGES * HUGE_PAGES;
            let Some(outgoing) = self.highest_in(block, below, reach, pages_max) else {
                *self.release_below.get(reach) = block;
                continue;
            };
            let run = outgoing.run;
            self.mark_in_use(run);
            self.releasing += run.count;
            *self.release_below.get(reach) = run.start;
            if outgoing.effect == Effect::Breaks {
                self.broken[(block / HUGE_PAGES) as usize] = true;
                // The rest of it costs no huge page any more.
                let below = self.release_below.get(Reach::Whole);
                *below = (*below).max(block + HUGE_PAGES);
            }
            return Some(outgoing);
        }
    }

    /// The units in which the block at page `block` goes by this reach, if it does, with what that
    /// does to it.
    fn unit(&self, block: u32, reach: Reach) -> Option<(u32, Effect)> {
        let (small, broken) = (block < self.huge_from, self.is_broken(block));
        let by_granules = small || broken || reach > Reach::Whole;
        let unit_min = if by_granules {
            self.granule
        } else {
            HUGE_PAGES
        };
        // The summaries lie side by side: most blocks are passed over without loading their bits.
        let index = (block / CHUNK_PAGES) as usize;
        let chunk = &self.chunks[index];
        if self.tree.chunk(index).max < unit_min || !chunk.in_use.any_clear_in_both(&chunk.released)
        {
            return None;
        }
        let used = chunk.in_use.count_set(block % CHUNK_PAGES, HUGE_PAGES);
        match reach {
            Reach::Whole if small => Some((self.granule, Effect::None)),
            Reach::Whole if used == 0 && broken => Some((HUGE_PAGES, Effect::Mends)),
            Reach::Whole if used == 0 => Some((HUGE_PAGES, Effect::None)),
            Reach::Whole => broken.then_some((self.granule, Effect::None)),
            Reach::Sparse if used > SPARSE_PAGES_MAX => None,
            Reach::Sparse | Reach::All => {
                (!small && !broken).then_some((self.granule, Effect::Breaks))
            }
        }
    }

    /// The highest releasable run of the block at page `block`, below page `below`.
    fn highest_in(&self, block: u32, below: u32, reach: Reach, pages_max: u32) -> Option<Outgoing> {
        let (unit, effect) = self.unit(block, reach)?;
        let (chunk, base) = (
            &self.chunks[(block / CHUNK_PAGES) as usize],
            block % CHUNK_PAGES,
        );
        let releasable = |at: u32| {
            chunk.in_use.count_set(base + at, unit) == 0
                && chunk.released.count_set(base + at, unit) < unit
        };
        // A unit that the cursor lies in is free now, but may not have been when it was passed.
        let units = (below - block).div_ceil(unit);
        let mut starts = (0..units).rev().map(|index| index * unit);
        let last = starts.find(|&at| releasable(at))?;
        let units_max = pages_max.div_ceil(unit) as usize;
        let more = starts.take(units_max - 1).take_while(|&at| releasable(at));
        let first = more.last().unwrap_or(last);
        let run = PageRun {
            start: block + first,
            count: last + unit - first,
        };
        Some(Outgoing { run, effect })
    }

    /// Puts a run back that was taken for release, and that the operating system now has. Returns
    /// how many of its pages were retained before.
    ///
    /// # Panics
    ///
    /// If the run was not taken.
    pub fn put_back_released(&mut self, run: PageRun) -> u32 {
        self.assert_releasing(run);
        let newly = run.count - self.count_released(run);
        for (chunk, start, count) in pieces(run) {
            self.chunks[chunk].released.set(start, count);
        }
        self.released += newly;
        self.releasing -= run.count;
        self.mark_free(run);
        newly
    }

    /// Puts a run back that was taken for release, but that the operating system refused.
    ///
    /// # Panics
    ///
    /// If the run was not taken.
    pub fn put_back_retained(&mut self, run: PageRun) {
        self.assert_releasing(run);
        self.releasing -= run.count;
        self.mark_free(run);
        self.raise_release_cursors(run);
    }

    /// A block that was taken as a whole, and that is still out, is huge again.
    ///
    /// # Panics
    ///
    /// If it is no whole block that was taken.
    pub fn mended(&mut self, block: PageRun) {
        self.assert_releasing(block);
        assert!(
            block.start.is_multiple_of(HUGE_PAGES) && block.count == HUGE_PAGES,
            "{block:?} was mended, but is no block of {HUGE_PAGES} pages"
        );
        self.broken[(block.start / HUGE_PAGES) as usize] = false;
    }

    /// A run is retained now: the units it touches may have become whole by it.
    pub(crate) fn raise_release_cursors(&mut self, run: PageRun) {
        let unit_end = run.end().next_multiple_of(HUGE_PAGES);
        for reach in Reach::EACH {
            let below = self.release_below.get(reach);
            *below = (*below).max(unit_end);
        }
    }

    fn assert_releasing(&self, run: PageRun) {
        self.assert_in_use(run, "put back");
        assert!(
            run.count <= self.releasing,
            "{run:?} was put back, but was not taken for release"
        );
    }

    /// The part of [`check_invariants`](Self::check_invariants) that is about releases.
    pub(crate) fn check_release(&self) {
        assert!(
            self.release_below
                .0
                .iter()
                .all(|below| *below <= self.grown()),
            "release cursors {:?} of {} pages",
            self.release_below,
            self.grown()
        );
        let blocks = self.grown() / HUGE_PAGES;
        assert_eq!(self.broken.len(), blocks as usize, "blocks");
    }
}
