//! The steps of a cycle that marks beside the mutators, in the order that keeps them sound.
//!
//! ```text
//! finish_sweep    nothing is unswept, so every mark bit is clear
//! arm             H1, H2, H3: every mutator logs what it overwrites, and allocates black
//!   mark          all that the roots reach
//!   drain, wave   what was logged, values of ephemerons, and H4; until a wave finds that nothing
//!                 was; then the dead with finalizers are brought back
//!   begin_sweep   weak references to the dead are cleared; H5: nobody logs, every span is
//!                 given up; sweeping is opened
//! ```
//!
//! # Why all that is reachable is marked when a wave was clean
//!
//! The deletion barrier keeps this true from the moment that all have acknowledged H3 and the
//! roots are scanned: *every object that is reachable, or held in a closure, is marked and
//! scanned, or can be reached from one that is queued or logged, by references that nobody has
//! overwritten since they were seen or logged.* A store logs what it overwrites before the mutator
//! can acknowledge again; what a closure holds it has loaded from such a place, upgraded (the gate
//! logs it) or allocated (black, and made of references that the closure held).
//!
//! A wave begins at a moment S with the queues empty, the markers at rest, nothing handed over and
//! the table's log empty. Each mutator hands its log over at a moment of its own, between S and
//! the wave's end, and the wave is clean only if each was empty, and had been since that mutator's
//! acknowledgement before, and nothing was handed over in between, by those who leave either. So
//! at S every log was empty. Nothing was queued or logged at S: so every object that was reachable
//! or held at S was marked and scanned. After S mutators find nothing but these, and new objects,
//! which are black. (It is not enough that the logs visited hold nothing *unmarked*: the log of
//! one mutator may have been marked through another's, golang/go#27993.)
//!
//! What is logged between a mutator's acknowledgement and the wave's end was reachable at S, and
//! is marked already.
//!
//! Ephemerons are resolved before each wave, and looked at once more after a clean one; why that is
//! enough is said in [`crate::raw::ephemerons`].

use crate::crew::Crew;
use crate::cycle::{CollectError, message_of};
use crate::ports::mark::{MarkModel, WorldRoots};
use crate::raw::account::Marking;
use crate::raw::core::Core;
use crate::raw::ephemerons::Released;
use crate::raw::object_type::{address_of, info_of, ops};
use crate::raw::phase::Phase;
use crate::raw::task::{STOPPED, Task, during};
use crate::raw::wave;
use crate::stats::CycleStats;
use crate::sync::{Ordering, lock, thread_cpu};
use gc_mark::{Kind, Object, Outcome, Roots, Visitor};
use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A world in which every mutator logs what it overwrites. When it is dropped they stop, whatever
/// has happened; marks that no sweep was begun for are forgotten.
pub struct Beside<'s> {
    core: &'s Arc<Core>,
    cycle: &'s mut CycleStats,
    model: MarkModel,
    task: Task,
    markers: usize,
    begun: Instant,
    /// This thread's processor time at the beginning.
    cpu: Duration,
    /// A sweep has begun, which will clear the marks.
    swept: bool,
}

impl<'s> Beside<'s> {
    /// H1 to H3.
    pub(crate) fn arm(core: &'s Arc<Core>, cycle: &'s mut CycleStats) -> Self {
        let (begun, cpu) = (Instant::now(), thread_cpu());
        // Relaxed: a count.
        core.counters.objects_marked.store(0, Ordering::Relaxed);
        core.account.begin_marking();
        // Else each closure that ends while this cycle runs would ask for the next.
        core.world.take_wish();
        // Of a cycle before: one who gave up when that had ended.
        core.logs.take_given_up();
        core.roots.set_logging(true);
        let mut number = 0;
        core.handshake(Phase::Arming, || {
            // Relaxed: published by the handshake.
            number = core.cycle.fetch_add(1, Ordering::Relaxed) + 1;
        });
        core.handshake(Phase::Armed, || ());
        core.handshake(Phase::Marking, || ());
        Self {
            core,
            cycle,
            model: MarkModel::new(core),
            task: Task::Marking { cycle: number },
            markers: 1,
            begun,
            cpu,
            swept: false,
        }
    }

