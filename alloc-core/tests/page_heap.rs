//! A heap's pages over a source that fails when told to, and over the operating system.
#![cfg(not(heapwright_loom))]
#![allow(
    clippy::single_range_in_vec_init,
    reason = "one call for one range is what is expected"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloc_core::{
    Exhausted, FakeRegion, FakeSource, HUGE_PAGE_BYTES, HUGE_PAGES, PAGE_BYTES, PageHeap, PageRun,
    PageSource, PageState, Reach, SourceCall, SourceError,
};

const MIB: usize = 1 << 20;

fn fake_heap(bytes: usize) -> (FakeSource, PageHeap<FakeSource>) {
    let source = FakeSource::new();
    let heap = PageHeap::new(source.clone(), bytes, bytes, |_| 0).expect("the fake does not fail");
    (source, heap)
}

/// Fills a run with a byte.
fn fill<S: PageSource>(heap: &PageHeap<S>, run: PageRun, byte: u8) {
    // SAFETY: the tests fill only runs that they own, which are committed.
    unsafe { heap.address(run).write_bytes(byte, run.bytes()) };
}

/// Whether a run holds this byte and no other.
fn holds<S: PageSource>(heap: &PageHeap<S>, run: PageRun, byte: u8) -> bool {
    let base = heap.address(run).as_ptr();
    // SAFETY: the tests read only runs that they own, which are committed, and nobody writes there.
    let bytes = unsafe { std::slice::from_raw_parts(base, run.bytes()) };
    bytes
        .chunks(PAGE_BYTES)
        .all(|page| page == [byte; PAGE_BYTES])
}

/// Frees a run that the test owns.
fn free<S: PageSource>(heap: &PageHeap<S>, run: PageRun) {
    // SAFETY: the tests free a run once, and do not use it afterwards.
    unsafe { heap.free(run) };
}

#[test]
fn the_range_is_halved_until_the_source_accepts() {
    let source = FakeSource::new();
    source.refuse_reserve_above(20 * MIB);
    let heap = PageHeap::new(source.clone(), 64 * MIB, 4 * MIB, |bytes| bytes / 32)
        .expect("sixteen MiB are accepted");
    assert_eq!(heap.heap_bytes(), 16 * MIB);
    assert_eq!(heap.metadata_bytes(), MIB / 2);
    assert_eq!(source.calls(SourceCall::Reserve), 3);
    let committed = source.ranges(SourceCall::Commit);
    assert_eq!(committed, [16 * MIB..16 * MIB + MIB / 2], "the metadata");
    assert_eq!(heap.base().addr().get() % HUGE_PAGE_BYTES, 0);
    let distance = heap.metadata_base().addr().get() - heap.base().addr().get();
    assert_eq!(distance, 16 * MIB);
}

#[test]
fn the_smallest_range_is_tried_before_giving_up() {
    let source = FakeSource::new();
    source.refuse_reserve_above(13 * MIB);
    let heap = PageHeap::new(source.clone(), 32 * MIB, 12 * MIB, |_| 0);
    assert_eq!(heap.expect("twelve are accepted").heap_bytes(), 12 * MIB);
    let error = PageHeap::new(source, 64 * MIB, 16 * MIB, |_| 0).expect_err("sixteen are not");
    assert_eq!(error.heap_bytes(), 16 * MIB);
    assert_eq!(error.cause().call(), SourceCall::Reserve);
    assert!(
        error
            .to_string()
            .contains("16777216 bytes, the smallest allowed")
    );
}

#[test]
fn a_range_whose_metadata_has_no_memory_is_halved_too() {
    let source = FakeSource::new();
    source.fail_nth_of(SourceCall::Commit, 0);
    let heap = PageHeap::new(source, 32 * MIB, 4 * MIB, |_| PAGE_BYTES);
    assert_eq!(heap.expect("the second try works").heap_bytes(), 16 * MIB);
}

