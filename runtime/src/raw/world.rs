//! Safepoints: who is inside a closure, and how to have everybody outside.
//!
//! A mutator is *inside* while it runs a closure of `enter`; only then may it hold references.
//! Between closures its stack holds none, so a world in which every mutator is outside needs no
//! stack scanned.
//!
//! # The words
//!
//! | word | values | written by |
//! |---|---|---|
//! | `State::inside` | 0 outside · else the token of the thread that is inside | that thread |
//! | `World::attention` | bit 0 STOP: nobody enters · bit 1 COLLECT: a cycle is wanted | anyone |
//!
//! # Why nobody is inside a stopped world
//!
//! Entering stores `inside`, then loads `attention`; stopping sets STOP, then loads every
//! `inside`. Each has a SeqCst fence between its two steps. If the enterer's fence is first in
//! their total order, the stopper's load sees `inside` set and waits. If the stopper's fence is
//! first, the enterer's load sees STOP; it steps back out before it touches anything. A mutator
//! that registers late is listed under the registry's lock: before the stopper looked, then it is
//! among those waited for; or after, then the lock has carried STOP to it.
//!
//! A thread may hold several mutators and enter one inside another's closure. The inner one must
//! not wait, because the outer never leaves then. It need not: while the outer is inside, no stop
//! completes. So an enterer that finds STOP passes if its thread is inside already.

use crate::sync::{
    AtomicUsize, Condvar, Lent, Mutex, Ordering, ProtocolCell, fence, lock, relax, thread_token,
    wait,
};
use std::sync::Arc;

const STOP: usize = 1;
const COLLECT: usize = 2;

/// A mutator as the world sees it, with what belongs to it alone.
pub(crate) struct State<L> {
    inside: AtomicUsize,
    /// The owner's while it is inside, the stopper's while the world is stopped.
    local: ProtocolCell<L>,
}

impl<L> State<L> {
    /// Lends out what belongs to the mutator.
    ///
    /// # Safety
    ///
    /// The caller's thread is inside through this state, or has stopped the world, and has not
    /// lent it out already.
    #[inline(always)]
    pub(crate) unsafe fn local(&self) -> Lent<'_, L> {
        // SAFETY: inside and stopped exclude each other (see the file's head), one thread is
        // inside through a state at a time (`enter` takes the mutator by `&mut`), and `inside`
        // is stored with Release and loaded with Acquire between the two.
        unsafe { self.local.lend() }
    }
}

/// All mutators of a heap.
pub(crate) struct World<L> {
    attention: AtomicUsize,
    states: Mutex<Vec<Arc<State<L>>>>,
    /// Enterers wait here for the end of a stop.
    gate: Mutex<()>,
    resumed: Condvar,
}

/// The caller's thread is inside a closure of this heap, and can therefore not stop the world.
#[derive(Debug)]
pub(crate) struct InsideAlready;

impl<L> World<L> {
    pub(crate) fn new() -> Self {
        Self {
            attention: AtomicUsize::new(0),
            states: Mutex::new(Vec::new()),
            gate: Mutex::new(()),
            resumed: Condvar::new(),
        }
    }

    /// Adds a mutator, outside. It may enter at once.
    pub(crate) fn register(&self, local: L) -> Arc<State<L>> {
        let local = ProtocolCell::new(local);
        let state = Arc::new(State {
            inside: AtomicUsize::new(0),
            local,
        });
        lock(&self.states).push(state.clone());
        state
    }

    /// Removes a mutator that is outside.
    pub(crate) fn unregister(&self, state: &Arc<State<L>>) {
        lock(&self.states).retain(|other| !Arc::ptr_eq(other, state));
    }

    /// How many mutators there are.
    pub(crate) fn mutators(&self) -> usize {
        lock(&self.states).len()
    }

    /// Whether the world is being stopped, as far as one look tells.
    #[inline]
    pub(crate) fn must_wait(&self) -> bool {
        // Relaxed: a hint; `enter` decides.
        self.attention.load(Ordering::Relaxed) & STOP != 0
    }

