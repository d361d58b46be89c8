//! Entry points: where fibers begin, and how large their stacks should be at first.
//!
//! Fibers that begin at one function tend to need as much as each other; those that begin at
//! another, something else. So each entry point learns for itself: a moving average over its
//! stacks' logarithms, so that one giant among many does not make the rest large. An average over
//! *all* stacks of a program, as Go keeps it, fits none of them where there are two kinds.

use super::pool::BLOCK_BYTES_MIN;
use crate::sync::{AtomicU32, Ordering};
use std::fmt;
use std::sync::Arc;

/// Parts of a doubling that the average is counted in.
const PARTS: u32 = 16;
/// The share of a new stack in the average is one in so many.
const MEMORY: u32 = 4;

/// A function that fibers begin at. Cloning it gives the same one.
#[derive(Clone)]
pub struct EntryPoint {
    inner: Arc<Inner>,
}

struct Inner {
    name: Box<str>,
    average: AtomicU32,
}

impl EntryPoint {
    /// An entry point of which nothing is known yet.
    pub fn new(name: &str) -> Self {
        Self {
            inner: Arc::new(Inner {
                name: name.into(),
                average: AtomicU32::new(0),
            }),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Bytes that its next stack begins with.
    pub fn start_bytes(&self) -> usize {
        // Relaxed: advice, of which nothing else depends.
        start_bytes(self.inner.average.load(Ordering::Relaxed))
    }

    /// A stack that began here has ended, having used so much at the most.
    pub(crate) fn learn(&self, peak_bytes: usize) {
        // Relaxed, both: as above; of two that learn at once one may be forgotten.
        let average = self.inner.average.load(Ordering::Relaxed);
        let learned = learned(average, peak_bytes);
        self.inner.average.store(learned, Ordering::Relaxed);
    }
}

impl fmt::Debug for EntryPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryPoint({}, {} B)", self.name(), self.start_bytes())
    }
}

/// The size that is nearest to an average.
fn start_bytes(average: u32) -> usize {
    BLOCK_BYTES_MIN << ((average + PARTS / 2) / PARTS).min(20)
}

/// The average after one more stack.
fn learned(average: u32, peak_bytes: usize) -> u32 {
    let blocks = peak_bytes.div_ceil(BLOCK_BYTES_MIN).max(1);
    let parts = blocks.next_power_of_two().ilog2() * PARTS;
    // Rounded away from the average, so that it arrives.
    if parts >= average {
        average + (parts - average).div_ceil(MEMORY)
    } else {
        average - (average - parts).div_ceil(MEMORY)
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    /// Kills: `learns-nothing`.
    #[test]
    fn each_entry_point_learns_its_own_size() {
        let (small, large) = (EntryPoint::new("small"), EntryPoint::new("large"));
        for _ in 0..30 {
            small.learn(700);
            large.learn(100_000);
        }
        assert_eq!(small.start_bytes(), 1 << 10);
        assert_eq!(large.start_bytes(), 128 << 10);
        large.learn(1);
        assert!(
            large.start_bytes() >= 16 << 10,
            "one that is unlike the rest"
        );
        for _ in 0..30 {
            large.learn(1);
        }
        assert_eq!(large.start_bytes(), 1 << 10, "what has changed is learned");
    }
}
