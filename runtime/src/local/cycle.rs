//! A cycle in steps, each at a closure's edge, on the heap's own thread.
//!
//! ```text
//! resting    nothing is unswept, so every mark bit is clear
//!   begin    from now on a store logs what it overwrites, and objects are allocated black
//! marking    a step: some pieces of the handle table, what was logged, some of what is queued
//!   end      weak references to the dead are cleared; the cache is given up; sweeping is opened
//! sweeping   a step: spans without drop glue by thousands, one batch of spans with
//! ```
//!
//! # Why all that is reachable is marked at the end
//!
//! It is the snapshot at the beginning, with Yuasa's deletion barrier, on one thread. *Every object
//! that was reachable at the beginning is marked and scanned, or can be reached from one that is
//! queued, logged or held by a piece of the handle table that is still to be scanned, by references
//! that nobody has overwritten since.* Steps keep that true because they mark what they take from
//! the queue; closures do because an overwritten reference is logged, and because a handle that is
//! dropped is (`raw/roots.rs`). A closure holds nothing but what was reachable at the beginning,
//! new objects, which are black, and what it upgraded, which is logged: so nothing that it stores
//! needs to be found a second time. When the table is scanned and queue and log are empty, *marked
//! and scanned* is all that is left of the sentence. The test is made in a step, where no closure
//! runs, and so is the end: there is no other mutator to ask, and no gate for weak references.
//!
//! A step begins with the log and ends with a test of the budget, so its length is bounded by the
//! budget, and by what a closure logged. What is not bounded by it: one `trace` of a very large
//! object that is no slice; one batch of spans with drop glue, at most 64 pages full; clearing
//! weak references, linear in their number; a heap that its thread has let grow far beyond its goal
//! (`pace.rs`).

use crate::cycle::{CollectError, message_of, timed};
use crate::local::cx::Owner;
use crate::local::pace::{Pace, trigger_bytes};
use crate::ports::mark::MarkModel;
use crate::ports::sweep::SweepPort;
use crate::raw::core::Core;
use crate::raw::phase::Phase;
use crate::raw::task::{STOPPED, Task, current, during};
use crate::stats::{CycleStats, Reason};
use crate::sync::{Ordering, lock};
use gc_mark::{Marker, Roots, Visitor};
use gc_sweep::Glue;
use std::ops::Range;
use std::time::Instant;

/// Bytes allocated for which it pays to look whether a step is due.
const STEP_BYTES: usize = 32 << 10;
/// Spans without drop glue that a step sweeps: some 60 µs.
const SWEEP_STEP_SPANS: usize = 4096;
/// Objects marked for which a step scans one piece of the handle table more.
const OBJECTS_A_PIECE: usize = 512;
/// Bytes of an object, as long as no cycle has told: the least.
const OBJECT_BYTES: f64 = 16.0;

/// How far the cycle is.
#[expect(clippy::large_enum_variant, reason = "there is one a heap")]
enum Stage {
    Resting,
    Marking {
        model: MarkModel,
        /// Pieces of the handle table that are to be scanned.
        pieces: Range<usize>,
        pace: Pace,
        cycle: CycleStats,
        begun: Instant,
    },
    Sweeping {
        objects_marked: usize,
    },
}

/// The collector of one local heap.
pub(crate) struct Incremental {
    stage: Stage,
    marker: Marker,
    /// A cycle begins at this size of the heap.
    trigger_bytes: usize,
    /// What was allocated when a step was last looked for.
    seen_bytes: usize,
    object_bytes: f64,
    step_objects_max: usize,
    pub(crate) steps: u64,
}

/// Some pieces of the handle table.
struct Pieces<'a> {
    core: &'a Core,
    pieces: Range<usize>,
}

// SAFETY: all roots of these pieces; the others are of other rounds.
unsafe impl Roots for Pieces<'_> {
    fn jobs(&self) -> usize {
        self.pieces.len()
    }

    fn scan<V: Visitor>(&self, job: usize, visitor: &mut V) {
        self.core.roots.scan(self.pieces.start + job, visitor);
    }
}

/// What the heap has grown by since it was built, inside and outside.
fn grown_bytes(core: &Core) -> usize {
    core.account.allocated_bytes() + core.account.external_bytes()
}

fn heap_bytes(core: &Core) -> usize {
    core.live_bytes() + core.account.external_bytes()
}