    /// Marks all that the roots reach, at least as far as nobody has overwritten it before.
    ///
    /// # Errors
    ///
    /// [`CollectError::TracePanicked`]; then drop this world.
    pub fn mark(&mut self, crew: &mut Crew) -> Result<(), CollectError> {
        let core = self.core;
        self.markers = crew.muster(core.live_bytes());
        self.cycle.markers = self.markers;
        let Task::Marking { cycle } = self.task else {
            unreachable!("this world marks");
        };
        self.mark_from(crew, &WorldRoots::beside(core, cycle))
    }

    /// Whether a writer could not log what it overwrites.
    fn check_given_up(&self) -> Result<(), CollectError> {
        if self.core.logs.take_given_up() {
            let message = "of what a lock guards, while a mutator logged it".to_owned();
            return Err(CollectError::TracePanicked { message });
        }
        Ok(())
    }

    /// Marks what was logged, until nothing more is at hand; then asks every mutator (H4). True
    /// if all that is reachable is marked, and the dead that have finalizers are brought back.
    /// False: call it again.
    ///
    /// # Errors
    ///
    /// As [`Self::mark`].
    pub fn drain(&mut self, crew: &mut Crew) -> Result<bool, CollectError> {
        self.check_given_up()?;
        loop {
            self.core.log_dropped_handles();
            let logged = self.core.logs.take();
            if !logged.is_empty() {
                self.mark_from(crew, &logged)?;
            } else if !self.resolve(crew)? {
                break;
            }
        }
        let core = self.core;
        let waves = core.debug.extra_waves.saturating_add(1);
        let is_marked = |object| core.is_marked(object);
        let is_resolved = || core.ephemerons.ready(is_marked).is_empty();
        if !wave::is_over(&core.weak_gate, waves, || self.wave(), is_resolved) {
            return Ok(false);
        }
        self.revive(crew)?;
        Ok(true)
    }

    /// Marks the dead that have finalizers, and queues these. See [`crate::finalize`].
    fn revive(&mut self, crew: &mut Crew) -> Result<(), CollectError> {
        let core = self.core;
        let Some(revived) = core.finalizers.dead(core) else {
            return Ok(());
        };
        // SAFETY: marking is over, for all that mutators can reach; they find the gate at
        // clearing.
        let clear = || unsafe { core.clear_weak() };
        let handshake = || core.handshake(Phase::Marking, || ());
        wave::revive(clear, handshake, || self.mark_from(crew, &revived))?;
        while self.resolve(crew)? {}
        core.finalizers.queue(core, revived);
        Ok(())
    }

    /// Marks the values of ephemerons whose keys are marked, and what they reach; whether there
    /// were any that were not. See [`crate::raw::ephemerons`].
    fn resolve(&mut self, crew: &mut Crew) -> Result<bool, CollectError> {
        let Some(released) = Released::round(self.core, &mut self.model) else {
            return Ok(false);
        };
        let marked = self.mark_from(crew, &released);
        self.model.waiting = None;
        marked.map(|()| true)
    }

    /// H4: whether every log was empty, and nothing was handed over meanwhile.
    fn wave(&mut self) -> bool {
        let core = self.core;
        self.cycle.waves += 1;
        let handshake = || core.handshake(Phase::Marking, || ());
        let is_marked = |object| core.is_marked(object);
        wave::is_clean(&core.logs, &core.roots, is_marked, handshake)
    }

    fn mark_from<R: Roots + Sync>(
        &mut self,
        crew: &mut Crew,
        roots: &R,
    ) -> Result<(), CollectError> {
        let marked = crew.mark_beside(
            &self.model,
            roots,
            self.markers,
            self.task,
            &self.core.assist,
        );
        match marked {
            Ok(Outcome { objects, .. }) => {
                self.cycle.objects_marked += objects;
                // Relaxed: a count.
                let marked = &self.core.counters.objects_marked;
                marked.store(self.cycle.objects_marked, Ordering::Relaxed);
                Ok(())
            }
            Err(aborted) => {
                self.core.counters.trace_panics.add(1);
                Err(CollectError::TracePanicked {
                    message: message_of(aborted),
                })
            }
        }
    }

