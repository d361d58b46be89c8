//! A cycle that the only mutator runs by itself, at its closure's edge.
//!
//! A heap in which next to nothing lives is marked in microseconds. To wake the collector's thread
//! for that takes longer, and meanwhile the mutator allocates tens of megabytes. So a mutator that
//! finds a cycle due when it leaves runs it on the spot, if it is the only one: there is nobody to
//! stop and nothing to log, and a mutator that registers meanwhile waits at its first closure's
//! beginning ([`World::stop_alone`](crate::raw::world::World::stop_alone)).
//!
//! *It is bounded.* It is tried only where the last cycle marked few objects, and handles, weak
//! references and cleanups are few; drop glue is left to the collector's thread. Marking stops
//! after [`OBJECTS_MAX`] objects or some more; if there is more it was in vain, and the
//! collector's thread runs a cycle beside the mutator, as ever. So it does for the next
//! [`SKIPPED`] cycles after one that was in vain, or took longer than [`COST_MAX`]: then objects
//! are few and large.

use crate::collector::Collector;
use crate::crew::Crew;
use crate::cycle::{CollectError, Session, Stopped};
use crate::ports::mark::{MarkModel, WorldRoots};
use crate::raw::core::{Core, Local};
use crate::raw::world::State;
use crate::sync::{Ordering, thread_cpu};
use std::time::Duration;

/// Objects that are marked at a closure's edge: some 30 µs.
const OBJECTS_MAX: usize = 1024;
/// Handles, weak references and cleanups that are looked through.
const ENTRIES_MAX: usize = 1024;
/// Pages in use: marks that were set in vain are cleared in some 50 µs.
const PAGES_BYTES_MAX: usize = 128 << 20;
/// What may be allocated beyond the goal before a closure's edge comes.
pub(crate) const EXCESS_BYTES_MAX: usize = 8 << 20;
/// Processor time after which such cycles are not tried for some time. (What is not optimised is
/// slow, and not for that reason large.)
const COST_MAX: Duration = Duration::from_micros(if cfg!(debug_assertions) { 5_000 } else { 200 });
/// Cycles that are left to the collector's thread then.
const SKIPPED: usize = 4;

impl Core {
    /// Whether the last cycle marked few objects.
    pub(crate) fn marked_few(&self) -> bool {
        // Relaxed: a count.
        self.counters.objects_marked.load(Ordering::Relaxed) <= OBJECTS_MAX
    }

    /// Whether a cycle at a closure's edge will probably be short.
    pub(crate) fn is_small(&self) -> bool {
        self.marked_few()
            && self.roots.len() <= ENTRIES_MAX
            && self.weaks.len() <= ENTRIES_MAX
            && self.cleanups.counts().0 <= ENTRIES_MAX
            && self.ephemerons.len() == 0
            && self.finalizers.counts().0 == 0
            && self.stacks.is_empty()
            && !self.has_extra_roots()
            && self.heap.pages().stats().in_use_bytes <= PAGES_BYTES_MAX
            && !self.debug.is_about_handshakes()
    }
}

/// What came of trying.
pub(crate) struct Alone {
    pub(crate) has_collected: bool,
    /// So many cycles are left to the collector's thread now.
    pub(crate) skip: usize,
}

impl Default for Alone {
    /// It was not tried: the cycle that is due is left to the collector's thread.
    fn default() -> Self {
        Self {
            has_collected: false,
            skip: 1,
        }
    }
}

impl Session<'_> {
    /// Runs a cycle of `collector` for `own`, which is outside, if it is the only mutator.
    pub(crate) fn collect_alone<C: Collector>(
        &mut self,
        collector: &C,
        own: &State<Local>,
    ) -> Alone {
        let begun = thread_cpu();
        // An error leaves everything as it was. The collector's thread will meet and report it.
        let collect = |world: &mut Stopped<'_>| collector.collect_alone(world).unwrap_or(false);
        let Some(has_collected) = self.stop_alone(own, collect) else {
            return Alone::default();
        };
        let is_short = has_collected && thread_cpu() - begun <= COST_MAX;
        Alone {
            has_collected,
            skip: if is_short { 0 } else { SKIPPED },
        }
    }
}

impl Stopped<'_> {
    /// Marks all that the roots reach if that is little, some thousand objects. False if there is
    /// more: then return, and the marks are forgotten.
    ///
    /// For [`Collector::collect_alone`]: finalizers and ephemerons are not looked at, for it is not
    /// called where there are any.
    ///
    /// # Errors
    ///
    /// As [`Self::mark`].
    pub fn mark_few(&mut self, crew: &mut Crew) -> Result<bool, CollectError> {
        let core = self.core;
        let begun = thread_cpu();
        self.dirty = true;
        self.cycle.markers = 1;
        let marked = crew.mark_few(&MarkModel::new(core), &WorldRoots::new(core), OBJECTS_MAX);
        let Some(outcome) = marked.map_err(|aborted| self.aborted(aborted))? else {
            return Ok(false);
        };
        self.cycle.objects_marked = outcome.objects;
        // Relaxed: a count.
        let objects_marked = &core.counters.objects_marked;
        objects_marked.store(outcome.objects, Ordering::Relaxed);
        let in_use_bytes = core.heap.pages().stats().in_use_bytes;
        let cost = thread_cpu() - begun;
        core.account.end_alone(cost, outcome.objects, in_use_bytes);
        Ok(true)
    }
}
