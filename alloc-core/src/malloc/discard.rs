//! Free pages inside of spans that have slots in use elsewhere: their memory goes back.
//!
//! After a program has dropped most of what it had, the rest is scattered: hardly a span is empty,
//! but most pages of most spans hold nothing. A *pass* takes the spans of each shelf, as somebody
//! who allocates would, finds the pages that no slot in use lies on, has the source discard what
//! they hold, and leaves the spans again. Whoever holds a span has its free slots to itself, so
//! nobody can be handed one meanwhile; the protocol is that of `slots.rs`, with nothing added but
//! a bit in the span's word that says "nothing was freed since the last pass", so that a pass sees
//! each span once. See the model `pages_are_discarded_beside_frees`.
//!
//! Discarded pages stay the span's, committed, and come as zeros at the next touch. A hardened heap
//! does without: there, free memory is checked for writes when it is handed out.

use crate::malloc::byte_heap::ByteHeap;
use crate::malloc::shape::{PAGES_MAX, Shape};
use crate::os::PageSource;
use crate::pages::PAGE_BYTES;
use crate::size_class::{GRANULE_BYTES, SizeClass};
use crate::sync::Ordering;
use crate::thread_cache::PAGE_WORDS;

/// Spans that one step takes.
const STEP_SPANS: usize = 4;
/// Words of bits of the largest span.
const WORDS_MAX: usize = (PAGES_MAX * PAGE_WORDS) as usize;

impl<S: PageSource> ByteHeap<S> {
    /// One step of a pass, which goes on where the last one ended; true at the pass's end.
    pub(crate) fn discard_step(&self) -> bool {
        // Relaxed: where to look; of two at once one looks in vain, and neither relies on it.
        let at = self.pass_class.load(Ordering::Relaxed);
        let class = SizeClass::from_index(at as usize);
        let Some(class) = class.filter(|_| !self.is_guarded()) else {
            // Relaxed: as above.
            self.pass_class.store(0, Ordering::Relaxed);
            return true;
        };
        let mut spans = [0; STEP_SPANS];
        let count = self
            .shelf(class)
            .take_stale(self.heap().spans(), &mut spans);
        for span in &spans[..count] {
            self.discard(class, *span);
        }
        if count < STEP_SPANS {
            // Relaxed: as above.
            self.pass_class.store(at + 1, Ordering::Relaxed);
        }
        false
    }

    /// Discards what lies on pages of a held span where no slot is in use, and leaves the span.
    fn discard(&self, class: SizeClass, span: u32) {
        let (shape, slots) = (Shape::of(class), self.slots());
        let unit = self.heap().pages().discard_granule_bytes();
        // Before the bits: what is counted later may not be among them.
        let used_slots = self.heap().spans().hold(span).get().used();
        let mut free = [0; WORDS_MAX];
        let free = &mut free[..(shape.pages * PAGE_WORDS) as usize];
        // A bit a unit: a slot in use lies on it.
        let mut used = 0_u64;
        for (word, free) in free.iter_mut().enumerate() {
            *free = slots.take_word(class, span, word as u32);
            let mut in_use = shape.starts(class, word as u32) & !*free;
            while in_use != 0 {
                let granule = word * 64 + in_use.trailing_zeros() as usize;
                let (first, last) = (granule * GRANULE_BYTES, class.bytes() - 1);
                let (first, last) = (first / unit, (granule * GRANULE_BYTES + last) / unit);
                used |= (u64::MAX << first) & (u64::MAX >> (63 - last));
                in_use &= in_use - 1;
            }
        }
        let units = shape.pages as usize * PAGE_BYTES / unit;
        let mut at = 0;
        while at < units {
            let first = at + (!used >> at).trailing_zeros() as usize;
            if first >= units {
                break;
            }
            let end = (first + (used >> first).trailing_zeros() as usize).min(units);
            let offset = span as usize * PAGE_BYTES + first * unit;
            // SAFETY: the pages are those of a span that this thread holds, with every slot on
            // them taken by it and handed out to nobody.
            unsafe { self.heap().pages().discard(offset, (end - first) * unit) };
            let bytes = ((end - first) * unit) as u64;
            // Relaxed: a statistic.
            self.discarded_bytes.fetch_add(bytes, Ordering::Relaxed);
            at = end;
        }
        for (word, free) in free.iter().enumerate() {
            if *free != 0 {
                slots.give_back((span * PAGE_WORDS) as usize + word, *free);
            }
        }
        self.leave_discarded(class, span, used_slots);
    }
}
