//! The local heap as its user holds it: built, entered, collected, looked at.

use crate::cycle::CollectError;
use crate::local::cx::{LocalCx, Owner};
use crate::local::cycle::Incremental;
use crate::pacer::Policy;
use crate::ports::source::AnySource;
use crate::raw::core::{Core, Settings};
use crate::raw::fences::Fences;
use crate::raw::task::{Task, current};
use crate::stats::{CycleStats, Reason, Stats};
use alloc_core::{Census, Mmap, PageSource, ReserveError};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// What a heap reserves if not told otherwise: addresses, not memory.
const RESERVE_BYTES: usize = 16 << 30;
/// The smallest range that is worth having.
const RESERVE_BYTES_MIN: usize = 8 << 20;
/// Objects that a step marks at the most: some 100 µs.
const STEP_OBJECTS_MAX: usize = 8192;

/// A heap of one thread, collected by that thread in steps between its closures.
///
/// Values need be neither `Send` nor `Sync`, and are dropped by this thread, between closures. No
/// other thread is started.
///
/// ```
/// use runtime::{Gc, LocalCell, LocalHeap, LocalRefCell, LocalRoot, Trace};
/// use std::{cell::Cell, rc::Rc};
///
/// #[derive(Trace)]
/// struct Node<'gc> {
///     #[trace(skip)]
///     name: Rc<str>,
///     #[trace(skip)]
///     visits: Cell<u32>,
///     parent: LocalCell<'gc, Node<'gc>>,
///     children: LocalRefCell<Vec<Gc<'gc, Node<'gc>>>>,
/// }
///
/// let mut heap = LocalHeap::new()?;
/// let name: Rc<str> = "node".into();
/// let root: LocalRoot<Node<'static>> = heap.enter(|cx| {
///     let node = || cx.alloc(Node {
///         name: name.clone(),
///         visits: Cell::new(0),
///         parent: LocalCell::empty(),
///         children: LocalRefCell::default(),
///     });
///     let (parent, child) = (node(), node());
///     child.parent.set(cx, Some(parent));
///     parent.children.borrow_mut(cx).push(child);
///     cx.root(parent)
/// });
/// heap.collect()?;
/// heap.enter(|cx| {
///     let parent = root.get(cx);
///     parent.visits.set(parent.visits.get() + 1);
///     assert_eq!(parent.children.borrow().len(), 1);
/// });
/// drop(root);
/// heap.collect()?;
/// assert_eq!(Rc::strong_count(&name), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Why it is not `Send`
///
/// A heap may hold an `Rc` whose other half is outside, so it cannot move by itself. Nor is there
/// a bound on what is allocated that would let it: a `Gc` is `Send` only if its target is `Sync`,
/// because it can be sent without its heap, and so no graph with a [`LocalCell`] or a
/// [`LocalRefCell`] is `Send`, although it could move together with its heap.
///
/// What *is* promised: neither the heap nor a [`LocalRoot`] is bound to a thread by itself. A type
/// of your own that holds a heap and *all* of its roots may be declared `Send`, by an
/// `unsafe impl`, if every value that is ever allocated in the heap is of a type that could be
/// sent if its references into the heap were plain numbers.
///
/// [`LocalCell`]: crate::LocalCell
/// [`LocalRefCell`]: crate::LocalRefCell
/// [`LocalRoot`]: crate::LocalRoot
pub struct LocalHeap {
    cycle: Incremental,
    owner: Owner,
    /// Neither `Send` nor `Sync`.
    one_thread: PhantomData<*mut ()>,
}

impl LocalHeap {
    /// A heap with the usual settings.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] if the system has no address range for it.
    pub fn new() -> Result<Self, ReserveError> {
        Self::builder().build()
    }

    /// A heap to be built.
    pub fn builder() -> LocalBuilder {
        LocalBuilder {
            policy: Policy::Percent(100),
            reserve_bytes: RESERVE_BYTES,
            limit_bytes: None,
            step_objects_max: STEP_OBJECTS_MAX,
            source: AnySource::new(Mmap::default()),
        }
    }

