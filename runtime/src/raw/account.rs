//! The account of bytes that decides when to collect: what is in use, what the next cycle waits
//! for, and what mutators owe while one marks.
//!
//! `live_bytes` is what slots in use take: charged when a mutator takes a span's free slots,
//! discharged when it hands back what it did not use and when a sweep finds objects dead. While a
//! sweep goes on it is too high by the dead not yet found; the trigger is set again when they are.
//! The *heap* that goals are about is that and what objects own outside of the heap.
//!
//! | field | written by | read by |
//! |---|---|---|
//! | `live_bytes`, `allocated_bytes` | allocation's slow path, sweeping | anyone |
//! | `external_bytes` | [`External`](crate::External) | anyone |
//! | `allocated_at_cycle` | the collector when sweeping begins, or a cycle has freed nothing | [`Account::repace`] |
//! | `goal_bytes`, `trigger_bytes`, `assist_from_bytes` | [`Account::repace`] | slow paths |
//! | `pace` | the collector, the user, mutators that assist | under its lock |
//!
//! The policy is [`crate::pacer`]'s; here are the clock and the counters that it is fed from. A
//! collector that stops the world needs no trigger below its goal, and nobody to assist it.

use crate::pacer::{self, Holes, Idle, Look, Pacer, Policy, Progress, Settings, Still};
use crate::sync::{AtomicUsize, Mutex, Ordering, lock, processors, try_lock};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the head of this file.
pub(crate) struct Account {
    live_bytes: AtomicUsize,
    allocated_bytes: AtomicUsize,
    pub(crate) external_bytes: Arc<AtomicUsize>,
    /// `allocated_bytes` when the last cycle's marking was over.
    allocated_at_cycle: AtomicUsize,
    /// `external_bytes` then: the survivors' and what is not dropped yet.
    external_at_cycle: AtomicUsize,
    goal_bytes: AtomicUsize,
    trigger_bytes: AtomicUsize,
    assist_from_bytes: AtomicUsize,
    /// Marking marks beside the mutators.
    is_beside: bool,
    pace: Mutex<Pace>,
}

/// What the pacer is asked about.
struct Pace {
    pacer: Pacer,
    settings: Settings,
    /// The cycle that marks.
    open: Option<Open>,
    /// The cycle whose marking is over, and whose survivors are not counted yet.
    ended: Option<Ended>,
    ended_at: Instant,
    allocated_at_end: usize,
    /// Bytes of an object, on the average of the last cycle.
    object_bytes: f64,
    holes: Holes,
    idle: Idle,
    /// When the last cycle was over, even one that failed; and how many roots there were.
    looked_at: Instant,
    roots_at_end: usize,
}

#[derive(Clone, Copy)]
struct Open {
    begun: Instant,
    heap_at_trigger_bytes: usize,
    allocated_bytes: usize,
    assist: Duration,
}

/// A cycle as far as its end of marking tells.
struct Ended {
    cycle: pacer::Cycle,
    /// Allocated while it marked: black, so it counts as living, but not as marked.
    meanwhile_bytes: usize,
    objects: usize,
}

/// What marking cost.
#[derive(Clone, Copy)]
pub(crate) struct Marking {
    /// Processor time of the markers.
    pub(crate) markers_cpu: Duration,
    pub(crate) objects: usize,
    pub(crate) mutators: usize,
    pub(crate) in_use_bytes: usize,
}

impl Account {
    pub(crate) fn new(policy: Policy, is_beside: bool) -> Self {
        let settings = Settings {
            policy,
            ..Settings::new(processors())
        };
        Self {
            live_bytes: AtomicUsize::new(0),
            allocated_bytes: AtomicUsize::new(0),
            external_bytes: Arc::default(),
            allocated_at_cycle: AtomicUsize::new(0),
            external_at_cycle: AtomicUsize::new(0),
            goal_bytes: AtomicUsize::new(usize::MAX),
            trigger_bytes: AtomicUsize::new(usize::MAX),
            assist_from_bytes: AtomicUsize::new(usize::MAX),
            is_beside,
            pace: Mutex::new(Pace {
                pacer: Pacer::new(settings),
                settings,
                open: None,
                ended: None,
                ended_at: Instant::now(),
                allocated_at_end: 0,
                object_bytes: 64.0,
                holes: Holes::default(),
                idle: Idle::default(),
                looked_at: Instant::now(),
                roots_at_end: 0,
            }),
        }
    }

