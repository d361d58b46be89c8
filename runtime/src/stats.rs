//! What one can see of a heap: counters, and a snapshot of them.

use crate::scavenge::{Latencies, ScavengeStats};
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};
use std::time::Duration;

/// Why a cycle began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked for it.
    #[default]
    Explicit,
    /// The heap reached its goal.
    Goal,
    /// It was far from its goal, and had not been looked at for some time.
    Idle,
}

/// One cycle.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct CycleStats {
    /// The cycle's number, from 1.
    pub number: u64,
    /// Why it began.
    pub why: Reason,
    /// From the wish to stop until every mutator was outside.
    pub stop: Duration,
    /// From the wish to stop until the mutators could go on.
    pub pause: Duration,
    /// From the first handshake until marking was over, beside the mutators.
    pub mark: Duration,
    /// From the first handshake until the last.
    pub beside: Duration,
    /// How often every mutator was asked whether it had logged anything.
    pub waves: u32,
    /// Objects found reachable.
    pub objects_marked: usize,
    /// Markers that worked.
    pub markers: usize,
    /// Bytes of slots in use before the cycle.
    pub before_bytes: usize,
    /// Bytes of slots in use when the sweep was over.
    pub live_bytes: usize,
}

/// A mutator that a cycle waits for: its closure has not ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Late {
    /// The mutator's name.
    pub mutator: String,
    /// How long the cycle has waited.
    pub wait: Duration,
}

/// A snapshot of a heap. Each figure is exact at some moment during the call, not all at one.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Cycles whose marking is over.
    pub cycles: u64,
    /// The last cycle whose sweep is over.
    pub last_cycle: CycleStats,
    /// Bytes of slots allocated since the heap was built.
    pub allocated_bytes: usize,
    /// Bytes of slots in use; too high by the dead that a sweep in progress has not found yet.
    pub live_bytes: usize,
    /// Bytes that objects own outside of the heap, as far as they said so ([`External`]).
    ///
    /// [`External`]: crate::External
    pub external_bytes: usize,
    /// The size that live and external bytes should not exceed. A collector that marks beside the
    /// mutators begins before.
    pub goal_bytes: usize,
    /// Bytes of pages that hold spans.
    pub heap_bytes: usize,
    /// Bytes of free pages that are backed by memory.
    pub retained_bytes: usize,
    /// Bytes of free pages given back to the operating system.
    pub released_bytes: usize,
    /// The size that the heap should not exceed, if there is one: the lower of the soft limit and
    /// the hard one.
    pub limit_bytes: Option<usize>,
    /// Giving memory back.
    pub scavenge: ScavengeStats,
    /// The longest pause of a stopped world.
    pub pause_max: Duration,
    /// All pauses together.
    pub pause_total: Duration,
    /// The longest time that the collector took from a mutator at once: waiting to enter,
    /// acknowledging a handshake, collecting at a closure's edge, or allocating off the fast path
    /// while a cycle is due, marks, or is being swept.
    pub wait_max: Duration,
    /// Each such time.
    pub waits: Latencies,
    /// The mutator that holds a cycle up just now, if one does for more than 10 ms.
    pub late: Option<Late>,
    /// The mutator that held a cycle up for longest, and more than 10 ms.
    pub late_max: Option<Late>,
    /// Registered mutators.
    pub mutators: usize,
    /// Objects with handles.
    pub roots: usize,
    /// Cleanups of objects that have not been found dead.
    pub cleanups: usize,
    /// Cleanups of objects that were found dead, which have not begun.
    pub cleanups_queued: usize,
    /// Cleanups that have run.
    pub cleanups_run: usize,
    /// Cleanups that panicked.
    pub cleanup_panics: usize,
    /// Finalizers of objects that have not been found dead.
    pub finalizers: usize,
    /// Finalizers of objects that were found dead, which nobody has run.
    pub finalizers_queued: usize,
    /// Finalizers that have run.
    pub finalizers_run: usize,
    /// Finalizers that panicked.
    pub finalizer_panics: usize,
    /// Drop glue that panicked.
    pub drop_panics: usize,
    /// Cycles given up because a `trace` panicked.
    pub trace_panics: usize,
}

/// A count that many threads change.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn add(&self, n: usize) {
        // Relaxed: a count, nothing hangs on its order.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> usize {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one heap.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Objects marked in the rounds of this cycle that are over.
    pub(crate) objects_marked: AtomicUsize,
    pub(crate) drop_panics: Count,
    pub(crate) trace_panics: Count,
    cycles: AtomicU64,
    pause_max_ns: AtomicU64,
    pause_total_ns: AtomicU64,
    wait_max_ns: AtomicU64,
    waits: Waits,
    last: Mutex<CycleStats>,
    /// Now, and the worst.
    late: Mutex<[Option<Late>; 2]>,
}

/// Durations that many threads count, by bucket.
#[derive(Debug)]
struct Waits([AtomicU64; Latencies::BUCKETS]);

impl Default for Waits {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Counters {
    /// A mutator was held up.
    pub(crate) fn note_wait(&self, wait: Duration) {
        // Relaxed: a maximum, nothing hangs on its order.
        self.wait_max_ns
            .fetch_max(nanoseconds(wait), Ordering::Relaxed);
        // Relaxed: a count.
        self.waits.0[Latencies::bucket(wait)].fetch_add(1, Ordering::Relaxed);
    }

    /// A handshake waits for a mutator.
    pub(crate) fn note_late(&self, mutator: &str, wait: Duration) {
        let late = Late {
            mutator: mutator.to_owned(),
            wait,
        };
        let mut noted = lock(&self.late);
        if noted[1].as_ref().is_none_or(|worst| worst.wait < wait) {
            noted[1] = Some(late.clone());
        }
        noted[0] = Some(late);
    }

    /// A handshake is over.
    pub(crate) fn end_late(&self) {
        lock(&self.late)[0] = None;
    }

    /// The world was stopped.
    pub(crate) fn note_pause(&self, pause: Duration) {
        // Relaxed: counts.
        self.pause_max_ns
            .fetch_max(nanoseconds(pause), Ordering::Relaxed);
        // Relaxed: as above.
        self.pause_total_ns
            .fetch_add(nanoseconds(pause), Ordering::Relaxed);
    }

    /// A cycle's marking is over; its number.
    pub(crate) fn next_cycle(&self) -> u64 {
        // Relaxed: a count.
        self.cycles.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A cycle's sweep is over.
    pub(crate) fn close_cycle(&self, cycle: CycleStats) {
        *lock(&self.last) = cycle;
    }

    /// The part of a snapshot that these counters know.
    pub(crate) fn snapshot(&self) -> Stats {
        // Relaxed, all of them: counts.
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [late, late_max] = lock(&self.late).clone();
        Stats {
            late,
            late_max,
            cycles: load(&self.cycles),
            last_cycle: *lock(&self.last),
            pause_max: Duration::from_nanos(load(&self.pause_max_ns)),
            pause_total: Duration::from_nanos(load(&self.pause_total_ns)),
            wait_max: Duration::from_nanos(load(&self.wait_max_ns)),
            waits: Latencies::from(std::array::from_fn(|bucket| load(&self.waits.0[bucket]))),
            drop_panics: self.drop_panics.get(),
            trace_panics: self.trace_panics.get(),
            ..Stats::default()
        }
    }
}
