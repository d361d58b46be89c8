//! Finalizers: what an object is to do when nobody can reach it any more.
//!
//! A finalizer sees its object and all that it leads to. So whoever is found dead and has one is
//! brought back to life, with all that it reaches, and queued; when its finalizer has run, it dies
//! like any other, unless the finalizer has stored a reference to it.
//!
//! | a finalizer is | in | left for |
//! |---|---|---|
//! | registered | the registry, which refers to the object weakly | queued, when marking is over and the object is not marked; or canceled |
//! | queued | the queue, with a handle that keeps the object alive | run, by `Mutator::run_finalizers`, and forgotten |
//!
//! # The order in a cycle
//!
//! 1. Marking is over: what is not marked is dead, and no mutator can reach it.
//! 2. Weak references to the dead are cleared, and ephemerons with dead keys, whether they are
//!    themselves dead or not: who is brought back is not found by them.
//! 3. Beside the mutators: a handshake. One that had read a weak reference before it was cleared
//!    has judged it by then; so from now on none gets hold of what step 4 marks.
//! 4. The objects with finalizers are marked, and what they reach, ephemerons' values included.
//!    Nobody else reads or writes any of this, so there is nothing to log and no wave to repeat:
//!    references to it are held by itself alone.
//! 5. The finalizers are queued, all of this cycle in the order of registration, and sweeping
//!    begins. Cleanups of what was brought back wait for its second death.
//!
//! If a `trace` panics in step 4, the cycle is given up, and its finalizers stay registered.

use crate::collector::Collector;
use crate::cx::Cx;
use crate::gc::Gc;
use crate::heap::Mutator;
use crate::raw::core::Core;
use crate::raw::log::Entry;
use crate::raw::object_type::address_of;
use crate::raw::registry::{Place, Registry};
use crate::raw::roots::Handle;
use crate::raw::task::panics;
use crate::raw::{info, kind_of, object_at};
use crate::repr::Managed;
use crate::stats::Count;
use crate::sync::{Mutex, lock};
use gc_mark::{Kind, Rebrand, Roots, Visitor};
use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

/// A finalizer that knows what it is given: an object at an address.
type Action<C> = Box<dyn for<'gc> FnOnce(&Cx<'gc, C>, NonNull<u8>) + Send>;

/// A registered finalizer.
struct Finalize {
    kind: Kind,
    /// An [`Action`] of this heap's collector.
    action: Box<dyn Any + Send>,
}

/// A finalizer whose object is dead but for it.
struct Queued {
    handle: Handle,
    at: NonNull<u8>,
    action: Box<dyn Any + Send>,
}

// SAFETY: the address is only used with the heap, which is shared between threads; `finalize`
// demands that the object's type may be.
unsafe impl Send for Queued {}

/// The finalizers of one heap.
#[derive(Default)]
pub(crate) struct Finalizers {
    registry: Registry<Finalize>,
    queue: Mutex<VecDeque<Queued>>,
    pub(crate) run: Count,
    pub(crate) panics: Count,
}

/// Objects with finalizers that were found dead.
pub(crate) struct Revived(Vec<(Place, Entry)>);

impl Finalizers {
    /// Those of the dead, if there are any. Marking is over.
    pub(crate) fn dead(&self, core: &Core) -> Option<Revived> {
        let dead = self.registry.find(|entry| {
            let is_dead = !core.is_marked(entry.object);
            is_dead.then_some((entry.object, entry.action.kind))
        });
        (!dead.is_empty()).then_some(Revived(dead))
    }

    /// Queues them, now that they are marked. One that was canceled meanwhile floats for a cycle.
    pub(crate) fn queue(&self, core: &Core, revived: Revived) {
        let places = revived.0.into_iter();
        let taken = places.filter_map(|(place, _)| self.registry.take(place));
        let queued: Vec<Queued> = taken
            .map(|entry| Queued {
                handle: Handle::new(&core.roots, entry.object, entry.action.kind),
                at: address_of(entry.object),
                action: entry.action.action,
            })
            .collect();
        lock(&self.queue).extend(queued);
    }

    /// Drops all: the heap goes.
    pub(crate) fn forget(&self) {
        let registered = self.registry.take_where(|_| true);
        let queued = std::mem::take(&mut *lock(&self.queue));
        // What closures own is dropped by code of the user's.
        registered
            .into_iter()
            .for_each(|entry| _ = panics(|| drop(entry)));
        queued
            .into_iter()
            .for_each(|queued| _ = panics(|| drop(queued)));
    }

    /// Those registered, and those queued.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.registry.len(), lock(&self.queue).len())
    }

    fn next(&self) -> Option<Queued> {
        lock(&self.queue).pop_front()
    }
}

impl Revived {
    /// Objects of a job.
    const JOB: usize = 1024;

    /// What is to be marked.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.iter().map(|(_, entry)| *entry).collect()
    }
}

// SAFETY: each object is in one job, with the kind that it was registered with.
unsafe impl Roots for Revived {
    fn jobs(&self) -> usize {
        self.0.len().div_ceil(Self::JOB)
    }

