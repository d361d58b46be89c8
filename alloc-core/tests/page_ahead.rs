//! Memory that is put behind free pages before anybody asks for them.
//!
//! Mutants: those of `xtask/mutants/alloc-core-ahead.toml` that name this file.

use alloc_core::{FakeSource, HUGE_PAGE_BYTES, HUGE_PAGES, PageHeap, PageRun, Reach, SourceCall};

/// Pages of a heap's small beginning.
const SMALL_PAGES: u32 = 8 * HUGE_PAGES;

/// Huge pages in use in a heap that is large: an eighth of them are four.
const LARGE: u32 = 32;

/// A heap of 160 MiB of which 64 and one page more are in use.
fn grown() -> (FakeSource, PageHeap<FakeSource>, PageRun) {
    let source = FakeSource::new();
    let heap = PageHeap::new(source.clone(), 160 << 20, 160 << 20, |_| 0).unwrap();
    heap.alloc(SMALL_PAGES).unwrap();
    assert!(
        !heap.is_low() && !heap.back_ahead(),
        "a small heap is left alone"
    );
    heap.alloc(LARGE * HUGE_PAGES - SMALL_PAGES).unwrap();
    let page = heap.alloc(1).unwrap();
    (source, heap, page)
}

/// The blocks that were populated, counted from the first that is not full.
fn populated(source: &FakeSource) -> Vec<usize> {
    let ranges = source.ranges(SourceCall::Populate);
    let block = |range: &std::ops::Range<usize>| {
        assert_eq!(range.len(), HUGE_PAGE_BYTES);
        assert!(range.start.is_multiple_of(HUGE_PAGE_BYTES), "{range:?}");
        range.start / HUGE_PAGE_BYTES - LARGE as usize
    };
    ranges.iter().map(block).collect()
}

fn back_all(heap: &PageHeap<FakeSource>) -> usize {
    (0..).take_while(|_| heap.back_ahead()).count()
}

fn back_while_low(heap: &PageHeap<FakeSource>) -> usize {
    (0..)
        .take_while(|_| heap.is_low() && heap.back_ahead())
        .count()
}

#[test]
fn a_low_heap_gets_the_blocks_that_come_next() {
    let (source, heap, _) = grown();
    assert!(heap.is_low());
    assert_eq!(back_all(&heap), 4, "8 MiB");
    // The first block is in use in part: whoever took that page has touched it.
    assert_eq!(populated(&source), [1, 2, 3, 4]);
    assert!(!heap.is_low());
    heap.check_invariants();
    let stats = heap.stats();
    assert_eq!(stats.retained_bytes, 4 * HUGE_PAGE_BYTES);
    assert_eq!(stats.refaulted_bytes, 0, "nothing had been given back");
    // What is taken next has memory already.
    let commits = source.calls(SourceCall::Commit);
    let rest = heap.take(HUGE_PAGES - 1).unwrap();
    assert_eq!(
        rest.released_pages,
        HUGE_PAGES - 1,
        "the rest of the first block"
    );
    let next = heap.take(HUGE_PAGES).unwrap();
    assert_eq!(
        (next.released_pages, source.calls(SourceCall::Commit)),
        (0, commits + 1)
    );
    assert!(heap.is_low());
    assert_eq!((back_all(&heap), populated(&source).last()), (1, Some(&5)));
    heap.check_invariants();
}

/// Kills: `ahead-of-middling-heaps`.
#[test]
fn a_heap_that_is_not_large_gets_an_eighth() {
    let source = FakeSource::new();
    let heap = PageHeap::new(source, 160 << 20, 160 << 20, |_| 0).unwrap();
    heap.alloc(SMALL_PAGES).unwrap();
    heap.alloc(1).unwrap();
    assert!(heap.is_low());
    // What is free of the block in use has no memory yet.
    assert_eq!(back_while_low(&heap), 1, "2 MiB of 16");
    heap.alloc(2 * SMALL_PAGES).unwrap();
    assert_eq!(back_while_low(&heap), 3, "6 MiB of 48");
    heap.check_invariants();
}

#[test]
fn what_was_given_back_comes_first_and_counts_as_refaulted() {
    let (source, heap, _) = grown();
    let blocks = heap.alloc(7 * HUGE_PAGES + HUGE_PAGES - 1).unwrap();
    heap.alloc(1).unwrap();
    // SAFETY: allocated above, and not used.
    unsafe { heap.free(blocks) };
    heap.release(usize::MAX, Reach::Whole);
    heap.alloc(1).unwrap();
    assert_eq!(back_all(&heap), 4);
    assert_eq!(
        populated(&source),
        [1, 2, 3, 4],
        "not behind the page in use"
    );
    assert_eq!(heap.stats().refaulted_bytes, 4 * HUGE_PAGE_BYTES as u64);
    heap.check_invariants();
}

#[test]
fn the_search_ends_a_few_chunks_behind_the_first_free_pages() {
    let heap = PageHeap::new(FakeSource::new(), 160 << 20, 160 << 20, |_| 0).unwrap();
    heap.alloc(SMALL_PAGES).unwrap();
    let block = heap.alloc(HUGE_PAGES).unwrap();
    heap.alloc(LARGE * HUGE_PAGES).unwrap();
    // SAFETY: allocated above, and not used.
    unsafe { heap.free(block) };
    assert!(!heap.back_ahead(), "all is in use there");
    assert!(!heap.is_low(), "nobody asks again at once");
    // That block is in use as well: what is free begins behind all of them.
    heap.alloc(HUGE_PAGES).unwrap();
    assert!(heap.is_low() && heap.back_ahead());
    heap.check_invariants();
}

#[test]
fn a_source_that_refuses_is_asked_once_and_nothing_is_lost() {
    for call in [SourceCall::Commit, SourceCall::Populate] {
        let (source, heap, page) = grown();
        let before = heap.stats();
        source.fail_nth_of(call, source.calls(call));
        assert!(!heap.back_ahead());
        assert!(!heap.is_low() && !heap.back_ahead());
        let after = heap.stats();
        assert_eq!(before.in_use_bytes, after.in_use_bytes);
        assert_eq!(after.retained_bytes, 0, "{call:?}");
        heap.check_invariants();
        // SAFETY: allocated, and not used.
        unsafe { heap.free(page) };
        heap.alloc(48 * HUGE_PAGES).expect("all of the range");
    }
}

#[test]
fn nothing_is_backed_beyond_the_limit_or_the_range() {
    let (source, heap, _) = grown();
    let in_use_bytes = heap.stats().in_use_bytes;
    heap.set_limit(in_use_bytes + HUGE_PAGE_BYTES - 1);
    assert!(heap.is_low() && !heap.back_ahead());
    assert!(!heap.is_low(), "nobody asks again at once");
    heap.set_limit(usize::MAX);
    heap.alloc(46 * HUGE_PAGES).unwrap();
    assert_eq!(back_all(&heap), 1, "the range's last block");
    assert_eq!(populated(&source), [47]);
    heap.check_invariants();
}
