//! Stopping the world: nobody is inside while it is stopped, and nobody waits for ever.
//!
//! Not listed as a mutant because it is equivalent: the Release of the step back in
//! `World::enter_slow`, since `enter`'s fence stands between it and all that the mutator did inside
//! before.

use super::{bounded, model};
use crate::raw::fences::Fences;
use crate::raw::phase::Phase;
use crate::raw::world::{State, World};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

/// What a collector adds to each local, where a mutator adds 1.
const COLLECTED: u32 = 100;

/// A world, and the heap that it keeps mutators out of.
struct Stage {
    world: World<u32>,
    heap: UnsafeCell<u32>,
}

// SAFETY: loom's cell is not `Sync`, but it reports every access that the protocol fails to order.
unsafe impl Sync for Stage {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Stage {}

impl Stage {
    fn new() -> Arc<Stage> {
        Arc::new(Stage {
            world: World::new(Fences::Symmetric),
            heap: UnsafeCell::new(0),
        })
    }

    fn enter(&self, state: &State<u32>) {
        let ack = |_: &mut u32, _: Phase, _: Phase| unreachable!("there is no handshake");
        self.world.enter(state, &ack);
    }

    /// What a mutator does inside.
    fn look(&self, state: &State<u32>) {
        // SAFETY: inside through this state; loom checks that it is.
        unsafe { *state.local() += 1 };
        self.heap.with(|_| ());
    }

    /// A closure of a mutator.
    fn closure(&self, state: &State<u32>) {
        self.enter(state);
        self.look(state);
        self.world.leave(state);
    }

    /// A cycle; how many mutators it has seen.
    fn collect(&self) -> u32 {
        assert!(self.world.stop().is_ok(), "this thread is not inside");
        self.collect_stopped()
    }

    /// A cycle in a world that is stopped; how many mutators it has seen.
    fn collect_stopped(&self) -> u32 {
        self.heap.with_mut(|heap| {
            // SAFETY: loom has checked that nobody else has access.
            unsafe { *heap += 1 };
        });
        let mut seen = 0;
        self.world.for_each(|state| {
            seen += 1;
            // SAFETY: the world is stopped; loom checks that it is.
            unsafe { *state.local() += COLLECTED };
        });
        self.world.resume();
        seen
    }

