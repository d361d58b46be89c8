//! A heap of counters that a policy gives back from, over simulated time. No thread, no clock.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::Duration;

use scavenger::{Action, Goal, Outcome, Policy, Usage};

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const GIB: usize = 1 << 30;
const TICK: Duration = Duration::from_millis(10);

/// Nanoseconds a MiB to release: whole 2 MiB pages, and small ones in small calls.
pub(crate) const HUGE: u64 = 3_000;
pub(crate) const SMALL: u64 = 246_000;

pub(crate) struct Simulation<P> {
    pub(crate) policy: P,
    pub(crate) goal: Goal,
    pub(crate) usage: Usage,
    pub(crate) now: Duration,
    /// When the pacer is asked next; `None` while it is parked.
    pub(crate) asks_at: Option<Duration>,
    pub(crate) nanoseconds_a_mib: u64,
    /// Retained bytes between used ones, which go on sparse demand only, at the price of small
    /// pages.
    pub(crate) sparse: usize,
    pub(crate) broken: usize,
    /// The operating system takes nothing back.
    pub(crate) refuses: bool,
    pub(crate) refused_calls: usize,
    pub(crate) released: usize,
    /// Bytes that were released and then needed.
    pub(crate) refaulted: usize,
    /// Retained bytes above the footprint goal, times seconds.
    pub(crate) excess_byte_seconds: f64,
    pub(crate) work: Duration,
    pub(crate) longest_step: Duration,
    pub(crate) calls: usize,
}

impl<P: Policy> Simulation<P> {
    pub(crate) fn new(policy: P, nanoseconds_a_mib: u64) -> Simulation<P> {
        Simulation {
            policy,
            goal: Goal::default(),
            usage: Usage::default(),
            now: Duration::ZERO,
            asks_at: None,
            nanoseconds_a_mib,
            sparse: 0,
            broken: 0,
            refuses: false,
            refused_calls: 0,
            released: 0,
            refaulted: 0,
            excess_byte_seconds: 0.0,
            work: Duration::ZERO,
            longest_step: Duration::ZERO,
            calls: 0,
        }
    }

    /// A collection has ended: pages in use, and the goal of the next.
    pub(crate) fn collected(&mut self, in_use: usize, heap_goal: usize) {
        self.demand(in_use);
        self.goal.heap_goal_bytes = heap_goal;
        self.policy.tell(self.now);
        self.asks_at = Some(self.now);
    }

    /// Pages in use change: taken from what is retained, then from what was released, then new.
    pub(crate) fn demand(&mut self, in_use: usize) {
        let before = self.usage.in_use_bytes;
        self.usage.in_use_bytes = in_use;
        if in_use < before {
            self.usage.retained_bytes += before - in_use;
            return;
        }
        let kept = self.usage.retained_bytes.min(in_use - before);
        self.usage.retained_bytes -= kept;
        self.sparse = self.sparse.min(self.usage.retained_bytes);
        let again = self.released.min(in_use - before - kept);
        self.released -= again;
        self.refaulted += again;
        self.usage.refaulted_bytes = self.refaulted as u64;
    }

    /// Lets `time` pass in ticks.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let tick_end = (self.now + TICK).min(end);
            let allowed = self.goal.footprint_bytes(self.usage.in_use_bytes);
            let footprint = self.usage.in_use_bytes + self.usage.retained_bytes;
            let excess = footprint.saturating_sub(allowed) as f64;
            self.excess_byte_seconds += excess * (tick_end - self.now).as_secs_f64();
            while let Some(asks_at) = self.asks_at.filter(|&at| at <= tick_end) {
                self.ask(asks_at.max(self.now));
            }
            self.now = tick_end.max(self.now);
        }
    }

    fn ask(&mut self, now: Duration) {
        self.now = now;
        match self.policy.next(now, self.usage, self.goal) {
            Action::Park => self.asks_at = None,
            Action::Sleep(time) => {
                assert!(time > Duration::ZERO, "it would spin");
                self.asks_at = Some(now + time);
            }
            Action::Release { bytes_max, sparse } => {
                assert!(bytes_max > 0);
                if self.refuses {
                    self.refuse();
                    return;
                }
                let bytes = bytes_max.min(self.usage.retained_bytes - self.sparse);
                let pieces = if sparse {
                    (bytes_max - bytes).min(self.sparse)
                } else {
                    0
                };
                let cost = bytes as u64 * self.nanoseconds_a_mib + pieces as u64 * SMALL;
                let (cost, bytes) = (cost / MIB as u64, bytes + pieces);
                self.sparse -= pieces;
                self.broken += pieces;
                self.usage.retained_bytes -= bytes;
                self.released += bytes;
                let took = Duration::from_nanos(cost);
                self.work += took;
                self.longest_step = self.longest_step.max(took);
                self.calls += 1;
                self.now = now + took;
                let outcome = Outcome {
                    bytes,
                    is_refused: false,
                    took,
                };
                self.policy.released(self.now, outcome);
                self.asks_at = Some(self.now);
            }
        }
    }

    /// A call that the system refuses takes a microsecond.
    fn refuse(&mut self) {
        self.refused_calls += 1;
        let outcome = Outcome {
            bytes: 0,
            is_refused: true,
            took: Duration::from_micros(1),
        };
        self.now += outcome.took;
        self.policy.released(self.now, outcome);
        self.asks_at = Some(self.now);
    }

    pub(crate) fn footprint(&self) -> usize {
        self.usage.in_use_bytes + self.usage.retained_bytes
    }
}

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
