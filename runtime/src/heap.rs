//! The heap as its users hold it: built, shared, entered, looked at.

use crate::collector::{Barrier, Collector};
use crate::cx::Cx;
use crate::cycle::CollectError;
use crate::debug::Debug;
use crate::on_the_fly::OnTheFly;
use crate::pacer::Policy;
use crate::ports::source::AnySource;
use crate::raw;
use crate::raw::core::{Core, Local, Settings};
use crate::raw::fences::Fences;
use crate::raw::shared::Shared;
use crate::raw::world::State;
use crate::scavenge;
use crate::stats::{CycleStats, Stats};
use crate::sync::with_thread_name;
use alloc_core::{Census, Mmap, Occupancy, PageSource, ReserveError};
use std::fmt;
use std::sync::Arc;

/// The heap that most programs want.
pub type Heap = Runtime<OnTheFly>;

/// What a heap reserves if not told otherwise: addresses, not memory.
const RESERVE_BYTES: usize = 64 << 30;
/// The smallest range that is worth having.
const RESERVE_BYTES_MIN: usize = 8 << 20;

/// A garbage-collected heap with the collector `C`.
///
/// A handle: cloning it is cheap and gives another one of the same heap. The heap's memory goes
/// back, and whatever is in it is dropped, when the last handle and the last [`Mutator`] are gone.
pub struct Runtime<C: Collector = OnTheFly> {
    pub(crate) shared: Arc<Shared<C>>,
}

impl<C: Collector> Clone for Runtime<C> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<C: Collector> fmt::Debug for Runtime<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("collector", &C::NAME)
            .finish_non_exhaustive()
    }
}

impl Heap {
    /// A heap with the usual settings.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] if the system has no address range for it.
    pub fn new() -> Result<Self, ReserveError> {
        Self::builder().build()
    }
}

impl<C: Collector> Runtime<C> {
    /// A heap to be built with the collector's usual settings.
    pub fn builder() -> Builder<C>
    where
        C: Default,
    {
        Builder::new(C::default())
    }

    /// Registers a mutator: what a thread allocates with. Usually one a thread; called by the
    /// thread's name in reports.
    pub fn mutator(&self) -> Mutator<C> {
        with_thread_name(|name| self.mutator_named(name.unwrap_or("unnamed")))
    }

    /// Registers a mutator under a name, by which reports call it.
    pub fn mutator_named(&self, name: &str) -> Mutator<C> {
        let state = self.shared.core.register(name);
        Mutator {
            shared: self.shared.clone(),
            state,
        }
    }

    /// Runs a cycle; returns when everything that was dead has been dropped and freed. At any
    /// time, from any thread that is in no closure of this heap.
    ///
    /// The cleanups of what died are queued then, and have not necessarily run: see
    /// [`Self::run_cleanups`].
    ///
    /// # Errors
    ///
    /// [`CollectError`]; nothing was freed then.
    ///
    /// # Panics
    ///
    /// If this thread is inside a closure of this heap: the cycle would wait for its end.
    pub fn collect(&self) -> Result<CycleStats, CollectError> {
        self.shared.collect()
    }

    /// Runs the [cleanups](Cx::on_death) that are queued, on this thread, and waits for those that
    /// the heap's own thread is at; how many this call has run. After [`Self::collect`] it makes
    /// sure that the cleanups of all that had died have run.
    ///
    /// From a cleanup it runs what is queued and waits for nothing.
    ///
    /// # Panics
    ///
    /// If this thread is inside a closure of this heap, or in drop glue: a cleanup that collects
    /// would wait for it.
    pub fn run_cleanups(&self) -> usize {
        self.shared.run_cleanups()
    }

    /// Sets the growth in percent after which a cycle begins; `None`: never for growth. At any
    /// time, from any thread.
    pub fn set_gc_percent(&self, percent: Option<u32>) {
        self.set_policy(percent.map_or(Policy::Off, Policy::Percent));
    }

