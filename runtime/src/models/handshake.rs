//! Handshakes: each mutator is told of a phase on its own, once; what it did before, the collector
//! sees when the handshake is over; what was announced, the mutator sees from then on.
//!
//! Not listed as mutants because they are equivalent under the model:
//!
//! * The second look at `inside` in `World::wait_for`: who has come in since the first has seen the
//!   new word and acknowledged it, holding `turn`, and `acknowledge` finds that.
//! * The Acquire of `asked` in `World::enter_slow`: the registry's lock, which it takes just
//!   before, has been held by the publisher. ([`World::poll`] takes none, and needs the Release.)

use super::{bounded, explore, model};
use crate::raw::fences::Fences;
use crate::raw::phase::Phase::{self, Armed, Arming, Idle, Marking};
use crate::raw::world::{State, World};
use crate::sync::{AtomicUsize, Ordering};
use loom::cell::UnsafeCell;
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// The phases of two cycles, by handshakes so far. A wave follows on marking.
const PHASES: [Phase; 9] = [
    Idle, Arming, Armed, Marking, Marking, Marking, Idle, Arming, Armed,
];
/// So many handshakes lead from the beginning to marking.
const UNTIL_MARKING: usize = 3;

/// What belongs to a mutator.
struct Local {
    /// The last handshake that it acknowledged, or was born after.
    number: usize,
    /// How many it acknowledged.
    acks: usize,
    closures: usize,
}

/// A world, and what a handshake parts: the past of each phase from the future.
struct Stage {
    world: World<Local>,
    /// Handshakes so far, as the collector announces them.
    announced: AtomicUsize,
    /// Looked at by mutators that know of so many handshakes, written by the collector when all
    /// know of more.
    told: [UnsafeCell<()>; PHASES.len()],
}

// SAFETY: loom's cell is not `Sync`, but it reports every access that the protocol fails to order.
unsafe impl Sync for Stage {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Stage {}

impl Stage {
    /// A world without mutators, after so many handshakes.
    fn after(handshakes: usize) -> Arc<Stage> {
        let stage = Arc::new(Stage {
            world: World::new(Fences::Symmetric),
            announced: AtomicUsize::new(0),
            told: std::array::from_fn(|_| UnsafeCell::new(())),
        });
        (0..handshakes).for_each(|_| stage.handshake());
        stage
    }

    fn register(&self) -> Arc<State<Local>> {
        self.world.register("", |phase| {
            // Relaxed: announced under the lock that registering holds.
            let number = self.announced.load(Ordering::Relaxed);
            assert_eq!(phase, PHASES[number], "born with what was announced");
            Local {
                number,
                acks: 0,
                closures: 0,
            }
        })
    }

    /// What a mutator, or the collector in its name, does at a handshake.
    fn acknowledge(&self, local: &mut Local, from: Phase, to: Phase) {
        // Relaxed: published by the handshake.
        let number = self.announced.load(Ordering::Relaxed);
        assert_eq!(number, local.number + 1, "one handshake after the other");
        assert_eq!((from, to), (PHASES[local.number], PHASES[number]));
        self.told[local.number].with(|_| ());
        local.number = number;
        local.acks += 1;
    }

    /// The next handshake.
    fn handshake(&self) {
        // Relaxed: the collector is one thread.
        let before = self.announced.load(Ordering::Relaxed);
        let announce = || self.announced.store(before + 1, Ordering::Relaxed);
        let ack = |local: &mut Local, from, to| self.acknowledge(local, from, to);
        self.world
            .handshake(PHASES[before + 1], announce, &ack, &mut |_, _| ());
        self.told[before].with_mut(|_| ());
    }

    fn enter(&self, state: &State<Local>) {
        self.world
            .enter(state, &|local, from, to| self.acknowledge(local, from, to));
    }

    /// What a mutator does inside.
    fn look(&self, state: &State<Local>) {
        // SAFETY: inside through this state; loom checks that it is.
        let mut local = unsafe { state.local() };
        local.closures += 1;
        assert_eq!(state.phase(), PHASES[local.number], "the one acknowledged");
        self.told[local.number].with(|_| ());
    }

    fn closure(&self, state: &State<Local>) {
        self.enter(state);
        self.look(state);
        self.world.leave(state);
    }

    /// True if there was something to acknowledge.
    fn poll(&self, state: &State<Local>) -> bool {
        let ack = |local: &mut Local, from, to| self.acknowledge(local, from, to);
        self.world.poll(state, &ack)
    }

