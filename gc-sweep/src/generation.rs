//! Who may sweep a span: a bit that is claimed, and the span's generation word.
//!
//! The heap has a generation `g` that goes up by two a cycle, so that one addition makes every
//! span unswept at once and no list of them has to be built. Each index has a claim bit
//! (`claims.rs`), cleared by `Sweeper::open`. Relative to `g` they say:
//!
//! | word    | bit | meaning              | who changes it, to what                         |
//! |---------|-----|----------------------|-------------------------------------------------|
//! | 0       | any | no span begins here  | whoever makes a span: word `g`, last of all     |
//! | `g - 2` | 0   | unswept              | a claimant, by `fetch_or`: bit 1                |
//! | `g - 2` | 1   | claimed: being swept | its claimant: word `g`, or 0 if it frees it     |
//! | `g`     | any | swept, or born since | time: when the next cycle opens, `g - 2`, bit 0 |
//!
//! A claimant asks for the bits of a batch at once and reads the words of those it won. Where it
//! finds no `g - 2` there was nothing to sweep in this cycle, and the bit means nothing.
//!
//! *At most once a cycle.* Bits are set by visitors, and cleared when there are none (`state.rs`):
//! so within a cycle one `fetch_or` wins each bit, and only its winner sweeps.
//!
//! *No newborn is swept.* Nothing writes `g - 2` in a cycle, and a word that is `g - 2` is changed
//! by its claimant alone. What was written before the cycle opened the claimant sees, since it
//! entered behind `State::open`. So it reads `g - 2` if, and only if, the span is unswept.
//!
//! *Never used half swept.* The claimant stores `g` after its last write to the span (Release); a
//! reader that finds `g` (Acquire) sees all of them.
//!
//! Odd words are not used here. Values wrap after two thousand million cycles, around 0, which
//! stays "no span". No word that old can be left, because every cycle sweeps every span; a word
//! that is none of the three is therefore a broken promise, and is reported as one.

use std::mem;

use crate::SweepSpace;
use crate::claims::ClaimBits;
use crate::sync::{AtomicU32, Ordering, load_visible};

/// The heap's generation: even, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u32);

/// What a span's word says relative to a generation: the rows of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    NoSpan,
    Unswept,
    Swept,
    /// None of the three: of another cycle.
    Foreign,
}

impl Generation {
    /// The generation of a heap that was never collected.
    pub(crate) const FIRST: Generation = Generation(2);

    /// The largest even value; `FIRST` comes after it.
    const LAST: u32 = u32::MAX - 1;

    /// From the bits that [`word`](Self::word) gave.
    pub(crate) fn from_word(word: u32) -> Generation {
        debug_assert!(
            word != 0 && word.is_multiple_of(2),
            "{word} is no generation"
        );
        Generation(word)
    }

    /// The word of a swept span.
    pub(crate) fn word(self) -> u32 {
        self.0
    }

    /// The generation of the next cycle.
    pub(crate) fn next(self) -> Generation {
        if self.0 == Self::LAST {
            Self::FIRST
        } else {
            Generation(self.0 + 2)
        }
    }

    /// The word of an unswept span: the generation of the cycle before.
    fn unswept(self) -> u32 {
        if self == Self::FIRST {
            Self::LAST
        } else {
            self.0 - 2
        }
    }

    /// What `word` says in this generation.
    pub(crate) fn standing(self, word: u32) -> Standing {
        match word {
            _ if word == self.unswept() => Standing::Unswept,
            _ if word == self.word() => Standing::Swept,
            0 => Standing::NoSpan,
            _ => Standing::Foreign,
        }
    }
}

/// Claims of spans among 64 neighbors, to be taken one by one. Those that are left when it is
/// dropped are dropped as well: published.
#[derive(Debug)]
pub struct Claims<'s, S: SweepSpace + ?Sized> {
    space: &'s S,
    generation: Generation,
    first: u32,
    /// Bit `i`: `first + i` is claimed.
    spans: u64,
}

impl<'s, S: SweepSpace + ?Sized> Claims<'s, S> {
    /// Claims the unswept ones among those of the 64 indexes from `first` that are set in
    /// `wanted`. The caller is a visitor of this generation.
    pub(crate) fn of(
        space: &'s S,
        generation: Generation,
        bits: &ClaimBits,
        first: u32,
        wanted: u64,
    ) -> Self {
        let won = bits.claim(first, wanted);
        let (mut rest, mut spans) = (won, won);
        while let Some(span) = take_first(&mut rest, first) {
            match generation.standing(space.generation(span)) {
                Standing::Unswept => {}
                Standing::NoSpan | Standing::Swept => spans ^= 1 << (span - first),
                Standing::Foreign => misborn(span, generation),
            }
        }
        Claims {
            space,
            generation,
            first,
            spans,
        }
    }

