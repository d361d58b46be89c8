//! What to do next: release a batch, sleep, or wait to be told.
//!
//! The goals say how much is surplus, the decay how much of it is due; here is how fast it goes.
//! Two budgets bound the harm that releasing does to the program beside it:
//!
//! * *A step*, one call to the heap, takes no longer than [`Config::step_max`], as it may hold up
//!   an allocation that wants the same pages. What a byte costs differs thirtyfold (3 µs a MiB for
//!   whole 2 MiB pages, 77 to 246 µs for small ones), so the batch is measured, not fixed: it
//!   starts at one unit, at most doubles a step, and shrinks at once to what would have fitted.
//! * *A share* of one processor. After a step of `t` the scavenger rests for `t * (100 / share -
//!   1)`. Go takes 1 % of all processors; 4 % of one is that on a small machine, and returns
//!   a GiB of small pages in two seconds.
//!
//! Surplus above the limit goal keeps to the first budget only, and does not decay: it goes at
//! once, step by step, because the alternative is to be killed.
//!
//! Release is by whole units. One release inside a huge page destroys all of it, so less than a
//! unit waits until there is a unit due, and what is left below one is asked for last. A heap that
//! has no whole unit left answers 0, though its free memory may lie between used pages. Then the
//! pacer turns to sparse memory, but with patience: a huge page that is broken stays so for long,
//! so there must have been a surplus for some half-lives without a break. A heap that oscillates
//! keeps its huge pages. The limit has no patience.
//!
//! | `Ask` | what the heap is asked for | next |
//! |---|---|---|
//! | `Whole` | whole units | `Sparse`, when it answers 0 |
//! | `Sparse` | sparse memory, when the surplus has stood | `Nothing`, when it answers 0 |
//! | `Nothing` | nothing: the pacer parks | |
//!
//! From each it is `Whole` again when the pacer is told of a change, so that a heap that has
//! nothing is not asked again and again.
//!
//! Where the operating system refuses (`madvise` under a filter, locked memory), nothing is lost
//! but the time of the call. The pacer then waits, for 100 ms and for twice as long after each
//! further refusal, up to a minute, whoever tells it of what; the first call that brings something
//! without a refusal ends that. It does not give up, because a refusal may pass; and a limit does
//! not hurry it, because asking again at once would be refused again.
//!
//! Pure arithmetic; time is an argument.

use std::time::Duration;

use crate::{Action, Decay, Goal, Outcome, Policy, Usage};

/// The largest batch, in bytes: it bounds what a clock that stands still can lead to.
const BATCH_MAX_BYTES: usize = 1 << 30;

/// The shortest sleep: so many wake-ups a second at most.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// How often the pacer looks while it is patient.
const LOOKS: u32 = 8;

/// The wait after a first refusal.
const REFUSED_MIN: Duration = Duration::from_millis(100);

/// The longest wait after a refusal.
const REFUSED_MAX: Duration = Duration::from_secs(60);

/// How the pacer trades memory against processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The time in which half of a surplus goes back. Default: 1 s, for whole 2 MiB pages; 3.5 s
    /// suits a heap of small pages.
    pub half_life: Duration,
    /// The piece that the heap releases at least, in bytes. Default: 2 MiB.
    pub unit_bytes: usize,
    /// For how many half-lives a surplus must stand before sparse memory goes. Default: 2.
    pub patience_half_lives: u32,
    /// What one call to the heap should take at most. Default: 1 ms.
    pub step_max: Duration,
    /// The share of one processor that may go into releasing, in percent, 1 to 100. Default: 4.
    pub share_percent: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            half_life: Duration::from_secs(1),
            unit_bytes: 2 << 20,
            patience_half_lives: 2,
            step_max: Duration::from_millis(1),
            share_percent: 4,
        }
    }
}

/// What the heap can still be asked for. The table is in the file's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Whole,
    Sparse,
    Nothing,
}