    fn scan<V: Visitor>(&self, job: usize, visitor: &mut V) {
        let entries = self.0.chunks(Self::JOB).nth(job);
        for &(_, (object, kind)) in entries.unwrap_or_default() {
            visitor.visit(object, kind);
        }
    }
}

/// A finalizer that was registered by [`Cx::finalize`]. Dropping this handle changes nothing.
pub struct Finalizer {
    finalizers: Arc<Finalizers>,
    place: Place,
}

impl Finalizer {
    /// Takes the finalizer back, and drops its closure here; constant time. False if it is too
    /// late: the object has been found dead and is queued, or the finalizer has run.
    pub fn cancel(self) -> bool {
        let taken = self.finalizers.registry.take(self.place);
        taken.is_some()
    }
}

impl fmt::Debug for Finalizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Finalizer)")
    }
}

impl<'gc, C: Collector> Cx<'gc, C> {
    /// Has `act` run with the object when nothing leads to it any more but what has died with it.
    ///
    /// The object and all that it reaches live until `act` has run, and longer if `act` stores a
    /// reference to them. What need not see the object is better done by a
    /// [cleanup](Self::on_death): the object goes a cycle earlier, and nobody has to run anything.
    ///
    /// * *When*: once, after the first cycle that finds the object unreachable, when somebody calls
    ///   [`Mutator::run_finalizers`]; never by itself. Registered again, by `act` or by anyone, it
    ///   runs again. When the heap goes, finalizers do not run.
    /// * *Order*: of objects found dead by the same cycle in the order of registration, whether
    ///   one leads to another or not; cycles of objects with finalizers are no obstacle. An object
    ///   that `act` reaches may therefore have been finalized before.
    /// * *Weak references* and ephemerons, to the object or to what died with it, are cleared
    ///   before it is queued, and stay so.
    /// * *Cleanups* of it, and of what it reaches, run when these die for good.
    /// * *Back-pressure*: what is queued stays in memory until it is run.
    ///   [`Stats::finalizers_queued`](crate::Stats::finalizers_queued) tells how much.
    /// * *Cost*: a cycle tests one mark for each registered finalizer; one that finds any dead
    ///   clears weak references twice and, beside the mutators, makes one more handshake.
    ///
    /// ```
    /// use runtime::{GcCell, Heap, Root, Trace};
    ///
    /// #[derive(Trace)]
    /// struct Pool<'gc>(GcCell<'gc, [u8]>);
    ///
    /// let heap = Heap::new()?;
    /// let mut mutator = heap.mutator();
    /// let pool: Root<Pool<'static>> =
    ///     mutator.enter(|cx| cx.root(cx.alloc(Pool(GcCell::empty()))));
    /// mutator.enter(|cx| {
    ///     let buffer = cx.alloc_slice([0_u8; 100]);
    ///     let pool = pool.clone();
    ///     cx.finalize(buffer, move |cx, buffer| pool.get(cx).0.set(cx, Some(buffer)));
    /// });
    /// mutator.collect()?;
    /// assert_eq!(mutator.run_finalizers(), 1);
    /// mutator.enter(|cx| assert_eq!(pool.get(cx).0.get().map(|buffer| buffer.len()), Some(100)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn finalize<T, F>(&self, gc: Gc<'gc, T>, act: F) -> Finalizer
    where
        T: ?Sized + Managed + Rebrand + Send + Sync,
        T: for<'to> Rebrand<With<'to>: Managed>,
        F: for<'to> FnOnce(&Cx<'to, C>, Gc<'to, T::With<'to>>) + Send + 'static,
    {
        let action: Action<C> = Box::new(move |cx, at| {
            // SAFETY: the object's address, says `run_finalizers`, held alive by its handle; the
            // type is the same but for the brand (`Rebrand`).
            act(cx, unsafe { Gc::from_raw(at) });
        });
        let finalize = Finalize {
            kind: kind_of(info::<T::Repr>()),
            action: Box::new(action),
        };
        let finalizers = self.inside().shared.core.finalizers.clone();
        let place = finalizers.registry.add(object_at(Gc::at(gc)), finalize);
        Finalizer { finalizers, place }
    }
}

impl<C: Collector> Mutator<C> {
    /// Runs the [finalizers](Cx::finalize) that are queued, each in a closure of its own, until
    /// there is none; how many. Several threads may share the work: each takes the next.
    ///
    /// A finalizer that panics counts as run, in
    /// [`Stats::finalizer_panics`](crate::Stats::finalizer_panics); the others follow. What is
    /// queued meanwhile runs as well, so one that registers itself anew can keep this busy for as
    /// long as cycles run.
    pub fn run_finalizers(&mut self) -> usize {
        let mut run = 0;
        while let Some(queued) = self.shared.core.finalizers.next() {
            let Queued { handle, at, action } = queued;
            let Ok(action) = action.downcast::<Action<C>>() else {
                unreachable!("a finalizer of another collector");
            };
            let has_panicked = panics(|| self.enter(|cx| action(cx, at)));
            let finalizers = &self.shared.core.finalizers;
            finalizers.run.add(1);
            finalizers.panics.add(usize::from(has_panicked));
            drop(handle);
            run += 1;
        }
        run
    }
}
