//! Which spans were claimed in this cycle: a bit an index, beside the heap.
//!
//! A whole batch is claimed by one `fetch_or` of its word. Were the claim a state of the span's
//! own word, each span would take a locked exchange, which waits for the word's cache line and for
//! the stores before it: a tenth of a sweep without drop glue.
//!
//! The words lie in chunks of doubling size, each made when a heap first grows into it, so that no
//! heap has to say how large it may become, and a visitor finds its word without a lock. For heaps
//! of 8 KiB pages that is one byte in 64 KiB.

use crate::sync::{AtomicU64, OnceLock, Ordering};

/// Words of the first chunk: 64 stand for 4,096 indexes, in heaps of 8 KiB pages for 32 MiB.
const FIRST_WORDS: usize = if cfg!(heapwright_loom) { 1 } else { 64 };
/// Chunks enough for 2³² indexes.
const CHUNKS: usize = if cfg!(heapwright_loom) { 27 } else { 21 };

/// The bits.
#[derive(Debug)]
pub(crate) struct ClaimBits {
    chunks: [OnceLock<Box<[AtomicU64]>>; CHUNKS],
}

impl ClaimBits {
    /// Of no index.
    pub(crate) fn new() -> ClaimBits {
        ClaimBits {
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }

    /// Forgets all claims, and has room for indexes below `end`. Nobody claims meanwhile. Linear
    /// in words, of 64 indexes each.
    pub(crate) fn clear(&self, end: u32) {
        let mut left = end.div_ceil(64) as usize;
        for (chunk, words) in self.chunks.iter().enumerate() {
            if left == 0 {
                break;
            }
            let fresh = || {
                (0..FIRST_WORDS << chunk)
                    .map(|_| AtomicU64::new(0))
                    .collect()
            };
            let words = words.get_or_init(fresh);
            let used = left.min(words.len());
            for word in &words[..used] {
                // Relaxed: `State::open` releases it to each visitor.
                word.store(0, Ordering::Relaxed);
            }
            left -= used;
        }
    }

    /// Claims those of the 64 indexes from `first`, a multiple of 64, that are set in `wanted`;
    /// the bits of those that the caller now has, and nobody else gets until the next `clear`.
    pub(crate) fn claim(&self, first: u32, wanted: u64) -> u64 {
        let (chunk, place) = chunk_of(first as usize / 64);
        let word = self.chunks[chunk].get().map(|words| &words[place]);
        // Relaxed: that each bit has one winner needs no order. What the winner reads of a span was
        // written before `State::open`, which it acquired as it entered.
        let before = word.map(|word| word.fetch_or(wanted, Ordering::Relaxed));
        assert!(before.is_some(), "{first} lies beyond what is swept");
        wanted & !before.unwrap_or(u64::MAX)
    }
}

/// The chunk of a word, and its place there. Chunk `c` has `FIRST_WORDS << c` words, so as many
/// less `FIRST_WORDS` lie before it.
fn chunk_of(word: usize) -> (usize, usize) {
    let chunk = (word / FIRST_WORDS + 1).ilog2() as usize;
    (chunk, word + FIRST_WORDS - (FIRST_WORDS << chunk))
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        let words = if cfg!(miri) { 2_000 } else { 100_000 };
        for word in 0..words {
            assert_eq!(chunk_of(word), expected, "word {word}");
            expected.1 += 1;
            if expected.1 == FIRST_WORDS << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(chunk_of(u32::MAX as usize / 64).0, CHUNKS - 1);
    }

    #[test]
    fn a_bit_is_won_once_and_again_when_cleared() {
        let bits = ClaimBits::new();
        for _ in 0..2 {
            bits.clear(20_000);
            for first in (0..20_000).step_by(64) {
                assert_eq!(bits.claim(first, 0b0110), 0b0110);
                assert_eq!(bits.claim(first, 0b0011), 0b0001);
                assert_eq!(bits.claim(first, u64::MAX), !0b0111);
            }
        }
    }

    #[test]
    #[should_panic(expected = "4096 lies beyond")]
    fn no_claim_beyond_the_end() {
        let bits = ClaimBits::new();
        bits.clear(1);
        bits.claim(4096, 1);
    }
}
