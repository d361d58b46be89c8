//! One bit a page, 512 pages a chunk: sixty-four bytes, a cache line.
//!
//! A chunk answers two questions for the page allocator: where is a run of n clear bits, and how
//! long are the clear runs at its beginning, at its end and at most (its [`Summary`]). Both work a
//! word at a time: a run inside a word is found by shifting the word onto itself, which doubles the
//! length that is tested in each step; a run across words is carried from the end of one to the
//! beginning of the next.

use crate::page_tree::Summary;

/// Pages in a chunk: 4 MiB of them.
pub(crate) const CHUNK_PAGES: u32 = 512;

const WORD_BITS: u32 = u64::BITS;
const WORDS: usize = (CHUNK_PAGES / WORD_BITS) as usize;

/// A bit for each page of a chunk. Bit 0 is the lowest page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkBits([u64; WORDS]);

/// The words that bits `start..start + count` touch, each with its mask.
fn masks(start: u32, count: u32) -> impl Iterator<Item = (usize, u64)> {
    debug_assert!(start + count <= CHUNK_PAGES);
    let end = start + count;
    let words = start / WORD_BITS..end.div_ceil(WORD_BITS);
    words.map(move |word| {
        let base = word * WORD_BITS;
        let (low, high) = (start.max(base) - base, end.min(base + WORD_BITS) - base);
        let mask = u64::MAX >> (WORD_BITS - (high - low)) << low;
        (word as usize, mask)
    })
}

/// The positions in a word at which `count` set bits begin, for `count` from 1 to 64.
fn starts_of_runs(mut word: u64, count: u32) -> u64 {
    let mut tested = 1;
    while tested < count && word != 0 {
        let step = tested.min(count - tested);
        word &= word >> step;
        tested += step;
    }
    word
}

/// The length of the longest run of set bits in a word of which not all are set.
fn longest_run(mut word: u64) -> u32 {
    let mut longest = 0;
    while word != 0 {
        word >>= word.trailing_zeros();
        let length = word.trailing_ones();
        longest = length.max(longest);
        word >>= length;
    }
    longest
}

impl ChunkBits {
    /// All bits set.
    pub(crate) const ALL: ChunkBits = ChunkBits([u64::MAX; WORDS]);

    /// Whether one bit is set.
    pub(crate) fn get(&self, at: u32) -> bool {
        self.0[(at / WORD_BITS) as usize] >> (at % WORD_BITS) & 1 == 1
    }

    /// Sets `count` bits (at least one) from `start`.
    pub(crate) fn set(&mut self, start: u32, count: u32) {
        for (word, mask) in masks(start, count) {
            self.0[word] |= mask;
        }
    }

    /// Clears `count` bits (at least one) from `start`.
    pub(crate) fn clear(&mut self, start: u32, count: u32) {
        for (word, mask) in masks(start, count) {
            self.0[word] &= !mask;
        }
    }

    /// How many of `count` bits from `start` are set.
    pub(crate) fn count_set(&self, start: u32, count: u32) -> u32 {
        let count_of = |(word, mask): (usize, u64)| match self.0[word] & mask {
            // The usual case: to count bits may take a dozen instructions.
            0 => 0,
            set => set.count_ones(),
        };
        masks(start, count).map(count_of).sum()
    }

    /// The lowest clear bit of `count` bits from `start`, if not all are set.
    pub(crate) fn first_clear(&self, start: u32, count: u32) -> Option<u32> {
        masks(start, count).find_map(|(word, mask)| {
            let clear = !self.0[word] & mask;
            (clear != 0).then(|| word as u32 * WORD_BITS + clear.trailing_zeros())
        })
    }

