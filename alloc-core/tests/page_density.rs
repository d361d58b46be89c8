//! Huge pages that are released in pieces: when a block breaks, and how it mends.
#![cfg(not(heapwright_loom))]

use alloc_core::{
    FakeSource, HUGE_PAGE_BYTES, HUGE_PAGES, PAGE_BYTES, PageHeap, PageRun, PageState, Reach,
    SourceCall,
};

const MIB: usize = 1 << 20;

fn fake_heap(bytes: usize) -> (FakeSource, PageHeap<FakeSource>) {
    let source = FakeSource::new();
    let heap = PageHeap::new(source.clone(), bytes, bytes, |_| 0).expect("the fake does not fail");
    (source, heap)
}

/// Frees a run that the test owns.
fn free(heap: &PageHeap<FakeSource>, run: PageRun) {
    // SAFETY: the tests free a run once, and do not use it afterwards.
    unsafe { heap.free(run) };
}

/// A block beyond the small beginning, of which these pages are in use and all others free.
fn heap_with_block(used: impl Fn(u32) -> bool) -> (FakeSource, PageHeap<FakeSource>, PageRun) {
    let (source, heap) = fake_heap(20 * MIB);
    let all = heap.alloc(10 * HUGE_PAGES).expect("all pages");
    let block = PageRun {
        start: all.end() - HUGE_PAGES,
        count: HUGE_PAGES,
    };
    for start in block.start..block.end() {
        if !used(start - block.start) {
            free(&heap, PageRun { start, count: 1 });
        }
    }
    (source, heap, block)
}

#[test]
fn a_sparse_block_breaks_after_the_advice_and_only_by_a_longer_reach() {
    // 64 of 256 pages, in two groups.
    let (source, heap, block) = heap_with_block(|page| page < 60 || (100..104).contains(&page));
    assert_eq!(heap.release(usize::MAX, Reach::Whole), 0);
    assert!(!heap.is_broken(block.start));
    let before = source.calls_total();
    let bytes = 4 * PAGE_BYTES;
    assert_eq!(heap.release(bytes, Reach::Sparse), bytes);
    assert!(heap.is_broken(block.start));
    assert_eq!(heap.stats().blocks_broken, 1);
    // Once broken, the rest of it needs no reach.
    assert_eq!(heap.release(usize::MAX, Reach::Whole), 188 * PAGE_BYTES);
    let at = block.offset_bytes();
    let page = |page: usize| at + page * PAGE_BYTES;
    let expected = [
        (SourceCall::AdviseSmall, at..at + HUGE_PAGE_BYTES),
        (SourceCall::Release, page(252)..page(256)),
        (SourceCall::Release, page(104)..page(252)),
        (SourceCall::Release, page(60)..page(100)),
    ];
    assert_eq!(source.history()[before..], expected);
    assert_eq!(heap.stats().retained_bytes, 0);
    heap.check_invariants();
}

#[test]
fn a_denser_block_breaks_on_demand_only() {
    let (source, heap, block) = heap_with_block(|page| page < 65);
    assert_eq!(heap.release(usize::MAX, Reach::Sparse), 0);
    assert_eq!(source.calls(SourceCall::AdviseSmall), 0);
    assert_eq!(heap.release(usize::MAX, Reach::All), 191 * PAGE_BYTES);
    assert!(heap.is_broken(block.start));
    assert_eq!(heap.stats().retained_bytes, 0);
}

#[test]
fn a_block_that_becomes_sparse_by_a_free_at_its_beginning_is_released_from_its_end() {
    let (source, heap, block) = heap_with_block(|page| page < 65);
    assert_eq!(heap.release(usize::MAX, Reach::Sparse), 0);
    let (start, count) = (block.start, 1);
    free(&heap, PageRun { start, count });
    assert_eq!(heap.release(1, Reach::Sparse), PAGE_BYTES);
    let end = block.offset_bytes() + block.bytes();
    let released = source.ranges(SourceCall::Release);
    assert_eq!(released.last(), Some(&(end - PAGE_BYTES..end)));
}

#[test]
fn nothing_breaks_while_a_whole_block_can_go() {
    let (source, heap, block) = heap_with_block(|page| page == 7);
    // The block below it is free, and lower.
    let below = PageRun {
        start: block.start - HUGE_PAGES,
        count: HUGE_PAGES,
    };
    free(&heap, below);
    assert_eq!(heap.release(1, Reach::All), HUGE_PAGE_BYTES);
    assert_eq!(heap.page_state(below.start), PageState::Released);
    assert_eq!(source.calls(SourceCall::AdviseSmall), 0);
    assert_eq!(heap.release(1, Reach::All), PAGE_BYTES);
    assert_eq!(source.calls(SourceCall::AdviseSmall), 1);
}

#[test]
fn a_broken_block_mends_when_all_of_it_is_released() {
    let (source, heap, block) = heap_with_block(|page| page == 7);
    assert_eq!(heap.release(usize::MAX, Reach::Sparse), 255 * PAGE_BYTES);
    free(
        &heap,
        PageRun {
            start: block.start + 7,
            count: 1,
        },
    );
    // The first advice of huge pages fails: the block is released, and stays broken.
    source.fail_nth_of(SourceCall::AdviseHuge, source.calls(SourceCall::AdviseHuge));
    assert_eq!(heap.release(1, Reach::Whole), PAGE_BYTES);
    assert!(heap.is_broken(block.start));

    let again = heap.take(1).expect("a free block");
    free(&heap, again.run);
    let before = source.calls_total();
    // A refused release mends nothing.
    source.fail_nth_of(SourceCall::Release, source.calls(SourceCall::Release));
    assert_eq!(heap.release(1, Reach::Whole), 0);
    assert!(heap.is_broken(block.start));
    assert_eq!(heap.release(1, Reach::Whole), PAGE_BYTES);
    assert!(!heap.is_broken(block.start));
    let stats = heap.stats();
    assert_eq!((stats.blocks_broken, stats.blocks_mended), (1, 1));
    let range = block.offset_bytes()..block.offset_bytes() + HUGE_PAGE_BYTES;
    let twice = [SourceCall::AdviseHuge, SourceCall::Release].repeat(2);
    let calls: Vec<SourceCall> = source
        .history()
        .drain(before..)
        .map(|(call, at)| {
            assert_eq!(at, range);
            call
        })
        .collect();
    assert_eq!(calls, twice);
    heap.check_invariants();
}

#[test]
fn a_refused_advice_of_small_pages_stops_no_release() {
    let (source, heap, block) = heap_with_block(|page| page == 7);
    source.fail_from(SourceCall::AdviseSmall, 0);
    assert_eq!(heap.release(usize::MAX, Reach::Sparse), 255 * PAGE_BYTES);
    assert!(heap.is_broken(block.start));
}
