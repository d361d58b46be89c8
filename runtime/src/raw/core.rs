//! What every heap has, whatever collects it: the allocator, the sweeper, the mutators, the handle
//! table, the logs, and the account of bytes that decides when to collect.

use crate::cleanup::Cleanups;
use crate::debug::Debug;
use crate::finalize::Finalizers;
use crate::pacer::{self, Policy};
use crate::ports::ahead::{self, Ahead};
use crate::ports::refill::RefillPort;
use crate::ports::scavenge;
use crate::ports::source::AnySource;
use crate::raw::account::Account;
use crate::raw::assist::Assist;
use crate::raw::ephemerons::EphemeronList;
use crate::raw::fences::Fences;
use crate::raw::log::{Entry, LOG_ENTRIES, Log, Logs};
use crate::raw::object_type::ops;
use crate::raw::phase::Phase;
use crate::raw::roots::RootTable;
use crate::raw::sweeping::Owed;
use crate::raw::task::{Task, discard, during};
use crate::raw::weak_gate::WeakGate;
use crate::raw::world::{State, World};
use crate::scavenge::ScavengeStats;
use crate::stack::StackList;
use crate::stats::{Counters, CycleStats, Stats};
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock, yield_now};
use crate::weak::WeakList;
use alloc_core::{Exhausted, Heap, SizeClass, ThreadCache, TypeInfo};
use gc_mark::{Kind, Object};
use gc_sweep::{Background, Sweeper};
use scavenger::Worker;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a mutator marks at once, at the most, but for one part.
const ASSIST_MAX: Duration = Duration::from_micros(30);
/// Objects that it marks between two looks at the clock: 2 to 15 µs, by the edges that they have.
const ASSIST_PART: usize = 32;
/// What a mutator allocates before it lets others run, while a cycle is due or runs.
const TURN_BYTES: usize = 1 << 20;

/// What belongs to one mutator alone.
pub(crate) struct Local {
    pub(crate) cache: ThreadCache,
    /// What it has overwritten since a collector marks.
    pub(crate) log: Log,
    /// The sweep generation whose spans it allocates from.
    pub(crate) generation: u32,
    /// The weak cells that it made and has not handed over.
    pub(crate) weaks: Vec<usize>,
    /// The same, of ephemerons.
    pub(crate) ephemerons: Vec<usize>,
    /// Taken since it last let others run.
    pub(crate) taken_bytes: usize,
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
    pub(crate) logs: Logs,
    pub(crate) weaks: WeakList,
    pub(crate) ephemerons: EphemeronList,
    pub(crate) weak_gate: WeakGate,
    pub(crate) finalizers: Arc<Finalizers>,
    pub(crate) cleanups: Arc<Cleanups>,
    /// The thread that runs them, once there were any.
    pub(super) cleaner: Mutex<Option<Background>>,
    pub(crate) assist: Assist,
    pub(crate) ahead: Ahead,
    /// The cycle that arms or marks beside the mutators, or did so last; from 1.
    pub(crate) cycle: AtomicU64,
    /// The generation that mutators allocate with, as of the last handshake.
    generation: AtomicU32,
    pub(crate) debug: Debug,
    /// Bytes of pages that may be in use at once.
    pub(crate) hard_limit_bytes: Option<usize>,
    extra_roots: Mutex<Vec<Arc<dyn RootSource>>>,
    /// Stacks whose frames hold references: see [`crate::stack`].
    pub(crate) stacks: StackList,
    pub(crate) account: Account,
    pub(super) debt: Mutex<Option<Owed>>,
    /// The thread that gives memory back, where the system granted one.
    scavenger: Mutex<Option<Worker>>,
    /// The last cycle, until its sweep is over and its line is written.
    pub(crate) unreported: Mutex<Option<CycleStats>>,
}

/// How a heap is set up.
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    pub(crate) hard_limit_bytes: Option<usize>,
    /// Marking marks beside the mutators.
    pub(crate) is_beside: bool,
    pub(crate) fences: Fences,
    pub(crate) debug: Debug,
}