    /// Sets how much the heap may grow before the next cycle begins. At any time, from any thread.
    pub fn set_policy(&self, policy: Policy) {
        if C::COLLECTS {
            self.shared
                .core
                .set_pacing(|settings| settings.policy = policy);
        }
    }

    /// Sets or lifts the size that the heap should not exceed, in bytes of its pages and of its own
    /// tables, 3/128 of those: cycles begin earlier and free memory goes back sooner as it comes
    /// near. What else the process has is not counted. It is soft: where keeping it would take more
    /// than half of the processors it is exceeded. At any time, from any thread.
    ///
    /// What must never be exceeded is [`Builder::limit_bytes`], which is such a limit as well.
    pub fn set_memory_limit(&self, limit_bytes: Option<usize>) {
        let core = &self.shared.core;
        let limits = limit_bytes.into_iter().chain(core.hard_limit_bytes);
        let limit_bytes = limits.min();
        core.set_pacing(|settings| settings.limit_bytes = limit_bytes);
    }

    /// Gives all free memory back to the operating system, now; returns how many bytes.
    ///
    /// What is dead but not collected is not free: collect first.
    pub fn release_os_memory(&self) -> usize {
        self.shared.release_os_memory()
    }

    /// A snapshot of the heap's figures.
    pub fn stats(&self) -> Stats {
        self.shared.core.stats()
    }

    /// Spans and objects by type and size class. Linear in the number of spans.
    pub fn census(&self) -> Vec<Census> {
        self.shared.core.heap.census()
    }

    /// How full the spans of each size class are, over all types. Linear in the number of spans.
    pub fn occupancy(&self) -> Vec<Occupancy> {
        self.shared.core.heap.occupancy()
    }
}

/// The settings of a heap.
pub struct Builder<C: Collector> {
    collector: C,
    policy: Policy,
    reserve_bytes: usize,
    limit_bytes: Option<usize>,
    soft_limit_bytes: Option<usize>,
    debug: Debug,
    symmetric_fences: bool,
    source: AnySource,
    scavenge_by: Box<dyn scavenge::Policy>,
}

impl<C: Collector> Builder<C> {
    /// The usual settings, with this collector.
    pub fn new(collector: C) -> Self {
        Self {
            collector,
            policy: Policy::Percent(100),
            reserve_bytes: RESERVE_BYTES,
            limit_bytes: None,
            soft_limit_bytes: None,
            debug: Debug::default(),
            symmetric_fences: false,
            source: AnySource::new(Mmap::default()),
            scavenge_by: Box::new(scavenge::Pacer::new(scavenge::Config::default())),
        }
    }

    /// By how many percent of what survived the heap grows before the next cycle: 100 if not set.
    pub fn gc_percent(mut self, percent: u32) -> Self {
        self.policy = Policy::Percent(percent);
        self
    }

    /// No cycle begins for the heap's growth.
    pub fn gc_off(mut self) -> Self {
        self.policy = Policy::Off;
        self
    }

    /// Bytes of address range to reserve: the most that the heap can ever hold. 64 GiB if not
    /// set; half of it, and so on, where the system refuses.
    pub fn reserve_bytes(mut self, bytes: usize) -> Self {
        self.reserve_bytes = bytes.max(RESERVE_BYTES_MIN);
        self
    }

    /// Bytes of pages that may be in use at once; an allocation beyond fails as a value. Cycles
    /// begin early enough to stay below, as far as the program leaves the collector time:
    /// [collect](Mutator::collect) and try again.
    pub fn limit_bytes(mut self, bytes: usize) -> Self {
        self.limit_bytes = Some(bytes);
        self
    }

    /// Takes `percent` of the memory limit that this process's control group sets (a container's)
    /// as the [soft limit](Runtime::set_memory_limit); the rest is for what else the process has.
    /// The lowest limit of the group and those above it counts, and is read here, once. Without
    /// one nothing changes.
    ///
    /// # Panics
    ///
    /// If `percent` is not from 1 to 100.
    pub fn limit_from_cgroup(mut self, percent: u32) -> Self {
        self.soft_limit_bytes = scavenge::cgroup_limit_bytes(percent);
        self
    }

