//! What goes into the pacer and what comes out: plain numbers.
//!
//! Byte counts called *heap* are what the allocator charges: slots, and the bytes that objects
//! said they own outside the heap. The goal and the trigger are compared with that sum. Only slots
//! are marked, so *marked* never holds external bytes.

use std::time::Duration;

/// How much memory the heap may take beyond what lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// The heap may grow by so many percent of what survived: Go's GOGC. The processor time that
    /// this costs follows from the program: twice the allocation, twice the cost.
    Percent(u32),
    /// A GiB of memory is worth so many processors, and the heap grows until one GiB more
    /// would save less than that. Heaps with one price balance without talking to each other
    /// (MemBalancer, Kirisame et al. 2022).
    Price {
        /// Processors that a GiB is worth. Where cloud prices put a processor at 8 GiB: 0.13.
        cores_per_gib: f64,
    },
    /// Growth begins no cycle; a memory limit still does.
    Off,
}

/// What the user, or the machine, decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How much memory the heap may take beyond what lives.
    pub policy: Policy,
    /// What heap and overhead should not exceed together, in bytes. It is soft: where keeping
    /// it would take more than half of the processors it is exceeded.
    pub limit_bytes: Option<usize>,
    /// Processors that the program may use, at least 1.
    pub processors: usize,
    /// What a cycle costs however little there is to mark: handshakes, threads woken.
    pub cycle_cost: Duration,
}

impl Settings {
    /// Go's defaults: 100 percent, no limit. A cycle is taken to cost 300 µs.
    pub fn new(processors: usize) -> Settings {
        Settings {
            policy: Policy::Percent(100),
            limit_bytes: None,
            processors,
            cycle_cost: Duration::from_micros(300),
        }
    }
}

/// What a cycle measured, told at the end of its marking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycle {
    /// Slots that survived: those marked, and those allocated while marking went on.
    pub live_bytes: usize,
    /// Bytes that the survivors own outside the heap.
    pub external_bytes: usize,
    /// Slots that were marked: the work of the cycle.
    pub marked_bytes: usize,
    /// Processor time of marking, by markers and mutators.
    pub mark_cpu: Duration,
    /// The part of `mark_cpu` that mutators spent.
    pub assist_cpu: Duration,
    /// From the trigger to the end of marking.
    pub wall: Duration,
    /// The heap when the cycle began.
    pub heap_at_trigger_bytes: usize,
    /// The heap when marking ended: the peak.
    pub heap_at_end_bytes: usize,
    /// Allocated, in slots and outside, since the last cycle's marking ended.
    pub allocated_bytes: usize,
    /// Time since the last cycle's marking ended; since the start for the first one.
    pub since_last: Duration,
    /// What counts against the limit beside the heap: tables, and holes in spans that allocation
    /// does not fill. Not free pages: the scavenger gives those back when the limit asks for it.
    pub overhead_bytes: usize,
    /// Threads that may have been running the program, at most.
    pub mutators: usize,
    /// What the whole of it cost, if the only mutator ran it at a closure's edge: no thread was
    /// woken then, and nothing allocated meanwhile. `None` for a cycle beside the mutators, which
    /// costs [`Settings::cycle_cost`] besides marking.
    pub alone_cost: Option<Duration>,
}

impl Cycle {
    pub(super) fn fixed_cost(&self, settings: &Settings) -> Duration {
        self.alone_cost.unwrap_or(settings.cycle_cost)
    }

    /// The share of all processors that marking took while it went on, 0 to 1.
    pub fn mark_share(&self, processors: usize) -> f64 {
        share(self.mark_cpu, self.wall, processors)
    }

    /// The share of all processors that marking took since the last cycle, 0 to 1.
    pub fn cpu_share(&self, processors: usize) -> f64 {
        share(self.mark_cpu, self.since_last, processors)
    }
}

fn share(cpu: Duration, wall: Duration, processors: usize) -> f64 {
    if wall.is_zero() {
        return 0.0;
    }
    (cpu.as_secs_f64() / (wall.as_secs_f64() * processors as f64)).min(1.0)
}

/// How far a cycle is, while its marking goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The heap when the cycle began.
    pub heap_at_trigger_bytes: usize,
    /// The heap now.
    pub heap_bytes: usize,
    /// Slots marked so far.
    pub marked_bytes: usize,
    /// The part of `marked_bytes` that mutators marked.
    pub assisted_bytes: usize,
    /// Processor time of marking so far.
    pub mark_cpu: Duration,
    /// The part of `mark_cpu` that mutators spent.
    pub assist_cpu: Duration,
    /// Time since the last cycle's marking ended.
    pub since_last: Duration,
    /// Threads that may have been running the program, at most.
    pub mutators: usize,
}

/// What holds until the next cycle has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The size that the heap should not exceed.
    pub goal_bytes: usize,
    /// The size at which the next cycle begins. `usize::MAX`: growth begins none.
    pub trigger_bytes: usize,
    /// What may be allocated from the trigger on before anybody assists. Until there
    /// markers and assists at full strength could still finish in time, had the markers done
    /// nothing.
    pub credit_bytes: usize,
    /// Processors that the markers should take between them while they mark: from a quarter of
    /// all to half of them; while limiting, no more than the program can use.
    /// [`Plan::markers`] and [`Plan::duty`] say it in threads.
    pub background_cores: f64,
    /// Whether collecting has taken half of the processors for so long that the limit slips and
    /// nobody assists.
    pub is_limiting: bool,
}

impl Plan {
    /// The size of the heap below which nobody assists.
    pub fn assist_from_bytes(&self) -> usize {
        self.trigger_bytes.saturating_add(self.credit_bytes)
    }

    /// Threads that should mark.
    pub fn markers(&self) -> usize {
        (self.background_cores.ceil() as usize).max(1)
    }

    /// The share of its time that each of these threads should mark, above 0, up to 1.
    ///
    /// Go rounds to whole threads where it can, and takes 20 to 30 percent instead of 25. This
    /// is exact for every number of processors.
    pub fn duty(&self) -> f64 {
        self.background_cores / self.markers() as f64
    }
}