    /// Goes inside; waits while the world is stopped. True if it had to.
    #[inline]
    pub(crate) fn enter(&self, state: &State<L>) -> bool {
        let token = thread_token();
        // Relaxed: the fence orders it before the load; `inside` carries no data inward.
        state.inside.store(token, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `stop`; one of the two sees the other's store.
        fence(Ordering::SeqCst);
        // Acquire: pairs with the Release in `resume`; who finds STOP gone sees what the stopper
        // did to its local. The fence orders the load behind the store.
        if self.attention.load(Ordering::Acquire) & STOP != 0 {
            self.enter_slow(state, token);
            return true;
        }
        false
    }

    #[cold]
    fn enter_slow(&self, state: &State<L>, token: usize) {
        loop {
            // Release: pairs with the Acquire in `stop`, as in `leave`.
            state.inside.store(0, Ordering::Release);
            if !self.inside_already(token) {
                let mut gate = lock(&self.gate);
                // Acquire: pairs with the Release in `resume`; what the stopper did to our local
                // is seen.
                while self.attention.load(Ordering::Acquire) & STOP != 0 {
                    gate = wait(&self.resumed, gate);
                }
            }
            // Relaxed, then SeqCst fence: as in `enter`.
            state.inside.store(token, Ordering::Relaxed);
            // SeqCst: pairs with the fence in `stop`.
            fence(Ordering::SeqCst);
            // Acquire: as in `enter`.
            let stopped = self.attention.load(Ordering::Acquire) & STOP != 0;
            if !stopped || self.inside_by_another(state, token) {
                return;
            }
        }
    }

    /// Whether this thread is inside through any mutator.
    pub(crate) fn inside_already(&self, token: usize) -> bool {
        // Relaxed: only this thread stores this token, so it sees its own stores.
        lock(&self.states)
            .iter()
            .any(|state| state.inside.load(Ordering::Relaxed) == token)
    }

    fn inside_by_another(&self, own: &State<L>, token: usize) -> bool {
        lock(&self.states).iter().any(|state| {
            // Relaxed: as in `inside_already`.
            !std::ptr::eq(&**state, own) && state.inside.load(Ordering::Relaxed) == token
        })
    }

    /// Goes outside. True if somebody wants a collection.
    #[inline]
    pub(crate) fn leave(&self, state: &State<L>) -> bool {
        // Release: pairs with the Acquire in `stop`; who sees us outside sees all we did inside.
        state.inside.store(0, Ordering::Release);
        // Relaxed: a hint; if it is missed, the next closure's end sees it.
        self.attention.load(Ordering::Relaxed) & COLLECT != 0
    }

    /// Asks that a mutator at its closure's edge begin a cycle.
    pub(crate) fn want_collection(&self) {
        // Relaxed: a hint, as in `leave`; the test spares the bus.
        if self.attention.load(Ordering::Relaxed) & COLLECT == 0 {
            // Relaxed: as above.
            self.attention.fetch_or(COLLECT, Ordering::Relaxed);
        }
    }

    /// Takes the wish back: a cycle begins.
    pub(crate) fn take_wish(&self) {
        // Relaxed: a hint, as in `leave`.
        self.attention.fetch_and(!COLLECT, Ordering::Relaxed);
    }

    /// Waits until every mutator is outside, and keeps them there until [`Self::resume`].
    ///
    /// One thread at a time may stop the world; the caller sees to that.
    ///
    /// # Errors
    ///
    /// If this thread is inside itself: it would wait for ever. Nothing is changed then.
    pub(crate) fn stop(&self) -> Result<(), InsideAlready> {
        if self.inside_already(thread_token()) {
            return Err(InsideAlready);
        }
        // Relaxed: the fence orders it before the loads below.
        self.attention.fetch_or(STOP, Ordering::Relaxed);
        // SeqCst: pairs with the fences in `enter` and `enter_slow`.
        fence(Ordering::SeqCst);
        let states = lock(&self.states).clone();
        for state in states {
            let mut round = 0;
            // Acquire: pairs with the Release in `leave`.
            while state.inside.load(Ordering::Acquire) != 0 {
                relax(round);
                round += 1;
            }
        }
        Ok(())
    }

    /// Ends a stop.
    pub(crate) fn resume(&self) {
        // Release: pairs with the Acquire in `enter`; who enters sees what was done meanwhile.
        self.attention.fetch_and(!STOP, Ordering::Release);
        // The lock, so that an enterer between its look and its wait is not missed.
        let _gate = lock(&self.gate);
        self.resumed.notify_all();
    }

    /// Calls `visit` with the state of each mutator.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&State<L>)) {
        let states = lock(&self.states).clone();
        states.iter().for_each(|state| visit(state));
    }
}
