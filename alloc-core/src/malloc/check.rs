//! Whether a heap of bytes is whole: every span's word, bits and shelf against each other.

use crate::malloc::byte_heap::ByteHeap;
use crate::os::PageSource;
use crate::size_class::SizeClass;
use crate::thread_cache::PAGE_WORDS;
use std::collections::BTreeSet;

impl<S: PageSource> ByteHeap<S> {
    /// Checks pages, spans and shelves against each other. For tests, of this crate and of its
    /// users; linear in the heap's size. Nobody allocates or frees meanwhile.
    ///
    /// Returns how many slots and large objects are in use; those in magazines are.
    ///
    /// # Panics
    ///
    /// If something is not as it should be, with the span at fault.
    pub fn check_invariants(&self) -> usize {
        let (heap, spans) = (self.heap(), self.heap().spans());
        heap.pages().check_invariants();
        let mut shelved = BTreeSet::new();
        for class in (0..SizeClass::COUNT).filter_map(SizeClass::from_index) {
            self.shelf(class).for_each(spans, |span| {
                assert_eq!(
                    spans.class(span),
                    Some(class),
                    "span {span} is on a wrong shelf"
                );
                assert!(shelved.insert(span), "span {span} is on a shelf twice");
            });
        }
        let (mut from, end, mut in_use, mut pages) = (0, heap.spans_end(), 0, 0);
        while let Some(span) = heap.next_span(from, end) {
            assert!(span >= from, "span {span} begins inside another");
            from = span + spans.pages(span);
            pages += spans.pages(span);
            let hold = spans.hold(span).get();
            let is_shelved = shelved.remove(&span);
            assert_eq!(
                hold.is_listed(),
                is_shelved,
                "span {span} says {hold:?} of its shelf"
            );
            let first = (span * PAGE_WORDS) as usize;
            let words = first..first + (spans.pages(span) * PAGE_WORDS) as usize;
            let mut used = 0;
            for index in words {
                let (taken, freed) = (heap.allocs().word(index), heap.marks().word(index));
                assert_eq!(freed & !taken, 0, "span {span}: a free slot was freed");
                used += (taken & !freed).count_ones();
            }
            let class = spans.class(span);
            if class.is_none() {
                assert_eq!(used, 1, "span {span} has one large object");
            } else if !hold.is_owned() {
                assert_eq!(
                    used,
                    hold.used(),
                    "span {span} counts what its bits do not say"
                );
                assert!(used > 0, "span {span} is dead and not buried");
            }
            in_use += used as usize;
        }
        assert!(shelved.is_empty(), "dead spans are on a shelf: {shelved:?}");
        let pages_in_use = heap.pages().counts().in_use;
        assert_eq!(pages, pages_in_use, "pages in use that no span has");
        in_use
    }
}
