//! Inside a closure: where references may be held and objects allocated.

use crate::collector::{Barrier, Collector};
use crate::external::External;
use crate::heap::Mutator;
use crate::raw::barrier;
use crate::raw::core::{Local, RootSource};
use crate::raw::log::Entry;
use crate::raw::object_at;
use crate::raw::phase::Phase;
use crate::raw::roots::Handle;
use crate::raw::shared::Shared;
use crate::raw::task::{Task, current};
use crate::raw::weak_gate::Upgrade;
use crate::raw::world::State;
use crate::sync::Ordering;
use alloc_core::{Exhausted, Found, SizeClass, TypeInfo};
use gc_mark::{Kind, Object};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

/// What an allocation's slow path takes, about: a span.
const SPAN_BYTES: usize = alloc_core::PAGE_BYTES;
/// Weak cells, or ephemerons, that a mutator lists before it hands them over.
const WEAKS_MAX: usize = 1024;

/// A mutator that is inside; dropping it leaves, and collects if that is due.
pub struct Inside<'m, C: Collector> {
    pub(crate) shared: &'m Shared<C>,
    state: &'m State<Local>,
    /// The allocation cache is this thread's.
    not_send: PhantomData<*mut ()>,
}

/// Goes inside. Waits while the world is stopped, unless this thread is inside already.
///
/// # Safety
///
/// The guard is dropped, not forgotten, and while it lives so does every guard and closure of the
/// same heap in which it was made: they end in reverse order. (A mutator that enters from inside
/// does not wait for a world that is being stopped, because the one around it holds the stop up.)
pub unsafe fn enter<C: Collector>(mutator: &mut Mutator<C>) -> Inside<'_, C> {
    Inside::enter(&mutator.shared, &mutator.state)
}

impl<'m, C: Collector> Inside<'m, C> {
    /// The caller owes what [`enter`] demands.
    #[inline(always)]
    fn enter(shared: &'m Shared<C>, state: &'m State<Local>) -> Self {
        if !shared.core.world.try_enter(state) {
            Self::enter_slow(shared, state);
        }
        Self {
            shared,
            state,
            not_send: PhantomData,
        }
    }