    /// Checks a mutator that nobody uses any more: what it acknowledged, and its closures.
    fn check(state: &State<Local>, acks: usize, closures: usize) {
        // SAFETY: every thread but this one is joined.
        let local = unsafe { state.local() };
        assert_eq!((local.acks, local.closures), (acks, closures));
        assert_eq!(state.phase(), PHASES[local.number]);
    }
}

/// A mutator enters twice beside a handshake: it is told once, by itself or by the collector, and
/// one of them at a time has its local.
///
/// Kills: `enter-unfenced-beside-handshake`, `handshake-without-fence`, `enter-unacknowledged`,
/// `pass-unordered`, `acknowledge-unordered`, `acknowledge-too-early`, `acked-unordered`,
/// `outside-unordered`, `leave-unordered`, `enter-without-turn`, `wait-without-turn`,
/// `acknowledge-twice`, `acknowledge-inside`, `handshake-without-waiting`, `light-is-nothing`,
/// `light-is-weaker`, `heavy-is-nothing`, `heavy-is-weaker`.
#[test]
fn enter_and_handshake() {
    model("enter_and_handshake", || {
        let stage = Stage::after(0);
        let state = stage.register();
        let collector = thread::spawn({
            let stage = stage.clone();
            move || stage.handshake()
        });
        stage.closure(&state);
        stage.closure(&state);
        collector.join().unwrap();
        Stage::check(&state, 1, 2);
    });
}

/// Three handshakes in a row, while a mutator goes through closures, polling in each: a poll
/// acknowledges the second.
///
/// Kills: `enter-slow-unfenced-beside-handshake`, `poll-anywhere`.
#[test]
fn arm() {
    bounded("arm", || {
        let stage = Stage::after(0);
        let state = stage.register();
        let collector = thread::spawn({
            let stage = stage.clone();
            move || (0..UNTIL_MARKING).for_each(|_| stage.handshake())
        });
        for _ in 0..2 {
            stage.enter(&state);
            stage.look(&state);
            let was = state.phase();
            let is_told = stage.poll(&state);
            assert!(
                state.phase() != Marking || was == Marking,
                "with what it has read before"
            );
            assert_eq!(is_told, state.phase() != was);
            assert!(!is_told || was != Idle, "in the middle of what nobody logs");
            stage.look(&state);
            stage.world.leave(&state);
        }
        collector.join().unwrap();
        Stage::check(&state, UNTIL_MARKING, 4);
    });
}

/// Two handshakes of which the second is a wave: it is not taken for the first.
///
/// Kills: `publish-uncounted`.
#[test]
fn two_handshakes() {
    bounded("two_handshakes", || {
        let stage = Stage::after(UNTIL_MARKING - 1);
        let state = stage.register();
        let collector = thread::spawn({
            let stage = stage.clone();
            move || (0..2).for_each(|_| stage.handshake())
        });
        stage.closure(&state);
        collector.join().unwrap();
        Stage::check(&state, 2, 1);
    });
}

/// Two mutators on threads of their own: the handshake waits for both. With two preemptions at
/// most: three threads are many.
///
/// Kills: `handshake-waits-for-one`.
#[test]
fn two_mutators() {
    explore("two_mutators", &[Some(1), Some(2)], || {
        let stage = Stage::after(0);
        let states = [(); 2].map(|()| stage.register());
        let threads = states.clone().map(|state| {
            let stage = stage.clone();
            thread::spawn(move || stage.closure(&state))
        });
        stage.handshake();
        for thread in threads {
            thread.join().unwrap();
        }
        states.iter().for_each(|state| Stage::check(state, 1, 1));
    });
}

/// A closure polls beside a wave and the end of marking, which it acknowledges inside, seeing what
/// was announced.
///
/// Kills: `publish-unordered`, `poll-unordered`, `announced-late`.
#[test]
fn poll_and_handshake() {
    bounded("poll_and_handshake", || {
        let stage = Stage::after(UNTIL_MARKING + 1);
        let state = stage.register();
        let collector = thread::spawn({
            let stage = stage.clone();
            move || (0..2).for_each(|_| stage.handshake())
        });
        stage.enter(&state);
        stage.look(&state);
        for _ in 0..2 {
            stage.poll(&state);
            stage.look(&state);
        }
        stage.world.leave(&state);
        collector.join().unwrap();
        Stage::check(&state, 2, 3);
    });
}

/// A closure that does not end before the wave has: the collector does not wait for its end.
///
/// Kills: `poll-without-acknowledging`.
#[test]
fn poll_until_told() {
    model("poll_until_told", || {
        let stage = Stage::after(UNTIL_MARKING);
        let state = stage.register();
        stage.enter(&state);
        let collector = thread::spawn({
            let stage = stage.clone();
            move || stage.handshake()
        });
        while !stage.poll(&state) {
            stage.look(&state);
            thread::yield_now();
        }
        collector.join().unwrap();
        stage.world.leave(&state);
    });
}

/// A mutator registers, works and leaves for good beside a handshake: it is told once, or was born
/// later, or has gone.
///
/// Kills: `register-before-the-lock`, `publish-before-the-lock`, `registry-before-announcement`.
#[test]
fn register_and_handshake() {
    model("register_and_handshake", || {
        let stage = Stage::after(0);
        let mutator = thread::spawn({
            let stage = stage.clone();
            move || {
                let state = stage.register();
                stage.closure(&state);
                stage.world.unregister(&state);
                state
            }
        });
        stage.handshake();
        let state = mutator.join().unwrap();
        // SAFETY: every thread but this one is joined.
        let local = unsafe { state.local() };
        assert_eq!(local.closures, 1);
        assert!(local.acks <= local.number, "told of what it knew at birth");
        assert_eq!(stage.world.mutators(), 0);
    });
}

/// One mutator registers and stays, so that the next handshake finds it in step.
///
/// Kills: `born-unlisted`.
#[test]
fn register_and_stay() {
    model("register_and_stay", || {
        let stage = Stage::after(0);
        let mutator = thread::spawn({
            let stage = stage.clone();
            move || stage.register()
        });
        stage.handshake();
        let state = mutator.join().unwrap();
        stage.handshake();
        // SAFETY: every thread but this one is joined.
        assert_eq!(unsafe { state.local() }.number, 2);
        assert_eq!(state.phase(), PHASES[2]);
    });
}

/// A closure panics, in each phase of a cycle, beside a handshake: leaving is all it owes.
///
/// It leaves when the panic is caught, not while it unwinds: to std all of loom's threads are one,
/// so the collector's locks would be poisoned by a panic of the mutator.
///
/// Kills: `panic-leaves-unordered`.
#[test]
fn panic_and_handshake() {
    for handshakes in [0, 1, 2, 3, 5] {
        let name = format!("panic_and_handshake, {:?}", PHASES[handshakes]);
        bounded(&name, move || {
            let stage = Stage::after(handshakes);
            let state = stage.register();
            let collector = thread::spawn({
                let stage = stage.clone();
                move || stage.handshake()
            });
            stage.enter(&state);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                stage.look(&state);
                // SAFETY: inside through this state.
                let _local = unsafe { state.local() };
                resume_unwind(Box::new("with the local lent"));
            }));
            assert!(caught.is_err());
            stage.world.leave(&state);
            stage.closure(&state);
            collector.join().unwrap();
            Stage::check(&state, 1, 2);
        });
    }
}

