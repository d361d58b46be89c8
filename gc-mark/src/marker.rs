//! The marker: queues that outlive a round, and the rounds.
//!
//! A [`Marker`] owns the workers' queues. A *round* marks what can be reached from a set of roots:
//! [`Marker::mark`] on this thread, [`Marker::round`] on as many as there are workers. A cycle that
//! runs beside mutators is several rounds, because what the mutators have overwritten meanwhile is
//! a set of roots again. Nothing but queued objects passes from round to round, so a round may also
//! stop early ([`Marker::mark_some`], [`Round::run_some`]) and leave the rest to the next.
//!
//! If a port panics, the round is aborted: every worker stops at its next packet, the queues are
//! emptied, and the caller gets the first payload. Then the marks set so far mean nothing: clear
//! them and free nothing.

use std::any::Any;
use std::error::Error;
use std::fmt;

use crate::port::{ObjectModel, Roots};
use crate::sync::{Mutex, Ordering, PoisonError};
use crate::termination::WORKERS_MAX;
use crate::worker::{Common, Local, Task, run_alone, run_shared};

/// What the workers of a round did, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Nothing is queued and every root job was done: all that the roots reach is marked.
    pub drained: bool,
    /// Objects scanned, and objects of noscan kinds marked. Over the rounds of a cycle up to one
    /// that drained, each marked object is counted once.
    pub objects: usize,
    /// Packets taken up, those stolen included.
    pub packets: usize,
    /// Items of work that were taken from another worker.
    pub steals: usize,
    /// Parts of large objects scanned. (Objects of which parts were scanned count as objects too.)
    pub parts: usize,
}

impl Outcome {
    fn add(&mut self, other: Outcome) {
        self.objects += other.objects;
        self.packets += other.packets;
        self.steals += other.steals;
        self.parts += other.parts;
    }
}

/// A port panicked while it was called by the marker: nothing is known about reachability.
///
/// Clear the marks of the cycle and free nothing. The marker itself can be used again.
pub struct Aborted {
    payload: Box<dyn Any + Send>,
}

impl Aborted {
    /// The payload of the first panic, for `std::panic::resume_unwind`.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload
    }

    /// The panic's message, if it was a string.
    fn message(&self) -> &str {
        let owned = self.payload.downcast_ref::<String>().map(String::as_str);
        let message = owned.or_else(|| self.payload.downcast_ref::<&str>().copied());
        message.unwrap_or("(not a string)")
    }
}

impl fmt::Debug for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aborted")
            .field("message", &self.message())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message();
        write!(
            f,
            "marking was aborted by a panic ({message}): clear the marks and free nothing"
        )
    }
}

impl Error for Aborted {}

/// Marks objects: the queues of a fixed number of workers.
///
/// About 3 KiB a worker, and 2 KiB for each open or queued packet of 256 objects; up to 2 MiB of
/// packets a worker is kept for the next round.
pub struct Marker {
    /// A worker's queues are taken out while it runs: no lock is held meanwhile.
    locals: Box<[Mutex<Option<Box<Local>>>]>,
    common: Common,
}

impl Marker {
    /// A marker with so many workers, of which a round may use any.
    ///
    /// # Panics
    ///
    /// If `workers` is zero or more than 65,535.
    pub fn new(workers: usize) -> Marker {
        assert!(
            (1..=WORKERS_MAX).contains(&workers),
            "a marker needs 1 to {WORKERS_MAX} workers, not {workers}"
        );
        let locals: Vec<Local> = (0..workers).map(Local::new).collect();
        let common = Common::new(&locals);
        let locals = locals
            .into_iter()
            .map(|local| Mutex::new(Some(Box::new(local))))
            .collect();
        Marker { locals, common }
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.locals.len()
    }

    /// Marks all that the roots reach, on this thread, with the model's `_alone` half.
    ///
    /// # Errors
    ///
    /// [`Aborted`] if a port panicked.
    ///
    /// # Panics
    ///
    /// Only with [`Roots::jobs`], before anything is marked.
    pub fn mark<M, R>(&mut self, model: &M, roots: &R) -> Result<Outcome, Aborted>
    where
        M: ObjectModel,
        R: Roots + ?Sized,
    {
        self.mark_some(model, roots, usize::MAX)
    }

    /// As [`mark`](Self::mark), but stops after about `objects_max` objects: what is queued then
    /// stays queued, and the next round, of any sort, takes it up.
    ///
    /// All roots are scanned first, however many. The budget is looked at once a packet, so it may
    /// be exceeded by some 1,300 objects, each with all its edges.
    ///
    /// # Errors
    ///
    /// As `mark`.
    pub fn mark_some<M, R>(
        &mut self,
        model: &M,
        roots: &R,
        objects_max: usize,
    ) -> Result<Outcome, Aborted>
    where
        M: ObjectModel,
        R: Roots + ?Sized,
    {
        let round = self.round(model, roots);
        let mut local = round.take(0);
        run_alone(&round.marker.common, &mut local, &round.task, objects_max);
        round.put(local);
        round.finish()
    }

