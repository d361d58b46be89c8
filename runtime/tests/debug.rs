//! The debug modes do what they say. (What `log_entries` and `delay_logs` do to a log is a unit
//! test beside them.)
//!
//! Mutants: `poison-nothing`, `poison-large-in-part`, `poison-before-drop`, `check-nothing`,
//! `no-extra-waves`, `no-delay`, `no-cycle-at-polls` are killed here.

mod common;

use common::Drops;
use runtime::{
    Barrier, Builder, CollectError, Collector, Debug, Gc, Heap, NoGc, OnTheFly, Runtime, Session,
    StopTheWorld, Trace,
};
use std::process::Command;
use std::time::{Duration, Instant};

fn heap(debug: Debug) -> Heap {
    let builder = Builder::new(OnTheFly::with_markers(1)).gc_off();
    builder.debug(debug).build().unwrap()
}

#[derive(Trace)]
struct Pair<'gc> {
    number: u64,
    next: Option<Gc<'gc, Pair<'gc>>>,
}

/// The bytes from `address`, which lie in a heap that is still mapped.
fn bytes_at(address: usize, count: usize) -> Vec<u8> {
    let first = std::ptr::with_exposed_provenance::<u8>(address);
    let read = |n| {
        // SAFETY: in the heap's range.
        let byte = unsafe { first.add(n) };
        // SAFETY: it stays mapped, and nobody writes meanwhile.
        unsafe { byte.read_volatile() }
    };
    (0..count).map(read).collect()
}

/// Makes three objects (small, dropped, large) beside living ones, lets them die, and returns what
/// is in their places afterwards.
fn remains<C: Collector>(collector: C, poison: bool) -> [Vec<u8>; 3] {
    let debug = Debug {
        poison,
        ..Debug::default()
    };
    let builder = Builder::new(collector).gc_off().debug(debug);
    let heap: Runtime<C> = builder.build().unwrap();
    let drops = Drops::default();
    let mut mutator = heap.mutator();
    let (kept, dead) = mutator.enter(|cx| {
        let pair = || Pair {
            number: 7,
            next: None,
        };
        // Neighbors, so that the spans live on.
        let kept = (
            cx.root(cx.alloc(pair())),
            cx.root(cx.alloc((drops.token(1), 5_u64))),
        );
        let dead = [
            Gc::address(cx.alloc(pair())),
            Gc::address(cx.alloc((drops.token(2), 5_u64))),
            Gc::address(cx.alloc_slice(vec![5_u64; 20_000])),
        ];
        (kept, dead)
    });
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [2], "dropped once, as it was");
    mutator.enter(|cx| {
        assert_eq!(kept.0.get(cx).number, 7);
        assert_eq!(kept.1.get(cx).1, 5);
    });
    let sizes = [size_of::<Pair<'_>>(), 24, 160_008];
    [0, 1, 2].map(|n| bytes_at(dead[n], sizes[n]))
}

#[test]
fn poison_fills_what_is_dead() {
    for remains in [
        remains(OnTheFly::with_markers(1), true),
        remains(StopTheWorld::with_markers(1), true),
    ] {
        for bytes in remains {
            assert!(bytes.iter().all(|byte| *byte == Debug::POISON));
        }
    }
    let untouched = remains(OnTheFly::with_markers(1), false);
    for bytes in untouched {
        assert!(bytes.iter().any(|byte| *byte != Debug::POISON));
    }
}

/// A collector that frees what it has not looked for.
struct Careless;

// SAFETY: breaks the promise, in a process of its own that is to end for it.
unsafe impl Collector for Careless {
    const NAME: &'static str = "careless";
    const BARRIER: Barrier = Barrier::Deletion;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        session.finish_sweep();
        let world = session.arm();
        // SAFETY: none.
        unsafe { world.begin_sweep() };
        Ok(())
    }
}

const VICTIM: &str = "HEAPWRIGHT_TEST_VICTIM";

/// Not a test of its own: what `check_marks_aborts_at_a_lost_object` runs in another process.
#[test]
fn careless_victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let debug = Debug {
        check_marks: true,
        ..Debug::default()
    };
    let builder = Builder::new(Careless).gc_off().debug(debug);
    let heap = builder.build().unwrap();
    let mut mutator = heap.mutator();
    let _root = mutator.enter(|cx| {
        let pair = Pair {
            number: 7,
            next: None,
        };
        cx.root(cx.alloc(pair))
    });
    let _ = mutator.collect();
    println!("went on");
}

#[test]
fn check_marks_aborts_at_a_lost_object() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "careless_victim"])
        .env(VICTIM, "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{output:?}");
    assert!(said.contains("reachable and was not marked"), "{said}");
    assert!(said.contains("Pair"), "{said}");
    assert!(said.contains("0x") || said.contains("Object("), "{said}");
}

#[test]
fn extra_waves_are_waved() {
    for extra_waves in [0, 1, 5] {
        let debug = Debug {
            extra_waves,
            ..Debug::default()
        };
        let heap = heap(debug);
        let _mutators = [heap.mutator(), heap.mutator()];
        assert_eq!(heap.collect().unwrap().waves, 1 + extra_waves);
    }
}

#[test]
fn each_handshake_is_delayed() {
    let handshake_delay = Duration::from_millis(20);
    let debug = Debug {
        handshake_delay,
        ..Debug::default()
    };
    let heap = heap(debug);
    let begun = Instant::now();
    heap.collect().unwrap();
    // H1, H2, H3, one wave, H5.
    assert!(begun.elapsed() >= handshake_delay * 5);
}

/// Allocates a little, in many closures; how many cycles that brings.
fn cycles_of<C: Collector>(collector: C, collect_at_polls: bool) -> u64 {
    let debug = Debug {
        collect_at_polls,
        ..Debug::default()
    };
    let builder = Builder::new(collector).gc_off().debug(debug);
    let heap: Runtime<C> = builder.build().unwrap();
    let mut mutator = heap.mutator();
    let begun = Instant::now();
    let is_hopeful = collect_at_polls && C::COLLECTS;
    let patience = Duration::from_secs(if is_hopeful { 20 } else { 0 });
    for round in 0.. {
        mutator.enter(|cx| (0..2_000_u64).for_each(|n| _ = cx.alloc([n; 8])));
        let cycles = heap.stats().cycles;
        if cycles > 3 || round > 10 && begun.elapsed() > patience {
            return cycles;
        }
    }
    unreachable!()
}

#[test]
fn slow_paths_want_cycles() {
    assert!(cycles_of(OnTheFly::with_markers(1), true) > 3);
    assert!(cycles_of(StopTheWorld::with_markers(1), true) > 3);
    assert_eq!(cycles_of(NoGc, true), 0, "one that never collects");
    assert_eq!(cycles_of(OnTheFly::with_markers(1), false), 0);
}
