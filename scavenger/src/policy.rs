//! The second port: who decides when memory goes back, and how much.
//!
//! A policy is a state machine without a clock, a thread or an atomic: it is asked what to do at a
//! moment, with the heap's counts and its goal, and told what came of it. So it can be simulated
//! over minutes of demand in a millisecond, and what is simulated is what the worker runs.
//! [`Pacer`](crate::Pacer) is the policy of the house; another is a handful of lines:
//!
//! ```
//! use std::time::Duration;
//! use scavenger::{Action, Goal, Outcome, Policy, Usage};
//!
//! /// Gives surplus back five minutes after it was told of a change, all of it.
//! #[derive(Default)]
//! struct AfterFiveMinutes { since: Option<Duration> }
//!
//! impl Policy for AfterFiveMinutes {
//!     fn next(&mut self, now: Duration, usage: Usage, goal: Goal) -> Action {
//!         let bytes_max = goal.surplus(usage).total_bytes;
//!         let Some(since) = self.since.filter(|_| bytes_max > 0) else { return Action::Park };
//!         let waits = (since + Duration::from_secs(300)).saturating_sub(now);
//!         if !waits.is_zero() { return Action::Sleep(waits) }
//!         self.since = None; // one attempt a change
//!         Action::Release { bytes_max, sparse: false }
//!     }
//!     fn released(&mut self, _now: Duration, _outcome: Outcome) {}
//!     fn tell(&mut self, now: Duration) { self.since = Some(now) }
//! }
//!
//! let mut policy = AfterFiveMinutes::default();
//! let usage = Usage { retained_bytes: 1 << 20, ..Usage::default() };
//! let goal = Goal { heap_goal_bytes: 0, limit_bytes: None };
//! policy.tell(Duration::ZERO);
//! let minutes = |n: u64| Duration::from_secs(60 * n);
//! assert_eq!(policy.next(minutes(1), usage, goal), Action::Sleep(minutes(4)));
//! assert_ne!(policy.next(minutes(5), usage, goal), Action::Park);
//! ```

use std::time::Duration;

use crate::{Goal, Usage};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Call the heap, then say what came of it to [`Policy::released`].
    Release {
        /// The most that it should give back.
        bytes_max: usize,
        /// Whether sparse memory may go too.
        sparse: bool,
    },
    /// Ask again after this time, or when told of a change.
    Sleep(Duration),
    /// Ask again when told of a change: nothing will come of time alone.
    Park,
}

/// What came of a call of the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes that went back.
    pub bytes: usize,
    /// The operating system said no before the heap had nothing left.
    pub is_refused: bool,
    /// How long the call took.
    pub took: Duration,
}

/// Decides when memory goes back, and how much of it.
///
/// Time is the time since any fixed moment, the same for all calls, and never goes backwards
/// unless the worker's clock does. Implementers read no clock of their own.
///
/// A policy that answers `Release` for as long as the heap gives nothing keeps a processor busy:
/// it has to sleep or park then. The worker sleeps for a millisecond at least.
pub trait Policy: Send + 'static {
    /// What to do at `now`, given what the heap has and what is asked for.
    fn next(&mut self, now: Duration, usage: Usage, goal: Goal) -> Action;

    /// Takes note of what came of an [`Action::Release`], which ended at `now`.
    fn released(&mut self, now: Duration, outcome: Outcome);

    /// Takes note that the heap or the goal may have changed: pages came free, a collection
    /// ended, a limit was set. `next` is asked right after.
    fn tell(&mut self, now: Duration);
}

impl Policy for Box<dyn Policy> {
    fn next(&mut self, now: Duration, usage: Usage, goal: Goal) -> Action {
        (**self).next(now, usage, goal)
    }

    fn released(&mut self, now: Duration, outcome: Outcome) {
        (**self).released(now, outcome);
    }

    fn tell(&mut self, now: Duration) {
        (**self).tell(now);
    }
}
