//! The free pages of a heap against a naive twin that keeps a state a page.
#![cfg(not(heapwright_loom))]

use std::ops::Range;

use alloc_core::{HUGE_PAGES, PageAlloc, PageRun, PageState};

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
        Some(PageRun { start, count })
    }

    fn unit_at(&self, page: u32) -> u32 {
        if page < self.huge_from {
            self.granule
        } else {
            HUGE_PAGES
        }
    }

    fn is_releasable(&self, start: u32, count: u32) -> bool {
        let run = PageRun { start, count };
        let pages = &self.pages[Self::range(run)];
        pages.iter().all(Self::is_free) && self.count(run, PageState::Retained) > 0
    }

    /// The highest releasable units, neighbors in one chunk joined while the budget lasts.
    fn releasable(&self, pages_max: u32) -> Option<PageRun> {
        let mut page = self.pages.len() as u32;
        while page > 0 {
            let unit = self.unit_at(page - 1);
            page -= unit;
            if self.is_releasable(page, unit) {
                let (chunk, end) = (page / 512 * 512, page + unit);
                while page > chunk
                    && end - page < pages_max
                    && self.is_releasable(page - unit, unit)
                {
                    page -= unit;
                }
                let (start, count) = (page, end - page);
                return Some(PageRun { start, count });
            }
        }
        None
    }
}

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

fn agree(pages: &PageAlloc, naive: &Naive, in_flight: &[PageRun]) {
    pages.check_invariants();
    let counts = pages.counts();
    let all = naive.whole();
    assert_eq!(counts.grown, all.count);
    let flying: u32 = in_flight.iter().map(|run| run.count).sum();
    assert_eq!(counts.releasing, flying);
    if flying == 0 {
        assert_eq!(counts.in_use, naive.count(all, PageState::InUse));
        assert_eq!(counts.retained, naive.count(all, PageState::Retained));
        assert_eq!(counts.released, naive.count(all, PageState::Released));
    }
    for (page, state) in naive.pages.iter().enumerate() {
        assert_eq!(pages.state(page as u32), *state, "page {page}");
    }
    assert_eq!(pages.state(all.count), PageState::Ungrown);
}

/// Runs a random program on both and compares after each step what was answered, and every few
/// steps everything.
fn against_the_twin(seed: u64, steps: u32, pages_max: u32, granule: u32, huge_from: u32) {
    let mut random = Random(seed);
    let mut pages = PageAlloc::new(pages_max);
    pages.set_release_units(granule, huge_from);
    let mut naive = Naive {
        pages: Vec::new(),
        pages_max,
        granule,
        huge_from,
    };
    let mut owned: Vec<PageRun> = Vec::new();
    // Runs on their way out, each with its pages' states before.
    let mut flying: Vec<(PageRun, Vec<PageState>)> = Vec::new();
    let (mut exhausted, mut crossing, mut released) = (0, 0, 0);
    for step in 0..steps {
        // Phases that fill the heap, and phases that empty it.
        let alloc_share = if step / 500 % 2 == 0 { 60 } else { 35 };
        match random.below(100) {
            dice if dice < alloc_share => {
                let count = some_pages(&mut random);
                let taken = pages.alloc(count);
                let expected = naive.first_fit(count);
                assert_eq!(taken.map(|t| t.run), expected, "step {step}: {count} pages");
                let Some(taken) = taken else {
                    let grown = pages.grow(count);
                    assert_eq!(grown, naive.grow(count), "step {step}: growth by {count}");
                    exhausted += u32::from(grown.is_none());
                    continue;
                };
                let expected = naive.count(taken.run, PageState::Released);
                assert_eq!(taken.released_pages, expected);
                crossing += u32::from(taken.run.start / 512 != (taken.run.end() - 1) / 512);
                if random.below(8) == 0 {
                    // The commit failed: everything is as before.
                    pages.free(taken.run);
                } else {
                    pages.committed(taken.run);
                    naive.pages[Naive::range(taken.run)].fill(PageState::InUse);
                    owned.push(taken.run);
                }
            }
            dice if dice < 90 => {
                if !owned.is_empty() {
                    let mut run = owned.swap_remove(random.below(owned.len() as u32) as usize);
                    if run.count > 1 && random.below(4) == 0 {
                        // A part of a run may be given back on its own.
                        let first = 1 + random.below(run.count - 1);
                        let start = run.start + first;
                        owned.push(PageRun {
                            start,
                            count: run.count - first,
                        });
                        run.count = first;
                    }
                    pages.free(run);
                    naive.pages[Naive::range(run)].fill(PageState::Retained);
                }
            }
            dice if dice < 95 => {
                let most = some_pages(&mut random);
                let run = pages.take_for_release(most);
                assert_eq!(run, naive.releasable(most), "step {step}: release {most}");
                if let Some(run) = run {
                    let states = &mut naive.pages[Naive::range(run)];
                    flying.push((run, states.to_vec()));
                    states.fill(PageState::InUse);
                }
            }
            _ => {
                if !flying.is_empty() {
                    let at = random.below(flying.len() as u32) as usize;
                    let (run, before) = flying.swap_remove(at);
                    if random.below(4) == 0 {
                        pages.put_back_retained(run);
                        naive.pages[Naive::range(run)].copy_from_slice(&before);
                    } else {
                        let retained = before.iter().filter(|s| **s == PageState::Retained);
                        let newly = pages.put_back_released(run);
                        assert_eq!(newly, retained.count() as u32);
                        naive.pages[Naive::range(run)].fill(PageState::Released);
                        released += newly;
                    }
                }
            }
        }
        if step % 16 == 0 {
            let runs: Vec<PageRun> = flying.iter().map(|(run, _)| *run).collect();
            agree(&pages, &naive, &runs);
        }
    }
    assert!(
        exhausted > 0,
        "the program never exhausted {pages_max} pages"
    );
    assert!(crossing > 0, "no run crossed a border of chunks");
    assert!(released > 0, "nothing was released");
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
        against_the_twin(seed, 4_000, 12 * 512, 1, 4 * 512);
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