#[test]
fn sizes_beyond_all_addresses_are_refused() {
    let most = usize::MAX;
    let error = PageHeap::new(FakeSource::new(), 4 * MIB, 4 * MIB, |_| most).expect_err("no");
    assert_eq!(error.cause().call(), SourceCall::Reserve);
    let metadata = |bytes| if bytes > 8 * MIB { most } else { bytes / 64 };
    let heap = PageHeap::new(FakeSource::new(), 32 * MIB, 4 * MIB, metadata);
    assert_eq!(heap.expect("eight MiB need little").heap_bytes(), 8 * MIB);
}

#[test]
fn pages_are_committed_before_use_and_zero_after_release() {
    let (source, heap) = fake_heap(4 * MIB);
    let taken = heap.take(3).expect("an empty heap has three pages");
    assert!(taken.is_zero() && holds(&heap, taken.run, 0));
    assert!((0..3).all(|page| !source.is_released(page * PAGE_BYTES)));
    assert!(
        source.is_released(3 * PAGE_BYTES),
        "nobody asked for that page"
    );
    fill(&heap, taken.run, 0xAA);
    free(&heap, taken.run);
    assert_eq!(heap.stats().retained_bytes, 3 * PAGE_BYTES);

    let again = heap.take(2).expect("three are free");
    assert_eq!(again.released_pages, 0, "retained memory is not zero");
    assert!(holds(&heap, again.run, 0xAA));
    free(&heap, again.run);

    assert_eq!(heap.release(usize::MAX, Reach::Whole), 3 * PAGE_BYTES);
    assert_eq!(
        heap.release(usize::MAX, Reach::Whole),
        0,
        "nothing is left to release"
    );
    assert_eq!(source.ranges(SourceCall::Release), [0..3 * PAGE_BYTES]);
    assert!((0..3).all(|page| source.is_released(page * PAGE_BYTES)));
    let taken = heap.take(4).expect("the heap is empty");
    assert!(taken.is_zero() && holds(&heap, taken.run, 0));
    heap.check_invariants();
}

#[test]
fn a_release_goes_from_the_highest_page_down_and_keeps_its_budget() {
    let (source, heap) = fake_heap(4 * MIB);
    let runs: Vec<PageRun> = (0..6).map(|_| heap.alloc(4).expect("24 of 512")).collect();
    free(&heap, runs[1]);
    free(&heap, runs[3]);
    free(&heap, runs[4]);
    let page = PAGE_BYTES;
    assert_eq!(heap.release(3 * page, Reach::Whole), 3 * page);
    assert_eq!(heap.release(6 * page, Reach::Whole), 6 * page);
    assert_eq!(heap.release(1, Reach::Whole), page, "rounded up to a page");
    let expected = [
        17 * page..20 * page,
        12 * page..17 * page,
        7 * page..8 * page,
    ];
    assert_eq!(source.ranges(SourceCall::Release)[..2], expected[..2]);
    assert_eq!(
        source.ranges(SourceCall::Release)[2..],
        [expected[2].clone(), 6 * page..7 * page]
    );
    assert_eq!(heap.page_state(5), PageState::Retained);
    assert_eq!(heap.page_state(6), PageState::Released);
    assert_eq!(heap.stats().releases, 4);
}

#[test]
fn a_refused_release_keeps_the_memory() {
    let (source, heap) = fake_heap(4 * MIB);
    let run = heap.alloc(5).expect("five of 512");
    fill(&heap, run, 0x55);
    free(&heap, run);
    source.fail_nth_of(SourceCall::Release, 0);
    assert_eq!(heap.release(usize::MAX, Reach::Whole), 0);
    assert_eq!(heap.stats().releases_refused, 1);
    assert_eq!(heap.stats().retained_bytes, run.bytes());
    let again = heap.take(5).expect("they were put back");
    assert!(again.released_pages == 0 && holds(&heap, again.run, 0x55));
    free(&heap, again.run);
    assert_eq!(
        heap.release(usize::MAX, Reach::Whole),
        run.bytes(),
        "it is tried again"
    );
    heap.check_invariants();
}

