//! What the owner of a collector does with spans once marking is over: sweep, free, offer again.
//!
//! The heap knows nothing of cycles. It sweeps a span when told to, and relies on the caller's
//! claim of the span's generation word (see `span.rs`) to be alone with it.

use crate::central::Central;
use crate::heap::{Heap, NO_CENTRAL};
use crate::os::PageSource;
use crate::pages::{PAGE_BYTES, PageRun};
use crate::thread_cache::PAGE_WORDS;
use std::sync::Arc;

/// What sweeping a span came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Slots that became free.
    pub freed_objects: u32,
    /// Their bytes.
    pub freed_bytes: usize,
    /// The spans of which nothing is left, as bits like those of [`Heap::sweep_among`]: the caller
    /// may retire them and then add them to [`Heap::burials`].
    pub empty: u64,
}

/// Spans that died, whose pages go back to the page heap many at a time: neighbors as one run.
/// Dropping it gives them back.
pub struct Burials<'h, S: PageSource> {
    heap: &'h Heap<S>,
    runs: Vec<PageRun>,
    /// The central of the last one: the next is often of the same.
    central: Option<Arc<Central>>,
}

/// Runs that are kept before they go back.
const BURIALS_MAX: usize = 64;

impl<S: PageSource> Burials<'_, S> {
    /// Adds an empty span.
    ///
    /// # Safety
    ///
    /// * The caller claimed the span's sweep, found it empty, and published generation 0 as the
    ///   claim's end.
    /// * Nobody frees it a second time.
    pub unsafe fn add(&mut self, span: u32) {
        let spans = self.heap.spans();
        let run = PageRun {
            start: span,
            count: spans.pages(span),
        };
        let central = spans.central(span);
        if central != NO_CENTRAL {
            if self
                .central
                .as_ref()
                .is_none_or(|last| last.index != central)
            {
                self.central = Some(self.heap.registered(central));
            }
            if let Some(central) = &self.central {
                central.remove(spans, span);
            }
        }
        spans.bury(span);
        match self.runs.last_mut() {
            Some(last) if last.end() == run.start => last.count += run.count,
            _ => self.runs.push(run),
        }
        if self.runs.len() > BURIALS_MAX {
            self.flush();
        }
    }

    /// Gives back what was added so far.
    pub fn flush(&mut self) {
        // SAFETY: each run is made of spans' runs, which came from `alloc`; they are empty and
        // unlisted, so nobody uses their memory, and each was added once.
        unsafe { self.heap.pages().free_batch(&self.runs) }
        self.runs.clear();
    }
}

impl<S: PageSource> Drop for Burials<'_, S> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<S: PageSource> Heap<S> {
    /// Lets the marks of a span become its allocation bits, and clears the marks.
    ///
    /// The caller publishes the generation afterwards, or, if the span is empty and of no use to
    /// it, publishes 0 and frees the span. A large object that is dead leaves an empty span that
    /// is of no use to anyone. Linear in the span's words of bits, eight a page.
    ///
    /// # Safety
    ///
    /// * The caller holds the claim on the span's sweep, and nobody owns the span.
    /// * Marking has ended: what is not marked is unreachable, and its drop glue has run.
    pub unsafe fn sweep(&self, span: u32) -> Swept {
        let first = span & !63;
        // SAFETY: this function's own preconditions.
        unsafe { self.sweep_among(first, 1 << (span - first)) }
    }

    /// [`sweep`](Self::sweep)s the spans that begin among the 64 pages from `first`: bit `i` of
    /// `spans` for the one at `first + i`. Cheaper than one by one.
    ///
    /// # Safety
    ///
    /// As for [`sweep`](Self::sweep), for each span.
    pub unsafe fn sweep_among(&self, first: u32, spans: u64) -> Swept {
        #[cfg(all(target_arch = "x86_64", not(heapwright_portable)))]
        if std::arch::is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has the instruction.
            return unsafe { self.sweep_by_popcnt(first, spans) };
        }
        self.sweep_each(first, spans)
    }

    /// [`sweep_each`](Self::sweep_each) with the processor's own count of bits, which the oldest
    /// x86-64 has not: without it, counting is most of the time that a span takes.
    #[cfg(all(target_arch = "x86_64", not(heapwright_portable)))]
    #[target_feature(enable = "popcnt")]
    fn sweep_by_popcnt(&self, first: u32, spans: u64) -> Swept {
        self.sweep_each(first, spans)
    }

    /// Totals are kept in registers, and the words of a page, which most spans are, are one block
    /// without a loop: each was a tenth of the time.
    #[inline(always)]
    fn sweep_each(&self, first: u32, mut spans: u64) -> Swept {
        let (mut freed_objects, mut freed_bytes, mut empty) = (0, 0, 0);
        let batch = self.spans().batch(first);
        while spans != 0 {
            let place = spans.trailing_zeros();
            spans &= spans - 1;
            let word = ((first + place) * PAGE_WORDS) as usize;
            let line = &batch[place as usize];
            let (allocs, marks) = (self.allocs(), self.marks());
            let (live, slot_bytes) = match line.class() {
                Some(class) => {
                    let live = if class.pages() == 1 {
                        allocs.become_marks(marks, word, PAGE_WORDS as usize)
                    } else {
                        allocs.become_marks(marks, word, (class.pages() * PAGE_WORDS) as usize)
                    };
                    (live, class.bytes())
                }
                None => (
                    allocs.become_marks(marks, word, 1),
                    line.pages() as usize * PAGE_BYTES,
                ),
            };
            let freed = line.live() - live;
            line.set_live(live);
            freed_objects += freed;
            freed_bytes += freed as usize * slot_bytes;
            empty |= u64::from(live == 0) << place;
        }
        Swept {
            freed_objects,
            freed_bytes,
            empty,
        }
    }

    /// A batch of spans to free, empty so far.
    pub fn burials(&self) -> Burials<'_, S> {
        Burials {
            heap: self,
            runs: Vec::new(),
            central: None,
        }
    }

    /// Offers a swept span with free slots to allocators that may have passed it by.
    pub fn offer(&self, span: u32) {
        let (central, class) = (self.spans().central(span), self.spans().class(span));
        let free = class.is_some_and(|class| self.spans().live(span) < class.slots());
        if free && central != NO_CENTRAL {
            self.registered(central).offer(self.spans(), span);
        }
    }

    /// A new cycle of sweeping: every span is a candidate for allocation again.
    ///
    /// # Panics
    ///
    /// Never; but the caller makes sure that no cache holds a span (all were flushed).
    pub fn rewind(&self) {
        self.centrals().iter().for_each(|central| central.rewind());
    }

    /// Forgets every mark, as if the marking had not been.
    ///
    /// # Safety
    ///
    /// Nobody marks or sweeps meanwhile.
    pub unsafe fn clear_marks(&self) {
        let mut from = 0;
        while let Some(span) = self.next_span(from, self.spans_end()) {
            let pages = self.spans().pages(span);
            let first = (span * PAGE_WORDS) as usize;
            let words = if self.spans().class(span).is_some() {
                pages * PAGE_WORDS
            } else {
                1
            };
            (first..first + words as usize).for_each(|word| self.marks().store_word(word, 0));
            from = span + pages;
        }
    }
}
