//! The free pages of a heap against a naive twin that keeps a state a page.
#![cfg(not(heapwright_loom))]

use std::ops::Range;

use alloc_core::{Effect, HUGE_PAGES, Outgoing, PageAlloc, PageRun, PageState, Reach};

/// A small generator (xorshift64*), so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as u32) % limit
    }
}

/// The obvious twin: a state a page, searched from the beginning.
struct Naive {
    pages: Vec<PageState>,
    /// Whether a page's block is broken.
    broken: Vec<bool>,
    pages_max: u32,
    granule: u32,
    huge_from: u32,
}

impl Naive {
    fn range(run: PageRun) -> Range<usize> {
        run.start as usize..run.end() as usize
    }

    fn is_free(state: &PageState) -> bool {
        matches!(state, PageState::Retained | PageState::Released)
    }

    fn first_fit(&self, count: u32) -> Option<PageRun> {
        let mut windows = self.pages.windows(count as usize);
        let start = windows.position(|window| window.iter().all(Self::is_free))?;
        let start = start as u32;
        Some(PageRun { start, count })
    }

    /// The first fit, and the units that are free behind it in its chunk.
    fn first_fit_units(&self, count: u32, units_max: u32) -> Option<PageRun> {
        let mut run = self.first_fit(count)?;
        let chunk_end = |page: u32| (page / 512 + 1) * 512;
        while run.count / count < units_max {
            let next = run.end()..run.end() + count;
            let fits = next.start % 512 != 0 && next.end <= chunk_end(next.start);
            let inside = self.pages.get(next.start as usize..next.end as usize);
            if !fits || !inside.is_some_and(|pages| pages.iter().all(Self::is_free)) {
                break;
            }
            run.count += count;
        }
        Some(run)
    }

    fn count(&self, run: PageRun, state: PageState) -> u32 {
        let of_state = self.pages[Self::range(run)].iter();
        of_state.filter(|s| **s == state).count() as u32
    }

    fn whole(&self) -> PageRun {
        let count = self.pages.len() as u32;
        PageRun { start: 0, count }
    }

    fn free_at_end(&self) -> u32 {
        let from_end = self.pages.iter().rev();
        from_end.take_while(|state| Self::is_free(state)).count() as u32
    }

    fn grow(&mut self, pages: u32) -> Option<PageRun> {
        let missing = pages.saturating_sub(self.free_at_end()).max(1);
        let count = missing.div_ceil(512) * 512;
        let start = self.pages.len() as u32;
        if start + count > self.pages_max {
            return None;
        }
        self.pages
            .resize((start + count) as usize, PageState::Released);
        self.broken.resize((start + count) as usize, false);
        Some(PageRun { start, count })
    }

    fn block(page: u32) -> PageRun {
        let (start, count) = (page / HUGE_PAGES * HUGE_PAGES, HUGE_PAGES);
        PageRun { start, count }
    }

    /// In which units the block of a page goes at this step of a release, and what that does to it.
    fn unit_at(&self, page: u32, step: Reach) -> Option<(u32, Effect)> {
        let block = Self::block(page);
        let used = self.count(block, PageState::InUse);
        let (small, broken) = (page < self.huge_from, self.broken[page as usize]);
        match step {
            Reach::Whole if small => Some((self.granule, Effect::None)),
            Reach::Whole if broken && used == 0 => Some((HUGE_PAGES, Effect::Mends)),
            Reach::Whole if broken => Some((self.granule, Effect::None)),
            Reach::Whole => Some((HUGE_PAGES, Effect::None)),
            _ if small || broken => None,
            Reach::Sparse if used * 4 > HUGE_PAGES => None,
            Reach::Sparse | Reach::All => Some((self.granule, Effect::Breaks)),
        }
    }

    fn is_releasable(&self, start: u32, count: u32) -> bool {
        let run = PageRun { start, count };
        let pages = &self.pages[Self::range(run)];
        pages.iter().all(Self::is_free) && self.count(run, PageState::Retained) > 0
    }

    /// The highest releasable units of the first step that has any, neighbors in one block joined
    /// while the budget lasts.
    fn releasable(&self, pages_max: u32, reach: Reach) -> Option<Outgoing> {
        let steps = REACHES.into_iter().filter(|step| *step <= reach);
        steps
            .filter_map(|step| self.releasable_by(pages_max, step))
            .next()
    }

