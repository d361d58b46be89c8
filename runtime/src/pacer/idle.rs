//! When a heap is collected that is far from its goal: it may have emptied.
//!
//! A program that has dropped two gigabytes and goes on with little would otherwise keep them until
//! it has allocated as much again. So a heap that has been let alone for a second is collected,
//! while its program allocates so little that its trigger is far.
//!
//! *What it costs is bounded.* The pause before such a cycle is at least [`COSTS`] times the
//! processor time of the last cycle, and doubles with each that finds little dead, or has nothing
//! to look for, up to eight times that: an eightieth of a processor in a heap that just lives. A
//! heap of some megabytes is not worth any.
//!
//! What such a cycle has emptied goes back to the system at once: the program is at rest, and the
//! next growth is far.
//!
//! (V8 collects an idle heap up to three times after some seconds; Go once in two minutes, and
//! other runtimes never.)

use std::time::Duration;

/// The least pause.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The pause by the processor time of the last cycle: such cycles take a part of it at most.
const COSTS: u32 = 10;
/// How often the pause is doubled at most.
const MISSES_MAX: u32 = 3;
/// Pages in use below which there is nothing to gain.
pub(crate) const HEAP_BYTES_MIN: usize = 16 << 20;
/// A trigger that is reached before so many pauses have passed is waited for.
const PAUSES_TO_TRIGGER: u32 = 8;
/// The part of the heap that is little.
const LITTLE: usize = 8;

/// What earlier cycles of this sort have found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Idle {
    misses: u32,
    /// The heap when the last one began, until it is known what that found.
    before_bytes: Option<usize>,
    /// When it was last looked at, and what had been allocated by then, both since the last cycle.
    seen: (Duration, usize),
}

/// How a heap is that has not been collected for some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Still {
    /// Since the last cycle's marking was over.
    pub(crate) since: Duration,
    /// Processor time of that cycle.
    pub(crate) cost: Duration,
    pub(crate) heap_bytes: usize,
    /// What can be allocated before the next cycle begins.
    pub(crate) room_bytes: usize,
    /// What has been allocated since.
    pub(crate) allocated_bytes: usize,
    /// Whether anything else has happened by which objects may have died.
    pub(crate) has_changed: bool,
}

impl Idle {
    /// Whether the last cycle of this sort, swept by now, has found the heap emptied. Asked once.
    pub(crate) fn has_emptied(&mut self, heap_bytes: usize) -> bool {
        self.before_bytes.take().is_some_and(|before_bytes| {
            let freed_bytes = before_bytes.saturating_sub(heap_bytes);
            let is_hit = freed_bytes > before_bytes / LITTLE;
            self.judge(is_hit);
            is_hit
        })
    }

    /// In how long to look again; zero: a cycle is due.
    pub(crate) fn wait(&mut self, still: Still) -> Duration {
        let pause = self.pause(still.cost);
        let rate = self.rate(still);
        if still.since < pause {
            // Once in between, for the rate: what comes before a pause is often a burst.
            return (pause - still.since).min(pause / 2);
        }
        if still.allocated_bytes == 0 && !still.has_changed {
            self.judge(false);
            return pause;
        }
        let seconds = (pause * PAUSES_TO_TRIGGER).as_secs_f64();
        if rate * seconds >= still.room_bytes as f64 {
            return pause;
        }
        self.before_bytes = Some(still.heap_bytes);
        Duration::ZERO
    }

    /// Bytes allocated a second since the last look, or since the last cycle.
    fn rate(&mut self, still: Still) -> f64 {
        let (mut since, mut allocated_bytes) = self.seen;
        if still.since <= since || still.allocated_bytes < allocated_bytes {
            (since, allocated_bytes) = (Duration::ZERO, 0);
        }
        self.seen = (still.since, still.allocated_bytes);
        let bytes = still.allocated_bytes - allocated_bytes;
        bytes as f64 / (still.since - since).as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The heap has grown to its trigger.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    fn judge(&mut self, is_hit: bool) {
        self.misses = if is_hit {
            0
        } else {
            (self.misses + 1).min(MISSES_MAX)
        };
    }

    fn pause(&self, cost: Duration) -> Duration {
        PAUSE_MIN.max(cost * COSTS) * (1 << self.misses)
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn still(since: Duration) -> Still {
        Still {
            since,
            cost: Duration::from_millis(10),
            heap_bytes: 2 << 30,
            room_bytes: 2 << 30,
            allocated_bytes: 1 << 20,
            has_changed: false,
        }
    }

    #[test]
    fn a_heap_is_let_alone_for_a_second_and_no_longer() {
        let mut idle = Idle::default();
        assert_eq!(idle.wait(still(SECOND / 4)), SECOND / 2);
        assert_eq!(idle.wait(still(SECOND * 3 / 4)), SECOND / 4);
        assert_eq!(idle.wait(still(SECOND)), Duration::ZERO);
    }

    #[test]
    fn a_dear_cycle_is_waited_for_longer() {
        let dear = Still {
            cost: SECOND,
            ..still(SECOND)
        };
        assert_eq!(Idle::default().wait(dear), SECOND * 5);
        let later = Still {
            since: SECOND * 6,
            ..dear
        };
        assert_eq!(Idle::default().wait(later), SECOND * 4);
    }

    #[test]
    fn cycles_that_find_little_become_rare_and_one_that_finds_much_makes_them_frequent() {
        let mut idle = Idle::default();
        for pause in [1, 2, 4, 8, 8] {
            assert!(!idle.has_emptied(2 << 30));
            assert_eq!(idle.wait(still(SECOND * pause - SECOND / 2)), SECOND / 2);
            assert_eq!(idle.wait(still(SECOND * pause)), Duration::ZERO);
        }
        assert!(idle.has_emptied(64 << 20));
        assert!(!idle.has_emptied(64 << 20), "asked once");
        assert_eq!(idle.wait(still(SECOND)), Duration::ZERO);
    }

    #[test]
    fn where_nothing_has_happened_nothing_is_looked_for() {
        let mut idle = Idle::default();
        let nothing = Still {
            allocated_bytes: 0,
            ..still(SECOND * 10)
        };
        assert_eq!(idle.wait(nothing), SECOND);
        assert_eq!(idle.wait(nothing), SECOND * 2);
        let dropped = Still {
            has_changed: true,
            ..nothing
        };
        assert_eq!(idle.wait(dropped), Duration::ZERO);
    }

    #[test]
    fn what_was_allocated_before_the_last_look_is_past() {
        let after = |since, mib: usize| Still {
            allocated_bytes: mib << 20,
            ..still(since)
        };
        let mut idle = Idle::default();
        assert_eq!(idle.wait(after(SECOND / 2, 800)), SECOND / 2);
        assert_eq!(idle.wait(after(SECOND, 801)), Duration::ZERO);
        // A cycle has come in between.
        assert_eq!(idle.wait(after(SECOND * 2, 700)), SECOND);
        assert_eq!(idle.wait(after(SECOND * 3, 701)), Duration::ZERO);
    }

    #[test]
    fn a_trigger_that_is_near_is_waited_for() {
        let busy = Still {
            allocated_bytes: 300 << 20,
            ..still(SECOND)
        };
        assert_eq!(Idle::default().wait(busy), SECOND);
        let mut idle = Idle::default();
        assert_eq!(idle.wait(still(SECOND)), Duration::ZERO);
        idle.reset();
        assert!(!idle.has_emptied(0), "that was not by a cycle of this sort");
        assert_eq!(idle.wait(still(SECOND)), Duration::ZERO);
    }
}