    /// Takes those that are set in `spans` out, as claims of their own.
    pub fn split(&mut self, spans: u64) -> Claims<'s, S> {
        let apart = self.spans & spans;
        self.spans ^= apart;
        Claims {
            spans: apart,
            ..*self
        }
    }

    /// Publishes all that are left: see [`Claim::publish`].
    #[inline]
    pub fn publish(&mut self) {
        self.for_each(drop);
    }

    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        self.spans.count_ones() as usize
    }

    /// The first of the 64 indexes.
    #[inline]
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The spans that are left: bit `i` for the one at `first() + i`.
    #[inline]
    pub fn spans(&self) -> u64 {
        self.spans
    }
}

impl<'s, S: SweepSpace + ?Sized> Iterator for Claims<'s, S> {
    type Item = Claim<'s, S>;

    #[inline]
    fn next(&mut self) -> Option<Claim<'s, S>> {
        Some(Claim {
            space: self.space,
            span: take_first(&mut self.spans, self.first)?,
            generation: self.generation,
        })
    }
}

impl<S: SweepSpace + ?Sized> Drop for Claims<'_, S> {
    fn drop(&mut self) {
        self.publish();
    }
}

/// Takes the first set bit out; its place, counted from `from`.
#[inline]
pub(crate) fn take_first(bits: &mut u64, from: u32) -> Option<u32> {
    let rest = *bits & bits.checked_sub(1)?;
    let first = from + bits.trailing_zeros();
    *bits = rest;
    Some(first)
}

/// A span's word is of no generation that it can have.
#[cold]
pub(crate) fn misborn(span: u32, generation: Generation) -> ! {
    panic!(
        "span {span} missed a sweep before generation {}: it was born with an old generation or \
         beyond the end that `Sweeper::begin` was told, or its claim was forgotten",
        generation.word()
    )
}

/// The sole right to sweep one span, for as long as it lives.
///
/// Ends with the span published as swept, or retired; see [`SweepSpace::reclaim`]. A claim that
/// is forgotten leaves its span claimed for good, which the next cycle reports by a panic.
#[derive(Debug)]
#[must_use = "a claim that is dropped publishes its span as swept"]
pub struct Claim<'s, S: SweepSpace + ?Sized> {
    space: &'s S,
    span: u32,
    generation: Generation,
}

impl<S: SweepSpace + ?Sized> Claim<'_, S> {
    /// The span's index.
    pub fn span(&self) -> u32 {
        self.span
    }

    /// The generation that will be published.
    pub fn generation(&self) -> u32 {
        self.generation.word()
    }

    /// The span is swept: whoever reads so from now on sees all that was written to it.
    pub fn publish(self) {
        drop(self);
    }

    /// The span is gone: its word is 0 and its memory may go back.
    pub fn retire(self) {
        self.space.publish_generation(self.span, 0);
        mem::forget(self);
    }
}

impl<S: SweepSpace + ?Sized> Drop for Claim<'_, S> {
    fn drop(&mut self) {
        self.space
            .publish_generation(self.span, self.generation.word());
    }
}

/// A generation word in ordinary memory, with the two operations of [`SweepSpace`] in their
/// orders: for heaps that do not map their metadata themselves, and for models.
#[derive(Debug)]
pub struct GenerationWord(AtomicU32);

impl GenerationWord {
    /// A word that says `generation`; 0 for "no span".
    pub fn new(generation: u32) -> GenerationWord {
        GenerationWord(AtomicU32::new(generation))
    }

    /// See [`SweepSpace::generation`].
    pub fn load(&self) -> u32 {
        // Acquire: pairs with the Release in `publish`; who sees a span swept, or born, sees
        // what was written to it before.
        load_visible(&self.0)
    }

    /// See [`SweepSpace::publish_generation`].
    pub fn publish(&self, generation: u32) {
        // Release: pairs with the Acquire in `load`.
        self.0.store(generation, Ordering::Release);
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_three_words_are_apart_in_every_generation_and_wrap_around_zero() {
        let mut generation = Generation(u32::MAX - 5);
        for _ in 0..6 {
            assert_eq!(generation.standing(generation.unswept()), Standing::Unswept);
            let odd = generation.word() - 1;
            assert_eq!(generation.standing(odd), Standing::Foreign);
            assert_eq!(generation.standing(generation.word()), Standing::Swept);
            assert_eq!(generation.standing(0), Standing::NoSpan);
            assert_eq!(
                generation.standing(generation.next().word()),
                Standing::Foreign
            );
            assert_eq!(generation.next().unswept(), generation.word());
            generation = generation.next();
        }
        assert_eq!(generation, Generation(8), "0 was skipped");
    }
}