    fn releasable_by(&self, pages_max: u32, step: Reach) -> Option<Outgoing> {
        let blocks = self.pages.len() as u32 / HUGE_PAGES;
        let mut starts = (0..blocks).rev().map(|block| block * HUGE_PAGES);
        starts.find_map(|start| self.releasable_in(start, pages_max, step))
    }

    fn releasable_in(&self, block: u32, pages_max: u32, step: Reach) -> Option<Outgoing> {
        let (unit, effect) = self.unit_at(block, step)?;
        let mut page = block + HUGE_PAGES;
        while page > block {
            page -= unit;
            if self.is_releasable(page, unit) {
                let end = page + unit;
                while page > block
                    && end - page < pages_max
                    && self.is_releasable(page - unit, unit)
                {
                    page -= unit;
                }
                let (start, count) = (page, end - page);
                let run = PageRun { start, count };
                return Some(Outgoing { run, effect });
            }
        }
        None
    }
}

const REACHES: [Reach; 3] = [Reach::Whole, Reach::Sparse, Reach::All];

/// Sizes that are small, around a word, around a chunk and over several.
fn some_pages(random: &mut Random) -> u32 {
    match random.below(10) {
        0..=4 => 1 + random.below(8),
        5..=6 => 1 + random.below(70),
        7 => 60 + random.below(10),
        8 => 500 + random.below(30),
        _ => 1 + random.below(1600),
    }
}

/// Both, and what a random program has done with them so far.
struct Program {
    random: Random,
    pages: PageAlloc,
    naive: Naive,
    owned: Vec<PageRun>,
    /// Runs on their way out, each with its pages' states before.
    flying: Vec<(Outgoing, Vec<PageState>)>,
    exhausted: u32,
    crossing: u32,
    released: u32,
    broken: u32,
    mended: u32,
}

impl Program {
    fn alloc(&mut self) {
        let count = some_pages(&mut self.random);
        let units = 1 + self.random.below(3) * self.random.below(12);
        let taken = self.pages.alloc_units(count, units);
        let expected = self.naive.first_fit_units(count, units);
        assert_eq!(
            taken.map(|t| t.run),
            expected,
            "{units} times {count} pages"
        );
        let Some(taken) = taken else {
            let grown = self.pages.grow(count);
            assert_eq!(grown, self.naive.grow(count), "growth by {count}");
            self.exhausted += u32::from(grown.is_none());
            return;
        };
        let run = taken.run;
        let released = self.naive.count(run, PageState::Released);
        assert_eq!(taken.released_pages, released);
        self.crossing += u32::from(run.start / 512 != (run.end() - 1) / 512);
        if self.random.below(8) == 0 {
            // The commit failed: everything is as before.
            self.pages.free(run);
        } else {
            self.pages.committed(run);
            self.naive.pages[Naive::range(run)].fill(PageState::InUse);
            self.owned.push(run);
        }
    }

    fn free(&mut self) {
        if self.owned.is_empty() {
            return;
        }
        let at = self.random.below(self.owned.len() as u32) as usize;
        let mut run = self.owned.swap_remove(at);
        if run.count > 1 && self.random.below(4) == 0 {
            // A part of a run may be given back on its own.
            let first = 1 + self.random.below(run.count - 1);
            let (start, count) = (run.start + first, run.count - first);
            self.owned.push(PageRun { start, count });
            run.count = first;
        }
        self.pages.free(run);
        self.naive.pages[Naive::range(run)].fill(PageState::Retained);
    }

    fn take_for_release(&mut self, most: u32) -> Option<Effect> {
        let reach = REACHES[self.random.below(3) as usize];
        let outgoing = self.pages.take_for_release(most, reach);
        let expected = self.naive.releasable(most, reach);
        assert_eq!(outgoing, expected, "release of {most}, {reach:?}");
        if let Some(outgoing) = outgoing {
            if outgoing.effect == Effect::Breaks {
                self.naive.broken[Naive::range(outgoing.block())].fill(true);
                self.broken += 1;
            }
            let states = &mut self.naive.pages[Naive::range(outgoing.run)];
            self.flying.push((outgoing, states.to_vec()));
            states.fill(PageState::InUse);
        }
        outgoing.map(|outgoing| outgoing.effect)
    }

    /// Releases all that costs no huge page and one piece that does, if there is one in reach.
    fn release_until_one_breaks(&mut self) {
        while !matches!(self.take_for_release(u32::MAX), None | Some(Effect::Breaks)) {
            self.put_back();
        }
    }

