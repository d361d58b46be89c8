//! Size classes: the sizes that slots come in, and the spans that hold them.
//!
//! Multiples of 16 B up to 128 B, then eight steps to a doubling up to 32 KiB: an object wastes at
//! most 12.5 % of its slot (and at most 15 B below 128 B). Larger objects own a span each. A span
//! has as many pages as it takes to hold four slots and to leave at most an eighth of it unused.
//! `cargo xtask size-classes` computes the table (`size_table.rs`, and `docs/size-classes.md` for
//! readers) from the layout; here is the arithmetic that finds a size's place in it.
//!
//! All slots begin at multiples of the class size from the start of a page-aligned span, so a
//! class whose size is a multiple of an alignment of at most a page keeps that alignment.
//!
//! An allocation does not count through slots: it takes a *word*, 64 granules of a span, and the
//! bits at which slots begin in it. [`SizeClass::starts`] gives them from the class and the word's
//! phase.

use crate::size_table::SHAPES;

/// The unit in which objects are placed: one mark bit and one allocation bit each.
pub const GRANULE_BYTES: usize = 16;

/// The largest object that shares a span with others.
pub const SMALL_BYTES_MAX: usize = 32 * 1024;

const FINE_STEPS: usize = 8;
const FINE_BYTES: usize = FINE_STEPS * GRANULE_BYTES;
const STEPS: usize = 8;
const CLASSES: usize = SHAPES.len();

/// One of the sizes that slots come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SizeClass(u8);

/// What a class's slots and spans are like; see `size_table.rs`.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    granules: u32,
    pages: u32,
    slots: u32,
}

impl Shape {
    pub(crate) const fn new(granules: u32, pages: u32, slots: u32) -> Self {
        Self {
            granules,
            pages,
            slots,
        }
    }
}

/// `REPEAT[g]` has a bit at every multiple of `g` below 64.
const REPEAT: [u64; 64] = {
    let mut repeat = [1; 64];
    let mut step = 1;
    while step < 64 {
        let mut bit = 0;
        while bit < 64 {
            repeat[step] |= 1 << bit;
            bit += step;
        }
        step += 1;
    }
    repeat
};

impl SizeClass {
    /// How many classes there are.
    pub const COUNT: usize = CLASSES;

    /// The smallest class for objects of `size` bytes aligned to `align`; `None` if such an
    /// object needs a span of its own. A size of zero takes a granule.
    #[inline]
    pub const fn of(size: usize, align: usize) -> Option<Self> {
        if size > SMALL_BYTES_MAX {
            return None;
        }
        let mut class = if size <= FINE_BYTES {
            size.saturating_sub(1) / GRANULE_BYTES
        } else {
            // Position within the doubling, counted in its eighths.
            let doubling = ((size - 1) / FINE_BYTES).ilog2() as usize;
            let above = size - 1 - (FINE_BYTES << doubling);
            FINE_STEPS + doubling * STEPS + above / ((FINE_BYTES << doubling) / STEPS)
        };
        while class < CLASSES {
            let found = Self(class as u8);
            if align <= GRANULE_BYTES || found.bytes().is_multiple_of(align) {
                return Some(found);
            }
            class += 1;
        }
        None
    }

    /// The class with this index, below [`Self::COUNT`].
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < CLASSES {
            Some(Self(index as u8))
        } else {
            None
        }
    }

    /// The class's index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes of a slot.
    #[inline]
    pub const fn bytes(self) -> usize {
        SHAPES[self.index()].granules as usize * GRANULE_BYTES
    }

    /// Granules of a slot.
    #[inline]
    pub const fn granules(self) -> u32 {
        SHAPES[self.index()].granules
    }

    /// Pages of a span.
    #[inline]
    pub const fn pages(self) -> u32 {
        SHAPES[self.index()].pages
    }

    /// Slots of a span.
    #[inline]
    pub const fn slots(self) -> u32 {
        SHAPES[self.index()].slots
    }

    /// The granules of a span's `word`-th word at which slots begin. Constant time.
    #[inline]
    pub const fn starts(self, word: u32) -> u64 {
        let granules = self.granules();
        let offset = word * 64;
        let end = self.slots() * granules;
        if offset >= end {
            return 0;
        }
        // Distance from the word's first granule to the first slot that begins in it.
        let into = offset % granules;
        let first = if into == 0 { 0 } else { granules - into };
        let starts = if first >= 64 {
            0
        } else if granules >= 64 {
            1 << first
        } else {
            REPEAT[granules as usize] << first
        };
        if end - offset < 64 {
            starts & ((1 << (end - offset)) - 1)
        } else {
            starts
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use crate::pages::PAGE_BYTES;

    fn classes() -> impl Iterator<Item = SizeClass> {
        (0..SizeClass::COUNT).filter_map(SizeClass::from_index)
    }

    #[test]
    fn each_size_gets_the_smallest_class_that_holds_it() {
        for size in 0..=SMALL_BYTES_MAX {
            let naive = classes().find(|class| class.bytes() >= size);
            assert_eq!(SizeClass::of(size, 8), naive, "size {size}");
        }
        assert_eq!(SizeClass::of(SMALL_BYTES_MAX + 1, 8), None);
    }

    #[test]
    fn waste_is_bounded() {
        for size in 1..=SMALL_BYTES_MAX {
            let class = SizeClass::of(size, 1).unwrap();
            let waste = class.bytes() - size;
            assert!(
                waste < GRANULE_BYTES || waste * 8 <= class.bytes(),
                "size {size}"
            );
        }
        for class in classes() {
            let span_bytes = class.pages() as usize * PAGE_BYTES;
            let used_bytes = class.slots() as usize * class.bytes();
            assert!((span_bytes - used_bytes) * 8 <= span_bytes && class.slots() >= 4);
        }
    }

    #[test]
    fn alignment_is_kept_or_refused() {
        for align in [1, 2, 4, 8, 16, 32, 64, 512, 4096, 8192] {
            for size in [1, 24, 100, 1000, 5000, 30000] {
                if let Some(class) = SizeClass::of(size, align) {
                    assert!(class.bytes() >= size && class.bytes().is_multiple_of(align.max(16)));
                }
            }
        }
    }

    #[test]
    fn starts_agree_with_counting_slots() {
        for class in classes() {
            let mut naive = vec![0u64; class.pages() as usize * PAGE_BYTES / 1024];
            for slot in 0..class.slots() {
                let granule = slot * class.granules();
                naive[granule as usize / 64] |= 1 << (granule % 64);
            }
            for (word, expected) in naive.iter().enumerate() {
                assert_eq!(
                    class.starts(word as u32),
                    *expected,
                    "{class:?}, word {word}"
                );
            }
        }
    }
}