#[test]
fn a_failed_commit_loses_nothing() {
    let (source, heap) = fake_heap(4 * MIB);
    let kept = heap.alloc(2).expect("two of 512");
    free(&heap, kept);
    let before = heap.stats();
    source.fail_from(SourceCall::Commit, 1);
    // Two retained pages and a released one.
    let error = heap.alloc(3).expect_err("the commit fails");
    assert!(matches!(error, Exhausted::Source(cause) if cause.call() == SourceCall::Commit));
    assert!(error.to_string().contains("could not commit 24576 bytes"));
    assert_eq!(heap.stats(), before);
    assert_eq!(heap.page_state(1), PageState::Retained);
    assert_eq!(heap.page_state(2), PageState::Released);
    assert_eq!(heap.alloc(2).expect("these need no commit"), kept);
    source.heal();
    let run = heap.take(510).expect("all others");
    assert!(run.is_zero() && holds(&heap, run.run, 0));
    heap.check_invariants();
}

#[test]
fn exhaustion_says_what_to_do_and_passes() {
    let (_source, heap) = fake_heap(4 * MIB);
    let all = heap.alloc(512).expect("all pages");
    let error = heap.alloc(1).expect_err("nothing is left");
    assert!(matches!(
        error,
        Exhausted::Range {
            asked_bytes: PAGE_BYTES,
            ..
        }
    ));
    assert!(error.to_string().contains("reserve a larger range"));
    free(&heap, all);
    heap.set_limit(8 * PAGE_BYTES);
    let run = heap.alloc(6).expect("below the limit");
    let error = heap.alloc(3).expect_err("beyond the limit");
    assert_eq!(
        error,
        Exhausted::Limit {
            asked_bytes: 3 * PAGE_BYTES,
            in_use_bytes: 6 * PAGE_BYTES,
            limit_bytes: 8 * PAGE_BYTES,
        }
    );
    assert!(error.to_string().contains("raise the limit"));
    assert!(heap.alloc(2).is_ok(), "exactly the limit");
    free(&heap, run);
    assert!(heap.alloc(6).is_ok());
    assert!(heap.alloc(u32::MAX).is_err());
}

/// A limit that is lowered below what is in use leaves no room, rather than room without end.
#[test]
fn a_limit_below_what_is_in_use_lets_nothing_through() {
    let (_source, heap) = fake_heap(4 * MIB);
    let run = heap.alloc(6).expect("no limit yet");
    heap.set_limit(2 * PAGE_BYTES);
    assert!(matches!(heap.alloc(1), Err(Exhausted::Limit { .. })));
    let behind = heap.take_behind(run, 1).expect("no page is asked for");
    assert_eq!(behind, None, "nor does a run grow where it is");
    free(&heap, run);
    assert!(heap.alloc(2).is_ok());
}

#[test]
fn a_batch_is_freed_at_once() {
    let (_source, heap) = fake_heap(4 * MIB);
    let runs: Vec<PageRun> = (1..=5).map(|n| heap.alloc(n).expect("15 of 512")).collect();
    // SAFETY: the runs are owned by the test and not used any more.
    unsafe { heap.free_batch(&runs[1..]) };
    assert_eq!(heap.stats().in_use_bytes, PAGE_BYTES);
    assert_eq!(heap.alloc(14).expect("they were joined").start, 1);
    heap.check_invariants();
}

#[test]
fn a_small_heap_asks_for_no_huge_pages() {
    let (source, heap) = fake_heap(64 * MIB);
    let quarter = (16 * MIB / PAGE_BYTES) as u32;
    let small = heap.alloc(quarter).expect("the first 16 MiB");
    assert_eq!(source.calls(SourceCall::AdviseHuge), 0);
    let step = heap.alloc(1).expect("one more page");
    assert_eq!(source.ranges(SourceCall::AdviseHuge), [16 * MIB..20 * MIB]);
    heap.alloc(1).expect("it has grown already");
    assert_eq!(source.calls(SourceCall::AdviseHuge), 1);

    // Below 16 MiB any page goes; above, a huge page only whole, and a used one keeps it.
    free(&heap, step);
    free(&heap, small);
    assert_eq!(heap.release(usize::MAX, Reach::Whole), 16 * MIB);
    assert_eq!(heap.page_state(quarter), PageState::Retained);
    assert_eq!(heap.page_state(quarter + 1), PageState::InUse);
    free(
        &heap,
        PageRun {
            start: quarter + 1,
            count: 1,
        },
    );
    let calls = source.calls(SourceCall::Release);
    assert_eq!(
        heap.release(1, Reach::Whole),
        2 * PAGE_BYTES,
        "its two pages that were retained"
    );
    let huge = source.ranges(SourceCall::Release).split_off(calls);
    assert_eq!(huge, [16 * MIB..18 * MIB], "but as a whole");
    heap.check_invariants();
}