    fn put_back(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.random.below(self.flying.len() as u32) as usize;
        let (Outgoing { run, effect }, before) = self.flying.swap_remove(at);
        let states = &mut self.naive.pages[Naive::range(run)];
        if self.random.below(4) == 0 {
            self.pages.put_back_retained(run);
            states.copy_from_slice(&before);
            return;
        }
        // The advice of huge pages may fail.
        if effect == Effect::Mends && self.random.below(4) > 0 {
            self.pages.mended(run);
            self.naive.broken[Naive::range(run)].fill(false);
            self.mended += 1;
        }
        let retained = before.iter().filter(|s| **s == PageState::Retained);
        let newly = self.pages.put_back_released(run);
        assert_eq!(newly, retained.count() as u32);
        states.fill(PageState::Released);
        self.released += newly;
    }

    /// Compares everything that can be compared.
    fn check(&self) {
        self.pages.check_invariants();
        let counts = self.pages.counts();
        let all = self.naive.whole();
        assert_eq!(counts.grown, all.count);
        let flying: u32 = self.flying.iter().map(|(out, _)| out.run.count).sum();
        assert_eq!(counts.releasing, flying);
        // Pages on their way out are counted as what they were before.
        let before = |state| {
            let states = self.flying.iter().flat_map(|(_, before)| before);
            states.filter(|s| **s == state).count() as u32
        };
        let of = |state| self.naive.count(all, state) + before(state);
        assert_eq!(counts.in_use, of(PageState::InUse) - flying);
        assert_eq!(counts.retained, of(PageState::Retained));
        assert_eq!(counts.released, of(PageState::Released));
        for (page, state) in self.naive.pages.iter().enumerate() {
            assert_eq!(self.pages.state(page as u32), *state, "page {page}");
        }
        for (page, broken) in self.naive.broken.iter().enumerate() {
            assert_eq!(self.pages.is_broken(page as u32), *broken, "page {page}");
        }
        assert_eq!(self.pages.state(all.count), PageState::Ungrown);
    }
}

/// Runs a random program on both and compares at each step what was answered, and every few steps
/// everything.
///
/// Returns how many blocks broke and how many mended.
fn against_the_twin(
    seed: u64,
    steps: u32,
    pages_max: u32,
    granule: u32,
    huge_from: u32,
) -> (u32, u32) {
    let mut pages = PageAlloc::new(pages_max);
    pages.set_release_units(granule, huge_from);
    let mut program = Program {
        random: Random(seed),
        pages,
        naive: Naive {
            pages: Vec::new(),
            broken: Vec::new(),
            pages_max,
            granule,
            huge_from,
        },
        owned: Vec::new(),
        flying: Vec::new(),
        exhausted: 0,
        crossing: 0,
        released: 0,
        broken: 0,
        mended: 0,
    };
    for step in 0..steps {
        // Phases that fill the heap, and phases that empty it.
        let alloc_share = if step / 500 % 2 == 0 { 60 } else { 35 };
        match program.random.below(100) {
            dice if dice < alloc_share => program.alloc(),
            dice if dice < 90 => program.free(),
            dice if dice < 95 => {
                let most = some_pages(&mut program.random);
                program.take_for_release(most);
            }
            dice if dice < 99 => program.put_back(),
            _ => program.release_until_one_breaks(),
        }
        if step % 50 == 0 {
            program.check();
        }
    }
    program.check();
    assert!(program.exhausted > 0, "{pages_max} pages were enough");
    assert!(program.crossing > 0, "no run crossed a border of chunks");
    assert!(program.released > 0, "nothing was released");
    (program.broken, program.mended)
}

#[test]
fn page_alloc_agrees_with_its_twin_in_small_units() {
    for seed in 1..=6 {
        against_the_twin(seed, 4_000, 12 * 512, 1, u32::MAX);
        against_the_twin(seed + 100, 2_000, 9 * 512, 8, u32::MAX);
    }
}

#[test]
fn page_alloc_agrees_with_its_twin_in_huge_units() {
    for seed in 1..=6 {
        let (broken, mended) = against_the_twin(seed, 4_000, 12 * 512, 1, 4 * 512);
        assert!(broken > 5 && mended > 0, "{broken} broken, {mended} mended");
        against_the_twin(seed + 50, 4_000, 6 * 512, 8, 0);
        against_the_twin(seed + 100, 2_000, 3 * 512, 256, 0);
    }
}

