//! Bits beside the heap: one a granule (marks, allocations) or one a page (heads of spans).
//!
//! Each array stands alone and dense, because a random look-up costs what its cache line costs:
//! bits in the objects' own pages were 5 to 8 times slower to look up at 64–320 MiB in prototypes.
//! The place of a bit is `(address - base) >> 4` for every type, so no size has to be loaded first.
//!
//! A word is written in two ways, and which one is right depends on who may write its neighbours:
//!
//! | operation | who else may write the word |
//! |---|---|
//! | [`Bits::claim`], [`Bits::claim_in_word`], [`Bits::set`], [`Bits::clear`] | anyone: a read-modify-write |
//! | [`Bits::set_in_word`], [`Bits::clear_in_word`] | anyone, other bits: a read-modify-write |
//! | [`Bits::claim_alone`], [`Bits::claim_in_word_alone`], [`Bits::store_word`] | nobody: the caller marks alone, or owns the span (and blackens a word in which nobody else has objects) |
//!
//! Proof sketch for the claim: `fetch_or` of one bit returns the word before it, and all
//! read-modify-writes of a word are totally ordered, so exactly one of any number of claimants
//! finds the bit clear. The test before it only spares the losers the bus: it may be stale in the
//! direction "still clear" alone, as nobody clears marks while anybody marks.

use crate::sync::{AtomicU64, AtomicWords, Ordering};
use std::ptr::NonNull;

/// An array of bits that several threads may change at once.
pub struct Bits {
    words: AtomicWords,
}

impl Bits {
    /// A view of the bits in `words` words at `base`.
    ///
    /// # Safety
    ///
    /// * `base` is aligned to 8 and `words` words from it are mapped and zero.
    /// * The memory outlives the view and is used through it alone.
    pub unsafe fn from_raw(base: NonNull<u8>, words: usize) -> Self {
        // SAFETY: this function's own preconditions.
        let words = unsafe { AtomicWords::from_raw(base, words) };
        Self { words }
    }

    /// A second view of the same bits, for a loop that should not look up where they are.
    ///
    /// # Safety
    ///
    /// The memory that [`Bits::from_raw`] was given outlives this view as well.
    pub unsafe fn view(&self) -> Self {
        // SAFETY: this function's own precondition.
        let words = unsafe { self.words.view() };
        Self { words }
    }

    /// Whether the bit is set.
    #[inline]
    pub fn test(&self, bit: usize) -> bool {
        // Relaxed: a hint while others write; exact once a handshake or a lock has ordered them.
        self.words.get(bit / 64).load(Ordering::Relaxed) & mask(bit) != 0
    }

    /// Sets the bit; true for exactly one of any number of callers.
    ///
    /// # Safety
    ///
    /// `bit` lies in the array.
    #[inline]
    pub unsafe fn claim(&self, bit: usize) -> bool {
        // SAFETY: by this function's precondition.
        let word = unsafe { self.words.get_unchecked(bit / 64) };
        // Relaxed: if the bit is seen set, it is; if it is seen clear, the fetch_or decides.
        if word.load(Ordering::Relaxed) & mask(bit) != 0 {
            return false;
        }
        // Relaxed: read-modify-writes of a word are ordered among themselves, which is all that
        // "one winner" needs. What the winner reads of the object was published to it by whoever
        // led it here (a slot's release store, a deque's steal), not by this bit.
        word.fetch_or(mask(bit), Ordering::Relaxed) & mask(bit) == 0
    }

    /// Sets the bit, as the only thread that writes the array; true if it was clear.
    ///
    /// # Safety
    ///
    /// * `bit` lies in the array.
    /// * No other thread writes the word meanwhile (its write would be lost, no worse).
    #[inline]
    pub unsafe fn claim_alone(&self, bit: usize) -> bool {
        // SAFETY: by this function's precondition.
        let word = unsafe { self.words.get_unchecked(bit / 64) };
        // Relaxed: nobody else writes.
        let old = word.load(Ordering::Relaxed);
        // Relaxed: read by others only after the marker's thread has been joined.
        word.store(old | mask(bit), Ordering::Relaxed);
        old & mask(bit) == 0
    }

    /// The word at `index`, while others may be setting bits of it: what is set stays set.
    ///
    /// # Safety
    ///
    /// `index` lies in the array.
    #[inline(always)]
    pub unsafe fn glance(&self, index: usize) -> u64 {
        // SAFETY: by this function's precondition.
        let word = unsafe { self.words.get_unchecked(index) };
        // Relaxed: a hint, as the test in `claim` is.
        word.load(Ordering::Relaxed)
    }

