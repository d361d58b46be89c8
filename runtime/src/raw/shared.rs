//! A heap with its collector and its background thread: what every handle shares.
//!
//! The thread holds the heap weakly and upgrades for a step at a time, so the heap's memory goes
//! when the last handle goes (or when the step ends that outlived it). A step is a cycle, for a
//! collector that marks beside the mutators, or a batch of sweeping.

use crate::alone::{Alone, EXCESS_BYTES_MAX};
use crate::collector::{Barrier, Collector};
use crate::cycle::{CollectError, Session, timed};
use crate::raw::core::{Core, Local};
use crate::raw::task::{Task, current};
use crate::raw::world::State;
use crate::stats::{CycleStats, Reason};
use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering, lock, thread_token, wait};
use gc_sweep::{Background, Step};
use scavenger::Policy;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After how long it is tried again to begin a cycle for the sake of memory alone.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A heap, its collector, and the thread that works behind the mutators.
pub(crate) struct Shared<C: Collector> {
    background: Option<Background>,
    engine: Arc<Engine<C>>,
}

impl<C: Collector> Deref for Shared<C> {
    type Target = Engine<C>;

    fn deref(&self) -> &Engine<C> {
        &self.engine
    }
}

/// A heap and its collector.
pub(crate) struct Engine<C: Collector> {
    collector: C,
    /// Whether a cycle runs.
    busy: Mutex<bool>,
    idle: Condvar,
    /// So many cycles are not tried at a closure's edge. Changed by whose turn it is to collect.
    alone_in: AtomicUsize,
    pub(crate) core: Arc<Core>,
}

/// The right to run a cycle.
struct Turn<'a, C: Collector>(&'a Engine<C>);

impl<C: Collector> Drop for Turn<'_, C> {
    fn drop(&mut self) {
        *lock(&self.0.busy) = false;
        self.0.idle.notify_all();
    }
}

impl<C: Collector> Shared<C> {
    pub(crate) fn new(core: Core, collector: C, scavenge_by: Box<dyn Policy>) -> Self {
        let core = Arc::new(core);
        core.start_scavenger(scavenge_by);
        let engine = Arc::new(Engine {
            collector,
            busy: Mutex::new(false),
            idle: Condvar::new(),
            alone_in: AtomicUsize::new(0),
            core,
        });
        let weak = Arc::downgrade(&engine);
        let step = move || weak.upgrade().map_or(Step::Done, |engine| engine.step());
        Self {
            // Without the thread, mutators collect and sweep at a closure's edge.
            background: Background::spawn("heapwright", step).ok(),
            engine,
        }
    }

    /// A cycle is due, for a collector that runs on a thread of its own.
    #[cold]
    pub(crate) fn want_cycle(&self) {
        self.core.world.want_collection();
        if let Some(background) = &self.background {
            background.wake();
        }
    }

    /// A closure of `own` has ended, and a cycle is due.
    #[cold]
    pub(crate) fn collect_at_goal(&self, own: &State<Local>) {
        match &self.background {
            Some(background) if C::BARRIER != Barrier::None => {
                if !self.collect_alone(own) {
                    background.wake();
                }
            }
            Some(background) => {
                if self.collect_if_due() {
                    background.wake();
                }
            }
            None => {
                self.collect_if_due();
                while self.core.sweep_step() == Step::More {}
            }
        }
    }
}

impl<C: Collector> Drop for Shared<C> {
    fn drop(&mut self) {
        // Ends the thread and waits for it.
        drop(self.background.take());
        self.core.stop_threads();
    }
}

impl<C: Collector> Engine<C> {
    /// A step of the background thread.
    fn step(&self) -> Step {
        let is_mine = C::BARRIER != Barrier::None && !self.may_wait_for_edge();
        if is_mine && self.collect_if_due() {
            return Step::More;
        }
        match self.core.sweep_step() {
            Step::Done if C::BARRIER != Barrier::None => self.collect_if_idle(),
            step => step,
        }
    }

    /// Runs a cycle if the heap has been let alone for long enough, and may have emptied. Not while
    /// somebody is inside, who may stay there: all others would log for as long.
    fn collect_if_idle(&self) -> Step {
        let core = &*self.core;
        if core.account.has_emptied() {
            core.give_much_back();
        }
        if core.world.is_anyone_inside() {
            return Step::Later(LOOK_AGAIN);
        }
        let in_use_bytes = core.heap.pages().stats().in_use_bytes;
        let Some(wait) = core.account.idle_wait(in_use_bytes, core.roots.len()) else {
            return Step::Done;
        };
        if !wait.is_zero() {
            return Step::Later(wait);
        }
        let Some(_turn) = self.turn(false) else {
            return Step::Done;
        };
        // A failure is counted in `Stats`.
        self.run(Reason::Idle).ok();
        Step::More
    }

