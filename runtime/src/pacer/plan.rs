//! How the plan for the next cycle follows from the last ones.
//!
//! In this order, each from those before it: the goal; the processors that mark; the trigger; the
//! credit. All look at each of the last cycles and take the worst of what follows from one.

use super::history::{Measure, cores_left};
use super::{Pacer, Plan, limit_goal_bytes};

/// The share of the processors that marks.
const BACKGROUND_SHARE: f64 = 0.25;

/// The share that collecting may take over time.
const SHARE_MAX: f64 = 0.5;

/// The share that the fixed costs of cycles may take.
const FIXED_COST_SHARE: f64 = 0.02;

/// What the goal is raised by at most for the sake of the fixed costs.
const FIXED_COST_HEADROOM_BYTES_MAX: f64 = (24 << 20) as f64;

/// Of the way from live to goal: the earliest and the latest trigger.
const TRIGGER_RANGE: (f64, f64) = (45.0 / 64.0, 61.0 / 64.0);

/// The latest trigger is this close to the goal, where that is closer.
const TRIGGER_DISTANCE_BYTES: f64 = (4 << 20) as f64;

/// By how much the way that the markers need is taken longer than measured.
const MARGIN: f64 = 1.2;

/// Bytes of a finite, non-negative number; saturates.
fn bytes(x: f64) -> usize {
    x as usize
}

impl Pacer {
    pub(super) fn processors(&self) -> f64 {
        self.settings.processors as f64
    }

    pub(super) fn cycle_cost(&self) -> f64 {
        self.last.fixed_cost(&self.settings).as_secs_f64()
    }

    fn live(&self) -> usize {
        self.last
            .live_bytes
            .saturating_add(self.last.external_bytes)
    }

    pub(super) fn limit_goal(&self) -> Option<usize> {
        let limit = self.settings.limit_bytes?;
        Some(limit_goal_bytes(limit, self.last.overhead_bytes).max(self.live()))
    }

    pub(super) fn replan(&mut self) -> Plan {
        let is_limiting = self.limiter.is_full(self.processors());
        let goal_bytes = self.goal(is_limiting);
        let background_cores = self.cores(goal_bytes, is_limiting);
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
        let cost = self.cycle_cost();
        let headroom = rate * cost / (FIXED_COST_SHARE * self.processors());
        bytes(headroom.min(FIXED_COST_HEADROOM_BYTES_MAX))
    }

    /// Half of the processors, but no more than the program can use.
    fn fair_cores(&self) -> f64 {
        let mutators = self.last.mutators.max(1) as f64;
        (SHARE_MAX * self.processors()).min(mutators)
    }

    /// What is allocated while marking like the last takes no more than the program gets.
    fn headroom_at_share_max(&self) -> usize {
        let half = self.fair_cores();
        let marked = self.last.marked_bytes as f64;
        let cost = self.cycle_cost();
        let headroom = self
            .history
            .measures()
            .map(|m| self.rate(m, half) * (cost + marked / m.speed) / half)
            .fold(0.0, f64::max);
        bytes(headroom)
    }

    /// Processors that must mark for a cycle from the earliest trigger to be in time.
    fn cores(&self, goal_bytes: usize, is_limiting: bool) -> f64 {
        let bounds = (
            BACKGROUND_SHARE * self.processors(),
            SHARE_MAX * self.processors(),
        );
        if is_limiting {
            return self.fair_cores();
        }
        if goal_bytes == usize::MAX {
            return bounds.0;
        }
        let (low, _) = self.trigger_bounds(goal_bytes as f64);
        let work = self.expected_work(low);
        let cost = self.cycle_cost();
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
        let cost = self.cycle_cost();
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
    pub(super) fn marked_per_byte(&self, m: &Measure) -> f64 {
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
    pub(super) fn expected_work(&self, heap: f64) -> f64 {
        let (base, survival) = self.work_line();
        let old = self.last.marked_bytes as f64;
        (base + survival * heap).max(old)
    }
}
