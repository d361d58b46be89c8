//! A cycle: the steps that a collector may take in a stopped world, in the order that keeps them
//! sound. Those beside the mutators are in [`crate::beside`].
//!
//! ```text
//! finish_sweep    nothing is unswept, so every mark bit is clear
//! stop_the_world  every mutator is outside; their spans are given up
//!   mark          all that the roots reach
//!   begin_sweep   weak references to the dead are cleared; every span is unswept
//! resume          the mutators go on; sweeping goes on behind them
//! ```

use crate::beside::Beside;
use crate::crew::Crew;
use crate::ports::mark::{MarkModel, WorldRoots};
use crate::raw::core::{Core, Local};
use crate::raw::ephemerons::Released;
use crate::raw::object_type::{address_of, info_of, ops};
use crate::raw::task::{STOPPED, during};
use crate::raw::world::State;
use crate::stats::{CycleStats, Reason};
use crate::sync::lock;
use gc_mark::{Aborted, Kind, Object, Roots, Visitor};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a collection did not take place.
#[derive(Debug)]
#[non_exhaustive]
pub enum CollectError {
    /// A `trace` panicked, so nothing is known of what is reachable. Nothing was freed.
    TracePanicked {
        /// The panic's message, if it had one.
        message: String,
    },
    /// Drop glue or a `trace` of a heap's object asked for a collection, which would wait for
    /// itself. Collect from outside of it.
    Reentrant,
}

impl fmt::Display for CollectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TracePanicked { message } => {
                write!(
                    f,
                    "a `trace` panicked ({message}); nothing was freed, mend the type"
                )
            }
            Self::Reentrant => f.write_str(
                "a collection was asked for by drop glue or a `trace`; ask from outside of it",
            ),
        }
    }
}

impl std::error::Error for CollectError {}

pub(crate) fn message_of(aborted: Aborted) -> String {
    let payload = aborted.into_payload();
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// One run of a collector.
pub struct Session<'a> {
    core: &'a Arc<Core>,
    pub(crate) cycle: CycleStats,
}

impl<'a> Session<'a> {
    pub(crate) fn new(core: &'a Arc<Core>, why: Reason) -> Self {
        Self {
            core,
            cycle: CycleStats {
                why,
                ..CycleStats::default()
            },
        }
    }

    /// Why the cycle began.
    pub fn reason(&self) -> Reason {
        self.cycle.why
    }

    /// Sweeps what the last cycle left, so that this one finds clear marks.
    pub fn finish_sweep(&mut self) {
        self.core.finish_sweep();
    }

    /// Has every mutator log what it overwrites from now on, so that marking can go on beside
    /// them; returns when all know. See [`Beside`].
    ///
    /// # Panics
    ///
    /// If the last sweep is not finished.
    pub fn arm(&mut self) -> Beside<'_> {
        assert!(
            self.core.sweeper.is_done(),
            "a cycle is armed before `finish_sweep`"
        );
        Beside::arm(self.core, &mut self.cycle)
    }

    /// Runs `act` while every mutator is outside. Whatever it does, even panic, they go on
    /// afterwards; marks that no sweep was begun for are forgotten.
    ///
    /// # Errors
    ///
    /// None today; a collector that may fail to stop says so here.
    ///
    /// # Panics
    ///
    /// If the last sweep is not finished, or this thread is inside a closure.
    pub fn stop_the_world<R>(
        &mut self,
        act: impl FnOnce(&mut Stopped<'_>) -> R,
    ) -> Result<R, CollectError> {
        let core = self.core;
        assert!(
            core.sweeper.is_done(),
            "the world is stopped before `finish_sweep`"
        );
        let begun = Instant::now();
        assert!(
            core.world.stop().is_ok(),
            "the world is stopped from inside a closure"
        );
        self.cycle.stop = begun.elapsed();
        Ok(act(&mut self.stopped(begun)))
    }

    /// Runs `act` if there is no mutator but `own`, which is outside, and keeps others from coming
    /// in meanwhile. Nothing is unswept.
    pub(crate) fn stop_alone<R>(
        &mut self,
        own: &State<Local>,
        act: impl FnOnce(&mut Stopped<'_>) -> R,
    ) -> Option<R> {
        let begun = Instant::now();
        let is_alone = self.core.world.stop_alone(own);
        is_alone.then(|| act(&mut self.stopped(begun)))
    }

    fn stopped(&mut self, begun: Instant) -> Stopped<'_> {
        let core = self.core;
        let stopped = Stopped {
            core,
            begun,
            cycle: &mut self.cycle,
            dirty: false,
            swept: false,
        };
        core.world.for_each(|state| {
            // SAFETY: the world is stopped, by this thread, which uses one local at a time.
            core.flush(&mut *unsafe { state.local() });
        });
        stopped.cycle.before_bytes = core.live_bytes();
        stopped
    }
}

