//! What the last cycles measured, as rates.
//!
//! Two kinds of smoothing, because two kinds of error cost differently:
//!
//! * The trigger wants the worst of the last five cycles, as in Go: to begin too late makes
//!   mutators wait, to begin too early costs a little memory.
//! * Costs over time, which the price and the least time between cycles are about, want the mean:
//!   an average whose newest term has half of the weight.

use std::time::Duration;

use super::Cycle;

/// Cycles that are remembered (Go's figure).
const KEPT: usize = 5;

/// The weight of the newest term in a mean.
const NEWEST: f64 = 0.5;

/// The bounds of [`Measure::gain`], so that one absurd clock reading does no lasting harm.
const GAIN: (f64, f64) = (1.0 / 16.0, 16.0);

/// By how much at most collecting is taken to slow the program down.
const SLOWDOWN_MAX: f64 = 16.0;

/// One cycle's marking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Bytes that would have been allocated in a second by each processor that the markers left to
    /// the program, had it not assisted.
    pub(super) rate_per_core: f64,
    /// Bytes that a processor marks in a second.
    pub(super) speed: f64,
    /// Processors that the markers got for each that they were to get. Above one where the
    /// markers used processors that were idle, below where the machine was busy.
    pub(super) gain: f64,
}

impl Measure {
    /// What `cycle` says, if there was marking and allocation to measure.
    ///
    /// With all processors busy, and u and b the shares of them that marking took with and without
    /// assists, the rate that follows for the next cycle over the speed of its markers is Go's
    /// cons/mark ratio A·u / (W·(1 - u)), times (1 - b) / b. But b is measured, where Go puts 0.25;
    /// and processors for which the program has no threads count for neither side.
    pub(super) fn of(
        cycle: &Cycle,
        processors: f64,
        background_cores: f64,
        cycle_cost: Duration,
    ) -> Option<Measure> {
        let wall = cycle.wall.as_secs_f64();
        let mark_cpu = cycle.mark_cpu.as_secs_f64();
        let grown = cycle
            .heap_at_end_bytes
            .saturating_sub(cycle.heap_at_trigger_bytes);
        if cycle.marked_bytes == 0 || grown == 0 || wall <= 0.0 || mark_cpu <= 0.0 {
            return None;
        }
        let assist_cpu = cycle.assist_cpu.as_secs_f64().min(mark_cpu);
        let background_cpu = mark_cpu - assist_cpu;
        let program_cpu = cores_left(cycle, processors, background_cpu / wall) * wall;
        let allocating_cpu = (program_cpu - assist_cpu).max(program_cpu / SLOWDOWN_MAX);
        let mut rate_per_core = grown as f64 / allocating_cpu;
        if assist_cpu > 0.0 {
            // Which mutators assisted is not known: one may have been held up for all. What they
            // did before the cycle is a second witness.
            let before = cycle.since_last.saturating_sub(cycle.wall).as_secs_f64();
            let allocated = cycle.allocated_bytes.saturating_sub(grown) as f64;
            if before > 0.0 {
                let cores = cores_left(cycle, processors, 0.0);
                rate_per_core = rate_per_core.max(allocated / before / cores);
            }
        }
        // The fixed cost passes before the markers run, and is reckoned with by itself.
        let marking = (wall - cycle_cost.as_secs_f64()).max(wall / 2.0);
        Some(Measure {
            rate_per_core,
            speed: cycle.marked_bytes as f64 / mark_cpu,
            gain: (background_cpu / (marking * background_cores)).clamp(GAIN.0, GAIN.1),
        })
    }
}

/// Processors that run the program while the collector takes `taken` of them.
pub(super) fn cores_left(cycle: &Cycle, processors: f64, taken: f64) -> f64 {
    let threads = cycle.mutators.max(1) as f64;
    (processors - taken)
        .max(processors / SLOWDOWN_MAX)
        .min(threads)
}

/// A mean in which what is older weighs less.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean(Option<f64>);

impl Mean {
    pub(super) fn add(&mut self, value: f64) {
        self.0 = Some(match self.0 {
            None => value,
            Some(mean) => mean + NEWEST * (value - mean),
        });
    }

    pub(super) fn get(self) -> Option<f64> {
        self.0
    }
}

/// What the last cycles measured.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    measures: [Option<Measure>; KEPT],
    next: usize,
    /// Bytes allocated in a second, marking or not.
    pub(super) rate: Mean,
    /// Bytes that a processor marks in a second.
    pub(super) speed: Mean,
    /// The share of what is new that turns out to live, 0 to 1.
    pub(super) survival: Mean,
}

impl History {
    pub(super) fn push(&mut self, measure: Measure) {
        self.measures[self.next] = Some(measure);
        self.next = (self.next + 1) % KEPT;
        self.speed.add(measure.speed);
    }

    /// The last cycles, in no order.
    pub(super) fn measures(&self) -> impl Iterator<Item = &Measure> {
        self.measures.iter().flatten()
    }
}
