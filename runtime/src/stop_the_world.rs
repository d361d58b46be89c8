//! The collector that stops every mutator while it marks: simple, parallel, and the oracle that
//! others are tested against.
//!
//! The pause is the marking alone. Sweeping goes on behind the mutators: by the allocator that
//! needs a span, by the background thread, and by what allocation owes.

use crate::collector::{Barrier, Collector};
use crate::crew::Crew;
use crate::cycle::{CollectError, Session};
use crate::sync::{Mutex, lock, processors};

/// Marks in parallel while the world is stopped, then lets sweeping go on behind the mutators.
#[derive(Debug)]
pub struct StopTheWorld {
    markers_max: usize,
    /// Taken out while a cycle runs.
    crew: Mutex<Option<Crew>>,
}

impl Default for StopTheWorld {
    /// As many markers as there are processors.
    fn default() -> Self {
        Self::with_markers(processors())
    }
}

impl StopTheWorld {
    /// At most `markers_max` markers, at least one.
    pub fn with_markers(markers_max: usize) -> Self {
        Self {
            markers_max: markers_max.clamp(1, 64),
            crew: Mutex::new(None),
        }
    }
}

// SAFETY: sweeping begins only after `Stopped::mark` has marked all that the roots reach, and
// nothing else marks.
unsafe impl Collector for StopTheWorld {
    const NAME: &'static str = "stop-the-world";
    const BARRIER: Barrier = Barrier::None;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        session.finish_sweep();
        session.stop_the_world(|world| {
            let taken = lock(&self.crew).take();
            let mut crew = taken.unwrap_or_else(|| Crew::new(self.markers_max));
            let marked = world.mark(&mut crew);
            *lock(&self.crew) = Some(crew);
            marked?;
            // SAFETY: `mark` succeeded, so everything reachable is marked.
            unsafe { world.begin_sweep() };
            Ok(())
        })?
    }
}
