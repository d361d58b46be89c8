//! Models of the page heap: one thread allocates, another releases, in every order there is.
//!
//! The source is an oracle: a cell a page that says whether the page is resident and whether it has
//! an owner. Each access to a cell is exclusive in loom's eyes, so that two who touch a page at the
//! same time are found, as is a release of a page that has an owner, a use of one that is not
//! resident, and a released bit that disagrees with the oracle in the end.
#![cfg(heapwright_loom)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloc_core::{
    HUGE_PAGE_BYTES, PAGE_BYTES, PageHeap, PageRun, PageSource, PageState, Reach, SourceCall,
    SourceError,
};
use loom::cell::UnsafeCell;

/// The heap of all models: one step of growth.
const HEAP_PAGES: u32 = 512;

/// Runs a model without a bound, and with at most one, two and three preemptions. The bounded runs
/// are not a part of the unbounded one: loom prunes them less.
fn model(name: &str, body: fn()) {
    for bound in [None, Some(1), Some(2), Some(3)] {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = bound;
        builder.max_duration = None;
        builder.max_permutations = None;
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            body();
        });
        let runs = runs.load(Ordering::Relaxed);
        println!("{name}, preemptions {bound:?}: completed, {runs} executions");
    }
}

/// What is true of a page.
#[derive(Clone, Copy, Default)]
struct Truth {
    resident: bool,
    owned: bool,
}

/// The pages that a model is about; those before belong to its filler, those behind to nobody.
struct Oracle {
    first: u32,
    pages: Vec<UnsafeCell<Truth>>,
    /// What was advised last for the block that the pages lie in: small pages, or huge ones. A
    /// cell, so that nobody may give advice for the block at the same time as another.
    is_small: UnsafeCell<bool>,
    /// A step inside each call of the source, so that what overlaps with it is explored.
    inside: loom::sync::atomic::AtomicUsize,
    commit_fails: AtomicBool,
}

// SAFETY: that nobody touches a cell at the same time as another is what loom checks.
unsafe impl Sync for Oracle {}
// SAFETY: as above.
unsafe impl Send for Oracle {}

impl Oracle {
    fn look<R>(&self, page: u32, look: impl FnOnce(&mut Truth) -> R) -> R {
        let cell = &self.pages[(page - self.first) as usize];
        cell.with_mut(|truth| {
            // SAFETY: loom fails the model if the access is not exclusive.
            look(unsafe { &mut *truth })
        })
    }

    /// Looks at the pages of a range of bytes.
    fn each(&self, offset: usize, bytes: usize, mut look: impl FnMut(&mut Truth)) {
        let pages = offset / PAGE_BYTES..(offset + bytes) / PAGE_BYTES;
        let known = self.first as usize..self.first as usize + self.pages.len();
        for page in pages.start.max(known.start)..pages.end.min(known.end) {
            self.look(page as u32, &mut look);
        }
    }

    fn advise(&self, offset: usize, is_small: bool) {
        if offset / HUGE_PAGE_BYTES != self.first as usize * PAGE_BYTES / HUGE_PAGE_BYTES {
            return;
        }
        self.inside
            .fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
        self.is_small.with_mut(|advice| {
            // SAFETY: loom fails the model if the access is not exclusive.
            unsafe { *advice = is_small };
        });
    }
}

/// A source without memory: the models never touch a page.
#[derive(Clone)]
struct ModelSource(Arc<Oracle>);

// SAFETY: the promise of usable memory is not kept and not relied on: nothing in this file uses a
// pointer into the heap.
unsafe impl PageSource for ModelSource {
    type Region = ();

    fn reserve(&self, _bytes: usize) -> Result<(), SourceError> {
        Ok(())
    }

    fn base(&self, (): &()) -> NonNull<u8> {
        let base = std::ptr::without_provenance_mut(HUGE_PAGE_BYTES);
        NonNull::new(base).expect("a huge page's size is not null")
    }