impl Incremental {
    pub(crate) fn new(core: &Core, step_objects_max: usize) -> Self {
        Self {
            stage: Stage::Resting,
            marker: Marker::new(1),
            trigger_bytes: trigger_bytes(0, core.account.goal_bytes()),
            seen_bytes: 0,
            object_bytes: OBJECT_BYTES,
            step_objects_max,
            steps: 0,
        }
    }

    /// Whether a cycle is under way.
    pub(crate) fn is_active(&self) -> bool {
        !matches!(self.stage, Stage::Resting)
    }

    /// A closure has ended: takes a step if one is due.
    #[inline]
    pub(crate) fn edge(&mut self, owner: &Owner) {
        let core = &*owner.core;
        let is_worth = match self.stage {
            Stage::Resting => heap_bytes(core) >= self.trigger_bytes,
            _ => grown_bytes(core) >= self.seen_bytes.saturating_add(STEP_BYTES),
        };
        if is_worth {
            self.edge_slow(owner);
        }
    }

    #[cold]
    #[inline(never)]
    fn edge_slow(&mut self, owner: &Owner) {
        let core = &*owner.core;
        let (stepped, took) = timed(|| match &mut self.stage {
            Stage::Resting => {
                self.begin(owner, Reason::Goal);
                true
            }
            Stage::Marking { pace, .. } => {
                pace.charge(grown_bytes(core).saturating_sub(self.seen_bytes));
                let due = pace.due(heap_bytes(core));
                if let Some(objects) = due {
                    // An error is counted in `Stats`, and the next cycle put off.
                    let _ = self.mark(owner, objects);
                }
                due.is_some()
            }
            Stage::Sweeping { .. } => {
                self.sweep(core);
                true
            }
        });
        self.seen_bytes = grown_bytes(core);
        if stepped {
            self.steps += 1;
            core.counters.note_pause(took);
        }
    }

    /// Takes a step, owed or not. False if no cycle is under way.
    pub(crate) fn step(&mut self, owner: &Owner) -> Result<bool, CollectError> {
        let (result, took) = timed(|| match &self.stage {
            Stage::Resting => Ok(()),
            Stage::Marking { pace, .. } => self.mark(owner, pace.full_step()),
            Stage::Sweeping { .. } => {
                self.sweep(&owner.core);
                Ok(())
            }
        });
        self.steps += 1;
        owner.core.counters.note_pause(took);
        result.map(|()| self.is_active())
    }

    /// Runs a cycle from beginning to end, after the one that is under way.
    pub(crate) fn collect(&mut self, owner: &Owner) -> Result<CycleStats, CollectError> {
        if current() != Task::None {
            return Err(CollectError::Reentrant);
        }
        let begun = Instant::now();
        self.finish(owner)?;
        self.begin(owner, Reason::Explicit);
        self.finish(owner)?;
        owner.core.counters.note_wait(begun.elapsed());
        Ok(owner.core.counters.snapshot().last_cycle)
    }

    /// Takes every step that the cycle under way still has.
    fn finish(&mut self, owner: &Owner) -> Result<(), CollectError> {
        while matches!(self.stage, Stage::Marking { .. }) {
            self.mark(owner, usize::MAX)?;
        }
        while self.is_active() {
            self.sweep(&owner.core);
        }
        Ok(())
    }

    /// Begins a cycle, unless one is under way.
    pub(crate) fn begin(&mut self, owner: &Owner, why: Reason) {
        if self.is_active() {
            return;
        }
        let core = &owner.core;
        core.roots.set_logging(true);
        core.handshake(Phase::Marking, || {
            // Relaxed: this thread alone reads it.
            core.cycle.fetch_add(1, Ordering::Relaxed);
        });
        let bytes = heap_bytes(core);
        let objects = (core.live_bytes() as f64 / self.object_bytes) as usize;
        let goal_bytes = core.account.goal_bytes();
        self.seen_bytes = grown_bytes(core);
        self.stage = Stage::Marking {
            model: MarkModel::new(core),
            pieces: 0..core.roots.jobs(),
            pace: Pace::new(objects, bytes, goal_bytes, self.step_objects_max),
            cycle: CycleStats {
                why,
                markers: 1,
                ..CycleStats::default()
            },
            begun: Instant::now(),
        };
    }

