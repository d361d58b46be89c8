//! When to collect, and who pays: pure arithmetic over byte counts and times.
//!
//! Marking goes on while the program allocates. So there are two sizes: the *goal*, which the heap
//! should not exceed, and the *trigger* below it, where a cycle begins. The trigger lies so that
//! the markers alone finish when the heap reaches the goal; then no mutator is held up.
//!
//! ```text
//! live          trigger     credit ends     goal
//!  |---------------|-------------|------------|
//!   no cycle        marking, no    marking, assists only if
//!                   assists        the markers would be late
//! ```
//!
//! The construction is that of Go's pacer (`runtime/mgcpacer.go`, its redesign 44167), and so are
//! these figures: a quarter of the processors marks; the worst of five cycles sets the trigger;
//! it lies from 45/64 to 61/64 of the way from live to goal, or up to 4 MiB below the goal; a
//! goal that turns out to be out of reach is exceeded by a tenth. What differs:
//!
//! * *Assists are for debt only.* In Go the credit of a cycle begins at zero, so that the first
//!   allocation of each goroutine pays. Here what the markers will do counts as done: an allocated
//!   byte owes `work left / bytes left - work of the markers per allocated byte`, which is zero as
//!   long as they will be in time.
//! * *Assists are bearable.* However late a cycle is, mutators go on at an eighth of their pace at
//!   least. In Go the debt for one object can be the rest of the heap.
//! * *Markers come before assists.* Where a quarter of the processors would be late from the
//!   earliest trigger, up to a half is planned.
//! * *Growth is expected.* The share of new bytes that lived last time is expected to live again,
//!   so that a heap that loads data triggers in time.
//! * *A cycle has a fixed cost.* Whatever the percentage, the goal leaves so much that fixed
//!   costs take a fiftieth of the processors, within 24 MiB.
//! * *A limit that cannot be kept slips by a computed amount*: to where the collector, fixed costs
//!   included, takes no more than the program gets. Go marks on without assists, at a quarter of
//!   the processors or more, though the program may have work for one only.
//!
//! Where it stops: nothing here reads a clock or holds a lock. The owner calls
//! [`Pacer::end_cycle`] once a cycle and copies the numbers of the [`Plan`] to where allocation
//! sees them. A limit that must never be exceeded is the page source's affair.

mod goal;
mod history;
mod holes;
mod idle;
mod inputs;
mod limiter;
mod plan;

pub use goal::{
    GOAL_BYTES_MIN, goal_bytes, goal_pages_bytes, limit_goal_bytes, price_headroom_bytes,
};
pub use inputs::{Cycle, Plan, Policy, Progress, Settings};

use history::{History, Measure};
pub(crate) use holes::{Holes, Look};
pub(crate) use idle::{HEAP_BYTES_MIN as IDLE_HEAP_BYTES_MIN, Idle, Still};
use limiter::{Limiter, Window};
use std::time::Duration;

/// A cycle that runs has at least so much to grow.
const RUNWAY_BYTES_MIN: f64 = (64 << 10) as f64;

/// What a goal that was passed is raised to.
const OVERSHOOT: f64 = 1.1;

/// However late a cycle is, a mutator marks no longer than so many times the time in which it used
/// to allocate.
const ASSIST_MAX: f64 = 7.0;

/// The state between two cycles.
#[derive(Clone, Debug)]
pub struct Pacer {
    settings: Settings,
    history: History,
    limiter: Limiter,
    /// The last cycle, all zero before the first.
    last: Cycle,
    plan: Plan,
}

impl Pacer {
    /// A pacer that has seen nothing: its first plan is for an empty heap.
    ///
    /// # Panics
    ///
    /// If there is no processor, or the price is not above zero and finite.
    pub fn new(settings: Settings) -> Pacer {
        let mut pacer = Pacer {
            settings,
            history: History::default(),
            limiter: Limiter::default(),
            last: Cycle::default(),
            plan: Plan {
                goal_bytes: usize::MAX,
                trigger_bytes: usize::MAX,
                credit_bytes: 0,
                background_cores: 0.0,
                is_limiting: false,
            },
        };
        pacer.set(settings);
        pacer
    }

    /// What holds now.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Processor time of the last cycle, zero before the first.
    pub(crate) fn last_cost(&self) -> Duration {
        self.last.mark_cpu + self.last.fixed_cost(&self.settings)
    }

    /// Changes the settings, at any time; the new plan.
    ///
    /// # Panics
    ///
    /// As [`Pacer::new`].
    pub fn set(&mut self, settings: Settings) -> Plan {
        assert!(
            settings.processors > 0,
            "`Settings::processors` must not be zero"
        );
        if let Policy::Price { cores_per_gib } = settings.policy {
            assert!(
                cores_per_gib.is_finite() && cores_per_gib > 0.0,
                "`Policy::Price` must be above zero"
            );
        }
        self.settings = settings;
        self.replan()
    }