    /// Enters with something to acknowledge or to wait for, and counts the time that it took.
    #[cold]
    #[inline(never)]
    fn enter_slow(shared: &'m Shared<C>, state: &'m State<Local>) {
        let core = &*shared.core;
        assert!(
            !core.world.must_wait() || !matches!(current(), Task::Marking { .. }),
            "a `trace` entered a heap, whose world is stopped while it marks"
        );
        let begun = Instant::now();
        core.world
            .enter_slow(state, &|local, from, to| core.acknowledge(local, from, to));
        core.counters.note_wait(begun.elapsed());
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
            // SAFETY: inside through this state; nothing below comes back here.
            let mut local = unsafe { self.state.local() };
            if let Some(slot) = local.cache.take(info, class) {
                return Ok(slot);
            }
            let heap = &self.shared.core.heap;
            if let Some(slot) = local.cache.take_next(heap, info, class) {
                return Ok(slot);
            }
        }
        // SAFETY: this function's own precondition.
        unsafe { self.alloc_slow(info, class, bytes) }
    }

    /// # Safety
    ///
    /// As [`Self::alloc`].
    #[cold]
    #[inline(never)]
    unsafe fn alloc_slow(
        &self,
        info: &'static TypeInfo,
        class: Option<SizeClass>,
        bytes: usize,
    ) -> Result<NonNull<u8>, Exhausted> {
        let core = &*self.shared.core;
        // From the first thing on that is done for a collector: most spans cost nothing but
        // themselves, and two looks at the clock would be a tenth of one.
        let begun = Cell::new(None);
        let begin = || begun.set(begun.get().or_else(|| Some(Instant::now())));
        let taken_bytes = class.map_or(bytes, |_| SPAN_BYTES);
        if C::BARRIER != Barrier::None {
            let ack = |local: &mut Local, from, to| {
                begin();
                core.acknowledge(local, from, to);
            };
            core.world.poll(self.state, &ack);
            if self.state.phase() == Phase::Marking {
                core.assist(taken_bytes, &begin);
            }
        }
        if C::BARRIER != Barrier::None && (self.phase().logs() || core.world.is_wanted()) {
            // SAFETY: inside through this state; nothing below comes back here.
            core.give_way(&mut *unsafe { self.state.local() }, taken_bytes, &begin);
        }
        if !core.sweeper.is_done() {
            begin();
        }
        if core.debug.collect_at_polls {
            self.shared.want_cycle();
        }
        let allocated = {
            // SAFETY: inside through this state; nothing below comes back here.
            let mut local = unsafe { self.state.local() };
            // SAFETY: inside, the local is ours, the rest is the caller's promise.
            unsafe { core.alloc_slow(&mut local, info, class, bytes) }
        };
        if C::BARRIER != Barrier::None && core.world.is_wanted() && !self.shared.may_wait_for_edge()
        {
            self.shared.want_cycle();
        }
        if let Some(begun) = begun.get() {
            core.counters.note_wait(begun.elapsed());
        }
        allocated
    }

    /// Lets a collector that marks beside the mutators go on, in a closure that runs for long:
    /// hands over what was logged, and acknowledges all that can be acknowledged here. Allocating
    /// does the same now and then.
    ///
    /// A cycle cannot begin, nor begin to *mark*, before the closure has ended.
    #[inline]
    pub fn poll(&self) {
        let core = &*self.shared.core;
        core.world.poll(self.state, &|local, from, to| {
            let begun = Instant::now();
            core.acknowledge(local, from, to);
            core.counters.note_wait(begun.elapsed());
        });
    }

    /// Must be called around a store that overwrites `old` with `new` in an object, before it or
    /// after it, with no call of this guard between the two: it tells a collector that marks
    /// beside the mutators. A load, a test and a jump while none does.
    ///
    /// The store itself must be atomic, with Release, and the object's `trace` must load with
    /// Acquire. Roots of a [`RootSource`] are stored into and dropped in the same way.
    ///
    /// # Safety
    ///
    /// Both are objects of this heap, with their kinds.
    #[inline(always)]
    pub unsafe fn log_store(&self, old: Option<(Object, Kind)>, new: Option<(Object, Kind)>) {
        if C::BARRIER != Barrier::None && self.state.phase().logs() {
            self.log_store_slow(old, new);
        }
    }

    #[cold]
    #[inline(never)]
    fn log_store_slow(&self, old: Option<Entry>, new: Option<Entry>) {
        let core = &*self.shared.core;
        // SAFETY: inside through this state; nothing below comes back here.
        let mut local = unsafe { self.state.local() };
        let log = |entry| core.log(&mut local, entry);
        let is_marked = |object| core.is_marked(object);
        barrier::log_store(self.state.phase(), old, new, is_marked, log);
    }

    /// Whether a store must be logged just now.
    #[inline(always)]
    pub(crate) fn phase(&self) -> Phase {
        if C::BARRIER == Barrier::None {
            return Phase::Idle;
        }
        self.state.phase()
    }

    /// Whether nobody asks anything of this mutator.
    #[inline(always)]
    pub(crate) fn is_calm(&self) -> bool {
        self.shared.core.world.is_calm(self.state)
    }

    /// Leaves, as dropping this does, and enters again. The caller's thread holds no reference but
    /// in frames of stacks that are not mounted.
    #[cold]
    #[inline(never)]
    pub(crate) fn step_out(&self) {
        if self.shared.core.world.leave(self.state) {
            self.shared.collect_at_goal(self.state);
        }
        if !self.shared.core.world.try_enter(self.state) {
            Self::enter_slow(self.shared, self.state);
        }
    }

    /// The number of the cycle that arms or marks.
    pub(crate) fn cycle(&self) -> u64 {
        // Relaxed: announced before the handshake that this mutator has acknowledged.
        self.shared.core.cycle.load(Ordering::Relaxed)
    }

    /// Whether a weak reference's target may be taken, which it then keeps alive.
    #[inline]
    pub(crate) fn upgrade(&self, entry: Entry) -> bool {
        if !self.state.phase().logs() {
            return true;
        }
        let core = &*self.shared.core;
        match core.weak_gate.pass(|| core.is_marked(entry.0)) {
            Upgrade::Take => true,
            Upgrade::Dead => false,
            Upgrade::Log => {
                // SAFETY: inside through this state; nothing below comes back here.
                core.log(&mut *unsafe { self.state.local() }, entry);
                true
            }
        }
    }

    /// Counts bytes outside of the heap, as allocation counts those inside.
    pub(crate) fn external(&self, bytes: usize) -> External {
        let core = &*self.shared.core;
        let external = External::new(&core.account.external_bytes, bytes);
        if core.account.is_due() {
            self.shared.want_cycle();
        }
        external
    }

    /// Lists a weak cell that was just made.
    pub(crate) fn list_weak(&self, cell: NonNull<u8>) {
        // SAFETY: inside through this state; nothing below comes back here.
        let mut local = unsafe { self.state.local() };
        local.weaks.push(object_at(cell).0);
        if local.weaks.len() >= WEAKS_MAX {
            self.shared.core.weaks.add(&mut local.weaks);
        }
    }

    /// Lists an ephemeron's cell that was just made.
    pub(crate) fn list_ephemeron(&self, cell: NonNull<u8>) {
        // SAFETY: inside through this state; nothing below comes back here.
        let mut local = unsafe { self.state.local() };
        local.ephemerons.push(object_at(cell).0);
        if local.ephemerons.len() >= WEAKS_MAX {
            self.shared.core.ephemerons.add(&mut local.ephemerons);
        }
    }

    /// Takes back a slot that was never initialised.
    ///
    /// # Safety
    ///
    /// `object` came from [`Self::alloc`] of this guard, which has neither allocated nor polled
    /// since; and nobody else knows of it.
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
        // SAFETY: an object of this heap, says the caller, with its kind.
        unsafe { self.log_store(None, Some((object, kind))) };
        Handle::new(&self.shared.core.roots, object, kind)
    }
}

/// Where a guard logs what its data holds: an [`Inside`], whatever its collector.
pub(crate) trait LogSink {
    /// Logs these, in any phase of marking.
    fn log_all(&self, entries: &[Entry]);

    /// Something was written that could not be logged: this cycle must free nothing.
    fn give_up(&self);
}

impl<C: Collector> LogSink for Inside<'_, C> {
    fn log_all(&self, entries: &[Entry]) {
        let core = &*self.shared.core;
        // SAFETY: inside through this state; nothing below comes back here.
        let mut local = unsafe { self.state.local() };
        for &entry in entries {
            if !core.is_marked(entry.0) {
                core.log(&mut local, entry);
            }
        }
    }

    fn give_up(&self) {
        self.shared.core.logs.give_up();
    }
}

impl<C: Collector> Drop for Inside<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if self.shared.core.world.leave(self.state) {
            self.shared.collect_at_goal(self.state);
        }
    }
}
