//! A heap with its collector and its two threads: what every handle shares.
//!
//! The threads hold the heap weakly and upgrade for a step at a time, so the heap's memory goes
//! when the last handle goes (or when the step ends that outlived it).

use crate::collector::Collector;
use crate::cycle::{CollectError, Session, timed};
use crate::raw::core::Core;
use crate::raw::task::{Task, current};
use crate::raw::world::State;
use crate::stats::{CycleStats, Reason};
use crate::sync::{Condvar, Mutex, lock, thread_token, wait};
use alloc_core::Reach;
use gc_sweep::{Background, Step};
use std::sync::Arc;

use crate::raw::core::Local;

/// A heap, its collector, and the threads that work behind the mutators.
pub(crate) struct Shared<C: Collector> {
    // Declared first, so that the thread ends before the heap goes.
    sweeper: Option<Background>,
    collector: C,
    /// Whether a cycle runs.
    busy: Mutex<bool>,
    idle: Condvar,
    pub(crate) core: Arc<Core>,
}

/// The right to run a cycle.
struct Turn<'a, C: Collector>(&'a Shared<C>);

impl<C: Collector> Drop for Turn<'_, C> {
    fn drop(&mut self) {
        *lock(&self.0.busy) = false;
        self.0.idle.notify_all();
    }
}

impl<C: Collector> Shared<C> {
    pub(crate) fn new(core: Core, collector: C) -> Self {
        let core = Arc::new(core);
        core.start_scavenger();
        let weak = Arc::downgrade(&core);
        let step = move || weak.upgrade().map_or(Step::Done, |core| core.sweep_step());
        Self {
            // Without the thread, mutators sweep at the end of a cycle.
            sweeper: Background::spawn("heapwright-sweep", step).ok(),
            collector,
            busy: Mutex::new(false),
            idle: Condvar::new(),
            core,
        }
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

    /// Runs a cycle because the heap has reached its goal, unless one runs already.
    #[cold]
    pub(crate) fn collect_at_goal(&self) {
        let core = &*self.core;
        if current() != Task::None || core.world.inside_already(thread_token()) {
            return;
        }
        let Some(_turn) = self.turn(false) else {
            return;
        };
        if core.live_bytes() < core.trigger_bytes() {
            // Another thread has just collected.
            core.world.take_wish();
            return;
        }
        let (result, took) = timed(|| self.run(Reason::Goal));
        if result.is_err() {
            // Counted in `Stats`; trying again at once would fail again.
            core.repace();
        } else {
            match &self.sweeper {
                Some(sweeper) => sweeper.wake(),
                None => while core.sweep_step() == Step::More {},
            }
        }
        core.counters.note_wait(took);
    }

    fn run(&self, why: Reason) -> Result<CycleStats, CollectError> {
        self.core.world.take_wish();
        if !C::COLLECTS {
            return Ok(CycleStats::default());
        }
        let mut session = Session::new(&self.core, why);
        self.collector.collect(&mut session)?;
        Ok(session.cycle)
    }

    /// Gives all free memory back now, whatever huge pages that costs; how many bytes went.
    pub(crate) fn release_os_memory(&self) -> usize {
        let mut released_bytes = 0;
        loop {
            match self.core.heap.pages().release(usize::MAX, Reach::All) {
                0 => return released_bytes,
                more => released_bytes += more,
            }
        }
    }

    /// Removes a mutator: its spans go back, by way of the closure's edge like everything else.
    pub(crate) fn retire(&self, state: &Arc<State<Local>>) {
        self.core.world.enter(state);
        // SAFETY: inside, and the mutator is being dropped, so nobody else uses its local.
        self.core.flush(&mut *unsafe { state.local() });
        self.core.world.leave(state);
        self.core.world.unregister(state);
    }
}
