//! The way back: slots to their spans, dead spans to the pages, free pages to the system.

use crate::malloc::byte_heap::ByteHeap;
use crate::malloc::fatal::misuse;
use crate::malloc::shape::Shape;
use crate::malloc::trim::{LOOK_BYTES, STEP_BYTES, Step, Usage};
use crate::os::PageSource;
use crate::page_reach::Reach;
use crate::pages::{PAGE_BYTES, PageRun};
use crate::size_class::{GRANULE_BYTES, SizeClass};
use crate::sync::{Ordering, lock};

/// Slots of one span that were freed, and are to be counted.
#[derive(Default)]
struct Batch {
    span: u32,
    counted: u32,
}

impl<S: PageSource> ByteHeap<S> {
    /// Gives free slots of a class back to their spans. Those of one span, if they follow each
    /// other, are counted at once.
    pub(crate) fn free_slots(&self, class: SizeClass, slots: &[*mut u8]) {
        let mut batch = Batch::default();
        let pages = Shape::of(class).pages;
        let base = self.base().as_ptr().addr();
        let heap_bytes = self.heap().pages().heap_bytes();
        // Of the current word; no word of the heap at first.
        let (mut word, mut bits) = (usize::MAX, 0);
        for slot in slots {
            let offset = slot.addr().wrapping_sub(base);
            let granule = offset / GRANULE_BYTES;
            if granule / 64 != word {
                self.deliver(&mut batch, word, bits);
                (word, bits) = (granule / 64, 0);
                // The heap's end is one of words too.
                if offset >= heap_bytes {
                    foreign(slot.addr());
                }
                let page = (offset / PAGE_BYTES) as u32;
                if batch.counted == 0 || page.wrapping_sub(batch.span) >= pages {
                    self.count(class, &mut batch);
                    let span = self.heap().spans().containing(page);
                    batch.span = span.unwrap_or_else(|| foreign(slot.addr()));
                }
            }
            let bit = 1 << (granule % 64);
            if bits & bit != 0 {
                freed_twice(slot.addr());
            }
            bits |= bit;
        }
        self.deliver(&mut batch, word, bits);
        self.count(class, &mut batch);
    }

    /// Counts by how many bytes more, or fewer, slots are in use.
    pub(crate) fn note_slots(&self, net_bytes: isize) {
        // Relaxed: a count, for what to release.
        self.slot_bytes
            .fetch_add(net_bytes as u64, Ordering::Relaxed);
        if net_bytes < 0 {
            self.note_freed(net_bytes.unsigned_abs());
        }
    }

    /// Frees slots of the batch's span, in one word.
    fn deliver(&self, batch: &mut Batch, word: usize, bits: u64) {
        if bits == 0 {
            return;
        }
        let twice = self.slots().free(word, bits);
        if twice != 0 {
            let word = self.address_of_word(word).addr();
            freed_twice(word + twice.trailing_zeros() as usize * GRANULE_BYTES);
        }
        batch.counted += bits.count_ones();
    }

    /// Counts the batch's slots, which were delivered, in their span.
    fn count(&self, class: SizeClass, batch: &mut Batch) {
        let slots = std::mem::take(&mut batch.counted);
        if slots == 0 {
            return;
        }
        let shelf = self.shelf(class);
        if self.slots().count_freed(shelf, class, batch.span, slots) {
            self.bury(batch.span, Shape::of(class).pages);
        }
    }

    /// Gives the pages of a dead span back.
    pub(crate) fn bury(&self, span: u32, pages: u32) {
        self.slots().wipe(span, pages);
        let spans = self.heap().spans();
        spans.publish_generation(span, 0);
        spans.bury(span);
        self.give_back(PageRun {
            start: span,
            count: pages,
        });
    }

    /// Gives pages back that no span has any more, and now and then some of what is free to the
    /// system.
    pub(crate) fn give_back(&self, run: PageRun) {
        // SAFETY: the pages came from the page heap to a span, or to the caller, who is done with
        // them; nothing on them is in use, and nobody else gives them back.
        unsafe { self.heap().pages().free(run) };
        self.note_freed(run.bytes());
    }

    /// Counts what was freed, and looks now and then what to release.
    fn note_freed(&self, bytes: usize) {
        // Relaxed: a count that decides when to look, and publishes nothing.
        let unlooked = self
            .unlooked_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        if unlooked + bytes as u64 >= LOOK_BYTES as u64 {
            self.look(STEP_BYTES);
        }
    }

    /// Whether looks should be frequent.
    #[inline]
    pub(crate) fn is_restless(&self) -> bool {
        // Relaxed: a hint.
        self.is_restless.load(Ordering::Relaxed)
    }

    /// Gives some of what is free to the system, if it is time; what was done. If a pass over the
    /// spans begins, magazines should be flushed.
    pub(crate) fn look(&self, step_bytes: usize) -> Step {
        let pages = self.heap().pages().counts();
        // Relaxed: a count; what others add meanwhile is forgotten, no harm.
        self.unlooked_bytes.store(0, Ordering::Relaxed);
        let usage = Usage {
            in_use_bytes: pages.in_use as usize * PAGE_BYTES,
            retained_bytes: pages.retained as usize * PAGE_BYTES,
            // Relaxed: a count; it may be below zero while what was taken is not counted yet.
            slot_bytes: (self.slot_bytes.load(Ordering::Relaxed) as isize).max(0) as usize,
        };
        let now_ns = self.epoch.elapsed().as_nanos() as u64;
        let step = {
            // Somebody else looks: that is enough.
            let Ok(mut trim) = self.trim.try_lock() else {
                return Step::default();
            };
            trim.look(now_ns, usage, step_bytes)
        };
        // Relaxed: a hint.
        self.is_restless.store(step.is_restless, Ordering::Relaxed);
        if step.release_bytes > 0 {
            self.heap()
                .pages()
                .release(step.release_bytes, Reach::Whole);
        }
        if step.passes && self.discard_step() {
            lock(&self.trim).passed();
        }
        step
    }
}

/// Memory was freed that is not the heap's.
#[cold]
pub(crate) fn foreign(address: usize) -> ! {
    misuse(
        "foreign pointer",
        address,
        format_args!("it was freed or asked about, and lies in no object of this heap"),
    )
}

/// Memory was freed that was free.
#[cold]
pub(crate) fn freed_twice(address: usize) -> ! {
    misuse(
        "double free",
        address,
        format_args!("it was freed before, and not handed out since"),
    )
}
