//! Cleanups: what is to be done when an object is gone.
//!
//! A cleanup belongs to an object but cannot see it: it is a closure that owns what it works on.
//! That is what sets it apart from the others: drop glue sees the object, but not what it refers
//! to, and holds up whoever sweeps; a finalizer sees both, and brings them back to life.
//!
//! | a cleanup is | in | left for |
//! |---|---|---|
//! | registered | the registry, which refers to the object weakly | dying, when a cycle finds the object unmarked; or canceled |
//! | dying | a list that waits for the end of that cycle's sweep | queued, when all that died with the object has been dropped and freed |
//! | queued | the queue | run, by the heap's thread for cleanups or by `run_cleanups` |
//!
//! The thread is started when a cleanup is queued for the first time, and works on nothing else:
//! one that waits for long holds up other cleanups, but neither mutators nor cycles. No lock is
//! held while one runs. When the heap goes, so do its objects: what is left runs then.

use crate::collector::Collector;
use crate::cx::Cx;
use crate::gc::Gc;
use crate::raw::object_at;
use crate::raw::registry::{Place, Registry, Watched};
use crate::raw::task::panics;
use crate::stats::Count;
use crate::sync::{Condvar, Mutex, lock, wait};
use gc_mark::Object;
use gc_sweep::{Background, Step};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

type Action = Box<dyn FnOnce() + Send>;

std::thread_local!(static IN_CLEANUP: Cell<bool> = const { Cell::new(false) });

/// The cleanups of one heap.
#[derive(Default)]
pub(crate) struct Cleanups {
    registry: Registry<Action>,
    /// Of objects that the sweep in progress frees.
    dying: Mutex<Vec<Action>>,
    queue: Mutex<Queue>,
    /// None runs.
    idle: Condvar,
    pub(crate) run: Count,
    pub(crate) panics: Count,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Action>,
    running: usize,
}

/// One that runs.
struct Running<'a>(&'a Cleanups);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.running -= 1;
        if queue.running == 0 {
            self.0.idle.notify_all();
        }
    }
}

impl Cleanups {
    /// Takes out those of the dead. Marking is over.
    pub(crate) fn take_dead(&self, is_marked: impl Fn(Object) -> bool) -> Dead {
        let dead = self.registry.take_where(|object| !is_marked(object));
        Dead(dead)
    }

    /// The sweep that frees those dead has been opened.
    pub(crate) fn hold(&self, Dead(dead): Dead) {
        lock(&self.dying).extend(dead.into_iter().map(|entry| entry.action));
    }

    /// The sweep is over; true if there is something to run.
    pub(crate) fn release(&self) -> bool {
        let dying = std::mem::take(&mut *lock(&self.dying));
        let mut queue = lock(&self.queue);
        queue.waiting.extend(dying);
        !queue.waiting.is_empty()
    }

    /// Those registered, and those whose objects are dead.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let queued = lock(&self.queue).waiting.len();
        (self.registry.len(), lock(&self.dying).len() + queued)
    }

    /// Runs the one that has waited for longest.
    fn run_next(&self) -> bool {
        let (action, _running) = {
            let mut queue = lock(&self.queue);
            let Some(action) = queue.waiting.pop_front() else {
                return false;
            };
            queue.running += 1;
            (action, Running(self))
        };
        self.act(action);
        true
    }

    fn act(&self, action: Action) {
        let outer = IN_CLEANUP.replace(true);
        if panics(action) {
            self.panics.add(1);
        }
        IN_CLEANUP.set(outer);
        self.run.add(1);
    }

    /// Runs all that wait, and waits for those that run elsewhere; how many this call has run.
    pub(crate) fn run_all(&self) -> usize {
        let mut run = 0;
        while self.run_next() {
            run += 1;
        }
        // One that calls this does not wait for itself, nor for another that does the same.
        if !IN_CLEANUP.get() {
            let mut queue = lock(&self.queue);
            while queue.running > 0 {
                queue = wait(&self.idle, queue);
            }
        }
        run
    }

    /// The objects are gone, all of them.
    pub(crate) fn run_last(&self) {
        self.hold(self.take_dead(|_| false));
        self.release();
        while self.run_next() {}
    }

    /// The thread that runs what is queued.
    pub(crate) fn spawn(self: &Arc<Self>) -> Option<Background> {
        let cleanups = self.clone();
        let step = move || {
            if cleanups.run_next() {
                Step::More
            } else {
                Step::Done
            }
        };
        Background::spawn("heapwright-cleanup", step).ok()
    }
}

/// Cleanups of objects that were found dead.
pub(crate) struct Dead(Vec<Watched<Action>>);

/// A cleanup that was registered by [`Cx::on_death`]. Dropping this handle changes nothing.
pub struct Cleanup {
    cleanups: Arc<Cleanups>,
    place: Place,
}

impl Cleanup {
    /// Takes the cleanup back, and drops its closure here; constant time. False if it is too late:
    /// the object has been found dead, and the cleanup has run or will.
    pub fn cancel(self) -> bool {
        let taken = self.cleanups.registry.take(self.place);
        taken.is_some()
    }
}

impl fmt::Debug for Cleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Cleanup)")
    }
}

impl<'gc, C: Collector> Cx<'gc, C> {
    /// Has `act` run once the object is gone: found unreachable, dropped and freed.
    ///
    /// `act` owns what it works on. It cannot hold the object (nor any [`Gc`], by its type); if
    /// it holds a [`Root`](crate::Root) that leads to the object, the object never dies.
    ///
    /// * *When*: in the first cycle that finds the object unreachable, when its sweep is over; at
    ///   the latest when the heap itself goes, on the thread that drops its last handle. Unless it
    ///   is canceled or the process ends before, it runs exactly once.
    /// * *Where*: on a thread of the heap's own, one after the other, or on that of whoever calls
    ///   [`Runtime::run_cleanups`](crate::Runtime::run_cleanups). Never on a mutator's way to
    ///   memory, in a closure, or under a lock. It may enter the heap and collect; but a handle of
    ///   the heap that it holds keeps the heap alive until the object dies.
    /// * *Order*: of objects found dead by the same cycle in the order of registration. What ran
    ///   on two threads may overlap.
    /// * *Panic*: is counted in [`Stats::cleanup_panics`](crate::Stats::cleanup_panics); the others
    ///   run.
    /// * *Back-pressure*: nobody waits for the queue, which holds at most one entry for each
    ///   registered object that died. [`Stats::cleanups_queued`](crate::Stats::cleanups_queued)
    ///   tells its length; a program that outruns it can call `run_cleanups` between closures.
    /// * *Cost*: a cycle tests one mark for each registered cleanup.
    ///
    /// ```
    /// use runtime::Heap;
    /// use std::sync::mpsc;
    ///
    /// let heap = Heap::new()?;
    /// let mut mutator = heap.mutator();
    /// let (sender, receiver) = mpsc::channel();
    /// mutator.enter(|cx| {
    ///     let file = cx.alloc(7_u32);
    ///     let number = *file;
    ///     cx.on_death(file, move || sender.send(number).unwrap_or(()));
    /// });
    /// mutator.collect()?;
    /// heap.run_cleanups();
    /// assert_eq!(receiver.try_recv(), Ok(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_death<T: ?Sized>(
        &self,
        gc: Gc<'gc, T>,
        act: impl FnOnce() + Send + 'static,
    ) -> Cleanup {
        let cleanups = self.inside().shared.core.cleanups.clone();
        let place = cleanups.registry.add(object_at(Gc::at(gc)), Box::new(act));
        Cleanup { cleanups, place }
    }
}
