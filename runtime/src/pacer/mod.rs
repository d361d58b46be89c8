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
//! * *Markers come before assists.* Where a quarter of the processors would be late from the
//!   earliest trigger, up to a half is planned.
//! * *Growth is expected.* The share of new bytes that lived last time is expected to live again,
//!   so that a heap that loads data triggers in time.
//! * *A cycle has a fixed cost.* Whatever the percentage, the goal leaves so much that fixed
//!   costs take a fiftieth of the processors, within 64 MiB.
//! * *A limit that cannot be kept slips by a computed amount*: to where marking takes half of the
//!   processors. Go marks on, and has only the lack of assists to let the heap grow.
//!
//! Where it stops: nothing here reads a clock or holds a lock. The owner calls
//! [`Pacer::end_cycle`] once a cycle and copies the numbers of the [`Plan`] to where allocation sees
//! them. A limit that must never be exceeded is the page source's affair.

mod goal;
mod history;
mod inputs;
mod limiter;

pub use goal::{
    GOAL_BYTES_MIN, goal_bytes, goal_pages_bytes, limit_goal_bytes, price_headroom_bytes,
};
pub use inputs::{Cycle, Plan, Policy, Progress, Settings};

use history::{History, Measure, cores_left};
use limiter::{Limiter, Window};

/// The share of the processors that marks.
const BACKGROUND_SHARE: f64 = 0.25;

/// The share that collecting may take over time.
const SHARE_MAX: f64 = 0.5;

/// The share that the fixed costs of cycles may take.
const FIXED_COST_SHARE: f64 = 0.02;

/// What the goal is raised by at most for the sake of the fixed costs.
const FIXED_COST_HEADROOM_BYTES_MAX: f64 = (64 << 20) as f64;

/// Of the way from live to goal: the earliest and the latest trigger.
const TRIGGER_RANGE: (f64, f64) = (45.0 / 64.0, 61.0 / 64.0);

/// The latest trigger is this close to the goal, where that is closer.
const TRIGGER_DISTANCE_BYTES: f64 = (4 << 20) as f64;

/// A cycle that runs has at least so much to grow.
const RUNWAY_BYTES_MIN: f64 = (64 << 10) as f64;

/// What a goal that was passed is raised to.
const OVERSHOOT: f64 = 1.1;

/// By how much the way that the markers need is taken longer than measured.
const MARGIN: f64 = 1.2;

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