#[test]
fn a_jump_over_the_small_beginning_advises_the_rest() {
    let (source, heap) = fake_heap(64 * MIB);
    heap.alloc((30 * MIB / PAGE_BYTES) as u32)
        .expect("half of it");
    assert_eq!(source.ranges(SourceCall::AdviseHuge), [16 * MIB..32 * MIB]);
}

#[test]
fn without_huge_pages_memory_goes_by_small_ones() {
    let (source, heap) = fake_heap(32 * MIB);
    source.fail_from(SourceCall::AdviseHuge, 0);
    let run = heap
        .alloc(8 * HUGE_PAGES + 9)
        .expect("a little over 16 MiB");
    free(
        &heap,
        PageRun {
            start: 8 * HUGE_PAGES + 4,
            count: 5,
        },
    );
    assert_eq!(heap.release(usize::MAX, Reach::Whole), 5 * PAGE_BYTES);
    free(
        &heap,
        PageRun {
            count: run.count - 5,
            ..run
        },
    );
    heap.check_invariants();
}

#[test]
fn metadata_is_advised_by_whole_huge_pages() {
    let source = FakeSource::new();
    let heap = PageHeap::new(source.clone(), 4 * MIB, 4 * MIB, |_| 5 * MIB).expect("nine MiB");
    heap.advise_metadata(0, 2 * MIB - 1);
    assert_eq!(source.calls(SourceCall::AdviseHuge), 0);
    heap.advise_metadata(MIB, 4 * MIB);
    assert_eq!(source.ranges(SourceCall::AdviseHuge), [6 * MIB..8 * MIB]);
    let outside = catch_unwind(AssertUnwindSafe(|| heap.advise_metadata(5 * MIB, 1)));
    assert!(outside.is_err());
}

/// One program over a heap, in which any call of the source may fail. It goes on after a failure,
/// and checks that what it owns is whole. Returns how many of its own calls failed.
fn scenario(heap: &PageHeap<FakeSource>) -> usize {
    let mut owned: Vec<(PageRun, u8)> = Vec::new();
    let mut failures = 0;
    for step in 0..60_u32 {
        if step % 3 == 2 && !owned.is_empty() {
            let (run, byte) = owned.remove(step as usize * 7 % owned.len());
            assert!(holds(heap, run, byte));
            free(heap, run);
        } else {
            let count = [1, 5, 70, 300, 2, 600][step as usize % 6];
            match heap.take(count) {
                Ok(taken) => {
                    assert!(!taken.is_zero() || holds(heap, taken.run, 0));
                    fill(heap, taken.run, step as u8 + 1);
                    owned.push((taken.run, step as u8 + 1));
                }
                Err(_) => failures += 1,
            }
        }
        if step % 5 == 4 {
            let reach = [Reach::All, Reach::Whole, Reach::Sparse][step as usize % 3];
            heap.release(40 * PAGE_BYTES, reach);
        }
        let pages: u32 = owned.iter().map(|(run, _)| run.count).sum();
        assert_eq!(heap.counts().in_use, pages);
        heap.check_invariants();
    }
    for (run, byte) in owned {
        assert!(holds(heap, run, byte));
        free(heap, run);
    }
    break_and_mend(heap);
    failures
}