#[test]
fn page_alloc_agrees_with_its_twin_on_three_levels() {
    // 80 chunks: levels of 80, 10, 2 and 1 nodes.
    against_the_twin(77, 6_000, 80 * 512, 1, 20 * 512);
}

#[test]
fn a_run_as_long_as_all_pages_is_found() {
    let mut pages = PageAlloc::new(70 * 512);
    assert_eq!(pages.alloc(1), None, "it has not grown yet");
    assert_eq!(pages.grow(70 * 512 + 1), None, "there is no room for that");
    let all = PageRun {
        start: 0,
        count: 70 * 512,
    };
    assert_eq!(pages.grow(70 * 512), Some(all));
    assert_eq!(pages.alloc(70 * 512).map(|taken| taken.run), Some(all));
    assert_eq!(pages.grow(1), None);
    assert_eq!(pages.alloc(1), None);
    pages.committed(all);
    pages.free(all);
    assert_eq!(pages.counts().retained, 70 * 512);
    pages.check_invariants();
}

#[test]
fn growth_counts_the_free_pages_at_the_end() {
    let mut pages = PageAlloc::new(3 * 512);
    pages.grow(1);
    pages.alloc(500);
    // 12 pages are free at the end, so one chunk is enough for 524.
    assert_eq!(
        pages.grow(524),
        Some(PageRun {
            start: 512,
            count: 512
        })
    );
    let run = pages.alloc(524).map(|taken| taken.run);
    assert_eq!(
        run,
        Some(PageRun {
            start: 500,
            count: 524
        })
    );
}

#[test]
#[should_panic(expected = "page 4 is free: freed twice, or never allocated")]
fn a_second_free_is_named() {
    let mut pages = PageAlloc::new(512);
    pages.grow(8);
    let run = pages.alloc(8).expect("eight of 512 pages").run;
    pages.committed(run);
    pages.free(PageRun { start: 4, count: 1 });
    pages.free(run);
}

#[test]
#[should_panic(expected = "is no run of this heap's 512 pages")]
fn a_free_beyond_the_heap_is_named() {
    let mut pages = PageAlloc::new(1024);
    pages.grow(8);
    pages.free(PageRun {
        start: u32::MAX,
        count: 2,
    });
}

#[test]
#[should_panic(expected = "was not taken for release")]
fn a_put_back_of_what_was_not_taken_is_named() {
    let mut pages = PageAlloc::new(512);
    pages.grow(8);
    let run = pages.alloc(8).expect("eight of 512 pages").run;
    pages.put_back_released(run);
}

#[test]
#[should_panic(expected = "is no block of 256 pages")]
fn a_piece_cannot_be_mended() {
    let mut pages = PageAlloc::new(512);
    pages.grow(8);
    let run = pages.alloc(8).expect("eight of 512 pages").run;
    pages.committed(run);
    pages.free(run);
    let taken = pages.take_for_release(8, Reach::Whole);
    pages.mended(taken.expect("eight are retained").run);
}

/// Two pieces of a block are out, and come back when the page between them and the rest is free:
/// the block is whole again, though the search has passed its upper part.
#[test]
fn a_block_that_becomes_free_by_a_put_back_is_found() {
    let mut pages = PageAlloc::new(512);
    pages.set_release_units(1, 0);
    pages.grow(512);
    let run = |start, count| PageRun { start, count };
    let all = pages.alloc(512).expect("all pages").run;
    pages.committed(all);
    pages.free(run(256, 100));
    pages.free(run(357, 155));
    let first = pages.take_for_release(u32::MAX, Reach::Sparse);
    let (first, effect) = first.map(|out| (out.run, out.effect)).expect("a piece");
    assert_eq!((first, effect), (run(357, 155), Effect::Breaks));
    pages.free(run(356, 1));
    let second = pages.take_for_release(1, Reach::Whole).map(|out| out.run);
    assert_eq!(second, Some(run(356, 1)));
    pages.put_back_released(first);
    pages.put_back_released(run(356, 1));
    let whole = Outgoing {
        run: run(256, 256),
        effect: Effect::Mends,
    };
    assert_eq!(pages.take_for_release(1, Reach::Whole), Some(whole));
    pages.check_invariants();
}
