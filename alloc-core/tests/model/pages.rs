//! The page heap against a plain list of who has which page.
//!
//! Every page that is handed out belongs to nobody else, is committed, and is zero if that is said;
//! what is in use keeps its content; and the heap's counts are exactly those of the list. A source
//! that says no changes nothing of that.

use super::choices::{Bytes, Choices};
use alloc_core::{FakeSource, HUGE_PAGE_BYTES, PAGE_BYTES, PageHeap, PageRun, Reach, Taken};

/// Bytes that a heap reserves, mostly.
const HEAP_BYTES: usize = 2 << 20;
/// Bytes at the beginning of a heap that are never made of huge pages.
const SMALL_BYTES: usize = 16 << 20;
/// Pages that an oracle takes and gives back, at most.
const HELD_PAGES_MAX: usize = 300;
/// Operations between two looks at everything.
const LOOK_EVERY: usize = 1 << 8;

/// A page heap and the runs that the oracle holds, each with a word of its own.
pub(crate) struct Oracle {
    source: FakeSource,
    heap: PageHeap<FakeSource>,
    runs: Vec<(PageRun, u64)>,
    /// Whether each page is held.
    held: Vec<bool>,
    words: u64,
    steps: usize,
    limit_bytes: usize,
    /// The source's calls when it was told last to say no.
    armed_at: Option<usize>,
}

impl Oracle {
    /// On a short heap, or behind what is in use of a long one, where pages are huge.
    pub(crate) fn new(choices: &mut impl Choices) -> Self {
        let source = FakeSource::new();
        let is_long = choices.below(8) == 7;
        let bytes = if is_long {
            SMALL_BYTES + 3 * HUGE_PAGE_BYTES
        } else {
            HEAP_BYTES
        };
        let heap = PageHeap::new(source.clone(), bytes, bytes, |_| 0);
        let heap = heap.expect("the fake source has memory");
        let mut oracle = Self {
            source,
            held: vec![false; heap.heap_bytes() / PAGE_BYTES],
            heap,
            runs: Vec::new(),
            words: 0,
            steps: 0,
            limit_bytes: usize::MAX,
            armed_at: None,
        };
        if is_long {
            let first = oracle.heap.take((SMALL_BYTES / PAGE_BYTES) as u32);
            oracle.hold(&first.expect("an empty heap has room"));
        }
        oracle
    }

    /// One operation.
    pub(crate) fn step(&mut self, choices: &mut impl Choices) {
        self.steps += 1;
        match choices.below(16) {
            _ if self.recent_pages() > HELD_PAGES_MAX => self.free_batch(choices),
            0..5 => self.take(choices),
            5..7 => self.take_units(choices),
            7..11 => self.free(choices),
            11 => self.free_batch(choices),
            12..14 => self.release(choices),
            14 => self.limit(choices),
            _ => {
                let calls = self.source.calls_total();
                self.source.fail_nth(calls + choices.below(4));
                self.armed_at = Some(calls);
            }
        }
        if self.steps.is_multiple_of(LOOK_EVERY) {
            self.look();
        }
    }

    fn held_pages(&self) -> usize {
        self.runs.iter().map(|(run, _)| run.count as usize).sum()
    }

    /// Pages that are held but for the long first run.
    fn recent_pages(&self) -> usize {
        let of_first = SMALL_BYTES / PAGE_BYTES;
        let held = self.held_pages();
        held.checked_sub(of_first).unwrap_or(held)
    }

    /// A word of each KiB of a run: enough to tell, since the source overwrites whole pages.
    fn words_of(&self, run: PageRun) -> impl Iterator<Item = &mut u64> {
        let first = self.heap.address(run).cast::<u64>().as_ptr();
        // SAFETY: the oracle holds the run, is one thread and has one such slice at a time; pages
        // are aligned, and memory of the fake source is initialised.
        let words = unsafe { std::slice::from_raw_parts_mut(first, run.bytes() / 8) };
        words.iter_mut().step_by(128)
    }

    fn hold(&mut self, taken: &Taken) {
        let run = taken.run;
        for page in run.start..run.end() {
            let held = &mut self.held[page as usize];
            assert!(!*held, "page {page} was handed out twice");
            *held = true;
            let offset = page as usize * PAGE_BYTES;
            assert!(!self.source.is_released(offset), "page {page} is not there");
        }
        let in_use_bytes = self.heap.stats().in_use_bytes;
        assert!(in_use_bytes <= self.limit_bytes, "{run:?} is beyond");
        let is_zero = self.words_of(run).all(|word| *word == 0);
        assert!(is_zero || !taken.is_zero(), "{run:?} is not zero");
        self.words += 1;
        let word = self.words;
        self.words_of(run).for_each(|place| *place = word);
        self.runs.push((run, word));
    }

    /// A request was refused: there is a reason.
    fn refused(&mut self, pages: u32) {
        let stats = self.heap.stats();
        let above = stats.in_use_bytes + pages as usize * PAGE_BYTES > self.limit_bytes;
        let mut run_max = 0;
        for free in self.held.split(|held| *held) {
            run_max = run_max.max(free.len());
        }
        let calls = self.source.calls_total();
        let said_no = self.armed_at.is_some_and(|armed| armed < calls);
        assert!(
            above || run_max < pages as usize || said_no,
            "{pages} pages were refused, and {run_max} in a row are free"
        );
        self.source.heal();
        self.armed_at = None;
    }