    fn commit(&self, (): &(), offset: usize, bytes: usize) -> Result<(), SourceError> {
        self.0
            .inside
            .fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
        if self.0.commit_fails.swap(false, Ordering::Relaxed) {
            // Nobody else may touch the pages of a commit, not even of one that fails.
            self.0.each(offset, bytes, |truth| assert!(!truth.owned));
            return Err(SourceError::new(SourceCall::Commit, bytes, None));
        }
        self.0.each(offset, bytes, |truth| {
            assert!(!truth.owned, "commit of a page that has an owner");
            truth.resident = true;
        });
        Ok(())
    }

    unsafe fn release(&self, (): &(), offset: usize, bytes: usize) -> Result<(), SourceError> {
        self.0
            .inside
            .fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
        self.0.each(offset, bytes, |truth| {
            assert!(!truth.owned, "release of a page that has an owner");
            truth.resident = false;
        });
        Ok(())
    }

    fn advise_huge(&self, (): &(), offset: usize, _bytes: usize) -> Result<(), SourceError> {
        self.0.advise(offset, false);
        Ok(())
    }

    fn advise_small(&self, (): &(), offset: usize, _bytes: usize) -> Result<(), SourceError> {
        self.0.advise(offset, true);
        Ok(())
    }

    fn populate(&self, (): &(), offset: usize, bytes: usize) -> Result<(), SourceError> {
        self.0
            .inside
            .fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
        self.0.each(offset, bytes, |truth| {
            assert!(truth.resident && !truth.owned, "populated for nobody");
        });
        Ok(())
    }
}

struct Model {
    oracle: Arc<Oracle>,
    heap: PageHeap<ModelSource>,
}

impl Model {
    /// A heap that is full but for its last `retained + released` pages, in that order.
    fn new(retained: u32, released: u32) -> Arc<Self> {
        let first = HEAP_PAGES - retained - released;
        Self::build(HEAP_PAGES, first, HEAP_PAGES - first, retained)
    }

    /// A heap of `pages`, whose first `first` are the filler's, and of whose others the model is
    /// about `count`, of which `retained` are retained.
    fn build(pages: u32, first: u32, count: u32, retained: u32) -> Arc<Self> {
        let cells = (0..count).map(|_| UnsafeCell::new(Truth::default()));
        let oracle = Arc::new(Oracle {
            first,
            pages: cells.collect(),
            is_small: UnsafeCell::new(false),
            inside: loom::sync::atomic::AtomicUsize::new(0),
            commit_fails: AtomicBool::new(false),
        });
        let bytes = pages as usize * PAGE_BYTES;
        let heap = PageHeap::new(ModelSource(Arc::clone(&oracle)), bytes, bytes, |_| 0);
        let heap = heap.expect("the source accepts");
        let model = Model { oracle, heap };
        model.heap.alloc(first).expect("an empty heap");
        if retained > 0 {
            let run = model.own(retained);
            model.disown(run);
        }
        Arc::new(model)
    }

    /// Allocates and becomes the owner.
    fn own(&self, pages: u32) -> PageRun {
        let run = self.heap.alloc(pages).expect("there are pages enough");
        for page in run.start..run.end() {
            self.oracle.look(page, |truth| {
                assert!(truth.resident, "an owner finds no memory behind its page");
                assert!(!truth.owned, "two owners");
                truth.owned = true;
            });
        }
        run
    }

    /// Gives up the ownership and frees.
    fn disown(&self, run: PageRun) {
        for page in run.start..run.end() {
            self.oracle.look(page, |truth| truth.owned = false);
        }
        // SAFETY: the run is the model's, and is not used any more.
        unsafe { self.heap.free(run) };
    }

    /// When all is over, each free page's bit has to agree with the truth.
    fn check(&self) {
        self.heap.check_invariants();
        assert_eq!(self.heap.counts().releasing, 0);
        for page in (self.oracle.first..).take(self.oracle.pages.len()) {
            let truth = self.oracle.look(page, |truth| *truth);
            let expected = match (truth.owned, truth.resident) {
                (true, _) => PageState::InUse,
                (false, true) => PageState::Retained,
                (false, false) => PageState::Released,
            };
            assert_eq!(self.heap.page_state(page), expected, "page {page}");
        }
    }
}

