//! How large a step is: arithmetic on bytes and objects, without a clock.
//!
//! A cycle begins half-way between what survived the last one and the goal. From there each byte
//! allocated owes a share of the objects that are expected to be marked, so that they are marked
//! when three quarters of the way to the goal are used up. The expectation is too high by the dead
//! among what was allocated since the last cycle; where it is too low, because objects have become
//! smaller, the cycle ends behind the goal, by as much.
//!
//! A step marks what is owed, as long as that is neither too little to be worth its overhead nor
//! so much that it would be felt; the rest stays owed. Only a heap that is as far behind the goal
//! as the cycle began before it is marked to the end in one step: a program that allocates
//! gigabytes in one closure gets a longer step, not a heap without bounds.

/// Objects that are worth a step.
const STEP_OBJECTS_MIN: usize = 256;
/// The least number of bytes over which a cycle's work is spread.
const RUNWAY_BYTES_MIN: usize = 256 << 10;

/// The heap size at which a cycle begins.
pub(crate) fn trigger_bytes(survived_bytes: usize, goal_bytes: usize) -> usize {
    if goal_bytes == usize::MAX {
        return usize::MAX;
    }
    survived_bytes + goal_bytes.saturating_sub(survived_bytes) / 2
}

/// What a cycle that marks owes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    objects_per_byte: f64,
    owed_objects: f64,
    /// From this heap size on the rest is owed at once.
    end_bytes: usize,
    step_objects_max: usize,
}

impl Pace {
    /// A cycle begins with a heap of `heap_bytes`, in which it expects so many objects.
    pub(crate) fn new(
        objects: usize,
        heap_bytes: usize,
        goal_bytes: usize,
        step_objects_max: usize,
    ) -> Self {
        let left_bytes = match goal_bytes {
            // Nobody waits for the end; as if the heap might double.
            usize::MAX => heap_bytes,
            goal_bytes => goal_bytes.saturating_sub(heap_bytes),
        };
        let runway_bytes = left_bytes.max(RUNWAY_BYTES_MIN);
        Self {
            objects_per_byte: objects as f64 / (runway_bytes as f64 * 0.75),
            owed_objects: 0.0,
            end_bytes: heap_bytes.saturating_add(runway_bytes.saturating_mul(2)),
            step_objects_max: step_objects_max.max(STEP_OBJECTS_MIN),
        }
    }

    /// So many bytes were allocated.
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.owed_objects += bytes as f64 * self.objects_per_byte;
    }

    /// So many objects were marked: perhaps more than were owed.
    pub(crate) fn pay(&mut self, objects: usize) {
        self.owed_objects -= objects as f64;
    }

    /// How many objects to mark in a step, if one is due.
    pub(crate) fn due(&self, heap_bytes: usize) -> Option<usize> {
        if heap_bytes >= self.end_bytes {
            return Some(usize::MAX);
        }
        // A cast from float saturates, and takes a negative number to zero.
        let owed = (self.owed_objects as usize).min(self.step_objects_max);
        (owed >= STEP_OBJECTS_MIN).then_some(owed)
    }

    /// A step that nobody owes.
    pub(crate) fn full_step(&self) -> usize {
        self.step_objects_max
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    /// Simulates a cycle whose heap grows by `closure_bytes` at a time; the heap's size when all
    /// was marked, and the largest step.
    fn run(
        objects: usize,
        expected: usize,
        closure_bytes: usize,
        goal_bytes: usize,
    ) -> (usize, usize) {
        let mut heap_bytes = trigger_bytes(goal_bytes / 2, goal_bytes);
        let mut pace = Pace::new(expected, heap_bytes, goal_bytes, 8192);
        let (mut left, mut largest) = (objects, 0);
        while left > 0 {
            heap_bytes += closure_bytes;
            pace.charge(closure_bytes);
            if let Some(step) = pace.due(heap_bytes) {
                let marked = step.min(left);
                largest = largest.max(marked);
                left -= marked;
                pace.pay(marked);
            }
        }
        (heap_bytes, largest)
    }

    #[test]
    fn a_cycle_ends_before_the_goal() {
        for (objects, closure_bytes) in [(1_000_000, 8 << 10), (100_000, 64 << 10), (3_000, 100)] {
            let (end, largest) = run(objects, objects, closure_bytes, 64 << 20);
            assert!((48 << 20..=64 << 20).contains(&end), "{end}");
            assert!(largest <= 8192, "{largest}");
        }
    }

    #[test]
    fn a_wrong_expectation_costs_in_proportion() {
        let (end, largest) = run(1_500_000, 1_000_000, 16 << 10, 64 << 20);
        assert!((64 << 20..=68 << 20).contains(&end), "{end}");
        assert!(largest <= 8192, "{largest}");
        let (end, _) = run(100_000, 1_000_000, 16 << 10, 64 << 20);
        assert!(end < 52 << 20, "{end}");
    }

    #[test]
    fn a_heap_far_beyond_its_goal_is_marked_to_the_end() {
        let (end, largest) = run(1_000_000, 1_000_000, 8 << 20, 64 << 20);
        assert!(end <= (80 << 20) + (8 << 20), "{end}");
        assert!(largest > 900_000, "{largest}");
    }

    #[test]
    fn without_a_goal_no_cycle_begins() {
        assert_eq!(trigger_bytes(5, usize::MAX), usize::MAX);
        assert_eq!(trigger_bytes(4 << 20, 8 << 20), 6 << 20);
        assert_eq!(trigger_bytes(9, 5), 9);
        let mut pace = Pace::new(1_000, 1 << 20, usize::MAX, 8192);
        pace.charge(1 << 20);
        assert_eq!(pace.due(2 << 20), Some(1_333));
    }
}