    /// Runs `run` inside the heap: only there can references be held. Then takes a step of a cycle,
    /// if one is due.
    ///
    /// References cannot leave the closure; what must outlive it goes into a
    /// [`LocalRoot`](crate::LocalRoot). While it runs nothing is marked, swept or dropped.
    ///
    /// A panic in the closure leaves the heap as if it had returned, but for the step.
    ///
    /// # Panics
    ///
    /// If it is called by a `trace`.
    #[inline]
    pub fn enter<R>(&mut self, run: impl for<'gc> FnOnce(&LocalCx<'gc>) -> R) -> R {
        assert!(
            !matches!(current(), Task::Marking { .. }),
            "a `trace` entered a local heap"
        );
        let result = run(&LocalCx::new(&self.owner));
        self.cycle.edge(&self.owner);
        result
    }

    /// Runs a cycle from beginning to end, after the one that is under way; returns when everything
    /// that was dead has been dropped and freed. It takes as long as the heap is large.
    ///
    /// # Errors
    ///
    /// [`CollectError`]; nothing was freed then.
    pub fn collect(&mut self) -> Result<CycleStats, CollectError> {
        self.cycle.collect(&self.owner)
    }

    /// Begins a cycle now, unless one is under way: for a program that has time to spare.
    ///
    /// Its steps follow as closures allocate, or by [`Self::step`].
    pub fn begin_cycle(&mut self) {
        self.cycle.begin(&self.owner, Reason::Explicit);
    }

    /// Takes a step of the cycle under way, whether it is owed or not; false when none is left.
    ///
    /// # Errors
    ///
    /// [`CollectError::TracePanicked`]; the cycle is given up then, and nothing was freed.
    pub fn step(&mut self) -> Result<bool, CollectError> {
        if current() != Task::None {
            return Err(CollectError::Reentrant);
        }
        self.cycle.step(&self.owner)
    }

    /// Sets the growth in percent after which a cycle should have ended; `None`: no cycle begins
    /// for growth.
    pub fn set_gc_percent(&mut self, percent: Option<u32>) {
        let policy = percent.map_or(Policy::Off, Policy::Percent);
        let core = &self.owner.core;
        core.set_pacing(|settings| settings.policy = policy);
        self.cycle.aim(core);
    }

    /// Gives all free memory back to the operating system, now; returns how many bytes. What is
    /// dead but not collected is not free: collect first. Nobody does it in the background.
    pub fn release_os_memory(&mut self) -> usize {
        self.owner.core.give_all_back()
    }

    /// A snapshot of the heap's figures.
    ///
    /// Here the world is stopped for a step at a closure's edge, or of [`Self::step`]: `pause_max`
    /// is the longest one, `pause_total` all of them, [`Self::steps`] their number. What
    /// [`Self::collect`] took is in `wait_max`.
    pub fn stats(&self) -> Stats {
        self.owner.core.stats()
    }

    /// How many steps were taken.
    pub fn steps(&self) -> u64 {
        self.cycle.steps
    }

    /// Spans and objects by type and size class. Linear in the number of spans.
    pub fn census(&self) -> Vec<Census> {
        self.owner.core.heap.census()
    }
}

impl Drop for LocalHeap {
    /// Drops every object, on this thread.
    fn drop(&mut self) {
        // Slots that were taken and not used must not count as objects.
        self.owner.core.retire(&self.owner.state);
    }
}

impl fmt::Debug for LocalHeap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalHeap")
            .field("live_bytes", &self.owner.core.live_bytes())
            .field("in_cycle", &self.cycle.is_active())
            .finish_non_exhaustive()
    }
}

/// The settings of a local heap.
pub struct LocalBuilder {
    policy: Policy,
    reserve_bytes: usize,
    limit_bytes: Option<usize>,
    step_objects_max: usize,
    source: AnySource,
}

impl LocalBuilder {
    /// By how many percent of what survived the heap grows before the next cycle should have ended:
    /// 100 if not set.
    pub fn gc_percent(mut self, percent: u32) -> Self {
        self.policy = Policy::Percent(percent);
        self
    }

    /// No cycle begins for the heap's growth.
    pub fn gc_off(mut self) -> Self {
        self.policy = Policy::Off;
        self
    }

    /// Objects that a step marks at the most: 8,192 if not set, at least 256. A step may exceed it
    /// by some 1,300.
    pub fn step_objects(mut self, objects_max: usize) -> Self {
        self.step_objects_max = objects_max;
        self
    }

    /// Bytes of address range to reserve: the most that the heap can ever hold. 16 GiB if not set;
    /// half of it, and so on, where the system refuses.
    pub fn reserve_bytes(mut self, bytes: usize) -> Self {
        self.reserve_bytes = bytes.max(RESERVE_BYTES_MIN);
        self
    }

    /// Bytes of pages that may be in use at once; an allocation beyond fails as a value.
    pub fn limit_bytes(mut self, bytes: usize) -> Self {
        self.limit_bytes = Some(bytes);
        self
    }

    /// Where the heap's memory comes from, instead of the operating system.
    pub fn page_source(mut self, source: impl PageSource) -> Self {
        self.source = AnySource::new(source);
        self
    }

    /// Reserves the range.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] if not even 8 MiB of addresses can be had.
    pub fn build(self) -> Result<LocalHeap, ReserveError> {
        let heap = alloc_core::Heap::new(self.source, self.reserve_bytes, RESERVE_BYTES_MIN)?;
        let settings = Settings {
            policy: self.policy,
            hard_limit_bytes: self.limit_bytes,
            is_beside: false,
            fences: Fences::Symmetric,
            debug: crate::Debug::default(),
        };
        let core = Arc::new(Core::new(heap, settings));
        let state = core.register("local");
        Ok(LocalHeap {
            cycle: Incremental::new(&core, self.step_objects_max),
            owner: Owner { core, state },
            one_thread: PhantomData,
        })
    }
}

impl fmt::Debug for LocalBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBuilder")
            .field("reserve_bytes", &self.reserve_bytes)
            .field("limit_bytes", &self.limit_bytes)
            .finish_non_exhaustive()
    }
}