    /// The local of a mutator that nobody uses any more.
    fn local(state: &State<u32>) -> u32 {
        // SAFETY: every thread but this one is joined.
        unsafe { *state.local() }
    }
}

/// A mutator is inside when a collector comes; it leaves and enters again. Nobody is inside while
/// the world is stopped, each sees what the other did, and nobody waits for ever.
///
/// Kills: `enter-without-fence`, `stop-without-fence`, `enter-unchecked`, `relaxed-enter`,
/// `relaxed-leave`, `relaxed-stop`, `relaxed-resume`, `resume-without-lock`,
/// `resume-without-notice`, `enter-slow-stays-inside`.
#[test]
fn stop_and_enter() {
    model("stop_and_enter", || {
        let stage = Stage::new();
        let state = stage.world.register("", |_| 0);
        stage.enter(&state);
        let collector = thread::spawn({
            let stage = stage.clone();
            move || stage.collect()
        });
        stage.look(&state);
        stage.world.leave(&state);
        stage.closure(&state);
        assert_eq!(collector.join().unwrap(), 1);
        assert_eq!(Stage::local(&state), 2 + COLLECTED);
    });
}

/// A mutator comes while the world is stopped, and the world is stopped again: who was let go on by
/// the end of the first may find the second, and steps back again. With four preemptions at most:
/// without a bound it takes minutes.
///
/// Kills: `enter-slow-without-fence`, `enter-slow-unchecked`.
#[test]
fn stop_again() {
    bounded("stop_again", || {
        let stage = Stage::new();
        let state = stage.world.register("", |_| 0);
        assert!(stage.world.stop().is_ok());
        let mutator = thread::spawn({
            let (stage, state) = (stage.clone(), state.clone());
            move || stage.closure(&state)
        });
        stage.world.resume();
        assert_eq!(stage.collect(), 1);
        mutator.join().unwrap();
        assert_eq!(Stage::local(&state), 1 + COLLECTED);
    });
}

/// Two mutators, of which the second is the one that is inside: the collector waits for all.
///
/// Kills: `stop-waits-for-one`.
#[test]
fn stop_waits_for_all() {
    model("stop_waits_for_all", || {
        let stage = Stage::new();
        let states = [(); 2].map(|()| stage.world.register("", |_| 0));
        let mutator = thread::spawn({
            let (stage, second) = (stage.clone(), states[1].clone());
            move || stage.closure(&second)
        });
        assert_eq!(stage.collect(), 2);
        mutator.join().unwrap();
        assert_eq!(
            states.map(|state| Stage::local(&state)),
            [COLLECTED, 1 + COLLECTED]
        );
    });
}

/// A mutator registers, works and leaves while a collector stops the world: it is seen once or not
/// at all, and is never inside meanwhile.
///
/// Kills: `registry-before-stop`, `register-unlisted`, `unregister-nobody`.
#[test]
fn register_and_stop() {
    model("register_and_stop", || {
        let stage = Stage::new();
        let mutator = thread::spawn({
            let stage = stage.clone();
            move || {
                let state = stage.world.register("", |_| 0);
                stage.closure(&state);
                stage.world.unregister(&state);
                state
            }
        });
        let seen = stage.collect();
        let state = mutator.join().unwrap();
        assert!(seen <= 1, "one mutator was seen {seen} times");
        assert_eq!(Stage::local(&state), 1 + seen * COLLECTED);
        assert_eq!(stage.world.mutators(), 0);
        assert_eq!(stage.collect(), 0, "who has left is not seen any more");
    });
}

/// A mutator collects at its closure's edge if there is no other; one that registers meanwhile is
/// not inside before that is over.
///
/// Kills: `alone-among-others`, `alone-without-stopping`, `alone-after-the-lock`.
#[test]
fn stop_alone_and_register() {
    model("stop_alone_and_register", || {
        let stage = Stage::new();
        let own = stage.world.register("", |_| 0);
        let other = thread::spawn({
            let stage = stage.clone();
            move || {
                let state = stage.world.register("", |_| 0);
                stage.closure(&state);
                state
            }
        });
        stage.closure(&own);
        let is_alone = stage.world.stop_alone(&own);
        if is_alone {
            stage.collect_stopped();
        }
        stage.closure(&own);
        let other = other.join().unwrap();
        let collected = if is_alone { COLLECTED } else { 0 };
        assert_eq!(Stage::local(&own), 2 + collected);
        let seen = Stage::local(&other);
        assert!(
            seen == 1 || is_alone && seen == 1 + COLLECTED,
            "told of {seen}"
        );
    });
}

/// One mutator leaves for good while a cycle waits for another.
///
/// Kills: `unregister-everybody`.
#[test]
fn unregister_and_stop() {
    model("unregister_and_stop", || {
        let stage = Stage::new();
        let [leaving, staying] = [(); 2].map(|()| stage.world.register("", |_| 0));
        let mutator = thread::spawn({
            let (stage, staying) = (stage.clone(), staying.clone());
            move || {
                stage.world.unregister(&leaving);
                stage.closure(&staying);
            }
        });
        let seen = stage.collect();
        mutator.join().unwrap();
        assert!(seen == 1 || seen == 2, "{seen} mutators were seen");
        assert_eq!(Stage::local(&staying), 1 + COLLECTED);
    });
}

/// A thread enters one mutator inside a closure of another while a collector stops the world:
/// neither waits for the other, and the thread cannot stop the world itself.
///
/// Kills: `nested-waits`, `nested-never-passes`, `stop-inside`.
#[test]
fn nested_enter() {
    model("nested_enter", || {
        let stage = Stage::new();
        let [outer, inner] = [(); 2].map(|()| stage.world.register("", |_| 0));
        let mutator = thread::spawn({
            let (stage, outer, inner) = (stage.clone(), outer.clone(), inner.clone());
            move || {
                stage.enter(&outer);
                stage.closure(&inner);
                assert!(stage.world.stop().is_err(), "it would wait for itself");
                stage.look(&outer);
                stage.world.leave(&outer);
            }
        });
        assert_eq!(stage.collect(), 2);
        mutator.join().unwrap();
        assert_eq!(Stage::local(&outer), 1 + COLLECTED);
        assert_eq!(Stage::local(&inner), 1 + COLLECTED);
    });
}