impl Core {
    pub(crate) fn new(heap: Heap<AnySource>, settings: Settings) -> Self {
        if let Some(limit_bytes) = settings.hard_limit_bytes {
            heap.pages().set_limit(limit_bytes);
        }
        let sweeper = Sweeper::new();
        let core = Self {
            heap,
            world: World::new(settings.fences),
            roots: Arc::default(),
            counters: Counters::default(),
            logs: Logs::default(),
            weaks: WeakList::default(),
            ephemerons: EphemeronList::default(),
            weak_gate: WeakGate::default(),
            finalizers: Arc::default(),
            cleanups: Arc::default(),
            cleaner: Mutex::default(),
            assist: Assist::default(),
            ahead: Ahead::default(),
            cycle: AtomicU64::new(0),
            generation: AtomicU32::new(sweeper.generation()),
            sweeper,
            debug: settings.debug,
            hard_limit_bytes: settings.hard_limit_bytes,
            extra_roots: Mutex::default(),
            stacks: StackList::default(),
            account: Account::new(settings.policy, settings.is_beside),
            debt: Mutex::default(),
            scavenger: Mutex::default(),
            unreported: Mutex::default(),
        };
        core.set_pacing(|pacing| pacing.limit_bytes = core.hard_limit_bytes);
        core
    }

    /// Starts giving memory back in the background.
    pub(crate) fn start_scavenger(self: &Arc<Self>, policy: Box<dyn scavenger::Policy>) {
        *lock(&self.scavenger) = scavenge::spawn(self, policy);
        self.ahead.prepare(self);
        self.repace();
    }

    /// Ends the core's threads, and waits for them: nothing of the heap outlives its last handle
    /// then.
    pub(crate) fn stop_threads(&self) {
        let worker = lock(&self.scavenger).take();
        drop(worker);
        let cleaner = lock(&self.cleaner).take();
        drop(cleaner);
        self.ahead.stop();
    }

    /// Registers a mutator.
    pub(crate) fn register(&self, name: &str) -> Arc<State<Local>> {
        self.world.register(name, |phase| {
            let mut cache = ThreadCache::new();
            if phase == Phase::Marking {
                cache.blacken(&self.heap);
            }
            Local {
                cache,
                log: Log::default(),
                // Relaxed: announced under the lock that registering holds.
                generation: self.generation.load(Ordering::Relaxed),
                weaks: Vec::new(),
                ephemerons: Vec::new(),
                taken_bytes: 0,
            }
        })
    }

    /// Removes a mutator: what it has goes back, by way of the closure's edge like everything else.
    pub(crate) fn retire(&self, state: &Arc<State<Local>>) {
        let ack = |local: &mut Local, from, to| self.acknowledge(local, from, to);
        let last = |local: &mut Local| {
            self.logs.hand_over_early(&mut local.log);
            self.flush(local);
        };
        // SAFETY: called as the mutator is dropped, which its closures borrow.
        unsafe { self.world.retire(state, &ack, last) };
    }

    /// What a mutator does at a handshake, or the collector in its name.
    pub(crate) fn acknowledge(&self, local: &mut Local, from: Phase, to: Phase) {
        match to {
            Phase::Arming | Phase::Armed => {}
            Phase::Marking if from == Phase::Marking => {
                self.logs.hand_over(&mut local.log);
                self.weaks.add(&mut local.weaks);
                self.ephemerons.add(&mut local.ephemerons);
            }
            Phase::Marking => local.cache.blacken(&self.heap),
            Phase::Idle => {
                local.log.clear();
                self.flush(local);
                // Relaxed: announced before the handshake was published.
                local.generation = self.generation.load(Ordering::Relaxed);
            }
        }
    }

    /// Tells every mutator of a phase; returns when all know. `announce` as in
    /// [`World::handshake`].
    pub(crate) fn handshake(&self, phase: Phase, announce: impl FnOnce()) {
        self.debug.delay();
        let ack = |local: &mut Local, from, to| self.acknowledge(local, from, to);
        let mut next_line = Duration::ZERO;
        let mut late = |state: &State<Local>, wait: Duration| {
            self.counters.note_late(state.name(), wait);
            self.logs.thin_out();
            if wait >= next_line {
                crate::trace_line::late(state.name(), wait);
                next_line = wait * 2;
            }
        };
        self.world.handshake(phase, announce, &ack, &mut late);
        self.counters.end_late();
    }