    /// Begins a round for many workers: call [`Round::run`] on each thread, then
    /// [`Round::finish`].
    ///
    /// # Panics
    ///
    /// Only with [`Roots::jobs`].
    pub fn round<'r, M, R>(&'r mut self, model: &'r M, roots: &'r R) -> Round<'r, M, R>
    where
        M: ObjectModel,
        R: Roots + ?Sized,
    {
        let task = Task {
            model,
            roots,
            jobs: roots.jobs(),
        };
        if self.common.termination.look().is_aborted() {
            // The last round was aborted, and dropped instead of finished.
            self.clear();
        }
        self.each_local().for_each(Local::begin);
        self.common.reset();
        Round { marker: self, task }
    }

    /// Whether nothing is queued: false after a round that stopped early.
    pub fn is_drained(&mut self) -> bool {
        self.each_local().all(|local| local.is_empty())
    }

    /// Forgets all that is queued, at the end of a cycle that is given up.
    pub fn clear(&mut self) {
        self.each_local().for_each(Local::clear);
    }

    fn each_local(&mut self) -> impl Iterator<Item = &mut Local> {
        self.locals.iter_mut().filter_map(|local| {
            let local = local.get_mut().unwrap_or_else(PoisonError::into_inner);
            local.as_deref_mut()
        })
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marker")
            .field("workers", &self.workers())
            .finish_non_exhaustive()
    }
}

/// One round of marking by many workers.
///
/// Dropping it without [`finish`](Self::finish) loses the counts, not the queues.
pub struct Round<'r, M, R: ?Sized> {
    marker: &'r mut Marker,
    task: Task<'r, M, R>,
}

impl<M, R> Round<'_, M, R>
where
    M: ObjectModel,
    R: Roots + ?Sized,
{
    /// Works as worker `index` until the round is over: all is marked, or it was aborted.
    ///
    /// Each worker may be run on any thread, or not at all; one that starts after the end returns
    /// at once. Waits only for workers that run: by spinning at first, then in short sleeps.
    ///
    /// # Panics
    ///
    /// If there is no such worker, or it is running.
    pub fn run(&self, index: usize)
    where
        M: Sync,
        R: Sync,
    {
        self.run_within(index, None);
    }

    /// As [`run`](Self::run), but stops after `objects_max` objects (and as many that hang on them
    /// in lists, and one part of a large one), or when there is nothing to do just now: it never
    /// waits. Returns whether the round was over then.
    ///
    /// What this worker leaves queued can be stolen by the others, or be taken up by calling this
    /// again, and stays for the next round if nobody does.
    ///
    /// # Panics
    ///
    /// As `run`.
    pub fn run_some(&self, index: usize, objects_max: usize) -> bool
    where
        M: Sync,
        R: Sync,
    {
        self.run_within(index, Some(objects_max))
    }

    /// Objects scanned so far, as far as the workers have told: they do so once in some thousand,
    /// and when they find nothing to do.
    pub fn objects_done(&self) -> usize {
        self.marker.common.objects_done()
    }

    fn run_within(&self, index: usize, budget: Option<usize>) -> bool
    where
        M: Sync,
        R: Sync,
    {
        let mut local = self.take(index);
        let over = run_shared(&self.marker.common, &mut local, &self.task, budget);
        self.put(local);
        over
    }

    /// Ends the round, when no worker runs any more.
    ///
    /// # Errors
    ///
    /// [`Aborted`] if a port panicked in any of the workers; then all that was queued is forgotten.
    pub fn finish(self) -> Result<Outcome, Aborted> {
        let marker = self.marker;
        let mut outcome = Outcome::default();
        for local in marker.each_local() {
            outcome.add(std::mem::take(&mut local.counts));
            local.open.trim();
        }
        if let Some(payload) = marker.common.take_payload() {
            marker.clear();
            return Err(Aborted { payload });
        }
        // Relaxed: `self` came by value, so every worker's claim happened before.
        let jobs_taken = marker.common.jobs_taken.load(Ordering::Relaxed);
        outcome.drained = jobs_taken >= self.task.jobs && marker.is_drained();
        Ok(outcome)
    }

    fn take(&self, index: usize) -> Box<Local> {
        let workers = self.marker.workers();
        assert!(
            index < workers,
            "worker {index} of a marker with {workers} workers"
        );
        let local = self.marker.locals[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(local) = local else {
            panic!("worker {index} is running already");
        };
        local
    }

    fn put(&self, local: Box<Local>) {
        let index = local.index();
        let mut place = self.marker.locals[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(local);
    }
}

impl<M, R: ?Sized> fmt::Debug for Round<'_, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Round")
            .field("marker", self.marker)
            .finish_non_exhaustive()
    }
}