    fn take(&mut self, choices: &mut impl Choices) {
        let pages = 1 + match choices.below(8) {
            0..5 => choices.below(4),
            5..7 => choices.below(40),
            _ => choices.below(150),
        } as u32;
        match self.heap.take(pages) {
            Ok(taken) => {
                assert_eq!(taken.run.count, pages);
                self.hold(&taken);
            }
            Err(_) => self.refused(pages),
        }
    }

    fn take_units(&mut self, choices: &mut impl Choices) {
        let (pages, units_max) = (1 + choices.below(16) as u32, 1 + choices.below(32) as u32);
        match self.heap.take_units(pages, units_max) {
            Ok(taken) => {
                let units = taken.run.count / pages;
                assert!(taken.run.count.is_multiple_of(pages));
                assert!((1..=units_max).contains(&units), "{units} of {units_max}");
                self.hold(&taken);
            }
            Err(_) => self.refused(pages),
        }
    }

    /// A run that is held, as it was left; the oracle forgets it.
    fn give_up(&mut self, at: usize) -> PageRun {
        let (run, word) = self.runs.swap_remove(at);
        let whole = self.words_of(run).all(|place| *place == word);
        assert!(whole, "{run:?} lost its content");
        self.held[run.start as usize..run.end() as usize].fill(false);
        run
    }

    /// Frees a run, whole or in two pieces.
    fn free(&mut self, choices: &mut impl Choices) {
        if self.runs.is_empty() {
            return;
        }
        let run = self.give_up(choices.below(self.runs.len()));
        let first = choices.below(run.count as usize) as u32;
        let pieces = [
            PageRun {
                start: run.start,
                count: first,
            },
            PageRun {
                start: run.start + first,
                count: run.count - first,
            },
        ];
        for piece in pieces.into_iter().filter(|piece| piece.count > 0) {
            // SAFETY: the oracle has given it up.
            unsafe { self.heap.free(piece) };
        }
    }

    fn free_batch(&mut self, choices: &mut impl Choices) {
        let count = choices.below(self.runs.len() + 1);
        let runs: Vec<_> = (0..count)
            .map(|_| self.give_up(choices.below(self.runs.len())))
            .collect();
        // SAFETY: the oracle has given them up.
        unsafe { self.heap.free_batch(&runs) };
    }

    fn release(&mut self, choices: &mut impl Choices) {
        let reach = choices.of(&[Reach::Whole, Reach::Sparse, Reach::All]);
        let pages_max = choices.of(&[1, 16, 256, self.held.len()]);
        let before = self.heap.stats();
        let released = self.heap.release(pages_max * PAGE_BYTES, reach);
        let after = self.heap.stats();
        assert_eq!(before.retained_bytes - after.retained_bytes, released);
        assert_eq!(after.released_bytes - before.released_bytes, released);
    }

    fn limit(&mut self, choices: &mut impl Choices) {
        self.limit_bytes = match choices.below(3) {
            // A quarter of them below what is in use.
            0 => (self.heap.stats().in_use_bytes + choices.below(64) * PAGE_BYTES)
                .saturating_sub(16 * PAGE_BYTES),
            _ => usize::MAX,
        };
        self.heap.set_limit(self.limit_bytes);
    }

    /// Everything is as it should be.
    fn look(&self) {
        self.heap.check_invariants();
        for &(run, word) in &self.runs {
            let whole = self.words_of(run).all(|place| *place == word);
            assert!(whole, "{run:?} lost its content");
        }
        let stats = self.heap.stats();
        assert_eq!(stats.in_use_bytes, self.held_pages() * PAGE_BYTES);
        let sum = stats.in_use_bytes + stats.retained_bytes + stats.released_bytes;
        assert_eq!(stats.grown_bytes, sum);
        assert!(stats.refaulted_bytes <= stats.released_total_bytes);
    }

    /// Frees everything: the whole range is one run again.
    pub(crate) fn end(mut self) {
        self.look();
        self.source.heal();
        self.heap.set_limit(usize::MAX);
        while let Some(last) = self.runs.len().checked_sub(1) {
            let run = self.give_up(last);
            // SAFETY: the oracle has given it up.
            unsafe { self.heap.free(run) };
        }
        self.look();
        let all = self.held.len() as u32;
        let whole = self.heap.take(all).map(|taken| taken.run.count);
        assert_eq!(whole.ok(), Some(all), "the whole range is one run again");
    }
}

/// Runs a program to its end. `step` is told of each operation.
pub(crate) fn run<C: Choices>(choices: &mut C, mut step: impl FnMut(&mut C)) {
    let mut oracle = Oracle::new(choices);
    while !choices.is_over() {
        step(choices);
        oracle.step(choices);
    }
    oracle.end();
}

/// A byte string as a program: its bytes are the choices.
pub(crate) fn run_input(input: &[u8]) {
    run(&mut Bytes(input), |_| ());
}
