//! Sweeping, as a heap does it: a debt that whoever allocates pays, a background thread that does
//! the rest, and the books of a cycle, which are closed when its last span is swept.

use crate::ports::sweep::SweepPort;
use crate::raw::core::Core;
use crate::sync::lock;
use gc_sweep::{Debt, Glue, Step, SweepSpace};

/// Spans that the background thread sweeps in one step.
const SWEEP_STEP_SPANS: usize = 256;
/// Spans that a mutator sweeps at its closure's edge after a cycle of its own: some 20 µs.
const EDGE_SPANS_MAX: usize = 2048;
/// All spans without drop glue are swept by the time this much has been allocated after a cycle,
const SWEEP_RUNWAY_BYTES: u64 = 4 << 20;
/// or this part of what the heap held, if that is more: the background thread has a processor of
/// its own more often than not, and is through long before, so that mutators sweep nothing.
const SWEEP_RUNWAY_PART: u64 = 16;

/// A debt of sweeping.
pub(super) struct Owed {
    debt: Debt,
    swept: u64,
}

impl Core {
    /// No cycle is wanted until the next [`Self::repace`], and each allocated byte owes sweeping.
    pub(crate) fn begin_growth(&self) {
        self.account
            .begin_sweep(self.heap.pages().stats().in_use_bytes);
        let spans = u64::from(self.heap.spans_end());
        let runway_bytes = SWEEP_RUNWAY_BYTES.max(self.live_bytes() as u64 / SWEEP_RUNWAY_PART);
        *lock(&self.debt) = Some(Owed {
            debt: Debt::new(spans, runway_bytes),
            swept: 0,
        });
    }

    #[cold]
    pub(super) fn pay_debt(&self) {
        let due = {
            let mut debt = lock(&self.debt);
            let Some(owed) = &mut *debt else { return };
            let since = self.account.allocated_since_cycle();
            let due = owed.debt.due(since as u64, owed.swept);
            // Counted in indexes, of which a batch takes as many as spans that it sweeps.
            owed.swept += due;
            due
        };
        if due > 0 {
            let space = SweepPort::freeing(self);
            let progress = self
                .sweeper
                .sweep_batch(&space, Glue::Without, due as usize);
            if progress.exhausted {
                *lock(&self.debt) = None;
                // Not left to the background thread, which may have to wait for a processor: until
                // there is a trigger no cycle begins.
                self.repace();
            }
        }
    }

    /// One step of the background thread: spans without drop glue first, which are quick and let
    /// the trigger be set, then the others.
    pub(crate) fn sweep_step(&self) -> Step {
        let space = SweepPort::freeing(self);
        let quick = self
            .sweeper
            .sweep_batch(&space, Glue::Without, SWEEP_STEP_SPANS);
        if !quick.exhausted {
            return Step::More;
        }
        let slow = self
            .sweeper
            .sweep_batch(&space, Glue::With, SWEEP_STEP_SPANS);
        self.repace();
        if !slow.exhausted {
            return Step::More;
        }
        self.report();
        Step::Done
    }

    /// Sweeps on the spot, after a cycle at a closure's edge, all but spans with drop glue: that is
    /// user code, and left to the background thread. Whether nothing is left.
    pub(crate) fn sweep_at_edge(&self) -> bool {
        let space = SweepPort::freeing(self);
        let mut batches = (0..self.heap.spans_end()).step_by(64);
        let has_glue = batches.any(|first| space.spans(first, Glue::With) != 0);
        let swept = self
            .sweeper
            .sweep_batch(&space, Glue::Without, EDGE_SPANS_MAX);
        if swept.exhausted && !has_glue {
            // Finds that there is nothing.
            self.sweeper.sweep_batch(&space, Glue::With, usize::MAX);
        }
        drop(space);
        self.repace();
        let is_done = self.sweeper.is_done();
        if is_done {
            *lock(&self.debt) = None;
            self.report();
        }
        is_done
    }

    /// Sweeps all that is left, drop glue included, and waits for those who sweep.
    pub(crate) fn finish_sweep(&self) {
        if !self.sweeper.is_done() {
            let space = SweepPort::freeing(self);
            self.sweeper.finish(&space);
        }
        self.report();
    }

    /// Closes the books of the last cycle, if they are open, and lets the cleanups of what it
    /// freed run.
    pub(crate) fn report(&self) {
        if self.sweeper.is_done() && self.cleanups.release() {
            let mut cleaner = lock(&self.cleaner);
            if cleaner.is_none() {
                // Without a thread they wait for somebody who asks.
                *cleaner = self.cleanups.spawn();
            }
            if let Some(cleaner) = &*cleaner {
                cleaner.wake();
            }
        }
        let last = lock(&self.unreported).take();
        if let Some(mut cycle) = last {
            cycle.live_bytes = self.live_bytes();
            self.counters.close_cycle(cycle);
            crate::trace_line::cycle(&cycle, self.account.goal_bytes());
        }
    }
}
