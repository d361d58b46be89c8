//! Choices from a seed.

use super::choices::Choices;

/// A sequence that is the same in each run (xorshift), for so many operations.
pub(crate) struct Random {
    state: u64,
    operations: usize,
}

impl Random {
    pub(crate) fn new(seed: u64, operations: usize) -> Self {
        let state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self { state, operations }
    }

    /// One operation less to go.
    pub(crate) fn step(&mut self) {
        self.operations = self.operations.saturating_sub(1);
    }
}

impl Choices for Random {
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 20) as usize % end
    }

    fn is_over(&self) -> bool {
        self.operations == 0
    }
}