    /// Who decides when free memory goes back to the operating system, instead of a
    /// [`Pacer`](scavenge::Pacer) with the usual settings.
    pub fn scavenge_by(mut self, policy: impl scavenge::Policy) -> Self {
        self.scavenge_by = Box::new(policy);
        self
    }

    /// Checks and provocations, for tests.
    pub fn debug(mut self, debug: Debug) -> Self {
        self.debug = debug;
        self
    }

    /// Orders mutators and collector by full fences on both sides, as on systems that have no
    /// `membarrier`: an entry costs some nanoseconds more, a handshake some microseconds less.
    pub fn symmetric_fences(mut self) -> Self {
        self.symmetric_fences = true;
        self
    }

    /// Where the heap's memory comes from, instead of the operating system.
    pub fn page_source(mut self, source: impl PageSource) -> Self {
        self.source = AnySource::new(source);
        self
    }

    /// Reserves the range and starts the heap's threads, asleep.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] if not even 8 MiB of addresses can be had.
    pub fn build(self) -> Result<Runtime<C>, ReserveError> {
        let heap = alloc_core::Heap::new(self.source, self.reserve_bytes, RESERVE_BYTES_MIN)?;
        let policy = if C::COLLECTS {
            self.policy
        } else {
            Policy::Off
        };
        let fences = if self.symmetric_fences {
            Fences::Symmetric
        } else {
            Fences::probe()
        };
        let settings = Settings {
            policy,
            hard_limit_bytes: self.limit_bytes,
            is_beside: C::BARRIER != Barrier::None,
            fences,
            debug: self.debug,
        };
        let core = Core::new(heap, settings);
        let runtime = Runtime {
            shared: Arc::new(Shared::new(core, self.collector, self.scavenge_by)),
        };
        if self.soft_limit_bytes.is_some() {
            runtime.set_memory_limit(self.soft_limit_bytes);
        }
        Ok(runtime)
    }
}

/// A thread's access to a heap. May move to another thread between closures.
pub struct Mutator<C: Collector = OnTheFly> {
    pub(crate) shared: Arc<Shared<C>>,
    pub(crate) state: Arc<State<Local>>,
}

impl<C: Collector> fmt::Debug for Mutator<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutator")
            .field("collector", &C::NAME)
            .finish_non_exhaustive()
    }
}

impl<C: Collector> Mutator<C> {
    /// Runs `run` inside the heap: only there can references be held.
    ///
    /// References cannot leave the closure; what must outlive it goes into a
    /// [`Root`](crate::Root). Between closures this thread holds no reference, which is what lets
    /// the collector do without looking at its stack. So a closure should not run for long: while
    /// it does, no cycle can begin.
    ///
    /// A panic in the closure leaves the heap as if it had returned.
    #[inline]
    pub fn enter<R>(&mut self, run: impl for<'gc> FnOnce(&Cx<'gc, C>) -> R) -> R {
        // SAFETY: the guard lives in this frame, around the call of `run`; frames end in order.
        let inside = unsafe { raw::enter(self) };
        run(&Cx::new(&inside))
    }

    /// Runs a cycle; returns when everything that was dead has been dropped and freed. Cleanups
    /// and finalizers of what died are queued then; [`Runtime::run_cleanups`] runs the former.
    ///
    /// By its type it cannot be called inside this mutator's closure. Waits for a cycle that runs
    /// already, and then runs one of its own.
    ///
    /// # Errors
    ///
    /// [`CollectError`]; nothing was freed then.
    ///
    /// # Panics
    ///
    /// If it is called inside a closure of *another* mutator of the same heap on the same thread.
    pub fn collect(&mut self) -> Result<CycleStats, CollectError> {
        self.shared.collect()
    }

    /// The mutator's heap.
    pub fn heap(&self) -> Runtime<C> {
        Runtime {
            shared: self.shared.clone(),
        }
    }
}

impl<C: Collector> Drop for Mutator<C> {
    fn drop(&mut self) {
        self.shared.core.retire(&self.state);
    }
}