/// One free page, wanted by one thread and released by another. The allocation succeeds in every
/// order: before the release, after it, or by waiting for it.
///
/// Kills `page-release-without-claim`, `page-put-back-before-release`,
/// `page-alloc-does-not-wait-for-release`, `page-put-back-wakes-nobody`,
/// `page-released-bit-not-set`, `page-released-bit-not-cleared`.
#[test]
fn page_release_against_alloc() {
    model("page_release_against_alloc", || {
        let model = Model::new(1, 0);
        let other = Arc::clone(&model);
        let releaser = loom::thread::spawn(move || {
            other.heap.release(PAGE_BYTES, Reach::Whole);
        });
        let run = model.own(1);
        model.disown(run);
        releaser.join().expect("the releaser does not panic");
        model.check();
    });
}

/// Three free pages, released by one call, while the other thread takes one of them, and keeps it.
///
/// Kills `page-batch-put-back-unmasked`.
#[test]
fn page_release_of_a_batch_that_is_split() {
    model("page_release_of_a_batch_that_is_split", || {
        let model = Model::new(3, 0);
        let other = Arc::clone(&model);
        let releaser = loom::thread::spawn(move || {
            other.heap.release(3 * PAGE_BYTES, Reach::Whole);
        });
        let first = model.own(1);
        let second = model.own(1);
        model.disown(first);
        releaser.join().expect("the releaser does not panic");
        model.check();
        model.disown(second);
        model.check();
    });
}

/// A retained page and a released one, whose commit fails once while the other thread releases.
/// Nothing is lost, and each page is again what it was, or released.
///
/// Kills `page-failed-commit-keeps-run`.
#[test]
fn page_commit_that_fails_against_release() {
    model("page_commit_that_fails_against_release", || {
        let model = Model::new(1, 1);
        model.oracle.commit_fails.store(true, Ordering::Relaxed);
        let other = Arc::clone(&model);
        let releaser = loom::thread::spawn(move || {
            other.heap.release(2 * PAGE_BYTES, Reach::Whole);
        });
        assert!(model.heap.alloc(2).is_err(), "the commit fails");
        let run = model.own(2);
        model.disown(run);
        releaser.join().expect("the releaser does not panic");
        model.check();
    });
}

/// A block with a used page, a retained one, and otherwise none that were ever touched. One thread
/// releases its free page, which breaks it; the other frees the used one, and releases what costs
/// no huge page: a piece of the broken block, or all of it, which mends it. In the end the block is
/// marked as broken exactly if the last advice was for small pages.
///
/// Kills `page-break-without-claim`, `page-break-unmarked`, `page-mend-unmarked`.
#[test]
fn page_break_against_mend() {
    model("page_break_against_mend", || {
        let block = HEAP_PAGES + HEAP_PAGES / 2;
        let model = Model::build(2 * HEAP_PAGES, block, 2, 0);
        let used = model.own(1);
        let retained = model.own(1);
        assert_eq!((used.start, retained.start), (block, block + 1));
        model.disown(retained);
        let other = Arc::clone(&model);
        let breaker = loom::thread::spawn(move || {
            other.heap.release(PAGE_BYTES, Reach::Sparse);
        });
        model.disown(used);
        model.heap.release(PAGE_BYTES, Reach::Whole);
        breaker.join().expect("the breaker does not panic");
        model.check();
        let is_small = model.oracle.is_small.with(|advice| {
            // SAFETY: the other thread has ended.
            unsafe { *advice }
        });
        assert_eq!(model.heap.is_broken(block), is_small, "advised small pages");
    });
}

/// One block that was never touched, and nothing else free. One thread puts memory behind it, the
/// other takes a page of it: before, or after, or by waiting.
///
/// Kills `ahead-without-claim`, `ahead-wakes-nobody`.
#[test]
fn page_ahead_against_alloc() {
    model("page_ahead_against_alloc", || {
        let block = HEAP_PAGES + HEAP_PAGES / 2;
        let model = Model::build(2 * HEAP_PAGES, block, HEAP_PAGES / 2, 0);
        let other = Arc::clone(&model);
        let ahead = loom::thread::spawn(move || other.heap.back_ahead());
        let run = model.own(1);
        ahead.join().expect("who backs does not panic");
        model.disown(run);
        model.check();
    });
}
