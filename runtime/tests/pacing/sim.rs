//! A program, its heap and its markers, as rates: what the pacer decides is played through in small
//! steps of simulated time.

use std::time::Duration;

use runtime::pacer::{Cycle, Pacer, Plan, Progress, Settings};

pub(crate) const MIB: f64 = (1 << 20) as f64;
pub(crate) const GIB: f64 = (1 << 30) as f64;

/// A program; functions are of the time in seconds.
pub(crate) struct Program {
    pub(crate) settings: Settings,
    pub(crate) threads: usize,
    /// Slot bytes that all threads together allocate in a second when nothing holds them up.
    pub(crate) rate: Box<dyn Fn(f64) -> f64>,
    /// Slot bytes reachable.
    pub(crate) live: Box<dyn Fn(f64) -> f64>,
    /// Bytes that a slot byte owns outside the heap.
    pub(crate) external: f64,
    /// Bytes that a processor marks in a second.
    pub(crate) speed: f64,
    /// Seconds from the trigger until the markers run.
    pub(crate) start_delay: Box<dyn Fn(f64) -> f64>,
    /// Processors that the markers get for each that the plan gives them.
    pub(crate) granted: f64,
    pub(crate) overhead: f64,
}

impl Program {
    /// 64 MiB live, 200 MiB a second, markers at 1 GiB a second.
    pub(crate) fn new(processors: usize) -> Program {
        Program {
            settings: Settings::new(processors),
            threads: processors,
            rate: Box::new(|_| 200.0 * MIB),
            live: Box::new(|_| 64.0 * MIB),
            external: 0.0,
            speed: GIB,
            start_delay: Box::new(|_| 150e-6),
            granted: 1.0,
            overhead: 0.0,
        }
    }
}

/// What happened from the end of one cycle to the end of the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) plan: Plan,
    pub(crate) cycle: Cycle,
    /// Seconds: when the cycle ended, and how long since the one before.
    pub(crate) ended: f64,
    pub(crate) period: f64,
    /// The heap's peak.
    pub(crate) peak: f64,
    /// Processor seconds of the collector: marking with assists, and the fixed cost.
    pub(crate) collector_cpu: f64,
    /// The share of the threads' time that assists took while marking went on.
    pub(crate) assist_share: f64,
}

/// Plays `program` until `seconds` have passed or `cycles` have ended.
pub(crate) fn play(program: &Program, seconds: f64, cycles: usize) -> Vec<Row> {
    let mut world = World {
        program,
        pacer: Pacer::new(program.settings),
        now: 0.0,
        heap: (program.live)(0.0) * (1.0 + program.external),
    };
    let mut rows = Vec::new();
    while rows.len() < cycles && world.now < seconds {
        let Some(row) = world.cycle(seconds) else {
            break;
        };
        rows.push(row);
    }
    rows
}

/// The collector's share of all processors over `rows`.
pub(crate) fn collector_share(rows: &[Row], processors: usize) -> f64 {
    let cpu: f64 = rows.iter().map(|row| row.collector_cpu).sum();
    let wall: f64 = rows.iter().map(|row| row.period).sum();
    cpu / (wall * processors as f64)
}

/// The largest share of the threads' time, in one marking phase, that assists took.
pub(crate) fn worst_assist(rows: &[Row]) -> f64 {
    rows.iter().map(|row| row.assist_share).fold(0.0, f64::max)
}

/// The largest peak as a multiple of the goal.
pub(crate) fn worst_peak(rows: &[Row]) -> f64 {
    rows.iter()
        .map(|row| row.peak / row.plan.goal_bytes as f64)
        .fold(0.0, f64::max)
}

struct World<'a> {
    program: &'a Program,
    pacer: Pacer,
    now: f64,
    /// Slots and external bytes.
    heap: f64,
}

