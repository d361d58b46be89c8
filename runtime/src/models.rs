//! Safepoints and the handle table under loom: every interleaving of small instances.
//!
//! Run: `RUSTFLAGS="--cfg heapwright_loom" CARGO_TARGET_DIR=target-loom cargo test --profile loom
//! -p runtime --features loom --lib models -- --nocapture`.
//!
//! A loom cell stands for the heap: mutators look at it, the collector writes it, and loom reports
//! every pair of accesses that the protocol does not order. Each mutator's own local is such a cell
//! as well ([`crate::sync::ProtocolCell`]). A wait that nobody ends is reported as a deadlock, a
//! spin that nobody ends as too many branches.
//!
//! Each model names the mutants that it kills; they are listed, with the line that each changes,
//! in `xtask/mutants/runtime-loom.toml`. Not listed because it is equivalent: the Release of the
//! step back in `World::enter_slow`, since `enter`'s fence stands between it and all that the
//! mutator did inside before.

use crate::raw::roots::{Handle, RootTable};
use crate::raw::world::{State, World};
use gc_mark::{Kind, Object, Visitor};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a collector adds to each local, where a mutator adds 1.
const COLLECTED: u32 = 100;

/// Explores `body` without a bound and with at most one, two and three preemptions: loom's
/// reduction misses schedules that the bounded search happens on.
fn model(name: &str, body: fn()) {
    explore(name, &[Some(1), Some(2), Some(3), None], body);
}

/// Explores `body` once for each bound on preemptions, to its end.
fn explore(name: &str, bounds: &[Option<usize>], body: fn()) {
    for &preemptions in bounds {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        builder.max_duration = None;
        builder.max_permutations = None;
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        builder.check(move || {
            counted.fetch_add(1, Relaxed);
            body();
        });
        let runs = runs.load(Relaxed);
        println!("{name}: complete, preemptions {preemptions:?}, {runs} runs");
    }
}

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
            world: World::new(),
            heap: UnsafeCell::new(0),
        })
    }

    /// What a mutator does inside.
    fn look(&self, state: &State<u32>) {
        // SAFETY: inside through this state; loom checks that it is.
        unsafe { *state.local() += 1 };
        self.heap.with(|_| ());
    }

    /// A closure of a mutator.
    fn closure(&self, state: &State<u32>) {
        self.world.enter(state);
        self.look(state);
        self.world.leave(state);
    }

    /// A cycle; how many mutators it has seen.
    fn collect(&self) -> u32 {
        assert!(self.world.stop().is_ok(), "this thread is not inside");
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
/// `resume-without-notice`.
#[test]
fn stop_and_enter() {
    model("stop_and_enter", || {
        let stage = Stage::new();
        let state = stage.world.register(0);
        stage.world.enter(&state);
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
    explore("stop_again", &[Some(1), Some(2), Some(3), Some(4)], || {
        let stage = Stage::new();
        let state = stage.world.register(0);
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
        let states = [0, 0].map(|local| stage.world.register(local));
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
                let state = stage.world.register(0);
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

/// One mutator leaves for good while a cycle waits for another.
///
/// Kills: `unregister-everybody`.
#[test]
fn unregister_and_stop() {
    model("unregister_and_stop", || {
        let stage = Stage::new();
        let [leaving, staying] = [0, 0].map(|local| stage.world.register(local));
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
        let [outer, inner] = [0, 0].map(|local| stage.world.register(local));
        let mutator = thread::spawn({
            let (stage, outer, inner) = (stage.clone(), outer.clone(), inner.clone());
            move || {
                stage.world.enter(&outer);
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

/// The objects that a scan of all jobs reports.
fn scanned(table: &RootTable) -> Vec<usize> {
    struct Seen(Vec<usize>);
    impl Visitor for Seen {
        fn visit(&mut self, object: Object, _kind: Kind) {
            self.0.push(object.0);
        }
    }
    let mut seen = Seen(Vec::new());
    (0..table.jobs()).for_each(|job| table.scan(job, &mut seen));
    seen.0.sort_unstable();
    seen.0
}

fn handle(table: &Arc<RootTable>, object: usize) -> Handle {
    let kind = Kind {
        id: 0,
        noscan: true,
    };
    Handle::new(table, Object(object), kind)
}

/// Two threads clone a handle and drop what they cloned it from, one makes another handle, one
/// scans. What has a handle is reported, once; what has none is not.
///
/// Kills: `clone-uncounted`, `clone-in-two-steps`, `free-while-counted`, `scan-of-free`.
#[test]
fn roots() {
    model("roots", || {
        let table = Arc::new(RootTable::default());
        drop(handle(&table, 9));
        let shared = Arc::new(handle(&table, 1));
        let other = thread::spawn({
            let (table, shared) = (table.clone(), shared.clone());
            move || {
                let clone = Handle::clone(&shared);
                drop(shared);
                (clone, handle(&table, 2))
            }
        });
        let clone = Handle::clone(&shared);
        drop(shared);
        let seen = scanned(&table);
        assert!(seen == [1] || seen == [1, 2], "{seen:?}");
        drop(clone);
        assert!(
            scanned(&table).starts_with(&[1]),
            "a clone or the first is left"
        );
        let (clone, second) = other.join().unwrap();
        assert_eq!(scanned(&table), [1, 2]);
        drop(clone);
        assert_eq!(scanned(&table), [2]);
        drop(second);
        assert_eq!((scanned(&table).len(), table.len()), (0, 0));
    });
}
