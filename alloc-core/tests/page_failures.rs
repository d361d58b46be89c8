//! The n-th call of each kind fails, for every n of a page heap's life: growth into huge pages,
//! releases that break and mend them, room that is taken again. No page is lost or handed out
//! twice, what is in use keeps its content, and the healed source gives the whole range.
//!
//! Mutants: `commit-failure-leaks`, `refused-run-lost` and `refused-run-counts-as-released`.
#![cfg(not(heapwright_loom))]

use alloc_core::{FakeSource, PAGE_BYTES, PageHeap, PageRun, Reach, SourceCall};

const MIB: usize = 1 << 20;

/// What fails in a life.
type Fails<'a> = &'a dyn Fn(&FakeSource);

/// A heap and the runs that the test owns, each filled with words of its own.
struct Life {
    source: FakeSource,
    heap: PageHeap<FakeSource>,
    owned: Vec<(PageRun, u64)>,
    seed: u64,
}

impl Life {
    /// `None` if the source refuses even the smallest heap.
    fn begin(fails: Fails<'_>) -> Option<Life> {
        let source = FakeSource::new();
        fails(&source);
        let heap = PageHeap::new(source.clone(), 40 * MIB, 8 * MIB, |bytes| bytes / 64);
        Some(Life {
            source,
            heap: heap.ok()?,
            owned: Vec::new(),
            seed: 0,
        })
    }

    /// A word of each KiB of a run: enough to tell, since the source overwrites whole pages.
    fn words(&self, run: PageRun) -> impl Iterator<Item = &mut u64> {
        let first = self.heap.address(run).cast::<u64>().as_ptr();
        // SAFETY: the test owns the run, is one thread and holds one slice at a time; pages are
        // aligned, and memory of the fake source is initialised.
        let words = unsafe { std::slice::from_raw_parts_mut(first, run.bytes() / 8) };
        words.iter_mut().step_by(128)
    }

    /// Takes a run, if there is one: it belongs to nobody else, and is zero if it is said to be.
    fn take(&mut self, pages: u32) -> bool {
        let Ok(taken) = self.heap.take(pages) else {
            return false;
        };
        let run = taken.run;
        let apart = |other: &PageRun| other.end() <= run.start || run.end() <= other.start;
        assert!(
            self.owned.iter().all(|(other, _)| apart(other)),
            "{run:?} twice"
        );
        let offsets = (run.start..run.end()).map(|page| page as usize * PAGE_BYTES);
        for offset in offsets {
            assert!(!self.source.is_released(offset), "{run:?} is not committed");
        }
        self.seed += 1;
        let seed = self.seed;
        let is_zero = self.words(run).all(|word| *word == 0);
        assert!(is_zero || !taken.is_zero(), "{run:?} is not zero");
        self.words(run).for_each(|word| *word = seed);
        self.owned.push((run, seed));
        true
    }

    /// Frees the runs that `goes` says, by their place in the order of allocation.
    fn free(&mut self, goes: impl Fn(usize) -> bool) {
        let owned = std::mem::take(&mut self.owned);
        for (at, (run, seed)) in owned.into_iter().enumerate() {
            if goes(at) {
                // SAFETY: the test owns the run and uses it no more.
                unsafe { self.heap.free(run) };
            } else {
                self.owned.push((run, seed));
            }
        }
    }

    fn check(&self) {
        self.heap.check_invariants();
        for &(run, seed) in &self.owned {
            let whole = self.words(run).all(|word| *word == seed);
            assert!(whole, "{run:?} lost its content");
        }
        let stats = self.heap.stats();
        let owned_bytes: usize = self.owned.iter().map(|(run, _)| run.bytes()).sum();
        assert_eq!(stats.in_use_bytes, owned_bytes, "a run is lost");
        let sum = stats.in_use_bytes + stats.retained_bytes + stats.released_bytes;
        assert_eq!(stats.grown_bytes, sum);
    }

    fn release(&self, reach: Reach) {
        self.heap.release(usize::MAX, reach);
        self.check();
    }

    /// The whole life; `false` if it could not begin.
    fn live(fails: Fails<'_>) -> bool {
        let Some(mut life) = Life::begin(fails) else {
            return false;
        };
        // Some 30 MiB, of which what is beyond 16 MiB is huge.
        (0..60).for_each(|_| _ = life.take(64));
        life.check();
        // Whole blocks come free, and parts of others.
        life.free(|at| at % 8 != 0 && at > 30);
        life.release(Reach::Whole);
        life.release(Reach::Sparse);
        life.release(Reach::All);
        (0..20).for_each(|_| _ = life.take(3));
        (0..8).for_each(|_| _ = life.take(100));
        life.check();
        // Broken blocks come free as a whole, and mend.
        life.free(|_| true);
        life.release(Reach::All);
        life.release(Reach::All);
        (0..12).for_each(|_| _ = life.take(256));
        life.check();

        life.source.heal();
        life.free(|at| at % 2 == 0);
        life.check();
        life.free(|_| true);
        life.release(Reach::All);
        life.release(Reach::All);
        assert_eq!(life.heap.stats().retained_bytes, 0, "all goes");
        let all = (life.heap.heap_bytes() / PAGE_BYTES) as u32;
        assert!(life.take(all), "the whole range is one run again");
        life.check();
        true
    }
}

const KINDS: [SourceCall; 5] = [
    SourceCall::Reserve,
    SourceCall::Commit,
    SourceCall::Release,
    SourceCall::AdviseHuge,
    SourceCall::AdviseSmall,
];

/// How often each kind is called in a healthy life.
fn calls() -> [usize; 5] {
    let seen = std::cell::RefCell::new(None);
    assert!(Life::live(
        &|source| *seen.borrow_mut() = Some(source.clone())
    ));
    let source = seen.into_inner().expect("the life had a source");
    KINDS.map(|kind| source.calls(kind))
}

#[test]
fn page_calls_may_each_fail_once() {
    for (kind, calls) in KINDS.into_iter().zip(calls()) {
        println!("{kind}: {calls} calls");
        let most = if kind == SourceCall::Reserve { 1 } else { 2 };
        assert!(
            calls >= most,
            "{calls} calls to {kind} are too few to learn from"
        );
        for n in 0..calls {
            let lived = Life::live(&|source| source.fail_nth_of(kind, n));
            assert!(lived, "{kind}, call {n}: a smaller heap can be had");
        }
    }
}

#[test]
fn page_calls_may_fail_from_any_on() {
    for (kind, calls) in KINDS.into_iter().zip(calls()) {
        for n in 0..calls {
            let lived = Life::live(&|source| source.fail_from(kind, n));
            let is_first = n == 0 && matches!(kind, SourceCall::Reserve | SourceCall::Commit);
            assert_eq!(lived, !is_first, "{kind} from call {n} on");
        }
    }
}

#[test]
fn page_calls_may_fail_two_at_a_time() {
    let calls = calls().into_iter().sum::<usize>();
    for n in (0..calls).step_by(3) {
        let fails = |source: &FakeSource| {
            source.fail_nth(n);
            source.fail_nth(n + 1 + n % 5);
        };
        assert!(Life::live(&fails), "calls {n} and {}", n + 1 + n % 5);
    }
}
