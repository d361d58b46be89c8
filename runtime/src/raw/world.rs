//! Safepoints: who is inside a closure, how each mutator is told of a phase on its own, and how to
//! have everybody outside at once.
//!
//! A mutator is *inside* while it runs a closure of `enter`; only then may it hold references.
//! Between closures its stack holds none, so no stack is ever scanned, and what changes for a
//! mutator changes at a closure's edge.
//!
//! # The words
//!
//! | word | values | written by |
//! |---|---|---|
//! | `State::inside` | 0 outside · else the token of the thread that is inside | that thread |
//! | `State::acked` | the last handshake that this mutator has acknowledged | see below |
//! | `World::attention` | bit 0 STOP: nobody enters · bit 1 COLLECT: a cycle is wanted | anyone |
//! | | bits 2 and 3: the [`Phase`] · from bit 4: handshakes so far | the collector |
//!
//! # A handshake
//!
//! The collector publishes a phase with a new count, then waits until every mutator has
//! acknowledged it. Nobody waits for it, and one mutator never waits for another:
//!
//! | the mutator | who acknowledges |
//! |---|---|
//! | is outside | the collector, holding `State::turn` |
//! | enters | itself, stepped back outside and holding `State::turn` |
//! | is inside | itself, at its next entry; or by [`World::poll`], but for H1 and H3 |
//!
//! *One at a time.* Entering stores `inside`, then loads `attention`; a handshake stores
//! `attention`, then loads `inside`. Between the two there is a fence on each side
//! ([`crate::raw::fences`]). So a collector that finds `inside` zero, with `turn` held, has the
//! mutator's local to itself: an enterer that comes later sees the new word, which is not the one
//! it acknowledged, steps back and waits for `turn`. `acked` is stored last, with Release, and
//! loaded by the enterer with Acquire: who finds it up to date sees all that was done in its name.
//!
//! *Inside.* What a closure holds was read before it acknowledges there. If marking began with
//! that (H3), an object that was cut off while nobody logged could be in its hands alone. While the
//! cycle arms, nobody relies on what is held: what a closure still writes into the heap is logged,
//! and the rest is gone at its edge, where H3 finds it. (H1 could be acknowledged inside as well:
//! then a closure that builds a large graph would log all of it.)
//!
//! *Seen once.* A mutator registers under the registry's lock, with the phase of that moment as
//! acknowledged; the collector publishes and copies the registry under the same lock. So it is in
//! the copy, or it was born with the new phase. One that leaves has handed over what it had.
//!
//! # Why nobody is inside a stopped world
//!
//! Stopping sets STOP, then loads every `inside`, with the same fences. If the enterer's is first
//! in their total order, the stopper's load sees `inside` set and waits. If the stopper's is
//! first, the enterer's load sees STOP; it steps back out before it touches anything. A mutator
//! that registers late is listed under the registry's lock: before the stopper looked, then it is
//! among those waited for; or after, then the lock has carried STOP to it.
//!
//! A thread may hold several mutators and enter one inside another's closure. The inner one must
//! not wait for the end of a stop, because the outer never leaves then. It need not: while the
//! outer is inside, no stop completes. So an enterer that finds STOP passes if its thread is
//! inside already. Handshakes it acknowledges like any other.