    /// Marks about so many objects, and ends the marking if none is left.
    fn mark(&mut self, owner: &Owner, objects_max: usize) -> Result<(), CollectError> {
        let core = &*owner.core;
        let step = Instant::now();
        let Stage::Marking {
            model,
            pieces,
            pace,
            cycle,
            ..
        } = &mut self.stage
        else {
            return Ok(());
        };
        let marker = &mut self.marker;
        let end = pieces.end.min(
            pieces
                .start
                .saturating_add(1 + objects_max / OBJECTS_A_PIECE),
        );
        let some = Pieces {
            core,
            pieces: pieces.start..end,
        };
        pieces.start = end;
        // SAFETY: nothing is called meanwhile but this, which hands logs on.
        let local = &mut *unsafe { owner.local() };
        core.acknowledge(local, Phase::Marking, Phase::Marking);
        core.log_dropped_handles();
        let logged = core.logs.take();
        let marked = during(STOPPED, || {
            let first = marker.mark_some(model, &some, 0)?;
            let second = marker.mark_some(model, &logged, objects_max)?;
            Ok((first.objects + second.objects, second.drained))
        });
        match marked {
            Ok((objects, drained)) => {
                pace.pay(objects);
                cycle.objects_marked += objects;
                cycle.pause = cycle.pause.max(step.elapsed());
                if drained && pieces.start == pieces.end {
                    self.end_marking(owner);
                }
                Ok(())
            }
            Err(aborted) => {
                self.give_up(core);
                Err(CollectError::TracePanicked {
                    message: message_of(aborted),
                })
            }
        }
    }

    /// Everything reachable is marked: what is not is freed from now on.
    fn end_marking(&mut self, owner: &Owner) {
        let core = &*owner.core;
        let Stage::Marking {
            mut cycle, begun, ..
        } = std::mem::replace(&mut self.stage, Stage::Resting)
        else {
            return;
        };
        cycle.mark = begun.elapsed();
        // SAFETY: marking is over, and the only mutator is outside.
        unsafe { core.weaks.clear_dead(core) };
        core.sweeper.advance();
        core.rest();
        core.roots.set_logging(false);
        cycle.before_bytes = core.live_bytes();
        core.heap.rewind();
        core.sweeper.open(core.heap.spans_end());
        core.begin_growth();
        cycle.number = core.counters.next_cycle();
        *lock(&core.unreported) = Some(cycle);
        self.seen_bytes = grown_bytes(core);
        self.stage = Stage::Sweeping {
            objects_marked: cycle.objects_marked,
        };
    }

    /// A `trace` panicked: the cycle is as if it had not been, and the next one waits until the
    /// heap has grown as if all of it had survived.
    fn give_up(&mut self, core: &Core) {
        core.counters.trace_panics.add(1);
        core.rest();
        core.roots.set_logging(false);
        drop(core.logs.take());
        // SAFETY: nobody marks or sweeps: this thread has done with it, and the cache has given
        // up its black words.
        unsafe { core.heap.clear_marks() };
        self.stage = Stage::Resting;
        self.trigger_bytes = match core.account.goal_bytes() {
            usize::MAX => usize::MAX,
            goal_bytes => heap_bytes(core).saturating_add(goal_bytes / 2),
        };
    }

    /// Sweeps some spans, and closes the cycle's books if none is left.
    fn sweep(&mut self, core: &Core) {
        let space = SweepPort::freeing(core);
        let sweeper = &core.sweeper;
        if !sweeper
            .sweep_batch(&space, Glue::Without, SWEEP_STEP_SPANS)
            .exhausted
        {
            return;
        }
        if !sweeper.sweep_batch(&space, Glue::With, 1).exhausted {
            return;
        }
        drop(space);
        let Stage::Sweeping { objects_marked } = std::mem::replace(&mut self.stage, Stage::Resting)
        else {
            return;
        };
        core.repace();
        core.report();
        let since = core.account.allocated_since_cycle();
        let survived_bytes = core.live_bytes().saturating_sub(since);
        let object_bytes = survived_bytes as f64 / objects_marked.max(1) as f64;
        self.object_bytes = object_bytes.max(OBJECT_BYTES);
        self.aim(core);
    }

    /// Sets the trigger by the goal and what survived the last cycle.
    pub(crate) fn aim(&mut self, core: &Core) {
        let since = core.account.allocated_since_cycle();
        let survived_bytes = core.live_bytes().saturating_sub(since);
        self.trigger_bytes = trigger_bytes(survived_bytes, core.account.goal_bytes());
    }
}
