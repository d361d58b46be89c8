//! Random numbers for benches: xorshift64* (Marsaglia 2003, Vigna 2016), seeded, so that every run
//! builds the same graphs.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`, evenly but for less than one part in four thousand million.
    #[inline]
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.draw()) * end as u128) >> 64) as usize
    }

    /// The numbers below `end` in random order (Fisher and Yates).
    pub fn permutation(&mut self, end: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..end as u32).collect();
        for place in (1..end).rev() {
            order.swap(place, self.below(place + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_has_each_number_once_and_moves_most() {
        let order = Random::new(7).permutation(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(at, n)| at == *n as usize));
        let moved = order
            .iter()
            .enumerate()
            .filter(|(at, n)| *at != **n as usize);
        assert!(moved.count() > 900);
    }

    #[test]
    fn numbers_stay_below_and_reach_everything() {
        let mut random = Random::new(1);
        let mut seen = [false; 10];
        (0..1000).for_each(|_| seen[random.below(10)] = true);
        assert_eq!(seen, [true; 10]);
    }
}
