//! What every heap has, whatever collects it: the allocator, the sweeper, the mutators, the
//! handle table, and the account of bytes that decides when to collect.
//!
//! # The account
//!
//! `live_bytes` is what slots in use take: charged when a mutator takes a span's free slots,
//! discharged when it hands back what it did not use and when a sweep finds objects dead. While a
//! sweep goes on it is too high by the dead not yet found; the trigger is set again when they are.
//!
//! | field | written by | read by |
//! |---|---|---|
//! | `live_bytes`, `allocated_bytes` | allocation's slow path, sweeping | anyone |
//! | `allocated_at_cycle` | the collector when sweeping begins | [`Core::repace`] |
//! | `trigger_bytes` | [`Core::repace`] | allocation's slow path |
//! | `percent` | the user, any time | [`Core::repace`] |
//! | `debt` | the collector when sweeping begins | allocation's slow path |

use crate::pacer;
use crate::ports::refill::RefillPort;
use crate::ports::source::AnySource;
use crate::ports::sweep::SweepPort;
use crate::raw::object_type::ops;
use crate::raw::roots::RootTable;
use crate::raw::task::{Task, during};
use crate::raw::world::World;
use crate::stats::{Counters, CycleStats};
use crate::sync::{AtomicUsize, Mutex, Ordering, lock};
use alloc_core::{Exhausted, Heap, SizeClass, ThreadCache, TypeInfo};
use gc_mark::{Kind, Object};
use gc_sweep::{Debt, Glue, Step, Sweeper};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

/// Spans that the background thread sweeps in one step.
const SWEEP_STEP_SPANS: usize = 256;
/// All spans without drop glue are swept by the time this much has been allocated after a cycle.
const SWEEP_RUNWAY_BYTES: u64 = 4 << 20;
/// `percent` of a heap that is never collected for its size.
const PERCENT_OFF: usize = usize::MAX;

/// What belongs to one mutator alone.
#[derive(Default)]
pub(crate) struct Local {
    pub(crate) cache: ThreadCache,
}

/// References that an embedder keeps outside of the heap, in stacks or tables of its own.
///
/// # Safety
///
/// `report_roots` reports every such reference, with the kind that its object was allocated with,
/// whenever the world is stopped. It neither enters the heap nor waits for a mutator.
pub unsafe trait RootSource: Send + Sync {
    /// Calls `report` with each reference.
    fn report_roots(&self, report: &mut dyn FnMut(Object, Kind));
}

/// A heap without its collector.
pub(crate) struct Core {
    pub(crate) heap: Heap<AnySource>,
    pub(crate) sweeper: Sweeper,
    pub(crate) world: World<Local>,
    pub(crate) roots: Arc<RootTable>,
    pub(crate) counters: Counters,
    extra_roots: Mutex<Vec<Arc<dyn RootSource>>>,
    live_bytes: AtomicUsize,
    /// `allocated_bytes` when the last cycle's marking was over.
    allocated_at_cycle: AtomicUsize,
    trigger_bytes: AtomicUsize,
    percent: AtomicUsize,
    debt: Mutex<Option<Owed>>,
    /// The last cycle, until its sweep is over and its line is written.
    pub(crate) unreported: Mutex<Option<CycleStats>>,
}

/// A debt of sweeping.
struct Owed {
    debt: Debt,
    swept: u64,
}

impl Core {
    pub(crate) fn new(heap: Heap<AnySource>, percent: Option<u32>) -> Self {
        let core = Self {
            heap,
            sweeper: Sweeper::new(),
            world: World::new(),
            roots: Arc::default(),
            counters: Counters::default(),
            extra_roots: Mutex::default(),
            live_bytes: AtomicUsize::new(0),
            allocated_at_cycle: AtomicUsize::new(0),
            trigger_bytes: AtomicUsize::new(usize::MAX),
            percent: AtomicUsize::new(PERCENT_OFF),
            debt: Mutex::default(),
            unreported: Mutex::default(),
        };
        core.set_percent(percent);
        core
    }