/// A stopped world: no mutator is inside, no cache owns a span, every span is swept.
pub struct Stopped<'s> {
    pub(crate) core: &'s Arc<Core>,
    begun: Instant,
    pub(crate) cycle: &'s mut CycleStats,
    /// Marks may be set.
    pub(crate) dirty: bool,
    /// A sweep has begun, which will clear them.
    swept: bool,
}

impl Stopped<'_> {
    /// Bytes of slots in use.
    pub fn live_bytes(&self) -> usize {
        self.core.live_bytes()
    }

    /// Calls `report` with each root.
    pub fn for_each_root(&self, report: &mut dyn FnMut(Object, Kind)) {
        struct Reporter<'a>(&'a mut dyn FnMut(Object, Kind));
        impl Visitor for Reporter<'_> {
            fn visit(&mut self, object: Object, kind: Kind) {
                (self.0)(object, kind);
            }
        }
        let roots = WorldRoots::new(self.core);
        for job in 0..roots.jobs() {
            roots.scan(job, &mut Reporter(report));
        }
    }

    /// Marks `object`; true if it was not marked.
    ///
    /// # Panics
    ///
    /// If the object is of another heap.
    pub fn shade(&mut self, object: Object) -> bool {
        let granule = self.core.heap.granule_of(object.0);
        let inside = granule < self.core.heap.spans_end() as usize * 512;
        assert!(inside, "{object:?} is not of this heap");
        self.dirty = true;
        // SAFETY: the granule is in the heap.
        let won = unsafe { self.core.heap.marks().claim(granule) };
        self.cycle.objects_marked += usize::from(won);
        won
    }

    /// Calls `report` with each reference that `object` holds.
    ///
    /// # Safety
    ///
    /// `object` and `kind` were reported by this world.
    pub unsafe fn scan(&self, object: Object, kind: Kind, report: &mut dyn FnMut(Object, Kind)) {
        let visit = ops(info_of(kind)).visit;
        // SAFETY: an object of that kind (precondition), live until a sweep begins.
        during(STOPPED, || unsafe { visit(address_of(object), report) });
    }

    /// Marks all that the roots reach, values of ephemerons included; then the dead that have
    /// finalizers, which it queues.
    ///
    /// # Errors
    ///
    /// [`CollectError::TracePanicked`]; the marks set so far are forgotten at the world's end.
    pub fn mark(&mut self, crew: &mut Crew) -> Result<(), CollectError> {
        self.dirty = true;
        let core = self.core;
        let mut model = MarkModel::new(core);
        self.cycle.markers = crew.muster(core.live_bytes());
        self.mark_from(crew, &model, &WorldRoots::new(core))?;
        self.resolve(crew, &mut model)?;
        if let Some(revived) = core.finalizers.dead(core) {
            // SAFETY: all that the roots reach is marked, and the world is stopped.
            unsafe { core.clear_weak() };
            self.mark_from(crew, &model, &revived)?;
            self.resolve(crew, &mut model)?;
            core.finalizers.queue(core, revived);
        }
        Ok(())
    }

    /// Marks what ephemerons keep alive.
    fn resolve(&mut self, crew: &mut Crew, model: &mut MarkModel) -> Result<(), CollectError> {
        while let Some(released) = Released::round(self.core, model) {
            self.mark_from(crew, model, &released)?;
        }
        Ok(())
    }

    fn mark_from<R: Roots + Sync>(
        &mut self,
        crew: &mut Crew,
        model: &MarkModel,
        roots: &R,
    ) -> Result<(), CollectError> {
        let marked = crew.mark_alone(model, roots, self.cycle.markers);
        let outcome = marked.map_err(|aborted| self.aborted(aborted))?;
        self.cycle.objects_marked += outcome.objects;
        Ok(())
    }

    pub(crate) fn aborted(&self, aborted: Aborted) -> CollectError {
        self.core.counters.trace_panics.add(1);
        CollectError::TracePanicked {
            message: message_of(aborted),
        }
    }

    /// Calls `report` with each object that must be marked although no reference leads to it: the
    /// values of ephemerons that are marked, as their keys are; and when there are none, the dead
    /// that have finalizers, which it queues. For a collector that marks by [`Self::shade`]: when
    /// all that the roots reach is marked it must shade and follow what it is told of, and ask
    /// again, until there is nothing.
    pub fn for_each_late_root(&mut self, report: &mut dyn FnMut(Object, Kind)) {
        let core = self.core;
        let mut late = core.ephemerons.ready(|object| core.is_marked(object));
        if late.is_empty()
            && let Some(revived) = core.finalizers.dead(core)
        {
            // SAFETY: all that the roots reach is marked, says the caller (it promises so by
            // implementing `Collector`), and the world is stopped.
            unsafe { core.clear_weak() };
            late = revived.entries();
            core.finalizers.queue(core, revived);
        }
        late.into_iter()
            .for_each(|(object, kind)| report(object, kind));
    }

    /// Clears weak references to what is not marked, and makes every span unswept: from now on
    /// what is not marked is freed.
    ///
    /// # Safety
    ///
    /// Every object that the roots reach is marked.
    ///
    /// # Panics
    ///
    /// If it is called twice in one stop, or before [`Self::for_each_late_root`] has been asked
    /// about finalizers. ([`Self::mark`] asks. An ephemeron whose value is left unmarked loses it.)
    pub unsafe fn begin_sweep(&mut self) {
        assert!(!self.swept, "a sweep is begun twice in one stop");
        let core = self.core;
        assert!(
            core.finalizers.dead(core).is_none(),
            "a sweep is begun before `for_each_late_root` has reported the dead with finalizers"
        );
        // SAFETY: marking is over (precondition), and the world is stopped.
        unsafe { core.weaks.clear_dead(core) };
        // SAFETY: as above.
        unsafe {
            core.ephemerons
                .clear_dead(|object| core.is_marked(object), false)
        };
        let dead = core.cleanups.take_dead(|object| core.is_marked(object));
        core.sweeper.advance();
        // Nobody is inside: the collector acknowledges for everyone.
        core.rest();
        core.heap.rewind();
        core.sweeper.open(core.heap.spans_end());
        core.cleanups.hold(dead);
        core.begin_growth();
        self.swept = true;
        self.cycle.number = core.counters.next_cycle();
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if self.dirty && !self.swept {
            // SAFETY: the world is stopped, its one marker is this thread, and nothing sweeps.
            unsafe { self.core.heap.clear_marks() };
        }
        self.cycle.pause = self.begun.elapsed();
        self.core.counters.note_pause(self.cycle.pause);
        if self.swept {
            *lock(&self.core.unreported) = Some(*self.cycle);
        }
        self.core.world.resume();
    }
}

/// How long `act` takes.
pub(crate) fn timed<R>(act: impl FnOnce() -> R) -> (R, Duration) {
    let begun = Instant::now();
    let result = act();
    (result, begun.elapsed())
}