use crate::raw::fences::Fences;
use crate::raw::phase::Phase;
use crate::sync::{
    AtomicUsize, Condvar, Lent, Mutex, Ordering, ProtocolCell, doze, lock, relax, thread_token,
    wait,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

const STOP: usize = 1;
const COLLECT: usize = 2;
const PHASE_SHIFT: u32 = 2;
const COUNT_ONE: usize = 1 << 4;
/// A mutator that has not acknowledged after so long is named in reports.
const LATE: Duration = Duration::from_millis(10);

/// What the collector asks of mutators: a phase, and which handshake it is.
fn asked(attention: usize) -> usize {
    attention & !(STOP | COLLECT)
}

fn phase_of(asked: usize) -> Phase {
    Phase::from_bits(asked >> PHASE_SHIFT)
}

/// A mutator as the world sees it, with what belongs to it alone.
pub(crate) struct State<L> {
    inside: AtomicUsize,
    /// The last word of `attention` that was acknowledged, without its low bits.
    acked: AtomicUsize,
    /// Held by whoever acknowledges for a mutator that is outside.
    turn: Mutex<()>,
    /// For reports.
    name: Box<str>,
    /// The owner's while it is inside, the acknowledger's at a handshake, the stopper's while the
    /// world is stopped.
    local: ProtocolCell<L>,
}

impl<L> State<L> {
    /// Lends out what belongs to the mutator.
    ///
    /// # Safety
    ///
    /// The caller's thread is inside through this state, or has stopped the world, or acknowledges
    /// for the mutator; and has not lent it out already.
    #[inline(always)]
    pub(crate) unsafe fn local(&self) -> Lent<'_, L> {
        // SAFETY: the three exclude each other (see the file's head), one thread is inside
        // through a state at a time (`enter` takes the mutator by `&mut`), and `inside` and
        // `acked` are stored with Release and loaded with Acquire between them.
        unsafe { self.local.lend() }
    }

    /// The mutator's phase. Inside it is constant but for [`World::poll`].
    #[inline(always)]
    pub(crate) fn phase(&self) -> Phase {
        // Relaxed: who is inside has acquired it on entry, or stored it itself.
        phase_of(self.acked.load(Ordering::Relaxed))
    }

    /// What the mutator is called in reports.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// All mutators of a heap.
pub(crate) struct World<L> {
    attention: AtomicUsize,
    fences: Fences,
    states: Mutex<Vec<Arc<State<L>>>>,
    /// Enterers wait here for the end of a stop.
    gate: Mutex<()>,
    resumed: Condvar,
}

/// The caller's thread is inside a closure of this heap, and can therefore not stop the world.
#[derive(Debug)]
pub(crate) struct InsideAlready;

impl<L> World<L> {
    pub(crate) fn new(fences: Fences) -> Self {
        Self {
            attention: AtomicUsize::new(0),
            fences,
            states: Mutex::new(Vec::new()),
            gate: Mutex::new(()),
            resumed: Condvar::new(),
        }
    }

    /// Adds a mutator, outside, with the local that `make` gives it for the phase of this moment.
    /// It may enter at once.
    pub(crate) fn register(&self, name: &str, make: impl FnOnce(Phase) -> L) -> Arc<State<L>> {
        let mut states = lock(&self.states);
        // Relaxed: published under this lock.
        let asked = asked(self.attention.load(Ordering::Relaxed));
        let state = Arc::new(State {
            inside: AtomicUsize::new(0),
            acked: AtomicUsize::new(asked),
            turn: Mutex::new(()),
            name: name.into(),
            local: ProtocolCell::new(make(phase_of(asked))),
        });
        states.push(state.clone());
        state
    }

    /// Removes a mutator that is outside.
    pub(crate) fn unregister(&self, state: &Arc<State<L>>) {
        lock(&self.states).retain(|other| !Arc::ptr_eq(other, state));
    }

    /// Removes a mutator for good, when `last` has taken from its local what others need. As long
    /// as there is any of that it is listed, so that every handshake asks for it.
    ///
    /// # Safety
    ///
    /// Nobody uses the mutator any more, and this thread is not inside through it.
    pub(crate) unsafe fn retire(
        &self,
        state: &Arc<State<L>>,
        ack: &dyn Fn(&mut L, Phase, Phase),
        last: impl FnOnce(&mut L),
    ) {
        self.enter(state, ack);
        // SAFETY: inside, and nobody else uses the mutator (precondition).
        last(&mut *unsafe { state.local() });
        self.leave(state);
        self.unregister(state);
    }

    /// How many mutators there are.
    pub(crate) fn mutators(&self) -> usize {
        lock(&self.states).len()
    }

    /// Goes inside, unless there is something to acknowledge or to wait for: then the caller must
    /// [`Self::enter_slow`].
    #[inline(always)]
    #[must_use]
    pub(crate) fn try_enter(&self, state: &State<L>) -> bool {
        // Relaxed: the fence orders it before the load; `inside` carries no data inward.
        state.inside.store(thread_token(), Ordering::Relaxed);
        // Pairs with the heavy fences in `handshake` and `stop`; one of the two sees the other.
        self.fences.light();
        self.may_pass(state)
    }

    /// Goes inside. Acknowledges by `ack` what was asked meanwhile, and waits while the world is
    /// stopped.
    pub(crate) fn enter(&self, state: &State<L>, ack: &dyn Fn(&mut L, Phase, Phase)) {
        if !self.try_enter(state) {
            self.enter_slow(state, ack);
        }
    }

    /// Whether there is nothing to acknowledge or to wait for.
    #[inline(always)]
    pub(crate) fn may_pass(&self, state: &State<L>) -> bool {
        // Acquire: pairs with the Release in `resume`; who finds STOP gone sees what the stopper
        // did to its local. The fence orders the load behind the store of `inside`.
        let attention = self.attention.load(Ordering::Acquire) & !COLLECT;
        // Acquire: pairs with the Release in `acknowledge`; what was done to the local is seen.
        attention == state.acked.load(Ordering::Acquire)
    }

    /// Whether there is nothing to acknowledge, to wait for or to begin.
    #[inline(always)]
    pub(crate) fn is_calm(&self, state: &State<L>) -> bool {
        // Relaxed, both: a hint; who finds it untrue leaves and enters, which is ordered.
        self.attention.load(Ordering::Relaxed) == state.acked.load(Ordering::Relaxed)
    }

    /// The rest of entering, after [`Self::try_enter`] has failed.
    #[cold]
    #[inline(never)]
    pub(crate) fn enter_slow(&self, state: &State<L>, ack: &dyn Fn(&mut L, Phase, Phase)) {
        let token = thread_token();
        loop {
            // Release: pairs with the Acquire in `stop` and `handshake`, as in `leave`.
            state.inside.store(0, Ordering::Release);
            if !self.inside_already(token) {
                let mut gate = lock(&self.gate);
                // Acquire: pairs with the Release in `resume`; what the stopper did to our local
                // is seen.
                while self.attention.load(Ordering::Acquire) & STOP != 0 {
                    gate = wait(&self.resumed, gate);
                }
            }
            {
                let _turn = lock(&state.turn);
                // Acquire: pairs with the Release in `publish`; what was announced is seen.
                let asked = asked(self.attention.load(Ordering::Acquire));
                Self::acknowledge(state, asked, ack);
            }
            // Relaxed, then a fence: as in `enter`.
            state.inside.store(token, Ordering::Relaxed);
            self.fences.light();
            if self.may_pass(state) || self.may_pass_nested(state, token) {
                return;
            }
        }
    }

    /// Whether only a stop is in the way, and this thread is what that stop waits for.
    fn may_pass_nested(&self, state: &State<L>, token: usize) -> bool {
        // Acquire, both: as in `may_pass`.
        let asked = asked(self.attention.load(Ordering::Acquire));
        asked == state.acked.load(Ordering::Acquire) && self.inside_by_another(state, token)
    }

    /// Whether this thread is inside through any mutator.
    pub(crate) fn inside_already(&self, token: usize) -> bool {
        // Relaxed: only this thread stores this token, so it sees its own stores.
        lock(&self.states)
            .iter()
            .any(|state| state.inside.load(Ordering::Relaxed) == token)
    }

    /// Whether anybody is inside, as far as one look tells.
    pub(crate) fn is_anyone_inside(&self) -> bool {
        // Relaxed: a hint.
        let inside = |state: &Arc<State<L>>| state.inside.load(Ordering::Relaxed) != 0;
        lock(&self.states).iter().any(inside)
    }

    fn inside_by_another(&self, own: &State<L>, token: usize) -> bool {
        lock(&self.states).iter().any(|state| {
            // Relaxed: as in `inside_already`.
            !std::ptr::eq(&**state, own) && state.inside.load(Ordering::Relaxed) == token
        })
    }

    /// Goes outside. True if somebody wants a collection.
    #[inline(always)]
    pub(crate) fn leave(&self, state: &State<L>) -> bool {
        // Release: pairs with the Acquire in `stop` and `handshake`; who sees us outside sees all
        // we did inside.
        state.inside.store(0, Ordering::Release);
        // Relaxed: a hint; if it is missed, the next closure's end sees it.
        self.attention.load(Ordering::Relaxed) & COLLECT != 0
    }

    /// Acknowledges, if it is still to be done. The caller has the mutator's local to itself.
    fn acknowledge(state: &State<L>, asked: usize, ack: &dyn Fn(&mut L, Phase, Phase)) {
        // Relaxed: written under `turn`, or by this thread.
        let acked = state.acked.load(Ordering::Relaxed);
        if acked == asked {
            return;
        }
        {
            // SAFETY: outside with `turn` held, or inside and the owner: nobody else has it.
            let mut local = unsafe { state.local() };
            ack(&mut local, phase_of(acked), phase_of(asked));
        }
        // Release: pairs with the Acquire in `may_pass` and in `is_acked`; who sees the handshake
        // acknowledged sees what was done for it.
        state.acked.store(asked, Ordering::Release);
    }

    /// Acknowledges inside a closure, where references are held: neither that a cycle begins, nor
    /// that marking does. True if there was something. The caller is in the middle of no store.
    #[inline]
    pub(crate) fn poll(&self, state: &State<L>, ack: &dyn Fn(&mut L, Phase, Phase)) -> bool {
        // Acquire: pairs with the Release in `publish`.
        let asked = asked(self.attention.load(Ordering::Acquire));
        // Relaxed: while we are inside nobody else stores it.
        let acked = state.acked.load(Ordering::Relaxed);
        let may_tell = match phase_of(acked) {
            Phase::Idle => false,
            Phase::Arming | Phase::Armed => asked != acked && phase_of(asked) != Phase::Marking,
            Phase::Marking => asked != acked,
        };
        if may_tell {
            Self::acknowledge(state, asked, ack);
        }
        may_tell
    }

    /// Tells every mutator of `phase`, each on its own, and returns when all have acknowledged.
    /// One thread at a time. `announce` runs at the moment that divides the mutators that are told
    /// from those that register with the phase; `late` hears of mutators that keep it waiting.
    pub(crate) fn handshake(
        &self,
        phase: Phase,
        announce: impl FnOnce(),
        ack: &dyn Fn(&mut L, Phase, Phase),
        late: &mut dyn FnMut(&State<L>, Duration),
    ) {
        let (asked, states) = {
            let states = lock(&self.states);
            announce();
            (self.publish(phase), states.clone())
        };
        self.fences.heavy();
        for state in &states {
            self.wait_for(state, asked, ack, late);
        }
    }

    /// Replaces the phase and counts the handshake.
    fn publish(&self, phase: Phase) -> usize {
        // Relaxed: only the collector, which is one thread at a time, changes these bits.
        let mut seen = self.attention.load(Ordering::Relaxed);
        loop {
            let count = (asked(seen) & !(COUNT_ONE - 1)).wrapping_add(COUNT_ONE);
            let asked = count | (phase as usize) << PHASE_SHIFT;
            let word = asked | seen & (STOP | COLLECT);
            // Release: pairs with the Acquire in `may_pass`, `enter_slow` and `poll`; who sees the
            // phase sees what was announced. Relaxed on failure: tried again.
            match self.attention.compare_exchange_weak(
                seen,
                word,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return asked,
                Err(found) => seen = found,
            }
        }
    }

    fn wait_for(
        &self,
        state: &State<L>,
        asked: usize,
        ack: &dyn Fn(&mut L, Phase, Phase),
        late: &mut dyn FnMut(&State<L>, Duration),
    ) {
        // Acquire: pairs with the Release in `acknowledge`; what the mutator did is seen.
        let is_acked = || state.acked.load(Ordering::Acquire) == asked;
        // Acquire: pairs with the Release in `leave`; what it did inside is seen.
        let is_outside = || state.inside.load(Ordering::Acquire) == 0;
        let (mut round, begun) = (0, Instant::now());
        while !is_acked() {
            if is_outside() {
                let _turn = lock(&state.turn);
                if is_outside() {
                    Self::acknowledge(state, asked, ack);
                    return;
                }
            }
            doze(round);
            round += 1;
            if begun.elapsed() > LATE {
                late(state, begun.elapsed());
            }
        }
    }

    /// Asks that a mutator at its closure's edge begin a cycle.
    pub(crate) fn want_collection(&self) {
        // Relaxed: a hint, as in `leave`; the test spares the bus.
        if self.attention.load(Ordering::Relaxed) & COLLECT == 0 {
            // Relaxed: as above.
            self.attention.fetch_or(COLLECT, Ordering::Relaxed);
        }
    }

    /// Whether somebody wants a collection.
    pub(crate) fn is_wanted(&self) -> bool {
        // Relaxed: a hint, as in `leave`.
        self.attention.load(Ordering::Relaxed) & COLLECT != 0
    }

    /// Whether the world is being stopped, as far as one look tells.
    pub(crate) fn must_wait(&self) -> bool {
        // Relaxed: a hint; `enter` decides.
        self.attention.load(Ordering::Relaxed) & STOP != 0
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
        // Pairs with the light fences in `enter` and `enter_slow`.
        self.fences.heavy();
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

    /// As [`Self::stop`], if there is no mutator but `own`, which is this thread's and outside.
    /// Then nobody is waited for; who registers meanwhile waits for [`Self::resume`] to enter.
    pub(crate) fn stop_alone(&self, own: &State<L>) -> bool {
        let states = lock(&self.states);
        let is_alone = matches!(states.as_slice(), [only] if std::ptr::eq(&**only, own));
        if is_alone {
            // Relaxed: the lock, which registering takes, carries it to who comes later.
            self.attention.fetch_or(STOP, Ordering::Relaxed);
        }
        is_alone
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
