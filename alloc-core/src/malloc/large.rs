//! Large objects: each owns its span, from the page heap and straight back.
//!
//! An alignment beyond a page is had by taking more pages than needed, and giving back at once
//! what lies before the aligned address and behind the object.

use crate::malloc::back::{foreign, freed_twice};
use crate::malloc::byte_heap::ByteHeap;
use crate::malloc::hold::Hold;
use crate::os::PageSource;
use crate::page_error::Exhausted;
use crate::pages::{PAGE_BYTES, PageRun};
use crate::refill::{NoRefill, Refill};
use crate::thread_cache::PAGE_WORDS;
use std::alloc::Layout;
use std::ptr::NonNull;

/// As many pages as there can be, or more.
fn pages_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX)
}

impl<S: PageSource> ByteHeap<S> {
    /// Memory that owns its span, and whether all of it is known to be zero.
    pub(crate) fn alloc_large(&self, layout: Layout) -> Result<(NonNull<u8>, bool), Exhausted> {
        let pages = pages_of(layout.size()).max(1);
        let spare = pages_of(layout.align()).saturating_sub(1);
        let taken = self.heap().take_pages(pages.saturating_add(spare), 1)?;
        let base = self.base().as_ptr().addr();
        let start = base + taken.run.offset_bytes();
        let before = (start.next_multiple_of(layout.align()) - start) / PAGE_BYTES;
        let run = PageRun {
            start: taken.run.start + before as u32,
            count: pages,
        };
        let ends = [(taken.run.start, run.start), (run.end(), taken.run.end())];
        for (start, end) in ends.into_iter().filter(|(start, end)| start < end) {
            self.give_back(PageRun {
                start,
                count: end - start,
            });
        }
        self.slots()
            .taken
            .store_word((run.start * PAGE_WORDS) as usize, 1);
        self.birth(run, None, Hold::DEAD);
        Ok((self.heap().address_of(run.start), taken.is_zero()))
    }

    /// The span that the large object owns; stops the program if there is no such object.
    fn large_span(&self, object: NonNull<u8>) -> u32 {
        let span = self.span_of(object);
        if self.heap().address_of(span) != object || self.heap().spans().class(span).is_some() {
            foreign(object.as_ptr().addr());
        }
        span
    }

    /// Frees an object that owns its span.
    pub(crate) fn free_large(&self, object: NonNull<u8>) {
        let span = self.large_span(object);
        let swept = NoRefill.generation();
        // Of two who free it, one wins.
        if !self.heap().exchange_generation(span, swept, 0) {
            freed_twice(object.as_ptr().addr());
        }
        let pages = self.heap().spans().pages(span);
        self.slots()
            .taken
            .store_word((span * PAGE_WORDS) as usize, 0);
        self.heap().spans().bury(span);
        self.give_back(PageRun {
            start: span,
            count: pages,
        });
    }

    /// Lets a large object be as long as `bytes` need; false if that cannot be done where it is.
    pub(crate) fn resize_large(&self, object: NonNull<u8>, bytes: usize) -> bool {
        let span = self.large_span(object);
        let had = self.heap().spans().pages(span);
        // Without bytes it has a page still, as when it is made so.
        let pages = pages_of(bytes).max(1);
        if pages > had {
            let run = PageRun {
                start: span,
                count: had,
            };
            // Where the source refuses, it may still be had elsewhere.
            let taken = self.heap().pages().take_behind(run, pages - had);
            if !matches!(taken, Ok(Some(_))) {
                return false;
            }
            self.heap().spans().resize(span, pages);
        } else if pages < had {
            self.heap().spans().resize(span, pages);
            self.give_back(PageRun {
                start: span + pages,
                count: had - pages,
            });
        }
        true
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use crate::malloc::{Magazines, Mode};
    use crate::os::Mmap;

    #[test]
    fn an_aligned_object_of_no_bytes_keeps_a_page() {
        let heap = ByteHeap::new(Mmap::new(), 64 << 20, 8 << 20, Mode::Plain).unwrap();
        let mut magazines = Magazines::new();
        let layout = |bytes| Layout::from_size_align(bytes, 4 * PAGE_BYTES).unwrap();
        let object = heap.alloc(&mut magazines, layout(3 * PAGE_BYTES)).unwrap();
        // SAFETY: just allocated.
        let moved =
            unsafe { heap.realloc(&mut magazines, object, layout(3 * PAGE_BYTES), layout(0)) };
        assert_eq!((moved, heap.usable_bytes(object)), (Ok(object), PAGE_BYTES));
        assert_eq!(heap.check_invariants(), 1);
        // SAFETY: just resized.
        unsafe { heap.free(&mut magazines, object, layout(0)) };
        assert_eq!(heap.stats().in_use_bytes, 0);
    }

    #[test]
    fn a_short_object_that_owns_its_span_is_resized_without_its_layout() {
        for mode in [Mode::Plain, Mode::Hardened] {
            let heap = ByteHeap::new(Mmap::new(), 64 << 20, 8 << 20, mode).unwrap();
            let mut magazines = Magazines::new();
            let aligned = Layout::from_size_align(100, 4 * PAGE_BYTES).unwrap();
            let object = heap.alloc(&mut magazines, aligned).unwrap();
            let (layout, new) = (heap.layout_of(object), Layout::new::<[u128; 5000]>());
            assert_eq!(layout.size(), PAGE_BYTES);
            // SAFETY: the layout stands for the one it was made with.
            let moved = unsafe { heap.realloc(&mut magazines, object, layout, new) }.unwrap();
            assert_eq!(heap.check_invariants(), 1, "a page is in a magazine");
            // SAFETY: just resized.
            unsafe { heap.free(&mut magazines, moved, new) };
            assert_eq!(heap.stats().in_use_bytes, 0);
        }
    }
}
