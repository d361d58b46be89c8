//! Slots of a span that are taken by its holder and freed by anyone.
//!
//! Two bits a slot, at its first granule. *Taken*, the allocation bit: written by the span's
//! holder alone. *Freed*, in the array that a collector would mark in: set by whoever frees the
//! slot, in any thread. A slot is in use if it is taken and not freed.
//!
//! | step | who | taken | freed | the span's word |
//! |---|---|---|---|---|
//! | [`Slots::take_word`] | the holder | set for all that is free | cleared for what was set | – |
//! | [`Slots::give_back`] | the holder | cleared for what it did not use | – | – |
//! | [`Slots::free`], then | anyone | – | set | – |
//! | [`Slots::count_freed`] | the same | – | – | `used` less; held, if there is room now |
//! | [`Slots::leave`] | the holder | – | – | `used` more; shelved, full or dead |
//!
//! So a free costs one bit, wherever its slot lies and whoever holds its span: nothing is queued,
//! and a thread that only frees takes no memory for it. The holder finds the freed slots of a word
//! in the one exchange with which it takes the word.
//!
//! Why a bit that is set before it is counted does no harm: the holder may collect it, and take
//! the slot again, before the count arrives. Then `used` is too high for a while, by exactly the
//! counts on their way, and a span that looks fuller than it is dies later, never earlier.

use crate::bits::Bits;
use crate::malloc::hold::Hold;
use crate::malloc::shape::Shape;
use crate::malloc::shelf::Shelf;
use crate::size_class::SizeClass;
use crate::span::Spans;
use crate::thread_cache::PAGE_WORDS;

/// Whether a span with so many slots in use is worth a look.
fn has_room(class: SizeClass, used: u32) -> bool {
    let shape = Shape::of(class);
    used.saturating_add(shape.room_min) <= shape.slots
}

/// What the slots of a heap are kept in.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a> {
    pub(crate) spans: &'a Spans,
    pub(crate) taken: &'a Bits,
    pub(crate) freed: &'a Bits,
}

impl Slots<'_> {
    /// Takes every free slot among the 64 granules of a word of the span, for the span's holder:
    /// their bits.
    pub(crate) fn take_word(&self, class: SizeClass, span: u32, word: u32) -> u64 {
        let starts = Shape::of(class).starts(class, word);
        if starts == 0 {
            return 0;
        }
        let index = (span * PAGE_WORDS + word) as usize;
        let taken = self.taken.word(index) & !self.freed.collect(index);
        let free = starts & !taken;
        self.taken.store_word(index, taken | free);
        free
    }

    /// Gives back slots of the word at `index` that the span's holder took and did not use.
    pub(crate) fn give_back(&self, index: usize, bits: u64) {
        self.taken.store_word(index, self.taken.word(index) & !bits);
    }

    /// Frees slots of the word at `index`; those of them that were freed already. The caller
    /// counts them next.
    pub(crate) fn free(&self, index: usize, bits: u64) -> u64 {
        self.freed.deliver(index, bits)
    }

    /// Counts slots that the caller has freed. It knows nothing of the span afterwards, unless
    /// this returns true: then nothing of the span is in use, and it is the caller's to bury.
    #[must_use]
    pub(crate) fn count_freed(
        &self,
        shelf: &Shelf,
        class: SizeClass,
        span: u32,
        slots: u32,
    ) -> bool {
        let (old, new) = self.spans.hold(span).update(|old| {
            let new = old.with_used(old.used().wrapping_sub(slots));
            let is_due = new.used() == 0 || !old.is_listed() && has_room(class, new.used());
            if is_due && !old.is_owned() {
                new.held()
            } else {
                new
            }
        });
        !old.is_owned() && new.is_owned() && self.leave(shelf, class, span, 0)
    }

    /// Gives up a span that the caller holds and has taken `taken` slots of, all in all. It knows
    /// nothing of the span afterwards, unless this returns true, as in [`Self::count_freed`].
    #[must_use]
    pub(crate) fn leave(&self, shelf: &Shelf, class: SizeClass, span: u32, taken: u32) -> bool {
        self.leave_as(shelf, class, span, taken, |left| left)
    }

    /// As [`Self::leave`], by one who has taken nothing, and discarded what was free when `used`
    /// slots were in use.
    #[must_use]
    pub(crate) fn leave_discarded(
        &self,
        shelf: &Shelf,
        class: SizeClass,
        span: u32,
        used: u32,
    ) -> bool {
        let mark = |left: Hold| {
            if left.is_listed() && left.used() == used {
                left.discarded()
            } else {
                left
            }
        };
        self.leave_as(shelf, class, span, 0, mark)
    }

    fn leave_as(
        &self,
        shelf: &Shelf,
        class: SizeClass,
        span: u32,
        taken: u32,
        mark: impl Fn(Hold) -> Hold,
    ) -> bool {
        let mut shelf = shelf.open(self.spans);
        let (old, new) = self.spans.hold(span).update(|old| {
            debug_assert!(old.is_owned(), "a span is left that nobody holds");
            let used = old.used().wrapping_add(taken);
            mark(Hold::left(used, used != 0 && has_room(class, used)))
        });
        match (old.is_listed(), new.is_listed()) {
            (false, true) => shelf.link(span),
            (true, false) => shelf.unlink(span),
            _ => {}
        }
        new == Hold::DEAD
    }

    /// Whether a span that the caller holds, and has taken `taken` slots of, has room again. Then
    /// there is a slot that [`Self::take_word`] finds.
    pub(crate) fn has_room(&self, class: SizeClass, span: u32, taken: u32) -> bool {
        has_room(
            class,
            self.spans.hold(span).get().used().wrapping_add(taken),
        )
    }

    /// Clears every bit of a span that is dead and not buried yet.
    pub(crate) fn wipe(&self, span: u32, pages: u32) {
        let first = (span * PAGE_WORDS) as usize;
        for index in first..first + (pages * PAGE_WORDS) as usize {
            self.taken.store_word(index, 0);
            self.freed.store_word(index, 0);
        }
    }
}
