//! How large a span of bytes is: one or more of a class's spans in a row, as one.
//!
//! A collected heap sweeps spans and wants them small, to free them whole. Where slots are freed
//! one by one, a span costs at its birth, at its death, and whenever its holder moves on; so it has
//! 512 slots if 64 KiB are enough for them, or as many as fit. In each part of it the slots lie as
//! in a span of the class. Memory is touched from its beginning on, so a large span costs little
//! but addresses.
//!
//! Measured (2026-11-23, two busy cores, beside mimalloc in the same run): with the class's own
//! spans of 8 KiB, 1 KiB objects in batches of a thousand cost 2.5 times mimalloc's, and 64 B ones
//! 1.7 times.

use crate::pages::PAGE_BYTES;
use crate::size_class::{GRANULE_BYTES, SizeClass};
use crate::thread_cache::PAGE_WORDS;

/// Slots that are enough.
const SLOTS_ENOUGH: usize = if cfg!(heapwright_loom) { 1 } else { 512 };
/// Bytes that are enough, however few slots they are.
const BYTES_ENOUGH: usize = 64 << 10;

/// The size of a class's spans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Pages of a span.
    pub(crate) pages: u32,
    /// Slots of a span.
    pub(crate) slots: u32,
    /// Slots that must be free before a span is worth a look: an eighth of them, so that taking a
    /// span off its shelf and searching its words is paid for by several slots.
    pub(crate) room_min: u32,
    part_words: u32,
}

/// Pages of the largest span.
pub(crate) const PAGES_MAX: u32 = {
    let (mut most, mut index) = (0, 0);
    while let Some(class) = SizeClass::from_index(index) {
        let pages = Shape::compute(class).pages;
        most = if pages > most { pages } else { most };
        index += 1;
    }
    // A bit for each 4 KiB of a span fits in a word.
    assert!(most as usize * PAGE_BYTES <= 64 * 4096);
    most
};

static SHAPES: [Shape; SizeClass::COUNT] = {
    let Some(mut class) = SizeClass::from_index(0) else {
        panic!("there is no class at all");
    };
    let mut shapes = [Shape::compute(class); SizeClass::COUNT];
    while let Some(next) = SizeClass::from_index(class.index() + 1) {
        class = next;
        shapes[class.index()] = Shape::compute(class);
    }
    shapes
};

impl Shape {
    /// The shape of a class.
    #[inline]
    pub(crate) fn of(class: SizeClass) -> &'static Shape {
        &SHAPES[class.index()]
    }

    const fn compute(class: SizeClass) -> Self {
        let part_bytes = class.pages() as usize * PAGE_BYTES;
        let mut parts = 1;
        while parts * (class.slots() as usize) < SLOTS_ENOUGH
            && (parts + 1) * part_bytes <= BYTES_ENOUGH
        {
            parts += 1;
        }
        let slots = class.slots() * parts as u32;
        Shape {
            pages: class.pages() * parts as u32,
            slots,
            room_min: if slots < 8 { 1 } else { slots / 8 },
            part_words: class.pages() * PAGE_WORDS,
        }
    }

    /// The granules of a span's `word`-th word at which slots begin.
    #[inline]
    pub(crate) fn starts(&self, class: SizeClass, word: u32) -> u64 {
        class.starts(word % self.part_words)
    }

    /// The first word at or behind a span's `word`-th one at which a slot begins; the number of the
    /// span's words, or more, if there is none.
    #[inline]
    pub(crate) fn next_start(&self, class: SizeClass, word: u32) -> u32 {
        let slot_granules = (class.bytes() / GRANULE_BYTES) as u32;
        if slot_granules <= 64 {
            return word;
        }
        let (part, rest) = (word / self.part_words, word % self.part_words);
        let slot = (rest * 64).div_ceil(slot_granules);
        let inside = if slot < class.slots() {
            slot * slot_granules / 64
        } else {
            self.part_words
        };
        part * self.part_words + inside
    }

    /// How far `offset` bytes from a span's beginning is from the beginning of its slot.
    pub(crate) fn past_start(&self, class: SizeClass, offset: usize) -> usize {
        offset % (class.pages() as usize * PAGE_BYTES) % class.bytes()
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    #[test]
    fn spans_have_slots_enough_and_are_no_larger_than_that() {
        for class in (0..SizeClass::COUNT).filter_map(SizeClass::from_index) {
            let shape = Shape::of(class);
            let bytes = shape.pages as usize * PAGE_BYTES;
            assert!(
                bytes <= BYTES_ENOUGH || shape.pages == class.pages(),
                "{class:?}: {shape:?}"
            );
            let words = 0..shape.pages * PAGE_WORDS;
            let starts: u32 = words
                .map(|word| shape.starts(class, word).count_ones())
                .sum();
            assert_eq!(starts, shape.slots, "{class:?}: {shape:?}");
            for word in 0..shape.pages * PAGE_WORDS {
                let end = shape.pages * PAGE_WORDS;
                let next = (word..end).find(|word| shape.starts(class, *word) != 0);
                let found = shape.next_start(class, word).min(end);
                let is_dense = class.bytes() <= 64 * GRANULE_BYTES;
                assert!(
                    is_dense && found == word || found == next.unwrap_or(end),
                    "{class:?}: {found} is next to {word}, not {next:?}"
                );
                let mut starts = shape.starts(class, word);
                while starts != 0 {
                    let granule = word * 64 + starts.trailing_zeros();
                    assert_eq!(shape.past_start(class, granule as usize * 16), 0);
                    starts &= starts - 1;
                }
            }
        }
    }
}
