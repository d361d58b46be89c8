//! A cache line that many cores read and write.
//!
//! Whoever has a copy reads it for nothing. A write takes every other copy away, and writes come
//! one after the other: this is how a shared word limits many cores, however little each does to
//! it.

/// Picoseconds, so that sums are exact.
pub(crate) type Ps = u64;

/// So many picoseconds.
pub(crate) fn ps(ns: f64) -> Ps {
    (ns * 1000.0) as Ps
}

/// What an access costs that finds the line where it is wanted.
const HELD: Ps = 1000;

/// A line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    /// Until then it is on its way to a writer.
    free_at: Ps,
    /// Who has a copy, a bit a core.
    holders: u128,
}

impl Line {
    /// Core `core` reads it at `now`; when it has it.
    pub(crate) fn read(&mut self, core: usize, now: Ps, transfer: Ps) -> Ps {
        let bit = 1 << core;
        if self.holders & bit != 0 {
            return now + HELD;
        }
        self.holders |= bit;
        now.max(self.free_at) + transfer
    }

    /// Core `core` has written it, and did not wait for that.
    pub(crate) fn take(&mut self, core: usize) {
        self.holders = 1 << core;
    }

    /// Core `core` writes it at `now`; when that is done.
    pub(crate) fn write(&mut self, core: usize, now: Ps, transfer: Ps) -> Ps {
        let bit = 1 << core;
        if self.holders == bit {
            return now.max(self.free_at) + 5 * HELD;
        }
        self.holders = bit;
        self.free_at = now.max(self.free_at) + transfer;
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_stand_in_line_and_readers_share() {
        let mut line = Line::default();
        assert_eq!(line.write(0, 0, 100), 100);
        assert_eq!(line.write(1, 0, 100), 200);
        assert_eq!(line.read(2, 50, 100), 300);
        assert_eq!(line.read(2, 300, 100), 300 + HELD);
        assert_eq!(line.read(1, 300, 100), 300 + HELD);
        assert_eq!(line.write(1, 300, 100), 400, "another has a copy");
        assert_eq!(line.write(1, 400, 100), 400 + 5 * HELD);
    }
}
