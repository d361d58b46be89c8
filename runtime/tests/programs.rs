//! Random programs, each beside a plain graph that knows what is reachable.
//!
//! After a collection that was asked for, what was dropped is *exactly* what the twin graph says
//! is unreachable, and every weak reference agrees. `HEAPWRIGHT_SEED` replays a run, and
//! `HEAPWRIGHT_PROGRAMS=10` makes each ten times as long.
//!
//! Mutants: `roots-job-skipped`, `weak-not-cleared`, `drop-glue-not-run`, `drop-the-living` and
//! `shade-without-scan` are killed here.

mod common;
#[allow(
    dead_code,
    reason = "the example's main and its table are not used here"
)]
#[path = "../examples/custom_collector.rs"]
mod custom_collector;
#[path = "programs/graph.rs"]
mod graph;
#[allow(dead_code, reason = "what breaks a closure is not used here")]
#[path = "programs/make.rs"]
mod make;
#[path = "programs/objects.rs"]
mod objects;

use common::{Drops, Random, seed};
use custom_collector::DepthFirst;
use graph::{Board, Model, reachable, reachable_from, tokens};
use runtime::{Builder, Collector, Debug, Gc, OnTheFly, Root, Runtime, StopTheWorld, Trace};
use std::collections::BTreeSet;
use std::time::Duration;

