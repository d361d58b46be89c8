//! The collector that stops every mutator while it marks: simple, parallel, and the oracle that
//! others are tested against.
//!
//! The pause is the marking alone. Sweeping goes on behind the mutators: by the allocator that
//! needs a span, by the background thread, and by what allocation owes.
//!
//! A small heap is marked by one thread, without atomics: waking others costs more than they
//! bring. The others are threads of a pool of the heap's own, since a thread of the global pool
//! may be inside a closure, or waiting to enter one.

use crate::collector::{Barrier, Collector};
use crate::cycle::{CollectError, Session, Stopped};
use crate::sync::{Mutex, lock, processors};
use gc_mark::Marker;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Live bytes for each marker beyond the first.
const MARKER_BYTES: usize = 16 << 20;

/// Marks in parallel while the world is stopped, then lets sweeping go on behind the mutators.
#[derive(Debug)]
pub struct StopTheWorld {
    markers_max: usize,
    /// Made at the first cycle that wants more than one marker.
    crew: Mutex<Option<Crew>>,
}

#[derive(Debug)]
struct Crew {
    marker: Marker,
    pool: Option<ThreadPool>,
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

    /// How many markers are worth their threads.
    fn markers_for(&self, live_bytes: usize) -> usize {
        self.markers_max.min(1 + live_bytes / MARKER_BYTES)
    }

    fn build_crew(&self, markers: usize) -> Crew {
        let wanted = (markers > 1).then(|| {
            ThreadPoolBuilder::new()
                .num_threads(self.markers_max)
                .thread_name(|index| format!("heapwright-mark-{index}"))
                .build()
        });
        // Without threads, one marker does all.
        let pool = wanted.and_then(Result::ok);
        Crew {
            marker: Marker::new(self.markers_max),
            pool,
        }
    }

    fn mark(&self, world: &mut Stopped<'_>) -> Result<(), CollectError> {
        let markers = self.markers_for(world.live_bytes());
        let taken = lock(&self.crew).take();
        let mut crew = match taken {
            Some(crew) if markers == 1 || crew.pool.is_some() => crew,
            _ => self.build_crew(markers),
        };
        let pool = crew.pool.as_ref().filter(|_| markers > 1);
        let marked = world.mark(&mut crew.marker, pool, markers);
        *lock(&self.crew) = Some(crew);
        marked
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
            self.mark(world)?;
            // SAFETY: `mark` succeeded, so everything reachable is marked.
            unsafe { world.begin_sweep() };
            Ok(())
        })?
    }
}