/// The usual [`Policy`]: surplus decays, whole units go first, in measured batches.
#[derive(Clone, Debug)]
pub struct Pacer {
    config: Config,
    decay: Decay,
    /// What a step may ask for. Invariant: from one unit up to `BATCH_MAX_BYTES`, or one unit.
    batch_bytes: usize,
    /// Until when the share of the processor is used up.
    rests_until: Duration,
    ask: Ask,
    /// Since when each look has found a surplus of at least a unit.
    stands_since: Option<Duration>,
    /// How long the next refusal makes it wait.
    refusal_wait: Duration,
    /// Until when nothing is asked for, because of the last refusal.
    refused_until: Duration,
}

impl Pacer {
    /// A pacer that has seen nothing.
    ///
    /// # Panics
    ///
    /// If the unit is zero, or the share is not 1 to 100.
    pub fn new(config: Config) -> Pacer {
        assert!(
            config.unit_bytes > 0,
            "`Config::unit_bytes` must not be zero"
        );
        assert!(
            (1..=100).contains(&config.share_percent),
            "`Config::share_percent` must be from 1 to 100"
        );
        Pacer {
            config,
            decay: Decay::new(config.half_life),
            batch_bytes: config.unit_bytes,
            rests_until: Duration::ZERO,
            ask: Ask::Whole,
            stands_since: None,
            refusal_wait: REFUSED_MIN,
            refused_until: Duration::ZERO,
        }
    }

    /// For how long a surplus must stand before sparse memory goes.
    fn patience(&self) -> Duration {
        self.config
            .half_life
            .saturating_mul(self.config.patience_half_lives)
    }

    /// Takes note of whether the system refused, as of `now`.
    fn note_refusal(&mut self, now: Duration, outcome: Outcome) {
        if outcome.is_refused {
            self.refused_until = now.saturating_add(self.refusal_wait);
            self.refusal_wait = self.refusal_wait.saturating_mul(2).min(REFUSED_MAX);
        } else if outcome.bytes > 0 {
            self.refusal_wait = REFUSED_MIN;
        }
    }

    /// Sets the batch to what fits into a step at the rate just measured.
    fn adapt_batch(&mut self, bytes: usize, took: Duration) {
        let unit = self.config.unit_bytes;
        let doubled = self.batch_bytes.saturating_mul(2).min(BATCH_MAX_BYTES);
        // A clock too coarse to see the call says nothing against twice as much.
        let fits = if took.is_zero() {
            doubled
        } else {
            (bytes as f64 * (self.config.step_max.as_secs_f64() / took.as_secs_f64())) as usize
        };
        // A small call measures its overhead rather than the rate: it may grow a batch only
        // if it filled half of it.
        let is_slower = took > self.config.step_max;
        if is_slower || bytes >= self.batch_bytes / 2 {
            self.batch_bytes = (fits.min(doubled) / unit * unit).max(unit);
        }
    }
}

impl Policy for Pacer {
    fn tell(&mut self, _now: Duration) {
        self.ask = Ask::Whole;
    }

    fn next(&mut self, now: Duration, usage: Usage, goal: Goal) -> Action {
        let surplus = goal.surplus(usage);
        let due_bytes = self.decay.observe(now, surplus.total_bytes);
        let stands = surplus.total_bytes >= self.config.unit_bytes;
        self.stands_since = stands.then_some(self.stands_since.unwrap_or(now));
        if surplus.total_bytes == 0 || self.ask == Ask::Nothing {
            return Action::Park;
        }
        if now < self.refused_until {
            return Action::Sleep((self.refused_until - now).max(SLEEP_MIN));
        }
        let unit = self.config.unit_bytes;
        let sparse = self.ask == Ask::Sparse;
        if surplus.urgent_bytes > 0 {
            // Up to whole units: a heap that does not break one would stay above the limit.
            let bytes_max = surplus.urgent_bytes.div_ceil(unit).saturating_mul(unit);
            return Action::Release {
                bytes_max: bytes_max.min(self.batch_bytes),
                sparse,
            };
        }
        if sparse {
            let Some(since) = self.stands_since else {
                return Action::Park;
            };
            let patience = self.patience();
            let waits = since.saturating_add(patience).saturating_sub(now);
            if !waits.is_zero() {
                // Looks in between, lest a surplus that comes and goes seems to stand.
                return Action::Sleep(waits.min(patience / LOOKS).max(SLEEP_MIN));
            }
        }
        let all_is_due = due_bytes == surplus.total_bytes;
        let due_bytes = if all_is_due {
            due_bytes
        } else {
            due_bytes / unit * unit
        };
        if due_bytes == 0 {
            return Action::Sleep(self.decay.time_until_due(unit).max(SLEEP_MIN));
        }
        if now < self.rests_until {
            return Action::Sleep((self.rests_until - now).max(SLEEP_MIN));
        }
        Action::Release {
            bytes_max: due_bytes.min(self.batch_bytes),
            sparse,
        }
    }