/// Bytes of a finite, non-negative number; saturates.
fn bytes(x: f64) -> usize {
    x as usize
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
                background_cores: BACKGROUND_SHARE,
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
        let measure = Measure::of(
            &cycle,
            processors,
            self.plan.background_cores,
            self.settings.cycle_cost,
        );
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
            collector_cpu: (cycle.mark_cpu + self.settings.cycle_cost).as_secs_f64(),
            assist_cpu: cycle.assist_cpu.as_secs_f64(),
            processors,
            mutators: cycle.mutators as f64,
        });
        self.last = cycle;
        self.replan()
    }

    /// The marking, in bytes, that each allocated byte owes from now on; 0 while the markers alone
    /// will finish in time.
    ///
    /// Asked whenever the heap has grown by a small part of the runway. Constant time.
    pub fn revise(&self, now: Progress) -> f64 {
        let heap = now.heap_bytes as f64;
        let credit_end = self
            .plan
            .trigger_bytes
            .saturating_add(self.plan.credit_bytes);
        if now.heap_bytes < credit_end || self.would_limit(&now) {
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
        (left_work / left_bytes - helped).max(0.0)
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
            collector_cpu: (now.mark_cpu + self.settings.cycle_cost).as_secs_f64(),
            assist_cpu: now.assist_cpu.as_secs_f64(),
            processors,
            mutators: now.mutators as f64,
        };
        self.limiter.after(window).is_full(processors)
    }

    fn processors(&self) -> f64 {
        self.settings.processors as f64
    }

    fn live(&self) -> usize {
        self.last
            .live_bytes
            .saturating_add(self.last.external_bytes)
    }

    fn limit_goal(&self) -> Option<usize> {
        let limit = self.settings.limit_bytes?;
        Some(limit_goal_bytes(limit, self.last.overhead_bytes).max(self.live()))
    }

    fn replan(&mut self) -> Plan {
        let is_limiting = self.limiter.is_full(self.processors());
        let goal_bytes = self.goal(is_limiting);
        let background_cores = self.cores(goal_bytes);
        self.plan = Plan {
            goal_bytes,
            trigger_bytes: usize::MAX,
            credit_bytes: 0,
            background_cores,
            is_limiting,
        };
        if goal_bytes < usize::MAX {
            let trigger = self.trigger(goal_bytes as f64);
            self.plan.trigger_bytes = bytes(trigger);
            self.plan.credit_bytes = bytes(self.credit(goal_bytes as f64, trigger));
        }
        self.plan
    }

    fn goal(&self, is_limiting: bool) -> usize {
        let live = self.live();
        let rates = self.history.rate.get().zip(self.history.speed.get());
        let policy = self.settings.policy;
        let goal = policy
            .goal_bytes(live, self.last.marked_bytes, rates)
            .max(live.saturating_add(self.fixed_cost_headroom()));
        let Some(limit_goal) = self.limit_goal() else {
            return goal;
        };
        if goal <= limit_goal {
            return goal;
        }
        if is_limiting {
            let slipped = live.saturating_add(self.headroom_at_share_max());
            return limit_goal.max(slipped.min(goal));
        }
        limit_goal
    }

    /// What is allocated in the least time that should lie between two cycles.
    fn fixed_cost_headroom(&self) -> usize {
        let rate = self.history.rate.get().unwrap_or(0.0);
        let cost = self.settings.cycle_cost.as_secs_f64();
        let headroom = rate * cost / (FIXED_COST_SHARE * self.processors());
        bytes(headroom.min(FIXED_COST_HEADROOM_BYTES_MAX))
    }

    /// What is allocated while marking like the last takes half of the processors.
    fn headroom_at_share_max(&self) -> usize {
        let half = SHARE_MAX * self.processors();
        let marked = self.last.marked_bytes as f64;
        let cost = self.settings.cycle_cost.as_secs_f64();
        let headroom = self
            .history
            .measures()
            .map(|m| self.rate(m, half) * (cost + marked / m.speed) / half)
            .fold(0.0, f64::max);
        bytes(headroom)
    }

    /// Processors that must mark for a cycle from the earliest trigger to be in time.
    fn cores(&self, goal_bytes: usize) -> f64 {
        let bounds = (
            BACKGROUND_SHARE * self.processors(),
            SHARE_MAX * self.processors(),
        );
        if goal_bytes == usize::MAX {
            return bounds.0;
        }
        let (low, _) = self.trigger_bounds(goal_bytes as f64);
        let work = self.expected_work(low);
        let cost = self.settings.cycle_cost.as_secs_f64();
        self.history
            .measures()
            .map(|m| {
                let rate = self.rate(m, bounds.0);
                let runway = goal_bytes as f64 - low - rate * cost;
                rate * work * MARGIN / (m.speed * m.gain) / runway.max(1.0)
            })
            .fold(0.0, f64::max)
            .clamp(bounds.0, bounds.1)
    }

    fn trigger_bounds(&self, goal: f64) -> (f64, f64) {
        let live = self.live() as f64;
        let way = (goal - live).max(0.0);
        let low = live + way * TRIGGER_RANGE.0;
        let high = (live + way * TRIGGER_RANGE.1).max(goal - TRIGGER_DISTANCE_BYTES);
        (low, high.max(low))
    }

    /// Where a cycle must begin for the markers alone to end at `goal`.
    fn trigger(&self, goal: f64) -> f64 {
        let (low, high) = self.trigger_bounds(goal);
        let cost = self.settings.cycle_cost.as_secs_f64();
        let (base, survival) = self.work_line();
        // From T the heap grows by the fixed cost, and by `way` for each byte of the work
        // `base + survival * T`; T is where that ends at the goal.
        let begin = self
            .history
            .measures()
            .map(|m| {
                let way = MARGIN / self.marked_per_byte(m);
                (goal - self.background_rate(m) * cost - way * base) / (1.0 + way * survival)
            })
            .fold(f64::INFINITY, f64::min);
        if begin.is_finite() {
            begin.clamp(low, high)
        } else {
            // Nothing is known yet, or nothing gets done.
            low
        }
    }

    /// How far from `trigger` markers and assists could still be in time, had the markers done
    /// nothing.
    fn credit(&self, goal: f64, trigger: f64) -> f64 {
        let half = SHARE_MAX * self.processors();
        let work = self.expected_work(trigger);
        let needed = self
            .history
            .measures()
            .map(|m| self.rate(m, half) * work / (m.speed * half))
            .fold(f64::NEG_INFINITY, f64::max);
        if needed < 0.0 {
            // Nothing is known yet.
            return (goal - trigger) / 2.0;
        }
        (goal - trigger - needed).max(0.0)
    }

    /// Bytes that the planned markers mark while mutators allocate one.
    fn marked_per_byte(&self, m: &Measure) -> f64 {
        m.speed * m.gain * self.plan.background_cores / self.background_rate(m)
    }

    /// Bytes that mutators allocate in a second while the collector takes `taken` processors.
    fn rate(&self, m: &Measure, taken: f64) -> f64 {
        m.rate_per_core * cores_left(&self.last, self.processors(), taken)
    }

    /// The same while the planned markers run.
    fn background_rate(&self, m: &Measure) -> f64 {
        self.rate(m, self.plan.background_cores * m.gain)
    }

    /// Expected work as a line over the heap at the trigger: its value at zero, and its slope.
    fn work_line(&self) -> (f64, f64) {
        let marked = self.last.marked_bytes as f64;
        let external = self.last.external_bytes as f64;
        let survival = self.history.survival.get().unwrap_or(1.0);
        (marked - survival * (marked + external), survival)
    }

    /// What a cycle that begins at `heap` bytes will mark.
    fn expected_work(&self, heap: f64) -> f64 {
        let (base, survival) = self.work_line();
        let old = self.last.marked_bytes as f64;
        (base + survival * heap).max(old)
    }
}