    /// Waits for the right to run a cycle; `None` if `!patient` and another cycle runs.
    fn turn(&self, patient: bool) -> Option<Turn<'_, C>> {
        let mut busy = lock(&self.busy);
        while *busy {
            if !patient {
                return None;
            }
            busy = wait(&self.idle, busy);
        }
        *busy = true;
        Some(Turn(self))
    }

    /// Runs a cycle and waits until all that it found dead is dropped and freed.
    ///
    /// # Panics
    ///
    /// If this thread is inside a closure of this heap.
    pub(crate) fn collect(&self) -> Result<CycleStats, CollectError> {
        if current() != Task::None {
            return Err(CollectError::Reentrant);
        }
        assert!(
            !self.core.world.inside_already(thread_token()),
            "a collection is asked for inside a closure of another mutator of the same thread, \
             which would wait for itself: leave that closure first"
        );
        let Some(turn) = self.turn(true) else {
            return Err(CollectError::Reentrant);
        };
        let cycle = self.run(Reason::Explicit)?;
        self.core.finish_sweep();
        self.core.repace();
        drop(turn);
        Ok(CycleStats {
            live_bytes: self.core.live_bytes(),
            ..cycle
        })
    }

    /// Runs the cleanups that are queued; see [`crate::Runtime::run_cleanups`].
    pub(crate) fn run_cleanups(&self) -> usize {
        assert!(
            current() == Task::None && !self.core.world.inside_already(thread_token()),
            "cleanups are asked for inside a closure, or by drop glue or a `trace`: one that \
             collects would wait for its end; ask from outside of it"
        );
        self.core.cleanups.run_all()
    }

    /// Runs a cycle if the heap has reached its goal, unless one runs already; whether it did.
    fn collect_if_due(&self) -> bool {
        let core = &*self.core;
        if !core.world.is_wanted() {
            return false;
        }
        if current() != Task::None || core.world.inside_already(thread_token()) {
            return false;
        }
        let Some(_turn) = self.turn(false) else {
            return false;
        };
        if !core.account.is_due() && !core.debug.collect_at_polls {
            // Another thread has just collected.
            core.world.take_wish();
            return false;
        }
        // A failure is counted in `Stats`.
        let (_, took) = timed(|| self.run(Reason::Goal));
        if C::BARRIER == Barrier::None {
            core.counters.note_wait(took);
        }
        true
    }

    /// Whether a cycle that is due may be left to the edge of this closure, where it will probably
    /// be short: not if that is long in coming.
    pub(crate) fn may_wait_for_edge(&self) -> bool {
        // Relaxed: a hint.
        self.alone_in.load(Ordering::Relaxed) == 0
            && self.core.marked_few()
            && !self.core.account.is_beyond_goal_by(EXCESS_BYTES_MAX)
            && !self.core.debug.is_about_handshakes()
    }

    /// Runs a cycle for the heap's only mutator, which has just left, if one is due and short. True
    /// if nothing is left to do for the collector's thread; else that runs the cycle, or sweeps.
    /// See [`crate::alone`].
    fn collect_alone(&self, own: &State<Local>) -> bool {
        let core = &*self.core;
        // Relaxed: changed by whose turn it is to collect, and a hint for others.
        if self.alone_in.load(Ordering::Relaxed) > 0 || current() != Task::None {
            return false;
        }
        let Some(_turn) = self.turn(false) else {
            return false;
        };
        let begun = Instant::now();
        let mut alone = Alone::default();
        if core.is_small() && core.sweeper.is_done() && core.account.is_due() {
            alone = Session::new(&self.core, Reason::Goal).collect_alone(&self.collector, own);
        }
        let is_swept = alone.has_collected && {
            core.world.take_wish();
            core.account.end_cycle(true, core.roots.len());
            core.sweep_at_edge()
        };
        // Relaxed: as above.
        self.alone_in.store(alone.skip, Ordering::Relaxed);
        core.counters.note_wait(begun.elapsed());
        is_swept
    }

    fn run(&self, why: Reason) -> Result<CycleStats, CollectError> {
        // Relaxed: this thread has the turn to collect.
        let skipped = self.alone_in.load(Ordering::Relaxed);
        // Relaxed: as above.
        self.alone_in
            .store(skipped.saturating_sub(1), Ordering::Relaxed);
        self.core.world.take_wish();
        if !C::COLLECTS {
            return Ok(CycleStats::default());
        }
        let before = self.core.sweeper.generation();
        let mut session = Session::new(&self.core, why);
        let collected = self.collector.collect(&mut session);
        if self.core.sweeper.generation() == before {
            // Nothing is freed, and trying again at once would be as vain: the next cycle waits
            // until the heap has grown as if all of it had survived.
            self.core.account.take_all_for_survivors();
            self.core.repace();
        }
        let is_grown = why == Reason::Goal;
        self.core.account.end_cycle(is_grown, self.core.roots.len());
        collected?;
        Ok(session.cycle)
    }

    /// Gives all free memory back now, whatever huge pages that costs; how many bytes went.
    pub(crate) fn release_os_memory(&self) -> usize {
        self.core.give_all_back()
    }
}