/// Where the heap reaches that far: leaves one page of a block beyond 16 MiB in use, so that it
/// breaks, and then none, so that it mends.
fn break_and_mend(heap: &PageHeap<FakeSource>) {
    let (block, count) = (9 * HUGE_PAGES, 10 * HUGE_PAGES);
    let Ok(taken) = heap.take(count) else {
        return;
    };
    assert_eq!(taken.run, PageRun { start: 0, count });
    let page = |start, count| PageRun { start, count };
    fill(heap, page(block, 1), 0x77);
    free(heap, page(0, block));
    free(heap, page(block + 1, HUGE_PAGES - 1));
    heap.release(usize::MAX, Reach::Sparse);
    heap.check_invariants();
    assert!(holds(heap, page(block, 1), 0x77));
    free(heap, page(block, 1));
    heap.release(usize::MAX, Reach::Whole);
    heap.check_invariants();
}

#[test]
fn every_call_of_the_source_may_fail() {
    let build =
        |source: &FakeSource| PageHeap::new(source.clone(), 24 * MIB, 12 * MIB, |bytes| bytes / 32);
    let source = FakeSource::new();
    let heap = build(&source).expect("no failure yet");
    assert_eq!(scenario(&heap), 0, "the scenario fits if nothing fails");
    drop(heap);
    let calls = source.calls_total();
    assert!(source.calls(SourceCall::Commit) > 10 && source.calls(SourceCall::Release) > 10);
    assert!(source.calls(SourceCall::AdviseSmall) > 0, "no block broke");
    for n in 0..calls {
        let source = FakeSource::new();
        source.fail_nth(n);
        let heap = build(&source).expect("half of it is accepted");
        scenario(&heap);
        source.heal();
        heap.release(usize::MAX, Reach::Whole);
        assert_eq!(heap.stats().in_use_bytes, 0);
        let all = (heap.heap_bytes() / PAGE_BYTES) as u32;
        let run = heap.alloc(all).expect("nothing was lost");
        assert_eq!(run.start, 0, "call {n}");
        heap.check_invariants();
    }
}

/// A source whose next commit or release panics, if the flag is set.
struct Panicking(FakeSource, Arc<AtomicBool>);

// SAFETY: everything is passed on to the fake; a release that panics has changed nothing.
unsafe impl PageSource for Panicking {
    type Region = FakeRegion;

    fn reserve(&self, bytes: usize) -> Result<FakeRegion, SourceError> {
        self.0.reserve(bytes)
    }

    fn base(&self, region: &FakeRegion) -> NonNull<u8> {
        self.0.base(region)
    }

    fn commit(&self, region: &FakeRegion, offset: usize, bytes: usize) -> Result<(), SourceError> {
        assert!(!self.1.swap(false, Ordering::Relaxed), "commit panics");
        self.0.commit(region, offset, bytes)
    }

    unsafe fn release(
        &self,
        region: &FakeRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        assert!(!self.1.swap(false, Ordering::Relaxed), "release panics");
        // SAFETY: the caller's promises are the fake's.
        unsafe { self.0.release(region, offset, bytes) }
    }

    fn advise_huge(
        &self,
        region: &FakeRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        self.0.advise_huge(region, offset, bytes)
    }
}

#[test]
fn a_source_that_panics_loses_no_page() {
    let armed = Arc::new(AtomicBool::new(false));
    let source = Panicking(FakeSource::new(), armed.clone());
    let heap = PageHeap::new(source, 4 * MIB, 4 * MIB, |_| 0).expect("the fake does not fail");
    let panics = |heap: &PageHeap<Panicking>, call: &dyn Fn(&PageHeap<Panicking>)| {
        let source_panics = catch_unwind(AssertUnwindSafe(|| call(heap)));
        assert!(source_panics.is_err());
        heap.check_invariants();
    };
    let run = heap.alloc(4).expect("four of 512");
    armed.store(true, Ordering::Relaxed);
    panics(&heap, &|heap| assert!(heap.alloc(4).is_ok()));
    assert_eq!(heap.stats().in_use_bytes, run.bytes());
    free(&heap, run);
    armed.store(true, Ordering::Relaxed);
    panics(&heap, &|heap| {
        assert_eq!(heap.release(usize::MAX, Reach::Whole), 0)
    });
    assert_eq!(heap.stats().retained_bytes, run.bytes());
    assert_eq!(heap.release(usize::MAX, Reach::Whole), run.bytes());
    assert_eq!(heap.alloc(512).map(|run| run.count), Ok(512));
}