    /// Whether some bit is clear here and in `other`.
    pub(crate) fn any_clear_in_both(&self, other: &ChunkBits) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a | b != u64::MAX)
    }

    /// Whether each bit that is set here is set in `other`.
    pub(crate) fn is_within(&self, other: &ChunkBits) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    /// Where the lowest run of `count` clear bits begins.
    pub(crate) fn find_clear_run(&self, count: u32) -> Option<u32> {
        // The clear run that reaches the end of the words seen so far.
        let mut run = 0;
        for (word, bits) in self.0.iter().enumerate() {
            let (base, clear) = (word as u32 * WORD_BITS, !bits);
            if run + clear.trailing_ones() >= count {
                return Some(base - run);
            }
            if count <= WORD_BITS {
                let starts = starts_of_runs(clear, count);
                if starts != 0 {
                    return Some(base + starts.trailing_zeros());
                }
            }
            run = if clear == u64::MAX {
                run + WORD_BITS
            } else {
                clear.leading_ones()
            };
        }
        None
    }

    /// How many clear bits lie just below `at`.
    fn clear_below(&self, at: u32) -> u32 {
        let mut from = at;
        while from > 0 {
            let seen = (from - 1) % WORD_BITS + 1;
            let bits = self.0[((from - 1) / WORD_BITS) as usize] << (WORD_BITS - seen);
            let clear = bits.leading_zeros().min(seen);
            from -= clear;
            if clear < seen {
                break;
            }
        }
        at - from
    }

    /// How many clear bits lie from `at` on.
    fn clear_from(&self, at: u32) -> u32 {
        let mut end = at;
        while end < CHUNK_PAGES {
            let seen = WORD_BITS - end % WORD_BITS;
            let bits = self.0[(end / WORD_BITS) as usize] >> (WORD_BITS - seen);
            let clear = bits.trailing_zeros().min(seen);
            end += clear;
            if clear < seen {
                break;
            }
        }
        end - at
    }

    /// Clears `count` set bits from `start`. What the summary is then, if it was `old`.
    pub(crate) fn clear_summed(&mut self, start: u32, count: u32, old: Summary) -> Summary {
        self.clear(start, count);
        let (from, end) = (
            start - self.clear_below(start),
            start + count + self.clear_from(start + count),
        );
        Summary {
            start: if from == 0 { end } else { old.start },
            max: old.max.max(end - from),
            end: if end == CHUNK_PAGES {
                end - from
            } else {
                old.end
            },
        }
    }

    /// Sets `count` clear bits from `start`. What the summary is then, if it was `old`: only where
    /// the bits were in a longest run is it looked for anew.
    pub(crate) fn set_summed(&mut self, start: u32, count: u32, old: Summary) -> Summary {
        let before = self.clear_below(start);
        let behind = self.clear_from(start + count);
        self.set(start, count);
        if before + count + behind == old.max {
            return self.summary_of_clear();
        }
        Summary {
            start: if before == start { before } else { old.start },
            max: old.max,
            end: if start + count + behind == CHUNK_PAGES {
                behind
            } else {
                old.end
            },
        }
    }

    /// The lengths of the clear runs.
    pub(crate) fn summary_of_clear(&self) -> Summary {
        let (mut start, mut max, mut run) = (None, 0, 0);
        for bits in &self.0 {
            let clear = !bits;
            if clear == u64::MAX {
                run += WORD_BITS;
                continue;
            }
            run += clear.trailing_ones();
            start.get_or_insert(run);
            max = run.max(max);
            // Only a word with a longer run than any so far is looked at run by run.
            if max < WORD_BITS && starts_of_runs(clear, max + 1) != 0 {
                max = longest_run(clear).max(max);
            }
            run = clear.leading_ones();
        }
        Summary {
            start: start.unwrap_or(run),
            max: run.max(max),
            end: run,
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    /// The obvious twin: a bool a page.
    fn naive(bits: &ChunkBits) -> Vec<bool> {
        (0..CHUNK_PAGES).map(|at| bits.get(at)).collect()
    }

    fn naive_find(bits: &[bool], count: usize) -> Option<u32> {
        let mut starts = 0..=bits.len() - count;
        let start = starts.find(|&at| bits[at..at + count].iter().all(|bit| !bit))?;
        Some(start as u32)
    }

    fn naive_summary(bits: &[bool]) -> Summary {
        let lengths = bits.split(|bit| *bit).map(|run| run.len() as u32);
        let lengths: Vec<u32> = lengths.collect();
        Summary {
            start: lengths[0],
            max: lengths.iter().copied().max().unwrap_or(0),
            end: lengths[lengths.len() - 1],
        }
    }

    /// Chunks whose runs are short, long, across words, and whole words.
    fn samples() -> Vec<ChunkBits> {
        let mut samples = vec![ChunkBits::default(), ChunkBits::ALL];
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = |below: u32| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 33) as u32 % below
        };
        for round in 0..400 {
            let mut bits = ChunkBits::default();
            let longest = [3, 20, 70, 300][round % 4];
            let mut at = next(longest);
            while at < CHUNK_PAGES {
                let count = (1 + next(longest)).min(CHUNK_PAGES - at);
                bits.set(at, count);
                at += count + 1 + next(longest);
            }
            samples.push(bits);
        }
        samples
    }

    #[test]
    fn summaries_and_first_fits_agree_with_the_naive_twin() {
        for bits in samples() {
            let twin = naive(&bits);
            assert_eq!(bits.summary_of_clear(), naive_summary(&twin), "{bits:?}");
            for count in [1, 2, 3, 31, 63, 64, 65, 127, 128, 129, 300, 511, 512] {
                let expected = naive_find(&twin, count as usize);
                assert_eq!(bits.find_clear_run(count), expected, "{count} in {bits:?}");
            }
        }
    }

    #[test]
    fn summaries_are_kept_as_runs_come_and_go() {
        for bits in samples() {
            let twin = naive(&bits);
            let runs = (0..CHUNK_PAGES).step_by(5).flat_map(|at| {
                let run = twin[at as usize..].iter();
                let equal = run.take_while(|bit| **bit == twin[at as usize]).count() as u32;
                [(at, equal), (at, equal.div_ceil(2)), (at, 1)]
            });
            let old = bits.summary_of_clear();
            for (start, count) in runs {
                let mut changed = bits;
                let summary = if bits.get(start) {
                    changed.clear_summed(start, count, old)
                } else {
                    changed.set_summed(start, count, old)
                };
                let expected = naive_summary(&naive(&changed));
                assert_eq!(summary, expected, "{count} from {start} in {bits:?}");
            }
        }
    }

    #[test]
    fn ranges_agree_with_the_naive_twin() {
        let ranges = [
            (0, 1),
            (0, 512),
            (5, 60),
            (60, 10),
            (63, 66),
            (64, 64),
            (511, 1),
        ];
        for bits in samples().into_iter().step_by(7) {
            for (start, count) in ranges {
                let (from, to) = (start as usize, (start + count) as usize);
                let twin = naive(&bits);
                let set = twin[from..to].iter().filter(|bit| **bit).count();
                assert_eq!(bits.count_set(start, count), set as u32);
                let clear = twin[from..to].iter().position(|bit| !bit);
                let clear = clear.map(|at| start + at as u32);
                assert_eq!(bits.first_clear(start, count), clear);
                for value in [true, false] {
                    let (mut changed, mut twin) = (bits, twin.clone());
                    if value {
                        changed.set(start, count);
                    } else {
                        changed.clear(start, count);
                    }
                    twin[from..to].fill(value);
                    assert_eq!(naive(&changed), twin);
                }
            }
        }
    }

    #[test]
    fn a_page_clear_in_both_is_noticed() {
        let (mut a, mut b) = (ChunkBits::ALL, ChunkBits::ALL);
        assert!(!a.any_clear_in_both(&b));
        a.clear(70, 1);
        b.clear(71, 1);
        assert!(!a.any_clear_in_both(&b));
        b.clear(70, 1);
        assert!(a.any_clear_in_both(&b));
    }
}
