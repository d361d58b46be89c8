//! Which of the holes in spans count against a memory limit: those that allocation does not fill.
//!
//! A hole takes memory and holds nothing, so Go counts all of them beside the heap. But most of
//! what a program allocates goes where the like of it has died. A heap that is once beyond its
//! limit, with survivors in every span, keeps its pages however often it collects; if its holes
//! count, nothing is left of the limit, and it collects without end to make more holes. What share
//! of its allocations went into holes between two cycles is known: they have become less by so
//! much. Holes are charged with the rest of that share. Where programs allocate other sizes than
//! have died, the share is nothing, and all holes count.

/// Less than this between two looks says nothing.
const SAMPLE_BYTES_MIN: usize = 1 << 20;

/// A look at the heap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Pages in use beyond the slots in use.
    pub(crate) holes_bytes: usize,
    /// Allocated since the heap was built.
    pub(crate) allocated_bytes: usize,
}

/// What share of the allocations fills holes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holes {
    swept: Option<Look>,
    filled_share: f64,
}

impl Holes {
    /// Everything is swept: no more holes come until the next cycle.
    pub(crate) fn after_sweep(&mut self, look: Look) {
        self.swept = Some(look);
    }

    /// A cycle has marked, and is about to sweep.
    pub(crate) fn before_sweep(&mut self, look: Look) {
        let Some(swept) = self.swept.take() else {
            return;
        };
        let allocated = look.allocated_bytes.saturating_sub(swept.allocated_bytes);
        if allocated >= SAMPLE_BYTES_MIN {
            let filled = swept.holes_bytes.saturating_sub(look.holes_bytes);
            self.filled_share = (filled as f64 / allocated as f64).min(1.0);
        }
    }

    /// What of so many bytes of holes counts against the limit.
    pub(crate) fn overhead_bytes(&self, holes_bytes: usize) -> usize {
        (holes_bytes as f64 * (1.0 - self.filled_share)) as usize
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn between(swept: (usize, usize), marked: (usize, usize)) -> Holes {
        let look = |(holes, allocated)| Look {
            holes_bytes: holes * MIB,
            allocated_bytes: allocated * MIB,
        };
        let mut holes = Holes::default();
        holes.after_sweep(look(swept));
        holes.before_sweep(look(marked));
        holes
    }

    /// Kills: `filled-holes-count`.
    #[test]
    fn holes_that_are_filled_do_not_count() {
        let holes = between((168, 1000), (160, 1008));
        assert_eq!(holes.overhead_bytes(160 * MIB), 0);
    }

    /// Kills: `no-hole-counts`.
    #[test]
    fn holes_that_stay_count() {
        let holes = between((100, 1000), (100, 1080));
        assert_eq!(holes.overhead_bytes(100 * MIB), 100 * MIB);
        let holes = between((100, 1000), (80, 1080));
        assert_eq!(
            holes.overhead_bytes(80 * MIB),
            60 * MIB,
            "a quarter is filled"
        );
    }

    #[test]
    fn what_is_not_known_counts() {
        assert_eq!(Holes::default().overhead_bytes(MIB), MIB);
        // Holes that have become more: other threads sweep, or spans were given up.
        assert_eq!(between((8, 0), (9, 64)).overhead_bytes(9), 9);
        let mut holes = between((168, 1000), (160, 1008));
        let look = Look {
            holes_bytes: MIB,
            allocated_bytes: 0,
        };
        holes.after_sweep(look);
        holes.before_sweep(look);
        assert_eq!(
            holes.overhead_bytes(MIB),
            0,
            "as before, for want of allocations"
        );
    }
}