    /// Takes note of a cycle whose marking has ended; the plan for the next.
    ///
    /// A cycle without marking or without allocation meanwhile says nothing about rates and is
    /// counted for its size only.
    pub fn end_cycle(&mut self, cycle: Cycle) -> Plan {
        let processors = self.processors();
        let fixed_cost = cycle.fixed_cost(&self.settings);
        let measure = Measure::of(&cycle, processors, self.plan.background_cores, fixed_cost);
        if let Some(measure) = measure {
            self.history.push(measure);
        }
        let since_last = cycle.since_last.as_secs_f64();
        if since_last > 0.0 {
            let rate = cycle.allocated_bytes as f64 / since_last;
            self.history.rate.add(rate);
        }
        // What was new to this cycle, and how much more than the last it had to mark.
        let seen = cycle
            .heap_at_trigger_bytes
            .saturating_sub(cycle.external_bytes);
        if seen > self.last.marked_bytes {
            let fresh = (seen - self.last.marked_bytes) as f64;
            let more = cycle.marked_bytes.saturating_sub(self.last.marked_bytes) as f64;
            self.history.survival.add((more / fresh).min(1.0));
        }
        self.limiter = self.limiter.after(Window {
            wall: since_last,
            collector_cpu: (cycle.mark_cpu + fixed_cost).as_secs_f64(),
            assist_cpu: cycle.assist_cpu.as_secs_f64(),
            processors,
            mutators: cycle.mutators as f64,
        });
        self.last = cycle;
        self.replan()
    }

    /// Takes note that of the last cycle's survivors only so many bytes are left, or are known by
    /// now to have survived; the new plan.
    pub fn settle(&mut self, live_bytes: usize) -> Plan {
        self.last.live_bytes = live_bytes;
        self.replan()
    }

    /// The marking, in bytes, that each allocated byte owes from now on; 0 while the markers alone
    /// will finish in time. Bounded, so that mutators allocate at an eighth of the pace of the last
    /// cycles at least.
    ///
    /// Asked whenever the heap has grown by a small part of the runway. Constant time.
    pub fn revise(&self, now: Progress) -> f64 {
        let heap = now.heap_bytes as f64;
        if now.heap_bytes < self.plan.assist_from_bytes() || self.would_limit(&now) {
            return 0.0;
        }
        let started = now.heap_at_trigger_bytes as f64;
        let marked = now.marked_bytes as f64;
        let goal = (self.plan.goal_bytes as f64).max(started + RUNWAY_BYTES_MIN);
        let grown = (heap - started).max(0.0);
        let (goal, expected) = self.reach(goal, started, heap, marked);
        let left_work = (expected - marked).max(0.0);
        let left_bytes = (goal - heap).max(RUNWAY_BYTES_MIN);
        // What the markers do while one byte is allocated: as before, corrected by what is seen.
        let by_markers = now.marked_bytes.saturating_sub(now.assisted_bytes) as f64;
        let usual = self
            .history
            .measures()
            .map(|measure| self.marked_per_byte(measure))
            .fold(f64::INFINITY, f64::min);
        let usual = if usual.is_finite() { usual } else { 0.0 };
        let weight = (goal - started) / 4.0;
        let helped = (by_markers + usual * weight) / (grown + weight);
        let owed = (left_work / left_bytes - helped).max(0.0);
        let bearable = self
            .history
            .measures()
            .map(|m| ASSIST_MAX * m.speed / m.rate_per_core)
            .fold(f64::INFINITY, f64::min);
        owed.min(bearable)
    }

    /// The goal and the work as they look from the middle of a cycle.
    fn reach(&self, goal: f64, started: f64, heap: f64, marked: f64) -> (f64, f64) {
        let worst = (started - self.last.external_bytes as f64).max(marked);
        let expected = self.expected_work(started);
        if heap >= goal {
            return (goal * OVERSHOOT, worst);
        }
        if marked <= expected || expected <= 0.0 {
            return (goal, expected.max(marked));
        }
        // There is more than was expected: up to everything. The goal moves, so that the pace does
        // not have to; but not past a limit.
        let moved = started + (goal - started) / expected * worst;
        let mut moved = moved.min(goal * self.settings.policy.stretch());
        if let Some(limit) = self.limit_goal() {
            moved = moved.min((limit as f64).max(goal));
        }
        (moved, worst)
    }

    fn would_limit(&self, now: &Progress) -> bool {
        let processors = self.processors();
        let window = Window {
            wall: now.since_last.as_secs_f64(),
            collector_cpu: now.mark_cpu.as_secs_f64() + self.cycle_cost(),
            assist_cpu: now.assist_cpu.as_secs_f64(),
            processors,
            mutators: now.mutators as f64,
        };
        self.limiter.after(window).is_full(processors)
    }
}