impl World<'_> {
    /// Bytes of heap that the threads take in a second if `busy` processors are taken from them.
    fn rate(&self, busy: f64) -> f64 {
        let p = self.program;
        let free = p.settings.processors as f64 - busy;
        let runs = (free / p.threads as f64).min(1.0);
        (p.rate)(self.now) * (1.0 + p.external) * runs
    }

    /// Allocates up to the trigger; how much, or `None` if the time is over first.
    fn allocate(&mut self, trigger: f64, seconds: f64) -> Option<f64> {
        let before = self.heap;
        while self.heap < trigger {
            if self.now >= seconds {
                return None;
            }
            let rate = self.rate(0.0);
            let step = ((trigger - self.heap) / rate + 1e-9).min(1e-3);
            self.heap += rate * step;
            self.now += step;
        }
        Some(self.heap - before)
    }

    fn cycle(&mut self, seconds: f64) -> Option<Row> {
        let p = self.program;
        let plan = self.pacer.plan();
        let last_end = self.now;
        let before = self.allocate(plan.trigger_bytes as f64, seconds)?;
        let (trigger_time, trigger) = (self.now, self.heap);
        let slots = |heap: f64| heap / (1.0 + p.external);
        let work = (p.live)(self.now).min(slots(trigger));
        let markers_begin = trigger_time + (p.start_delay)(trigger_time);
        let cores = plan.background_cores * p.granted;
        let (mut marked, mut assisted, mut ratio) = (0.0, 0.0, 0.0);
        let runway = (plan.goal_bytes as f64 - trigger).max(64.0 * 1024.0);
        // Small against the marking, but not smaller than a step needs to be.
        let step_min = (work / p.speed / p.settings.processors as f64 / 1000.0).max(1e-6);
        while marked < work {
            let busy = if self.now < markers_begin { 0.0 } else { cores };
            let free_rate = self.rate(busy).max(1.0);
            let step = (runway / free_rate / 200.0).clamp(step_min, step_min.max(1e-3));
            // A thread pays for each byte before it goes on.
            let threads_cpu = (p.settings.processors as f64 - busy).min(p.threads as f64);
            let cpu_per_byte = threads_cpu / free_rate + ratio / p.speed;
            let grown = threads_cpu / cpu_per_byte * step;
            let assist = grown * ratio;
            self.heap += grown;
            self.now += step;
            marked += busy * p.speed * step + assist;
            assisted += assist;
            ratio = self.pacer.revise(Progress {
                heap_at_trigger_bytes: trigger as usize,
                heap_bytes: self.heap as usize,
                marked_bytes: marked as usize,
                assisted_bytes: assisted as usize,
                mark_cpu: seconds_of(marked / p.speed),
                assist_cpu: seconds_of(assisted / p.speed),
                since_last: seconds_of(self.now - last_end),
                mutators: p.threads,
            });
            assert!(ratio.is_finite() && ratio >= 0.0, "{ratio}");
        }
        let peak = self.heap;
        let grown = peak - trigger;
        self.heap = work * (1.0 + p.external) + grown;
        let wall = self.now - trigger_time;
        let cycle = Cycle {
            live_bytes: slots(self.heap) as usize,
            external_bytes: (self.heap - slots(self.heap)) as usize,
            marked_bytes: work as usize,
            mark_cpu: seconds_of(marked / p.speed),
            assist_cpu: seconds_of(assisted / p.speed),
            wall: seconds_of(wall),
            heap_at_trigger_bytes: trigger as usize,
            heap_at_end_bytes: peak as usize,
            allocated_bytes: (before + grown) as usize,
            since_last: seconds_of(self.now - last_end),
            overhead_bytes: p.overhead as usize,
            mutators: p.threads,
            ..Cycle::default()
        };
        self.pacer.end_cycle(cycle);
        let threads = (p.settings.processors as f64 - cores).min(p.threads as f64);
        Some(Row {
            plan,
            cycle,
            ended: self.now,
            period: self.now - last_end,
            peak,
            collector_cpu: marked / p.speed + p.settings.cycle_cost.as_secs_f64(),
            assist_share: assisted / p.speed / (threads * wall),
        })
    }
}

fn seconds_of(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.max(0.0))
}

/// A number from 0 to 1 that looks random, the same for the same `n`.
pub(crate) fn noise(n: u64) -> f64 {
    // A step of SplitMix64 (Steele, Lea and Flood 2014).
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