    /// Sets bits of the word at `index`, each as [`claim`](Self::claim) does; returns those that
    /// were set already.
    ///
    /// # Safety
    ///
    /// `index` lies in the array.
    #[inline(always)]
    pub unsafe fn claim_in_word(&self, index: usize, bits: u64) -> u64 {
        // SAFETY: by this function's precondition.
        let word = unsafe { self.words.get_unchecked(index) };
        // Relaxed: as the fetch_or in `claim`.
        word.fetch_or(bits, Ordering::Relaxed) & bits
    }

    /// Sets bits of the word at `index`, as the only thread that writes the array; it may set none.
    ///
    /// # Safety
    ///
    /// * `index` lies in the array.
    /// * No other thread writes the word meanwhile (its write would be lost, no worse).
    #[inline(always)]
    pub unsafe fn claim_in_word_alone(&self, index: usize, bits: u64) {
        // SAFETY: by this function's precondition.
        let word = unsafe { self.words.get_unchecked(index) };
        // Relaxed: nobody else writes.
        let old = word.load(Ordering::Relaxed);
        // Relaxed: as the store in `claim_alone`.
        word.store(old | bits, Ordering::Relaxed);
    }

    /// Sets the bit whose neighbours others may be changing, after all that was written before.
    #[inline]
    pub fn set(&self, bit: usize) {
        // Release: pairs with the Acquire in `next_set` and `prev_set`; who finds the head of a
        // span finds its line filled in.
        self.words
            .get(bit / 64)
            .fetch_or(mask(bit), Ordering::Release);
    }

    /// Clears the bit whose neighbours others may be changing.
    #[inline]
    pub fn clear(&self, bit: usize) {
        // Relaxed: who finds the bit clear goes on to the next. What others released with theirs
        // stays released: this is a read-modify-write.
        self.words
            .get(bit / 64)
            .fetch_and(!mask(bit), Ordering::Relaxed);
    }

    /// Sets bits of the word at `index` whose neighbours others may be setting.
    #[inline]
    pub fn set_in_word(&self, index: usize, bits: u64) {
        // Relaxed: as in `claim`; the objects behind the bits are published by other means.
        self.words.get(index).fetch_or(bits, Ordering::Relaxed);
    }

    /// Clears bits of the word at `index`, which the caller has set, and whose neighbours others
    /// may be setting.
    #[inline]
    pub fn clear_in_word(&self, index: usize, bits: u64) {
        // Relaxed: as in `set_in_word`.
        self.words.get(index).fetch_and(!bits, Ordering::Relaxed);
    }

    /// Sets bits of the word at `index` for whoever [`collect`](Self::collect)s them, after all
    /// that was done before; returns those that were set already.
    #[inline]
    pub(crate) fn deliver(&self, index: usize, bits: u64) -> u64 {
        // Release: pairs with the Acquire in `collect`; who collects a freed slot sees the last
        // use of it.
        self.words.get(index).fetch_or(bits, Ordering::Release) & bits
    }

    /// Takes all bits that were [`deliver`](Self::deliver)ed to the word at `index`.
    #[inline]
    pub(crate) fn collect(&self, index: usize) -> u64 {
        let word = self.words.get(index);
        // Relaxed: a hint; what is missed is collected the next time.
        if word.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        // Acquire: pairs with the Release in `deliver`.
        word.swap(0, Ordering::Acquire)
    }

    /// Clears the bit; whether it was set, for exactly one of any number of callers.
    #[inline]
    pub(crate) fn unclaim(&self, bit: usize) -> bool {
        let word = self.words.get(bit / 64);
        // Relaxed: read-modify-writes of a word are ordered among themselves, which is all that
        // "one winner" needs.
        word.fetch_and(!mask(bit), Ordering::Relaxed) & mask(bit) != 0
    }

    /// The word at `index`, which the caller's claim or ownership keeps still.
    #[inline]
    pub fn word(&self, index: usize) -> u64 {
        // Relaxed: ordered by the claim or the hand-over of the span that the caller owns.
        self.words.get(index).load(Ordering::Relaxed)
    }

    /// Overwrites the word at `index`; the caller owns every bit in it.
    #[inline]
    pub fn store_word(&self, index: usize, word: u64) {
        // Relaxed: the span's generation word or owner word publishes it (Release there).
        self.words.get(index).store(word, Ordering::Relaxed);
    }