    fn released(&mut self, now: Duration, outcome: Outcome) {
        let Outcome { bytes, took, .. } = outcome;
        self.note_refusal(now, outcome);
        if bytes == 0 && !outcome.is_refused {
            self.ask = match self.ask {
                Ask::Whole => Ask::Sparse,
                Ask::Sparse | Ask::Nothing => Ask::Nothing,
            };
            // The rate of what is asked for next is not known.
            self.batch_bytes = self.config.unit_bytes;
        }
        self.decay.released(bytes);
        let rest = took.saturating_mul(100 / self.config.share_percent - 1);
        self.rests_until = now.saturating_add(rest);
        self.adapt_batch(bytes, took);
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn brought(bytes: usize, took: Duration) -> Outcome {
        Outcome {
            bytes,
            is_refused: false,
            took,
        }
    }

    #[test]
    fn the_batch_follows_the_measured_rate() {
        let mut pacer = Pacer::new(Config::default());
        for _ in 0..20 {
            let batch = pacer.batch_bytes;
            let took = Duration::from_nanos(batch as u64 / MIB as u64 * 3_000);
            pacer.released(Duration::ZERO, brought(batch, took));
        }
        assert_eq!(
            pacer.batch_bytes,
            332 * MIB,
            "3 µs a MiB, whole units of 2 MiB in 1 ms"
        );
        pacer.released(
            Duration::ZERO,
            brought(332 * MIB, Duration::from_millis(26)),
        );
        assert_eq!(
            pacer.batch_bytes,
            12 * MIB,
            "small pages all of a sudden: one long step"
        );
        pacer.released(Duration::ZERO, brought(2 * MIB, Duration::from_micros(1)));
        assert_eq!(pacer.batch_bytes, 12 * MIB, "a small call teaches nothing");
        pacer.released(Duration::ZERO, brought(12 * MIB, Duration::ZERO));
        assert_eq!(pacer.batch_bytes, 24 * MIB, "a coarse clock doubles");
        let small = |took| brought(2 * MIB, Duration::from_millis(took));
        pacer.released(Duration::ZERO, small(1));
        assert_eq!(pacer.batch_bytes, 24 * MIB, "small, and just in time");
        pacer.released(Duration::ZERO, small(10));
        assert_eq!(pacer.batch_bytes, 2 * MIB, "small, and too slow for that");
    }

    /// Asks a pacer without decay what is next in a heap that has much to give.
    fn asked(pacer: &mut Pacer, now: Duration) -> Action {
        let usage = Usage {
            retained_bytes: 64 * MIB,
            ..Usage::default()
        };
        let goal = Goal {
            heap_goal_bytes: 0,
            limit_bytes: None,
        };
        pacer.next(now, usage, goal)
    }

    #[test]
    fn a_step_is_followed_by_the_rest_that_its_share_demands() {
        for (share_percent, rest) in [(1, 990), (4, 240), (50, 10)] {
            let mut pacer = Pacer::new(Config {
                half_life: Duration::ZERO,
                share_percent,
                ..Config::default()
            });
            let now = Duration::from_secs(5);
            pacer.released(now, brought(2 * MIB, Duration::from_millis(10)));
            let rest = Duration::from_millis(rest);
            assert_eq!(asked(&mut pacer, now), Action::Sleep(rest));
            let next = asked(&mut pacer, now + rest);
            assert!(matches!(next, Action::Release { .. }), "{next:?}");
        }
    }

    #[test]
    fn only_what_brought_something_ends_the_back_off() {
        let refused = Outcome {
            is_refused: true,
            ..Outcome::default()
        };
        let mut pacer = Pacer::new(Config::default());
        let mut waits = |outcomes: &[Outcome]| {
            for &outcome in outcomes {
                pacer.released(Duration::ZERO, outcome);
            }
            asked(&mut pacer, Duration::ZERO)
        };
        let wait = |milliseconds| Action::Sleep(Duration::from_millis(milliseconds));
        assert_eq!(waits(&[refused]), wait(100));
        assert_eq!(waits(&[refused]), wait(200));
        let nothing = brought(0, Duration::ZERO);
        assert_eq!(waits(&[nothing, refused]), wait(400));
        let page = brought(4096, Duration::ZERO);
        assert_eq!(waits(&[page, refused]), wait(100));
    }

    #[test]
    fn an_exhausted_heap_is_left_alone_until_told() {
        let config = Config {
            half_life: Duration::ZERO,
            ..Config::default()
        };
        let mut pacer = Pacer::new(config);
        let usage = Usage {
            retained_bytes: MIB,
            ..Usage::default()
        };
        let goal = Goal {
            heap_goal_bytes: 0,
            limit_bytes: None,
        };
        assert_eq!(
            pacer.next(Duration::ZERO, usage, goal),
            Action::Release {
                bytes_max: MIB,
                sparse: false
            }
        );
        pacer.released(Duration::ZERO, brought(0, Duration::ZERO));
        assert_eq!(
            pacer.next(Duration::from_secs(9), usage, goal),
            Action::Park,
            "less than a unit breaks none"
        );
        pacer.tell(Duration::from_secs(9));
        assert_ne!(
            pacer.next(Duration::from_secs(9), usage, goal),
            Action::Park
        );
    }

    #[test]
    fn sparse_memory_is_asked_for_last_and_after_patience() {
        let mut pacer = Pacer::new(Config::default());
        let usage = Usage {
            retained_bytes: 64 * MIB,
            ..Usage::default()
        };
        let goal = |limit_bytes| Goal {
            heap_goal_bytes: 0,
            limit_bytes,
        };
        let asks = |pacer: &mut Pacer, milliseconds: u64, limit| {
            let now = Duration::from_millis(milliseconds);
            pacer.next(now, usage, goal(limit))
        };
        let sparse = Action::Release {
            bytes_max: 2 * MIB,
            sparse: true,
        };
        assert!(matches!(asks(&mut pacer, 0, None), Action::Sleep(_)));
        let whole = asks(&mut pacer, 1_000, None);
        assert!(matches!(whole, Action::Release { sparse: false, .. }));
        pacer.released(Duration::from_secs(1), brought(0, Duration::ZERO));
        // Two half-lives from the first sight of the surplus, with looks in between.
        let look = Action::Sleep(Duration::from_millis(250));
        assert_eq!(asks(&mut pacer, 1_000, None), look);
        let last = Action::Sleep(Duration::from_millis(1));
        assert_eq!(asks(&mut pacer, 1_999, None), last);
        assert_eq!(
            asks(&mut pacer, 1_999, Some(0)),
            sparse,
            "a limit is urgent"
        );
        assert_eq!(asks(&mut pacer, 2_000, None), sparse);
        pacer.released(Duration::from_secs(2), brought(0, Duration::ZERO));
        assert_eq!(asks(&mut pacer, 9_000, None), Action::Park);
        assert_eq!(asks(&mut pacer, 9_000, Some(0)), Action::Park);
    }
}
