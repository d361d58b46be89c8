//! The threads that mark: one, or as many as pay.
//!
//! A small heap is marked by one thread: waking others costs more than they bring. The others are
//! threads of a pool of the collector's own, since a thread of the global pool may be inside a
//! closure, or waiting to enter one.

use crate::ports::mark::MarkModel;
use crate::raw::task::{Task, during};
use crate::sync::on_own_thread;
use gc_mark::{Aborted, Marker, Outcome, Roots};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Live bytes for each marker beyond the first.
const MARKER_BYTES: usize = 16 << 20;

/// A marker's queues, and the threads to work on them.
#[derive(Debug)]
pub struct Crew {
    markers_max: usize,
    marker: Marker,
    /// Made when more than one marker is wanted for the first time.
    pool: Option<ThreadPool>,
}

impl Crew {
    /// A crew of at most `markers_max`, at least one.
    pub fn new(markers_max: usize) -> Self {
        let markers_max = markers_max.clamp(1, 64);
        Self {
            markers_max,
            marker: Marker::new(markers_max),
            pool: None,
        }
    }

    /// How many markers are worth their threads. Makes the threads.
    pub(crate) fn muster(&mut self, live_bytes: usize) -> usize {
        let markers = self.markers_max.min(1 + live_bytes / MARKER_BYTES);
        if markers > 1 && self.pool.is_none() {
            let pool = ThreadPoolBuilder::new()
                .num_threads(self.markers_max)
                .thread_name(|index| format!("heapwright-mark-{index}"))
                .build();
            // Without threads, one marker does all.
            self.pool = pool.ok();
        }
        if self.pool.is_some() { markers } else { 1 }
    }

    /// Marks what the roots reach. Alone means: nobody else sets marks, mutators included.
    pub(crate) fn mark<R: Roots + Sync>(
        &mut self,
        model: &MarkModel,
        roots: &R,
        markers: usize,
        task: Task,
        alone: bool,
    ) -> Result<Outcome, Aborted> {
        if markers == 1 && alone {
            return during(task, || self.marker.mark(model, roots));
        }
        let round = self.marker.round(model, roots);
        let run = |index| during(task, || round.run(index));
        match &self.pool {
            Some(pool) if markers > 1 => {
                let broadcast = || {
                    pool.broadcast(|context| {
                        if context.index() < markers {
                            run(context.index());
                        }
                    });
                };
                // A thread of another pool would take up that pool's jobs while it waits, and
                // stay in one that wants to enter this stopped world.
                if rayon::current_thread_index().is_none() {
                    broadcast();
                } else if !on_own_thread(broadcast) {
                    run(0);
                }
            }
            _ => run(0),
        };
        round.finish()
    }
}