/// How many times as long as usual.
fn scale() -> usize {
    let text = std::env::var("HEAPWRIGHT_PROGRAMS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Enough bytes that more than one marker is worth its thread, cheaply.
fn ballast<C: Collector>(heap: &Runtime<C>, bytes: usize) -> Vec<Root<[[u64; 1024]]>> {
    heap.mutator().enter(|cx| {
        let parts = (0..bytes >> 20).map(|_| cx.alloc_slice(vec![[1_u64; 1024]; 128]));
        parts.map(|part| cx.root(part)).collect()
    })
}

/// What a collection came to: objects marked, and the tokens dropped.
type Cycles = Vec<(usize, BTreeSet<u64>)>;

/// Runs a program that collects every so often, and compares with the twin each time.
fn program<C: Collector>(collector: C, markers: usize, seed: u64) -> Cycles {
    program_under(Debug::default(), collector, markers, seed)
}

fn program_under<C: Collector>(debug: Debug, collector: C, markers: usize, seed: u64) -> Cycles {
    let ballast_bytes = if markers > 1 { 50 << 20 } else { 0 };
    let builder = Builder::new(collector).gc_off().debug(debug);
    let heap = builder.build().unwrap();
    let mut mutator = heap.mutator();
    let drops = Drops::default();
    let mut model = Model::new(seed, 1, &drops, false);
    let ballast = ballast(&heap, ballast_bytes);
    let mut cycles = Cycles::new();
    let mut compare = |model: &mut Model, mutator: &mut runtime::Mutator<C>, ballast: usize| {
        let living = reachable(&[model]);
        let (all, kept) = tokens(&[model], &living);
        let cycle = mutator.collect().unwrap();
        assert_eq!(cycle.markers, markers);
        let dropped = drops.take_dropped();
        let expected: BTreeSet<u64> = all.difference(&kept).copied().collect();
        assert_eq!(dropped, expected, "dropped, and unreachable");
        model.settle(&living);
        mutator.enter(|cx| model.verify(cx));
        cycles.push((cycle.objects_marked - ballast, dropped));
    };
    for _ in 0..12 * scale() {
        for _ in 0..30 {
            mutator.enter(|cx| (0..25).for_each(|_| model.step(cx)));
        }
        compare(&mut model, &mut mutator, ballast.len());
    }
    model.drop_roots();
    drop(ballast);
    compare(&mut model, &mut mutator, 0);
    assert_eq!((heap.stats().live_bytes, heap.stats().drop_panics), (0, 0));
    cycles
}

#[test]
fn what_is_dropped_is_what_is_unreachable() {
    let seed = seed();
    for n in 0..4 {
        program(StopTheWorld::with_markers(1), 1, seed + n);
    }
}

#[test]
fn many_markers_find_the_same() {
    let seed = seed();
    let alone = program(StopTheWorld::with_markers(1), 1, seed);
    for markers in [2, 4] {
        let together = program(StopTheWorld::with_markers(markers), markers, seed);
        assert!(alone == together, "{markers} markers");
    }
}

/// The collector from outside of the crate is the naive twin of the one in it.
#[test]
fn the_depth_first_collector_finds_the_same() {
    let seed = seed();
    for n in 0..3 {
        let ours = program(StopTheWorld::with_markers(1), 1, seed + n);
        let theirs = program(DepthFirst, 0, seed + n);
        assert!(ours == theirs, "seed {}", seed + n);
    }
}

/// Four threads, each with a graph of its own and with edges into those of the others, while
/// cycles begin by themselves all the time.
fn threads<C: Collector>(collector: C, percent: u32, seed: u64, ballast_bytes: usize) {
    let heap = Builder::new(collector).gc_percent(percent).build().unwrap();
    let ballast = ballast(&heap, ballast_bytes);
    let (drops, board) = (Drops::default(), Board::default());
    let models: Vec<Model> = std::thread::scope(|scope| {
        let threads = (0..4_u64).map(|thread| {
            let (heap, drops, board) = (&heap, &drops, &board);
            scope.spawn(move || {
                let mut model = Model::new(seed + thread, thread << 40 | 1, drops, true);
                let mut mutator = heap.mutator();
                for round in 0..250 * scale() {
                    mutator.enter(|cx| (0..20).for_each(|_| model.step(cx)));
                    mutator.enter(|cx| model.trade(cx, board));
                    match round % 50 {
                        20 => mutator.enter(|cx| model.verify(cx)),
                        // A mutator that comes and goes.
                        30 => mutator = heap.mutator(),
                        40 => _ = mutator.collect().unwrap(),
                        _ => {}
                    }
                }
                model
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(heap.stats().cycles > 20, "{} cycles", heap.stats().cycles);
    let mut mutator = heap.mutator();
    mutator.collect().unwrap();
    let all_models: Vec<&Model> = models.iter().collect();
    let shown: Vec<u64> = board.lock().unwrap().iter().map(|(id, _)| *id).collect();
    let living = reachable_from(&all_models, &shown);
    let (all, kept) = tokens(&all_models, &living);
    let expected: BTreeSet<u64> = all.difference(&kept).copied().collect();
    assert_eq!(drops.take_dropped(), expected, "dropped, and unreachable");
    mutator.enter(|cx| models.iter().for_each(|model| model.verify(cx)));
    drop((models, board, ballast));
    mutator.collect().unwrap();
    assert_eq!(drops.take_dropped(), kept);
    assert_eq!((heap.stats().live_bytes, heap.stats().drop_panics), (0, 0));
}

/// The oracle marks in a stopped world; what it finds, the default collector must find beside the
/// mutators.
#[test]
fn on_the_fly_finds_the_same() {
    let seed = seed();
    for n in 0..3 {
        let stopped = program(StopTheWorld::with_markers(1), 1, seed + n);
        let beside = program(OnTheFly::with_markers(1), 1, seed + n);
        assert!(stopped == beside, "seed {}", seed + n);
    }
}

/// So they do however the heap is checked and provoked, and with more than one marker.
#[test]
fn debug_modes_find_the_same() {
    let seed = seed();
    let usual = Debug::default();
    let modes = [
        Debug {
            check_marks: true,
            poison: true,
            ..usual
        },
        Debug {
            log_entries: Some(1),
            extra_waves: 2,
            ..usual
        },
        Debug {
            delay_logs: true,
            poison: true,
            handshake_delay: Duration::from_millis(1),
            ..usual
        },
    ];
    let stopped = program(StopTheWorld::with_markers(1), 1, seed);
    for debug in modes {
        let poisoned = program_under(debug, StopTheWorld::with_markers(1), 1, seed);
        let beside = program_under(debug, OnTheFly::with_markers(1), 1, seed);
        assert!(stopped == poisoned && stopped == beside, "{debug:?}");
    }
    let beside = program_under(modes[0], OnTheFly::with_markers(2), 2, seed);
    assert!(stopped == beside, "two markers");
}

#[test]
fn threads_beside_one_marker() {
    threads(OnTheFly::with_markers(1), 1, seed(), 0);
}

#[test]
fn threads_beside_two_markers() {
    threads(OnTheFly::with_markers(2), 3, seed(), 17 << 20);
}

#[test]
fn threads_under_one_marker() {
    threads(StopTheWorld::with_markers(1), 1, seed(), 0);
}

#[test]
fn threads_under_two_markers() {
    threads(StopTheWorld::with_markers(2), 3, seed(), 17 << 20);
}

#[test]
fn threads_under_four_markers() {
    threads(StopTheWorld::with_markers(4), 2, seed(), 50 << 20);
}

#[test]
fn threads_under_the_depth_first_collector() {
    threads(DepthFirst, 1, seed(), 0);
}

#[derive(Trace)]
struct Leaf<'gc> {
    number: u64,
    to: [Option<Gc<'gc, Leaf<'gc>>>; 4],
}

/// A graph that is itself large enough for many markers: each object is counted once, whoever
/// marks it, and all that is left is right.
#[test]
fn a_large_graph_is_marked_once() {
    let heap = Builder::new(StopTheWorld::with_markers(4))
        .gc_off()
        .build()
        .unwrap();
    let mut mutator = heap.mutator();
    let mut random = Random::new(seed());
    const COUNT: usize = 600_000;
    let root = mutator.enter(|cx| {
        let mut leaves: Vec<Gc<'_, Leaf<'_>>> = Vec::with_capacity(COUNT);
        for number in 0..COUNT {
            let mut to = [None; 4];
            to[0] = leaves.last().copied();
            if number > 0 {
                to[1..].fill_with(|| Some(leaves[random.below(number)]));
            }
            leaves.push(cx.alloc(Leaf {
                number: number as u64,
                to,
            }));
            if number % 3 == 0 {
                cx.alloc(Leaf { number: 0, to });
            }
        }
        // The first cycle's roots are many, so that the markers begin at many places.
        let all = cx.root(cx.alloc_slice(leaves.clone()));
        let some: Vec<_> = leaves
            .iter()
            .step_by(100)
            .map(|leaf| cx.root(*leaf))
            .collect();
        (all, some, cx.root(leaves[COUNT - 1]))
    });
    let cycle = mutator.collect().unwrap();
    assert_eq!((cycle.objects_marked, cycle.markers), (COUNT + 1, 3));
    drop((root.0, root.1));
    let cycle = mutator.collect().unwrap();
    assert_eq!(
        (cycle.objects_marked, cycle.live_bytes),
        (COUNT, COUNT * 48)
    );
    mutator.enter(|cx| {
        let mut leaf = root.2.get(cx);
        for number in (0..COUNT as u64).rev() {
            assert_eq!(leaf.number, number);
            leaf = leaf.to[0].unwrap_or(leaf);
        }
    });
}