    /// Clears weak references to what is not marked, has every mutator give up its spans, and
    /// opens sweeping: what is not marked is freed.
    ///
    /// # Safety
    ///
    /// The last [`Self::drain`] answered true.
    pub unsafe fn begin_sweep(mut self) {
        let core = self.core;
        self.cycle.mark = self.begun.elapsed();
        core.account.end_marking(Some(Marking {
            markers_cpu: (thread_cpu() - self.cpu) * self.markers as u32,
            objects: self.cycle.objects_marked,
            mutators: core.world.mutators(),
            in_use_bytes: core.heap.pages().stats().in_use_bytes,
        }));
        if core.debug.check_marks {
            self.check_marks();
        }
        // SAFETY: marking is over (precondition); mutators in the phase of marking find the gate
        // at clearing, and none is in another phase.
        unsafe { core.weaks.clear_dead(core) };
        // SAFETY: as above.
        unsafe {
            core.ephemerons
                .clear_dead(|object| core.is_marked(object), false)
        };
        let dead = core.cleanups.take_dead(|object| core.is_marked(object));
        core.sweeper.advance();
        core.rest();
        self.cycle.before_bytes = core.live_bytes();
        core.weak_gate.open();
        core.heap.rewind();
        core.sweeper.open(core.heap.spans_end());
        core.cleanups.hold(dead);
        core.begin_growth();
        self.swept = true;
        self.cycle.number = core.counters.next_cycle();
    }

    /// Marks a second time in a stopped world, and compares: see [`crate::Debug::check_marks`].
    fn check_marks(&self) {
        let core = self.core;
        assert!(
            core.world.stop().is_ok(),
            "a cycle was begun inside a closure"
        );
        let mut found = Found {
            core,
            seen: HashSet::new(),
            queue: Vec::new(),
        };
        let roots = WorldRoots::new(core);
        for job in 0..roots.jobs() {
            roots.scan(job, &mut found);
        }
        loop {
            while let Some((object, kind)) = found.queue.pop() {
                let visit = ops(info_of(kind)).visit;
                let mut report = |object, kind| found.visit(object, kind);
                // SAFETY: reachable, so an object of that kind; nothing has been freed since
                // marking.
                during(STOPPED, || unsafe {
                    visit(address_of(object), &mut report)
                });
            }
            let values = core
                .ephemerons
                .reachable(|object| found.seen.contains(&object.0));
            if values.is_empty() {
                break;
            }
            for (object, kind) in values {
                found.visit(object, kind);
            }
        }
        core.world.resume();
    }
}

/// What a checker has found reachable.
struct Found<'a> {
    core: &'a Core,
    seen: HashSet<usize>,
    queue: Vec<(Object, Kind)>,
}

impl Visitor for Found<'_> {
    fn visit(&mut self, object: Object, kind: Kind) {
        if !self.core.is_marked(object) {
            let name = (info_of(kind).name)();
            // Not `eprintln`: a test's harness would keep the line to itself.
            let _ = writeln!(
                std::io::stderr(),
                "heapwright: {object:?}, a {name}, is reachable and was not marked"
            );
            std::process::abort();
        }
        if self.seen.insert(object.0) && !kind.noscan {
            self.queue.push((object, kind));
        }
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        let core = self.core;
        if !self.swept {
            core.account.end_marking(None);
            core.weak_gate.open();
            core.rest();
            // SAFETY: nobody marks: this thread has done with it, and every mutator has given up
            // its black words. Nothing sweeps, for no sweep was begun.
            unsafe { core.heap.clear_marks() };
        }
        core.roots.set_logging(false);
        drop(core.logs.take());
        self.cycle.beside = self.begun.elapsed();
        if self.swept {
            *lock(&core.unreported) = Some(*self.cycle);
        }
    }
}
