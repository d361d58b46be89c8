//! The threads that mark: one, or as many as pay.
//!
//! A small heap is marked by one thread: waking others costs more than they bring. The others are
//! threads of a pool of the collector's own, since a thread of the global pool may be inside a
//! closure, or waiting to enter one.

use crate::ports::mark::MarkModel;
use crate::raw::assist::Assist;
use crate::raw::task::{STOPPED, Task, during};
use crate::sync::{AtomicUsize, Ordering, on_own_thread};
use gc_mark::{Aborted, Marker, Outcome, Roots};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Live bytes for each marker beyond the first.
const MARKER_BYTES: usize = 16 << 20;

/// Mutators that can help at once.
const HELPERS: usize = 16;

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
            marker: Marker::new(markers_max + HELPERS),
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

    /// Marks what the roots reach, while nobody else sets marks.
    pub(crate) fn mark_alone<R: Roots + Sync>(
        &mut self,
        model: &MarkModel,
        roots: &R,
        markers: usize,
    ) -> Result<Outcome, Aborted> {
        if markers == 1 {
            return during(STOPPED, || self.marker.mark(model, roots));
        }
        let round = self.marker.round(model, roots);
        Self::run(&self.pool, markers, &|index| {
            during(STOPPED, || round.run(index))
        });
        round.finish()
    }

    /// As [`Self::mark_alone`] with one marker, if that is all done after about `objects_max`
    /// objects; else `None`, and what was queued is forgotten.
    pub(crate) fn mark_few<R: Roots + Sync>(
        &mut self,
        model: &MarkModel,
        roots: &R,
        objects_max: usize,
    ) -> Result<Option<Outcome>, Aborted> {
        let outcome = during(STOPPED, || self.marker.mark_some(model, roots, objects_max))?;
        if self.marker.is_drained() {
            return Ok(Some(outcome));
        }
        self.marker.clear();
        Ok(None)
    }

    /// Marks what the roots reach, beside mutators that set marks and may help.
    pub(crate) fn mark_beside<R: Roots + Sync>(
        &mut self,
        model: &MarkModel,
        roots: &R,
        markers: usize,
        task: Task,
        assist: &Assist,
    ) -> Result<Outcome, Aborted> {
        let (seats, first) = (AtomicUsize::new(0), self.markers_max);
        let round = self.marker.round(model, roots);
        let help = |objects_max| {
            if objects_max > 0 {
                take_seat(&seats, |seat| {
                    during(task, || round.run_some(first + seat, objects_max));
                });
            }
            round.objects_done()
        };
        let run = |index| during(task, || round.run(index));
        assist.lend(&help, || Self::run(&self.pool, markers, &run));
        round.finish()
    }

    /// Has `run` called for each of so many markers.
    fn run(pool: &Option<ThreadPool>, markers: usize, run: &(dyn Fn(usize) + Sync)) {
        let Some(pool) = pool.as_ref().filter(|_| markers > 1) else {
            return run(0);
        };
        let broadcast = || {
            pool.broadcast(|context| {
                if context.index() < markers {
                    run(context.index());
                }
            });
        };
        // A thread of another pool would take up that pool's jobs while it waits, and stay in one
        // that wants to enter this stopped world.
        if rayon::current_thread_index().is_none() {
            broadcast();
        } else if !on_own_thread(broadcast) {
            run(0);
        }
    }
}

/// Runs `act` with a seat that nobody else has, if one is free.
pub(crate) fn take_seat(seats: &AtomicUsize, act: impl FnOnce(usize)) {
    struct Stand<'a>(&'a AtomicUsize, usize);
    impl Drop for Stand<'_> {
        fn drop(&mut self) {
            // Release: pairs with the Acquire below; a worker's queues are handed on.
            self.0.fetch_and(!self.1, Ordering::Release);
        }
    }
    // Relaxed: the exchange decides.
    let mut taken = seats.load(Ordering::Relaxed);
    loop {
        let seat = taken.trailing_ones() as usize;
        if seat >= HELPERS {
            return;
        }
        // Acquire: pairs with the Release above. Relaxed on failure: tried again.
        let (order, on_failure) = (Ordering::Acquire, Ordering::Relaxed);
        match seats.compare_exchange_weak(taken, taken | 1 << seat, order, on_failure) {
            Ok(_) => {
                let _stand = Stand(seats, 1 << seat);
                return act(seat);
            }
            Err(found) => taken = found,
        }
    }
}
