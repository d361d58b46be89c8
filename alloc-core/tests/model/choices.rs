//! Where an oracle's choices come from: a byte string, which a fuzzer mutates, or a seed.

/// A finite sequence of choices.
pub(crate) trait Choices {
    /// A number below `end`, which is above zero and at most 2^24; 0 when the sequence is over.
    fn below(&mut self, end: usize) -> usize;

    /// Whether the program ends here.
    fn is_over(&self) -> bool;

    /// One of these.
    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// A byte string: one byte a choice among up to 256, two or three for more.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Choices for Bytes<'_> {
    fn below(&mut self, end: usize) -> usize {
        let wanted = match end {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 3,
        };
        let taken;
        (taken, self.0) = self.0.split_at(wanted.min(self.0.len()));
        let number = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
        taken.iter().fold(0, number) % end
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
