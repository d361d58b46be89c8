//! How much memory a heap should keep: two goals, and the surplus above them.
//!
//! ```text
//! footprint        = in use + retained
//! footprint goal   = max(heap goal, in use) * 1.10
//! limit goal       = limit * 0.95
//! surplus          = footprint - min(footprint goal, limit goal), at most what is retained
//! urgent           = footprint - limit goal, at most what is retained
//! ```
//!
//! A collected heap need not guess its next peak: the heap goal, at which the next collection
//! starts, *is* that peak. What is retained below it will be used again within the cycle and
//! releasing it would buy a page fault; what is above it is surplus now. The margin of a tenth
//! pays for fragmentation: Go's figure (`retainExtraPercent` in `mgcscavenge.go`), as is the
//! twentieth that the limit goal stays below the limit, so that release is under way before the
//! limit is reached.
//!
//! Tolerated error: between two collections the goal does not fall, so memory that a program
//! freed by dying young is kept until the next collection tells. A program that idles without
//! collecting is its runtime's affair.
//!
//! Pure arithmetic.

/// What the footprint may exceed the heap goal by, for fragmentation.
pub const MARGIN_PERCENT: usize = 10;

/// The part of the memory limit that the footprint is brought down to.
pub const LIMIT_PERCENT: usize = 95;

/// What a policy sees of a heap, at one moment. Goals are about the first two counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of pages in use.
    pub in_use_bytes: usize,
    /// Bytes of free pages that are backed by memory.
    pub retained_bytes: usize,
    /// Bytes that were given back and then taken again, so far.
    pub refaulted_bytes: u64,
}

/// What the heap's owner asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    /// What the heap will have in use when the next collection starts, in bytes of *pages*: a
    /// goal in bytes of objects is to be scaled by pages in use over bytes of objects.
    /// `usize::MAX`: not known yet, so nothing is surplus but for the limit.
    pub heap_goal_bytes: usize,
    /// The memory limit, if there is one.
    pub limit_bytes: Option<usize>,
}

/// What should go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surplus {
    /// Retained bytes above either goal.
    pub total_bytes: usize,
    /// Of these, bytes above the limit goal: to go back at once.
    pub urgent_bytes: usize,
}

impl Default for Goal {
    /// No heap goal yet, no limit.
    fn default() -> Goal {
        Goal {
            heap_goal_bytes: usize::MAX,
            limit_bytes: None,
        }
    }
}

impl Goal {
    /// The footprint that the heap goal allows. Saturates.
    pub fn footprint_bytes(&self, in_use_bytes: usize) -> usize {
        let peak = self.heap_goal_bytes.max(in_use_bytes);
        peak.saturating_add(peak / 100 * MARGIN_PERCENT)
    }

    /// The footprint that the limit allows; `usize::MAX` without a limit.
    pub fn limit_goal_bytes(&self) -> usize {
        self.limit_bytes.map_or(usize::MAX, |limit| {
            limit - limit / 100 * (100 - LIMIT_PERCENT)
        })
    }

    /// What is retained above the goals.
    pub fn surplus(&self, usage: Usage) -> Surplus {
        let footprint = usage.in_use_bytes.saturating_add(usage.retained_bytes);
        let above = |goal: usize| footprint.saturating_sub(goal).min(usage.retained_bytes);
        let urgent_bytes = above(self.limit_goal_bytes());
        let total_bytes = above(self.footprint_bytes(usage.in_use_bytes)).max(urgent_bytes);
        Surplus {
            total_bytes,
            urgent_bytes,
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn surplus(in_use: usize, retained: usize, goal: usize, limit: Option<usize>) -> Surplus {
        let goal = Goal {
            heap_goal_bytes: goal,
            limit_bytes: limit,
        };
        goal.surplus(Usage {
            in_use_bytes: in_use,
            retained_bytes: retained,
            refaulted_bytes: 0,
        })
    }

    #[test]
    fn what_the_next_cycle_needs_is_kept() {
        assert_eq!(surplus(50 * MIB, 50 * MIB, 100 * MIB, None).total_bytes, 0);
        assert_eq!(
            surplus(50 * MIB, 60 * MIB, 100 * MIB, None).total_bytes,
            0,
            "the margin"
        );
        let above = surplus(50 * MIB, 160 * MIB, 100 * MIB, None);
        assert!(above.total_bytes.abs_diff(100 * MIB) < 1_000, "{above:?}");
        assert_eq!(above.urgent_bytes, 0);
    }

    #[test]
    fn the_limit_is_urgent_and_overrules_the_heap_goal() {
        let over = surplus(80 * MIB, 40 * MIB, 200 * MIB, Some(100 * MIB));
        assert_eq!(over.total_bytes, over.urgent_bytes);
        assert!(over.urgent_bytes.abs_diff(25 * MIB) < 1_000, "{over:?}");
        let full = surplus(100 * MIB, 10 * MIB, 200 * MIB, Some(50 * MIB));
        assert_eq!(full.urgent_bytes, 10 * MIB, "no more than there is");
    }

    #[test]
    fn no_goal_and_extremes() {
        assert_eq!(surplus(0, usize::MAX, usize::MAX, None), Surplus::default());
        assert_eq!(surplus(usize::MAX, usize::MAX, 0, None), Surplus::default());
        assert_eq!(surplus(0, 7, 0, Some(0)).urgent_bytes, 7);
    }
}
