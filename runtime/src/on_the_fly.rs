//! The collector that stops nobody: it marks beside the mutators, on threads of its own.
//!
//! There is no moment at which one mutator waits for another, and none at which all stand still.
//! What a mutator pays: a test at each reference store, and while a cycle marks, a log entry for
//! each reference that it overwrites. What a cycle owes to its mutators' closures: it goes on when
//! each has been at the edge of one. (The only mutator of a heap in which next to nothing lives
//! collects by itself: see [`crate::alone`].)

use crate::collector::{Barrier, Collector};
use crate::crew::Crew;
use crate::cycle::{CollectError, Session, Stopped};
use crate::sync::{Mutex, lock, processors};

/// Marks beside the mutators: the collector of [`Heap`](crate::Heap).
///
/// It logs what is overwritten (a snapshot at the beginning, Yuasa's deletion barrier), and
/// begins and ends a cycle by telling each mutator on its own (handshakes, after Doligez, Leroy
/// and Gonthier).
#[derive(Debug)]
pub struct OnTheFly {
    markers_max: usize,
    /// Taken out while a cycle runs.
    crew: Mutex<Option<Crew>>,
}

impl Default for OnTheFly {
    /// A marker for every four processors, at least one: mutators keep three quarters of them.
    fn default() -> Self {
        Self::with_markers(processors().div_ceil(4))
    }
}

impl OnTheFly {
    /// At most `markers_max` markers, at least one.
    pub fn with_markers(markers_max: usize) -> Self {
        Self {
            markers_max: markers_max.clamp(1, 64),
            crew: Mutex::new(None),
        }
    }

    /// Runs `act` with the crew.
    fn with_crew<R>(&self, act: impl FnOnce(&mut Crew) -> R) -> R {
        let taken = lock(&self.crew).take();
        let mut crew = taken.unwrap_or_else(|| Crew::new(self.markers_max));
        let result = act(&mut crew);
        *lock(&self.crew) = Some(crew);
        result
    }

    fn mark(session: &mut Session<'_>, crew: &mut Crew) -> Result<(), CollectError> {
        let mut world = session.arm();
        world.mark(crew)?;
        while !world.drain(crew)? {}
        // SAFETY: `drain` has just answered true.
        unsafe { world.begin_sweep() };
        Ok(())
    }
}

// SAFETY: sweeping begins only when `Beside::drain` or `Stopped::mark_few` says that all that is
// reachable is marked.
unsafe impl Collector for OnTheFly {
    const NAME: &'static str = "on-the-fly";
    const BARRIER: Barrier = Barrier::Deletion;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        session.finish_sweep();
        self.with_crew(|crew| Self::mark(session, crew))
    }

    fn collect_alone(&self, world: &mut Stopped<'_>) -> Result<bool, CollectError> {
        let is_marked = self.with_crew(|crew| world.mark_few(crew))?;
        if is_marked {
            // SAFETY: `mark_few` has just said that everything reachable is marked.
            unsafe { world.begin_sweep() };
        }
        Ok(is_marked)
    }
}