    /// Memory for an object, uninitialised, where the cache's own `take` has none; its slot counts
    /// as allocated.
    ///
    /// # Safety
    ///
    /// * The caller is inside, and `local` is its mutator's.
    /// * It initialises the object before it lets go of `info`'s promises: before it publishes the
    ///   reference or leaves. Or it gives the slot back by [`Heap::unallocate`].
    /// * `info` was made by [`crate::raw::info`]; `bytes` is at least its size.
    pub(crate) unsafe fn alloc_slow(
        &self,
        local: &mut Local,
        info: &'static TypeInfo,
        class: Option<SizeClass>,
        bytes: usize,
    ) -> Result<NonNull<u8>, Exhausted> {
        match class {
            Some(class) => local
                .cache
                .alloc_slow(&self.heap, &RefillPort(self), info, class),
            None => self.heap.alloc_large(&RefillPort(self), info, bytes),
        }
    }

    /// Bytes of slots in use, as far as is known.
    pub(crate) fn live_bytes(&self) -> usize {
        // Relaxed: a count.
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// The size at which the next cycle begins.
    pub(crate) fn trigger_bytes(&self) -> usize {
        // Relaxed: a figure.
        self.trigger_bytes.load(Ordering::Relaxed)
    }

    /// Sets the growth in percent after which a cycle begins; `None`: never for growth.
    pub(crate) fn set_percent(&self, percent: Option<u32>) {
        let percent = percent.map_or(PERCENT_OFF, |percent| percent as usize);
        // Relaxed: the next reckoning uses it.
        self.percent.store(percent, Ordering::Relaxed);
        self.repace();
    }

    /// Sets the trigger by what survived the last cycle, as far as it is swept. What was allocated
    /// since counts as growth, whenever this is called.
    pub(crate) fn repace(&self) {
        // Relaxed: as above.
        let percent = u32::try_from(self.percent.load(Ordering::Relaxed)).ok();
        let since = self.allocated_since_cycle();
        let survived_bytes = self.live_bytes().saturating_sub(since);
        let goal_bytes = pacer::goal_bytes(survived_bytes, percent);
        // Relaxed: a figure; an allocator that reads the old one triggers once too often.
        self.trigger_bytes.store(goal_bytes, Ordering::Relaxed);
    }

    fn allocated_since_cycle(&self) -> usize {
        // Relaxed: a count; moved while the world is stopped.
        let before = self.allocated_at_cycle.load(Ordering::Relaxed);
        self.counters.allocated_bytes.get().saturating_sub(before)
    }

    /// No cycle is wanted until the next [`Self::repace`].
    pub(crate) fn suspend_trigger(&self) {
        // Relaxed: as in `repace`.
        self.trigger_bytes.store(usize::MAX, Ordering::Relaxed);
        self.world.take_wish();
    }

    /// Slots have been taken: counts them, wants a collection at the trigger, pays for sweeping.
    pub(crate) fn charge(&self, bytes: usize) {
        // Relaxed: counts.
        let live = self.live_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.counters.allocated_bytes.add(bytes);
        if live >= self.trigger_bytes() {
            self.world.want_collection();
        }
        if !self.sweeper.is_done() {
            self.pay_debt();
        }
    }

    /// Slots came free, or were handed back unused.
    pub(crate) fn discharge(&self, bytes: usize) {
        // Relaxed: a count.
        self.live_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The slots that a mutator took and did not use go back.
    pub(crate) fn flush(&self, local: &mut Local) {
        let unused = local.cache.flush(&self.heap);
        self.discharge(unused);
        self.counters.allocated_bytes.sub(unused);
    }

    /// Fixes how much sweeping each allocated byte owes from now on.
    pub(crate) fn fix_debt(&self) {
        let spans = u64::from(self.heap.spans_end());
        let allocated_bytes = self.counters.allocated_bytes.get();
        // Relaxed: the world is stopped; resuming it publishes the count.
        self.allocated_at_cycle
            .store(allocated_bytes, Ordering::Relaxed);
        *lock(&self.debt) = Some(Owed {
            debt: Debt::new(spans, SWEEP_RUNWAY_BYTES),
            swept: 0,
        });
    }

    #[cold]
    fn pay_debt(&self) {
        let due = {
            let mut debt = lock(&self.debt);
            let Some(owed) = &mut *debt else { return };
            let since = self.allocated_since_cycle();
            let due = owed.debt.due(since as u64, owed.swept);
            // Counted in indexes, of which a batch takes as many as spans that it sweeps.
            owed.swept += due;
            due
        };
        if due > 0 {
            let space = SweepPort {
                core: self,
                keep_empty: false,
            };
            let progress = self
                .sweeper
                .sweep_batch(&space, Glue::Without, due as usize);
            self.discharge(progress.freed_bytes);
            if progress.exhausted {
                *lock(&self.debt) = None;
                // Not left to the background thread, which may have to wait for a processor: until
                // there is a trigger no cycle begins.
                self.repace();
            }
        }
    }

    /// One step of the background thread: spans without drop glue first, which are quick and let
    /// the trigger be set, then the others.
    pub(crate) fn sweep_step(&self) -> Step {
        let space = SweepPort {
            core: self,
            keep_empty: false,
        };
        let quick = self
            .sweeper
            .sweep_batch(&space, Glue::Without, SWEEP_STEP_SPANS);
        self.discharge(quick.freed_bytes);
        if !quick.exhausted {
            return Step::More;
        }
        let slow = self
            .sweeper
            .sweep_batch(&space, Glue::With, SWEEP_STEP_SPANS);
        self.discharge(slow.freed_bytes);
        self.repace();
        if !slow.exhausted {
            return Step::More;
        }
        self.report();
        Step::Done
    }

    /// Sweeps all that is left, drop glue included, and waits for those who sweep.
    pub(crate) fn finish_sweep(&self) {
        if !self.sweeper.is_done() {
            let space = SweepPort {
                core: self,
                keep_empty: false,
            };
            let progress = self.sweeper.finish(&space);
            self.discharge(progress.freed_bytes);
        }
        self.report();
    }

    /// Closes the books of the last cycle, if they are open.
    pub(crate) fn report(&self) {
        let last = lock(&self.unreported).take();
        if let Some(mut cycle) = last {
            cycle.live_bytes = self.live_bytes();
            self.counters.close_cycle(cycle);
            crate::trace_line::cycle(&cycle, self.trigger_bytes());
        }
    }

    /// Adds a source of roots.
    pub(crate) fn add_root_source(&self, source: Arc<dyn RootSource>) {
        lock(&self.extra_roots).push(source);
    }

    /// Reports the roots of every source, with no lock held.
    pub(crate) fn scan_extra_roots(&self, report: &mut dyn FnMut(Object, Kind)) {
        let sources = lock(&self.extra_roots).clone();
        sources
            .iter()
            .for_each(|source| source.report_roots(report));
    }

    /// A panic came out of drop glue: it is counted, and nothing else depends on it.
    pub(crate) fn note_drop_panic(&self, payload: Box<dyn Any + Send>) {
        self.counters.drop_panics.add(1);
        // A payload's own drop may panic as well.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
    }
}

impl Drop for Core {
    /// Drops every object that needs it; the memory goes with the reservation.
    fn drop(&mut self) {
        let end = self.heap.spans_end();
        let mut from = 0;
        while let Some(span) = self.heap.next_span(from, end) {
            from = span + 1;
            let Some(info) = self.heap.info(span).filter(|info| info.needs_drop) else {
                continue;
            };
            let drop = ops(info).drop;
            let drop_one = |object| {
                // SAFETY: allocated and not yet dropped: a swept span's dead have left its bits,
                // an unswept span's dead have not been dropped.
                let dropping = AssertUnwindSafe(|| unsafe { drop(object) });
                if let Err(payload) = during(Task::DropGlue, || catch_unwind(dropping)) {
                    self.note_drop_panic(payload);
                }
            };
            // SAFETY: nobody else has the heap any more.
            unsafe { self.heap.for_each_object(span, false, drop_one) };
        }
    }
}