    /// Moves mutators to the sweeper's generation, out of every phase of marking.
    pub(crate) fn rest(&self) {
        let generation = self.sweeper.generation();
        self.handshake(Phase::Idle, || {
            // Relaxed: published by the handshake, and under the registry's lock.
            self.generation.store(generation, Ordering::Relaxed);
        });
    }

    /// Logs an entry for a mutator.
    pub(crate) fn log(&self, local: &mut Local, entry: Entry) {
        let entries_max = match self.debug.log_entries {
            _ if self.debug.delay_logs => usize::MAX,
            entries => entries.unwrap_or(LOG_ENTRIES),
        };
        if local.log.push(entry, entries_max) {
            self.logs.hand_over_early(&mut local.log);
        }
    }

    /// Objects that have lost their last handle are to be marked.
    pub(crate) fn log_dropped_handles(&self) {
        self.logs
            .add(self.roots.take_log(|object| self.is_marked(object)));
    }

    /// Whether the object's mark is set. Set marks stay until the cycle's sweep.
    pub(crate) fn is_marked(&self, object: Object) -> bool {
        self.heap.marks().test(self.heap.granule_of(object.0))
    }

    /// Memory for an object when the words at hand have none.
    ///
    /// # Errors
    ///
    /// [`Exhausted`]; nothing is changed then.
    ///
    /// # Safety
    ///
    /// The caller is inside and `local` is its mutator's; `info` was made by [`crate::raw::info`]
    /// and `bytes` is at least its size.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn alloc_slow(
        &self,
        local: &mut Local,
        info: &'static TypeInfo,
        class: Option<SizeClass>,
        bytes: usize,
    ) -> Result<NonNull<u8>, Exhausted> {
        let refill = RefillPort {
            core: self,
            generation: local.generation,
        };
        let allocated = match class {
            Some(class) => local.cache.alloc(&self.heap, &refill, info, class),
            None => {
                let black = local.cache.is_black();
                self.heap.alloc_large(&refill, info, bytes, black)
            }
        };
        if self.heap.pages().is_low() && self.account.room_bytes() >= ahead::ROOM_BYTES_MIN {
            self.ahead.ask();
        }
        allocated
    }

    /// Bytes of slots in use, as far as is known.
    pub(crate) fn live_bytes(&self) -> usize {
        self.account.live_bytes()
    }

    /// Changes how much the heap may grow, or what it should not exceed.
    pub(crate) fn set_pacing(&self, change: impl FnOnce(&mut pacer::Settings)) {
        let in_use_bytes = self.heap.pages().stats().in_use_bytes;
        self.account.set(change, in_use_bytes);
        self.tell_scavenger(in_use_bytes);
    }

    /// Sets the trigger by what survived the last cycle, as far as it is swept.
    pub(crate) fn repace(&self) {
        let in_use_bytes = self.heap.pages().stats().in_use_bytes;
        self.account.repace(in_use_bytes);
        self.tell_scavenger(in_use_bytes);
    }

    fn tell_scavenger(&self, in_use_bytes: usize) {
        if let Some(scavenger) = &*lock(&self.scavenger) {
            let goal_bytes = self.account.goal_bytes();
            let live_bytes = self.live_bytes();
            scavenger.set_goal(pacer::goal_pages_bytes(
                goal_bytes,
                live_bytes,
                in_use_bytes,
            ));
            scavenger.set_limit(self.account.limit_pages_bytes());
        }
    }

    /// What a mutator that marks beside the collector owes, having taken `taken_bytes`: it marks,
    /// after a call of `begin`.
    pub(crate) fn assist(&self, taken_bytes: usize, begin: &dyn Fn()) {
        let mutators = || self.world.mutators();
        let done = || {
            // Relaxed: a count.
            let before = self.counters.objects_marked.load(Ordering::Relaxed);
            self.assist.help(0).map(|now| before + now)
        };
        let mut objects = self.account.owed_objects(taken_bytes, done, mutators);
        if objects == 0 {
            return;
        }
        begin();
        let begun = Instant::now();
        while objects > 0 && begun.elapsed() < ASSIST_MAX {
            let part = objects.min(ASSIST_PART);
            if self.assist.help(part).is_none() {
                break;
            }
            objects -= part;
        }
        self.account.note_assist(begun.elapsed());
    }

    /// A mutator takes `taken_bytes` while a cycle is due or runs: now and then it lets others run,
    /// after a call of `begin`.
    ///
    /// Where threads outnumber processors the collector may be among those that wait for one, and
    /// all that is allocated until it is through counts as surviving. On two processors two
    /// mutators at full speed let a heap of 200 MiB grow to 700 to 950 MiB, and to 500 to 550 if
    /// they do this. Nobody waits: if no thread does for this processor, it is a system call.
    pub(crate) fn give_way(&self, local: &mut Local, taken_bytes: usize, begin: &dyn Fn()) {
        local.taken_bytes += taken_bytes;
        if local.taken_bytes >= TURN_BYTES {
            local.taken_bytes = 0;
            begin();
            yield_now();
        }
    }

    /// Clears what refers weakly to the dead, before some of them are brought back.
    ///
    /// # Safety
    ///
    /// As [`WeakList::clear_dead`].
    pub(crate) unsafe fn clear_weak(&self) {
        // SAFETY: this function's own precondition.
        unsafe { self.weaks.clear_targets(self) };
        // SAFETY: as above.
        unsafe {
            self.ephemerons
                .clear_dead(|object| self.is_marked(object), true)
        };
    }

    /// Slots have been taken: counts them, wants a collection at the trigger, pays for sweeping.
    pub(crate) fn charge(&self, bytes: usize) {
        if self.account.charge(bytes) {
            self.world.want_collection();
        }
        if !self.sweeper.is_done() {
            self.pay_debt();
        }
    }

    /// Slots came free.
    pub(crate) fn discharge(&self, bytes: usize) {
        self.account.discharge(bytes);
    }

    /// The slots that a mutator took and did not use go back, and its new weak cells are listed.
    pub(crate) fn flush(&self, local: &mut Local) {
        self.weaks.add(&mut local.weaks);
        self.ephemerons.add(&mut local.ephemerons);
        let unused = local.cache.flush(&self.heap);
        self.account.hand_back(unused);
    }

    /// Adds a source of roots.
    pub(crate) fn add_root_source(&self, source: Arc<dyn RootSource>) {
        lock(&self.extra_roots).push(source);
    }

    /// Whether there is a source of roots.
    pub(crate) fn has_extra_roots(&self) -> bool {
        !lock(&self.extra_roots).is_empty()
    }

    /// Reports the roots of every source, with no lock held.
    pub(crate) fn scan_extra_roots(&self, report: &mut dyn FnMut(Object, Kind)) {
        let sources = lock(&self.extra_roots).clone();
        sources
            .iter()
            .for_each(|source| source.report_roots(report));
    }

    /// A snapshot of the figures.
    pub(crate) fn stats(&self) -> Stats {
        let pages = self.heap.pages().stats();
        let worker = lock(&self.scavenger).as_ref().map(Worker::statistics);
        let (finalizers, finalizers_queued) = self.finalizers.counts();
        let (cleanups, cleanups_queued) = self.cleanups.counts();
        Stats {
            live_bytes: self.live_bytes(),
            goal_bytes: self.account.goal_bytes(),
            allocated_bytes: self.account.allocated_bytes(),
            external_bytes: self.account.external_bytes(),
            heap_bytes: pages.in_use_bytes,
            retained_bytes: pages.retained_bytes,
            released_bytes: pages.released_bytes,
            limit_bytes: self.account.settings().limit_bytes,
            scavenge: ScavengeStats::new(&pages, worker),
            mutators: self.world.mutators(),
            roots: self.roots.len(),
            finalizers,
            finalizers_queued,
            finalizers_run: self.finalizers.run.get(),
            finalizer_panics: self.finalizers.panics.get(),
            cleanups,
            cleanups_queued,
            cleanups_run: self.cleanups.run.get(),
            cleanup_panics: self.cleanups.panics.get(),
            ..self.counters.snapshot()
        }
    }

    /// A panic came out of drop glue: it is counted, and nothing else depends on it.
    pub(crate) fn note_drop_panic(&self, payload: Box<dyn Any + Send>) {
        self.counters.drop_panics.add(1);
        discard(payload);
    }
}

impl Drop for Core {
    /// Drops every object that needs it, and runs all cleanups that are left; the memory goes with
    /// the reservation.
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
        self.finalizers.forget();
        self.cleanups.run_last();
    }
}
