//! Inside a closure: where references may be held and objects allocated.

use crate::collector::Collector;
use crate::heap::Mutator;
use crate::raw::core::{Local, RootSource};
use crate::raw::roots::Handle;
use crate::raw::shared::Shared;
use crate::raw::world::State;
use alloc_core::{Exhausted, Found, SizeClass, TypeInfo};
use gc_mark::{Kind, Object};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

/// A mutator that is inside; dropping it leaves, and collects if that is due.
///
/// A guard that is forgotten stays inside: no cycle can run any more, nothing worse.
pub struct Inside<'m, C: Collector> {
    pub(crate) shared: &'m Shared<C>,
    state: &'m State<Local>,
    /// The allocation cache is this thread's.
    not_send: PhantomData<*mut ()>,
}

/// Goes inside. Waits while the world is stopped.
pub fn enter<C: Collector>(mutator: &mut Mutator<C>) -> Inside<'_, C> {
    Inside::enter(&mutator.shared, &mutator.state)
}

impl<'m, C: Collector> Inside<'m, C> {
    #[inline]
    fn enter(shared: &'m Shared<C>, state: &'m State<Local>) -> Self {
        let world = &shared.core.world;
        if world.must_wait() {
            Self::enter_waiting(shared, state);
        } else {
            world.enter(state);
        }
        Self {
            shared,
            state,
            not_send: PhantomData,
        }
    }

    /// Enters a world that is being stopped, and counts the wait.
    #[cold]
    fn enter_waiting(shared: &'m Shared<C>, state: &'m State<Local>) {
        let task = crate::raw::task::current();
        assert!(
            task != crate::raw::task::Task::Marking,
            "a `trace` entered a heap, whose world is stopped while it marks"
        );
        let begun = Instant::now();
        if shared.core.world.enter(state) {
            shared.core.counters.note_wait(begun.elapsed());
        }
    }

    /// Memory for an object of `info`'s kind with `bytes` bytes, uninitialised.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if there is no memory; leaving, collecting and trying again may help.
    ///
    /// # Safety
    ///
    /// * `info` was made by [`crate::raw::info`]; `bytes` is at least its size, and exactly that
    ///   unless the kind is of dynamic size.
    /// * The object is initialised before this guard is dropped and before its reference is
    ///   written into the heap or into a root. Or the slot is given back by
    ///   [`Self::unallocate`].
    #[inline(always)]
    pub unsafe fn alloc(
        &self,
        info: &'static TypeInfo,
        bytes: usize,
    ) -> Result<NonNull<u8>, Exhausted> {
        let class = SizeClass::of(bytes, info.align);
        if let Some(class) = class {
            let take = |local: &mut Local| local.cache.take(info, class);
            // SAFETY: inside through this state; `take` does not come back here.
            if let Some(slot) = unsafe { self.state.with_local(take) } {
                return Ok(slot);
            }
            let heap = &self.shared.core.heap;
            let next = |local: &mut Local| local.cache.take_next(heap, info, class);
            // SAFETY: as above.
            if let Some(slot) = unsafe { self.state.with_local(next) } {
                return Ok(slot);
            }
        }
        // SAFETY: this function's own preconditions.
        unsafe { self.alloc_slow(info, class, bytes) }
    }

    /// As [`Self::alloc`], where the cache has no slot at hand. The closure that takes one must
    /// stay small, or the compiler calls it instead of inlining it: that cost 2 to 40 ns a call.
    ///
    /// # Safety
    ///
    /// As for [`Self::alloc`].
    #[cold]
    #[inline(never)]
    unsafe fn alloc_slow(
        &self,
        info: &'static TypeInfo,
        class: Option<SizeClass>,
        bytes: usize,
    ) -> Result<NonNull<u8>, Exhausted> {
        let core = &*self.shared.core;
        // SAFETY: inside, the local is ours, the rest is the caller's promise.
        let alloc = |local: &mut Local| unsafe { core.alloc_slow(local, info, class, bytes) };
        // SAFETY: inside through this state; nothing in `alloc` comes back here.
        unsafe { self.state.with_local(alloc) }
    }

    /// Takes back a slot that was never initialised.
    ///
    /// # Safety
    ///
    /// `object` came from [`Self::alloc`] of this guard, and nobody else knows of it.
    pub unsafe fn unallocate(&self, object: NonNull<u8>) {
        // SAFETY: the caller's promise; caches are flushed outside of closures only.
        unsafe { self.shared.core.heap.unallocate(object) }
    }

    /// The object that `address` points to or into, for conservative scanning.
    ///
    /// # Safety
    ///
    /// No other mutator is inside, and no sweep runs (as after `collect`): or the answer is a
    /// guess that must not be followed.
    pub unsafe fn object_containing(&self, address: usize) -> Option<Found> {
        // SAFETY: the caller's promise.
        unsafe { self.shared.core.heap.object_containing(address) }
    }

    /// Adds a source of roots, for as long as the heap lives.
    pub fn add_root_source(&self, source: Arc<dyn RootSource>) {
        self.shared.core.add_root_source(source);
    }

    /// A handle that keeps an object alive.
    pub(crate) fn handle(&self, object: Object, kind: Kind) -> Handle {
        Handle::new(&self.shared.core.roots, object, kind)
    }
}

impl<C: Collector> Drop for Inside<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if self.shared.core.world.leave(self.state) {
            self.shared.collect_at_goal();
        }
    }
}
