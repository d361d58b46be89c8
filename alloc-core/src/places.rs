//! Where in a table each of a few dozen keys has its place: a hash that is chosen so that no two
//! share one.
//!
//! The fast path of an allocation looks at one place only. Were two kinds of objects that a
//! program allocates all the time to share theirs, one of them would take the slow path for every
//! object; of eight kinds in a table of 64 that happens to every third program. So a table whose
//! new key finds its place taken tries other multipliers, and larger tables, until each key is
//! alone. A multiplier separates `n` keys in `m` places with a probability of about e^(-n²/2m):
//! 32 of them nearly always do while n² is below 4 m.

/// Multipliers to try for each length.
const ATTEMPTS: usize = 32;
/// A table does not grow beyond so many places to keep keys apart: 64 keys are, nearly always.
const BITS_MAX: u32 = 10;
/// With more keys than this they are not kept apart.
const KEYS_MAX: usize = 64;
/// 2^64 divided by the golden ratio: multiples of it spread (Knuth, The Art of Computer
/// Programming, vol. 3, 6.4).
const GOLDEN: usize = 0x9E37_79B9_7F4A_7C15;

/// A multiplicative hash to a power of two of places.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    multiplier: usize,
    /// All but the place's bits; at least one bit is left.
    shift: u32,
}

impl Places {
    /// 2 to the power of `bits` places, at least two.
    pub(crate) fn new(bits: u32) -> Self {
        Self::nth(bits, 0)
    }

    /// One of the hashes to so many places. Odd, so that no key's bit is lost.
    fn nth(bits: u32, attempt: usize) -> Self {
        Self {
            multiplier: GOLDEN.wrapping_mul(2 * attempt + 1),
            shift: usize::BITS - bits,
        }
    }

    fn bits(self) -> u32 {
        usize::BITS - self.shift
    }

    /// How many places there are.
    pub(crate) fn len(self) -> usize {
        1 << self.bits()
    }

    /// The place of `key`, below [`Self::len`].
    #[inline(always)]
    pub(crate) fn of(self, key: usize) -> usize {
        key.wrapping_mul(self.multiplier) >> self.shift
    }

    /// Twice the places.
    pub(crate) fn doubled(self) -> Self {
        Self::nth(self.bits() + 1, 0)
    }

    /// A hash by which each of the keys has a place of its own, in as many places or more; `None`
    /// if there are too many.
    pub(crate) fn apart(self, keys: &[usize]) -> Option<Self> {
        if keys.len() > KEYS_MAX {
            return None;
        }
        let lengths = self.bits()..=BITS_MAX;
        lengths
            .flat_map(|bits| (0..ATTEMPTS).map(move |attempt| Self::nth(bits, attempt)))
            .find(|places| places.separate(keys))
    }

    fn separate(self, keys: &[usize]) -> bool {
        let mut taken = [0_u64; (1 << BITS_MAX) / 64];
        keys.iter().all(|&key| {
            let place = self.of(key);
            let bit = 1 << (place % 64);
            let is_free = taken[place / 64] & bit == 0;
            taken[place / 64] |= bit;
            is_free
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size_class::SizeClass;
    use std::collections::HashSet;

    /// Keys as a cache has them: addresses of descriptions beside each other, classes above.
    fn keys(kinds: usize) -> Vec<usize> {
        let class = |kind| kind * 7 % SizeClass::COUNT;
        let key = |kind| (0x5555_5580_4010 + kind * 0x60) | (class(kind) << 56);
        (0..kinds).map(key).collect()
    }

    /// Kills: `places-shared`, `places-by-the-low-bits`.
    #[test]
    fn each_of_some_dozen_keys_is_alone() {
        let mut places = Places::new(6);
        for kinds in 1..=48 {
            let keys = keys(kinds);
            places = places.apart(&keys).expect("so few keys fit");
            let taken: HashSet<_> = keys.iter().map(|&key| places.of(key)).collect();
            assert_eq!(taken.len(), kinds);
            assert!(taken.iter().all(|&place| place < places.len()));
        }
        assert!(places.len() <= 1 << BITS_MAX);
    }

    #[test]
    fn hundreds_of_keys_share() {
        assert!(Places::new(6).apart(&keys(200)).is_none());
        assert_eq!(Places::new(6).doubled().len(), 128);
    }
}
