//! Which threads run, and how they are stopped.
//!
//! A thread is *running* unless it waits for a collection or is away (joining others). A collector
//! raises [`STOP`], waits until none runs, collects, lowers it and counts an epoch; a thread that
//! sees it raised, or whose allocation asked for a collection, waits for the epoch to change. Roots
//! are the stacks of the attached threads and the registered tables: a collector reads them only
//! while none runs, and the lock passes on what was written before.

use crate::local::Local;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Raised from the request to stop until the end of the collection; threads poll it.
static STOP: AtomicBool = AtomicBool::new(false);

static COLLECTIONS: AtomicU64 = AtomicU64::new(0);

static STATE: Mutex<State> = Mutex::new(State {
    running: 0,
    stopping: false,
    epoch: 0,
    locals: Vec::new(),
    tables: Vec::new(),
});

/// Signaled when a thread stops running.
static STOPPED: Condvar = Condvar::new();

/// Signaled when a collection is over.
static RESUMED: Condvar = Condvar::new();

pub(crate) struct State {
    running: usize,
    stopping: bool,
    epoch: u64,
    /// The addresses of the attached threads' [`Local`]s.
    pub(crate) locals: Vec<usize>,
    /// Address and length of each table of roots.
    pub(crate) tables: Vec<(usize, usize)>,
}

pub(crate) fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(of: &Condvar, state: MutexGuard<'static, State>) -> MutexGuard<'static, State> {
    of.wait(state).unwrap_or_else(PoisonError::into_inner)
}

/// How many collections there were.
pub(crate) fn collections() -> u64 {
    // Relaxed: a count; nothing is read on its strength.
    COLLECTIONS.load(Ordering::Relaxed)
}

/// Waits if a collector wants the world to stop.
#[inline(always)]
pub(crate) fn poll() {
    // Relaxed: seen late, it stops the thread late; what a collection wrote comes with the lock.
    if STOP.load(Ordering::Relaxed) {
        wait_for_collection();
    }
}

/// Waits for the end of a collection that has begun or was asked for.
#[cold]
pub(crate) fn wait_for_collection() {
    let mut state = state();
    let epoch = state.epoch;
    state.running -= 1;
    STOPPED.notify_all();
    while state.epoch == epoch || state.stopping {
        state = wait(&RESUMED, state);
    }
    state.running += 1;
}

/// Becomes a running thread, once no collection is under way.
pub(crate) fn enter() {
    let mut state = state();
    while state.stopping {
        state = wait(&RESUMED, state);
    }
    state.running += 1;
}

/// Stops being one.
pub(crate) fn leave() {
    state().running -= 1;
    STOPPED.notify_all();
}

/// Does what may take long and touches no object, without holding collections up.
pub(crate) fn away<R>(work: impl FnOnce() -> R) -> R {
    leave();
    let result = work();
    enter();
    result
}

/// For the collector: stops all threads.
pub(crate) fn stop() -> Vec<usize> {
    let mut state = state();
    state.stopping = true;
    // Relaxed: pairs with the load in `poll`, which needs no more than to see it some time.
    STOP.store(true, Ordering::Relaxed);
    while state.running > 0 {
        state = wait(&STOPPED, state);
    }
    state.locals.clone()
}

/// For the collector: lets them run.
pub(crate) fn resume() {
    let mut state = state();
    state.stopping = false;
    state.epoch += 1;
    // Relaxed: as in `stop`.
    STOP.store(false, Ordering::Relaxed);
    // Relaxed: a count.
    COLLECTIONS.fetch_add(1, Ordering::Relaxed);
    RESUMED.notify_all();
}

/// Runs the work in threads, each attached, and adds up what they return; the
/// attached thread that calls is away meanwhile.
pub(crate) fn in_threads(threads: u64, work: impl Fn(&Local, u64) -> u64 + Sync) -> u64 {
    let work = &work;
    away(|| {
        std::thread::scope(|scope| {
            let run = |thread| move || Local::attached(|local| work(local, thread));
            let all: Vec<_> = (0..threads).map(|t| scope.spawn(run(t))).collect();
            let sums = all.into_iter().map(|handle| match handle.join() {
                Ok(sum) => sum,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            sums.fold(0, u64::wrapping_add)
        })
    })
}