    /// Overwrites `words` words from `first` with those of `marks`, which become zero; returns how
    /// many bits were set. The caller owns every bit of both.
    #[inline(always)]
    pub(crate) fn become_marks(&self, marks: &Bits, first: usize, words: usize) -> u32 {
        let allocated = self.words.slice(first, words);
        let marked = marks.words.slice(first, words);
        take_marks(allocated, marked)
    }

    /// The first set bit at or after `from` and before `end`.
    pub fn next_set(&self, from: usize, end: usize) -> Option<usize> {
        let end = end.min(self.words.len() * 64);
        let mut bit = from;
        while bit < end {
            // Acquire: pairs with the Release in `set`.
            let word = self.words.get(bit / 64).load(Ordering::Acquire) >> (bit % 64);
            if word != 0 {
                return Some(bit + word.trailing_zeros() as usize).filter(|found| *found < end);
            }
            bit = (bit / 64 + 1) * 64;
        }
        None
    }

    /// The last set bit at or before `from`.
    pub fn prev_set(&self, from: usize) -> Option<usize> {
        let mut index = from / 64;
        let mut keep = u64::MAX >> (63 - from % 64);
        loop {
            // Acquire: pairs with the Release in `set`.
            let word = self.words.get(index).load(Ordering::Acquire) & keep;
            if word != 0 {
                return Some(index * 64 + 63 - word.leading_zeros() as usize);
            }
            index = index.checked_sub(1)?;
            keep = u64::MAX;
        }
    }
}

/// Moves the words of `marked` to `allocated`, and counts their bits.
#[inline(always)]
fn take_marks(allocated: &[AtomicU64], marked: &[AtomicU64]) -> u32 {
    let mut live = 0;
    for (allocated, marked) in allocated.iter().zip(marked) {
        // Relaxed, all of them: ordered by the claim of the span that the caller holds.
        let marks = marked.load(Ordering::Relaxed);
        debug_assert_eq!(
            marks & !allocated.load(Ordering::Relaxed),
            0,
            "a free slot is marked"
        );
        live += marks.count_ones();
        // Relaxed: the span's generation word publishes it (Release there).
        allocated.store(marks, Ordering::Relaxed);
        // Relaxed: as above.
        marked.store(0, Ordering::Relaxed);
    }
    live
}

/// The bit's place in its word.
#[inline]
const fn mask(bit: usize) -> u64 {
    1 << (bit % 64)
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    fn with_bits(words: usize, run: impl FnOnce(&Bits)) {
        let mut memory = vec![0u64; words];
        let base = NonNull::new(memory.as_mut_ptr()).unwrap().cast();
        // SAFETY: the vector outlives the view and is not touched but through it.
        run(&unsafe { Bits::from_raw(base, words) });
    }

    #[test]
    fn a_claim_has_one_winner_and_keeps_its_neighbours() {
        with_bits(2, |bits| {
            bits.set(63);
            // SAFETY: 64 words of bits lie in the array.
            assert!(unsafe { bits.claim(64) });
            // SAFETY: as above.
            assert!(!unsafe { bits.claim(64) });
            // SAFETY: as above; one thread.
            assert!(unsafe { bits.claim_alone(62) });
            assert!(bits.test(62) && bits.test(63) && bits.test(64) && !bits.test(65));
            bits.clear(63);
            assert!(bits.test(62) && !bits.test(63));
            // SAFETY: as above.
            assert_eq!(unsafe { bits.claim_in_word(1, 0b11) }, 0b01, "one was set");
            // SAFETY: as above; one thread.
            unsafe { bits.claim_in_word_alone(1, 0b110) };
            // SAFETY: as above.
            assert_eq!(unsafe { bits.glance(1) }, 0b111);
        });
    }

    #[test]
    fn searches_agree_with_a_naive_scan() {
        with_bits(4, |bits| {
            let set = [0, 5, 63, 64, 130, 255];
            set.iter().for_each(|bit| bits.set(*bit));
            for from in 0..256 {
                let next = set.iter().copied().find(|bit| *bit >= from);
                assert_eq!(bits.next_set(from, 256), next, "from {from}");
                assert_eq!(bits.next_set(from, 200), next.filter(|bit| *bit < 200));
                assert_eq!(
                    bits.prev_set(from),
                    set.iter().copied().rfind(|bit| *bit <= from)
                );
            }
        });
    }
}