    /// Bytes of slots in use, as far as is known.
    pub(crate) fn live_bytes(&self) -> usize {
        // Relaxed: a count, here and in all that follows: nothing hangs on its order.
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of slots allocated since the heap was built.
    pub(crate) fn allocated_bytes(&self) -> usize {
        // Relaxed: a count.
        self.allocated_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that objects own outside of the heap.
    pub(crate) fn external_bytes(&self) -> usize {
        // Relaxed: a count.
        self.external_bytes.load(Ordering::Relaxed)
    }

    fn heap_bytes(&self) -> usize {
        self.live_bytes().saturating_add(self.external_bytes())
    }

    /// The size that the heap should not exceed.
    pub(crate) fn goal_bytes(&self) -> usize {
        // Relaxed: a figure.
        self.goal_bytes.load(Ordering::Relaxed)
    }

    /// By how much the heap may grow before it is at its goal.
    pub(crate) fn room_bytes(&self) -> usize {
        self.goal_bytes().saturating_sub(self.heap_bytes())
    }

    /// Whether the heap has reached the size at which the next cycle begins.
    pub(crate) fn is_due(&self) -> bool {
        // Relaxed: a figure.
        self.heap_bytes() >= self.trigger_bytes.load(Ordering::Relaxed)
    }

    /// Whether the heap is larger than it should be by more than so much.
    pub(crate) fn is_beyond_goal_by(&self, bytes: usize) -> bool {
        self.heap_bytes() > self.goal_bytes().saturating_add(bytes)
    }

    /// Slots have been taken; whether a cycle is due.
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        // Relaxed: counts.
        self.live_bytes.fetch_add(bytes, Ordering::Relaxed);
        // Relaxed: as above.
        self.allocated_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.is_due()
    }

    /// Slots came free.
    pub(crate) fn discharge(&self, bytes: usize) {
        // Relaxed: a count.
        self.live_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Slots were handed back unused.
    pub(crate) fn hand_back(&self, bytes: usize) {
        self.discharge(bytes);
        // Relaxed: a count.
        self.allocated_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes allocated since the last cycle's marking was over.
    pub(crate) fn allocated_since_cycle(&self) -> usize {
        // Relaxed: moved when no mutator owns a slot that it has not used.
        let before = self.allocated_at_cycle.load(Ordering::Relaxed);
        self.allocated_bytes().saturating_sub(before)
    }

    /// Changes how much the heap may grow, or what it should not exceed.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings), in_use_bytes: usize) {
        {
            let mut pace = lock(&self.pace);
            change(&mut pace.settings);
            let settings = Settings {
                limit_bytes: pace.limit_pages_bytes(),
                ..pace.settings
            };
            pace.pacer.set(settings);
        }
        self.repace(in_use_bytes);
    }

    /// What a memory limit leaves for pages.
    pub(crate) fn limit_pages_bytes(&self) -> Option<usize> {
        lock(&self.pace).limit_pages_bytes()
    }

    /// The settings.
    pub(crate) fn settings(&self) -> Settings {
        lock(&self.pace).settings
    }

    /// A cycle begins to mark beside the mutators. None is wanted until the next [`Self::repace`].
    pub(crate) fn begin_marking(&self) {
        // Relaxed: an allocator that reads the old one triggers once too often.
        self.trigger_bytes.store(usize::MAX, Ordering::Relaxed);
        let mut pace = lock(&self.pace);
        pace.open = Some(Open {
            begun: Instant::now(),
            heap_at_trigger_bytes: self.heap_bytes(),
            allocated_bytes: self.allocated_bytes(),
            assist: Duration::ZERO,
        });
    }

    /// That cycle's marking is over, or it was given up (`None`).
    pub(crate) fn end_marking(&self, marking: Option<Marking>) {
        let mut pace = lock(&self.pace);
        if let (Some(open), Some(marking)) = (pace.open.take(), marking) {
            self.end(&mut pace, open, marking);
        }
    }

    /// The only mutator has marked at its closure's edge, in so much of its time.
    pub(crate) fn end_alone(&self, cost: Duration, objects: usize, in_use_bytes: usize) {
        let open = Open {
            begun: Instant::now(),
            heap_at_trigger_bytes: self.heap_bytes(),
            allocated_bytes: self.allocated_bytes(),
            assist: Duration::ZERO,
        };
        let marking = Marking {
            markers_cpu: Duration::ZERO,
            objects,
            mutators: 1,
            in_use_bytes,
        };
        let mut pace = lock(&self.pace);
        self.end(&mut pace, open, marking);
        if let Some(ended) = &mut pace.ended {
            ended.cycle.alone_cost = Some(cost);
        }
    }

    fn end(&self, pace: &mut Pace, open: Open, marking: Marking) {
        let now = Instant::now();
        let allocated_bytes = self.allocated_bytes();
        let cycle = pacer::Cycle {
            // Counted by sweeping.
            live_bytes: 0,
            marked_bytes: 0,
            external_bytes: self.external_bytes(),
            mark_cpu: marking.markers_cpu + open.assist,
            assist_cpu: open.assist,
            wall: now - open.begun,
            heap_at_trigger_bytes: open.heap_at_trigger_bytes,
            heap_at_end_bytes: self.heap_bytes(),
            allocated_bytes: allocated_bytes.saturating_sub(pace.allocated_at_end),
            since_last: now - pace.ended_at,
            overhead_bytes: marking.in_use_bytes.saturating_sub(self.live_bytes()),
            mutators: marking.mutators,
            alone_cost: None,
        };
        pace.ended = Some(Ended {
            cycle,
            meanwhile_bytes: allocated_bytes.saturating_sub(open.allocated_bytes),
            objects: marking.objects,
        });
        pace.ended_at = now;
        pace.allocated_at_end = allocated_bytes;
    }

    /// Sweeping begins: from now on what is allocated is growth. No cycle is wanted until the
    /// survivors are counted.
    pub(crate) fn begin_sweep(&self, in_use_bytes: usize) {
        let look = self.look(in_use_bytes);
        lock(&self.pace).holes.before_sweep(look);
        self.take_all_for_survivors();
        for figure in [&self.trigger_bytes, &self.assist_from_bytes] {
            // Relaxed: an allocator that reads the old one triggers once too often.
            figure.store(usize::MAX, Ordering::Relaxed);
        }
    }

    fn look(&self, in_use_bytes: usize) -> Look {
        Look {
            holes_bytes: in_use_bytes.saturating_sub(self.live_bytes()),
            allocated_bytes: self.allocated_bytes(),
        }
    }

    /// What is allocated from now on is growth.
    pub(crate) fn take_all_for_survivors(&self) {
        // Relaxed, both: figures.
        self.allocated_at_cycle
            .store(self.allocated_bytes(), Ordering::Relaxed);
        self.external_at_cycle
            .store(self.external_bytes(), Ordering::Relaxed);
    }

    /// Sets the trigger by what survived the last cycle, as far as it is swept. What was allocated
    /// since counts as growth, whenever this is called.
    pub(crate) fn repace(&self, in_use_bytes: usize) {
        let since = self.allocated_since_cycle();
        let survived_bytes = self.live_bytes().saturating_sub(since);
        let look = self.look(in_use_bytes);
        let mut pace = lock(&self.pace);
        pace.holes.after_sweep(look);
        let (goal, trigger, assist_from) = if self.is_beside {
            let plan = pace.plan(survived_bytes);
            (
                plan.goal_bytes,
                plan.trigger_bytes,
                plan.assist_from_bytes(),
            )
        } else {
            // Relaxed: a figure.
            let at_cycle = self.external_at_cycle.load(Ordering::Relaxed);
            let external_bytes = self.external_bytes().min(at_cycle);
            let survived_bytes = survived_bytes.saturating_add(external_bytes);
            let goal = pace.goal_without_plan(survived_bytes, in_use_bytes);
            (goal, goal, usize::MAX)
        };
        // Relaxed: figures; an allocator that reads the old one triggers once too often.
        self.goal_bytes.store(goal, Ordering::Relaxed);
        // Relaxed: as above.
        self.trigger_bytes.store(trigger, Ordering::Relaxed);
        // Relaxed: as above.
        self.assist_from_bytes.store(assist_from, Ordering::Relaxed);
    }

    /// Whether a cycle for the sake of memory, swept by now, has found the heap emptied. Once.
    pub(crate) fn has_emptied(&self) -> bool {
        lock(&self.pace).idle.has_emptied(self.heap_bytes())
    }

    /// In how long it must be looked at whether a heap that is let alone has emptied; zero: a cycle
    /// is due. `None`: it is too small, or grows without cycles. `roots`: how many there are.
    pub(crate) fn idle_wait(&self, in_use_bytes: usize, roots: usize) -> Option<Duration> {
        let mut pace = lock(&self.pace);
        let is_off = pace.settings.policy == Policy::Off;
        if is_off || in_use_bytes < pacer::IDLE_HEAP_BYTES_MIN {
            return None;
        }
        // Relaxed: a figure.
        let trigger_bytes = self.trigger_bytes.load(Ordering::Relaxed);
        let still = Still {
            since: pace.looked_at.elapsed(),
            cost: pace.pacer.last_cost(),
            heap_bytes: self.heap_bytes(),
            room_bytes: trigger_bytes.saturating_sub(self.heap_bytes()),
            allocated_bytes: self.allocated_since_cycle(),
            has_changed: roots != pace.roots_at_end,
        };
        Some(pace.idle.wait(still))
    }

    /// A cycle is over that the heap's growth has begun (or not), leaving so many roots.
    pub(crate) fn end_cycle(&self, is_grown: bool, roots: usize) {
        let mut pace = lock(&self.pace);
        pace.roots_at_end = roots;
        pace.looked_at = Instant::now();
        if is_grown {
            pace.idle.reset();
        }
    }

    /// How many objects a mutator should mark that has just taken `taken_bytes`, while
    /// `objects_done` have been marked. Never waits.
    pub(crate) fn owed_objects(
        &self,
        taken_bytes: usize,
        objects_done: impl FnOnce() -> Option<usize>,
        mutators: impl FnOnce() -> usize,
    ) -> usize {
        // Relaxed: a figure.
        if self.heap_bytes() < self.assist_from_bytes.load(Ordering::Relaxed) {
            return 0;
        }
        let Some(pace) = try_lock(&self.pace) else {
            return 0;
        };
        let (Some(open), Some(objects)) = (pace.open, objects_done()) else {
            return 0;
        };
        let now = Instant::now();
        let progress = Progress {
            heap_at_trigger_bytes: open.heap_at_trigger_bytes,
            heap_bytes: self.heap_bytes(),
            marked_bytes: (objects as f64 * pace.object_bytes) as usize,
            assisted_bytes: 0,
            mark_cpu: now - open.begun,
            assist_cpu: open.assist,
            since_last: now - pace.ended_at,
            mutators: mutators(),
        };
        let owed_bytes = pace.pacer.revise(progress) * taken_bytes as f64;
        (owed_bytes / pace.object_bytes) as usize
    }

    /// A mutator has marked for so long.
    pub(crate) fn note_assist(&self, took: Duration) {
        if let Some(open) = &mut lock(&self.pace).open {
            open.assist += took;
        }
    }
}

impl Pace {
    fn limit_pages_bytes(&self) -> Option<usize> {
        self.settings.limit_bytes.map(alloc_core::pages_within)
    }

    /// The plan, now that so many bytes are known to have survived the last cycle.
    fn plan(&mut self, survived_bytes: usize) -> pacer::Plan {
        let Some(ended) = self.ended.take() else {
            return self.pacer.settle(survived_bytes);
        };
        let marked_bytes = survived_bytes.saturating_sub(ended.meanwhile_bytes);
        self.object_bytes = (marked_bytes as f64 / ended.objects.max(1) as f64).max(16.0);
        self.pacer.end_cycle(pacer::Cycle {
            live_bytes: survived_bytes,
            marked_bytes,
            overhead_bytes: self.holes.overhead_bytes(ended.cycle.overhead_bytes),
            ..ended.cycle
        })
    }

    fn goal_without_plan(&self, survived_bytes: usize, in_use_bytes: usize) -> usize {
        let percent = match self.settings.policy {
            Policy::Percent(percent) => Some(percent),
            Policy::Price { .. } => Some(100),
            Policy::Off => None,
        };
        let goal = pacer::goal_bytes(survived_bytes, percent);
        let Some(limit_bytes) = self.limit_pages_bytes() else {
            return goal;
        };
        let holes_bytes = in_use_bytes.saturating_sub(survived_bytes);
        let overhead_bytes = self.holes.overhead_bytes(holes_bytes);
        goal.min(pacer::limit_goal_bytes(limit_bytes, overhead_bytes).max(survived_bytes))
    }
}