/// A thread enters one mutator inside a closure of another, beside a handshake: the inner one is
/// told at once, the outer when it has left.
///
/// Kills: `handshake-skips-the-first`.
#[test]
fn nested_and_handshake() {
    bounded("nested_and_handshake", || {
        let stage = Stage::after(0);
        let [outer, inner] = [(); 2].map(|()| stage.register());
        let mutator = thread::spawn({
            let (stage, outer, inner) = (stage.clone(), outer.clone(), inner.clone());
            move || {
                stage.enter(&outer);
                stage.closure(&inner);
                stage.look(&outer);
                stage.world.leave(&outer);
            }
        });
        stage.handshake();
        mutator.join().unwrap();
        Stage::check(&outer, 1, 1);
        Stage::check(&inner, 1, 1);
    });
}

/// A handshake, then a stop, while a mutator enters twice: who is kept out by the stop has
/// acknowledged, and the end of the stop lets it in.
///
/// Kills: `pass-a-stop`.
#[test]
fn handshake_and_stop() {
    bounded("handshake_and_stop", || {
        let stage = Stage::after(0);
        let state = stage.register();
        let mutator = thread::spawn({
            let (stage, state) = (stage.clone(), state.clone());
            move || (0..2).for_each(|_| stage.closure(&state))
        });
        stage.handshake();
        assert!(stage.world.stop().is_ok(), "this thread is not inside");
        stage.told[1].with_mut(|_| ());
        stage.world.resume();
        mutator.join().unwrap();
        Stage::check(&state, 1, 2);
    });
}
