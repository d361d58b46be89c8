//! One round: a heap, its threads, and what must be true at the end.

use crate::actor::{Actor, Common};
use crate::common::{Drops, Random};
use crate::graph::{Board, Model, reachable_from, tokens};
use crate::kinds::{Any, AnyRoot, Census};
use crate::modes::Mode;
use runtime::{Builder, Heap, Mutator, OnTheFly, Root};
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

const MUTATORS: u64 = 8;
const BOARD: usize = 24;
/// The shared graph is cut down when the heap holds more than this beside its ballast.
const LIVE_BYTES_MAX: usize = 24 << 20;
/// After so many steps a mutator's own graph starts anew.
const STEPS: usize = 2_000;
/// A round that is not over so long after its time is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a round came to.
pub(crate) struct Round {
    pub(crate) cycles: u64,
    /// Of the cycles that were asked for.
    pub(crate) waves: usize,
    pub(crate) objects: usize,
}

/// Runs a round of about this length.
pub(crate) fn run(mode: &'static Mode, seed: u64, length: Duration) -> Round {
    let heap = build(mode);
    let census = Arc::new(Census {
        seed,
        mode: mode.name,
        ..Census::default()
    });
    let _watch = Watch::over(&census, length + PATIENCE);
    let ballast = ballast(&heap, mode.markers);
    let common = Common {
        heap: heap.clone(),
        census: census.clone(),
        board: (0..BOARD).map(|_| Mutex::new(None)).collect(),
        until: Instant::now() + length,
    };
    let (drops, shown, waves) = (Drops::default(), Board::default(), AtomicUsize::new(0));
    let models = play(&common, mode, &drops, &shown, &waves);
    let mut mutator = heap.mutator();
    mutator.enter(|cx| look_at_all(cx, &common));
    compare(&mut mutator, &models, &drops, &shown);
    let cycles = heap.stats().cycles;
    drop((models, shown, ballast));
    common.board.iter().for_each(|slot| {
        drop(slot.lock().expect("nobody panicked").take());
    });
    end(mutator, &heap, &census, &drops);
    Round {
        cycles,
        waves: waves.into_inner(),
        objects: census.made.load(Ordering::Relaxed),
    }
}

fn build(mode: &Mode) -> Heap {
    let builder = Builder::new(OnTheFly::with_markers(mode.markers)).debug(mode.debug);
    let builder = match mode.percent {
        Some(percent) => builder.gc_percent(percent),
        None => builder.gc_off(),
    };
    let builder = if mode.symmetric {
        builder.symmetric_fences()
    } else {
        builder
    };
    builder.build().expect("a range of addresses")
}

/// Enough bytes that a second marker is worth its thread.
fn ballast(heap: &Heap, markers: usize) -> Vec<Root<[[u64; 1024]]>> {
    let parts = (markers - 1) * 17;
    heap.mutator().enter(|cx| {
        let parts = (0..parts).map(|_| cx.alloc_slice(vec![[1_u64; 1024]; 128]));
        parts.map(|part| cx.root(part)).collect()
    })
}

/// Ends the process if the round does not end in time.
struct Watch(Option<mpsc::Sender<()>>);

impl Watch {
    fn over(census: &Arc<Census>, patience: Duration) -> Self {
        let (sender, receiver) = mpsc::channel();
        let census = census.clone();
        std::thread::spawn(move || {
            if receiver.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                census.corrupt("the round does not end");
            }
        });
        Self(Some(sender))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.take();
    }
}

/// All threads, until the time is over; the mutators' own graphs.
fn play(
    common: &Common,
    mode: &Mode,
    drops: &Drops,
    shown: &Board,
    waves: &AtomicUsize,
) -> Vec<Model> {
    std::thread::scope(|scope| {
        let (dropper, roots) = mpsc::channel();
        let mut random = Random::new(common.census.seed ^ 0xD809);
        scope.spawn(move || drop_roots(common, &mut random, &roots));
        let mut random = Random::new(common.census.seed ^ 0xA54);
        scope.spawn(move || ask_for_cycles(common, mode, &mut random, waves));
        let threads: Vec<_> = (0..MUTATORS)
            .map(|number| {
                let actor = Actor {
                    common,
                    random: Random::new(common.census.seed.wrapping_mul(31) + number),
                    roots: Vec::new(),
                    dropper: dropper.clone(),
                };
                let name = format!("mutator-{number}");
                let thread = std::thread::Builder::new().name(name);
                let model = Model::new(actor.random.clone().next(), number << 40 | 1, drops, true);
                let spawned = thread.spawn_scoped(scope, move || mutate(actor, model, shown));
                spawned.expect("a thread")
            })
            .collect();
        drop(dropper);
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|model| model.expect("no panic")).collect()
    })
}

/// A mutator's thread.
fn mutate(mut actor: Actor<'_>, mut model: Model, shown: &Board) -> Model {
    let heap = &actor.common.heap;
    let mut mutator = heap.mutator();
    let mut steps = 0;
    while Instant::now() < actor.common.until {
        match actor.random.below(64) {
            0 => mutator = heap.mutator(),
            1 => actor.act_nested(&mut heap.mutator(), &mut mutator),
            2 => {
                let mut second = heap.mutator();
                actor.act_nested(&mut mutator, &mut second);
                // Whichever goes, the other is enough.
                mutator = second;
            }
            3 | 4 => actor.act_and_panic(&mut mutator),
            5 if actor.random.below(8) == 0 => _ = mutator.collect().expect("no panic"),
            6 => mutator.enter(|cx| model.trade(cx, shown)),
            7 if actor.random.below(4) == 0 => mutator.enter(|cx| model.verify(cx)),
            8..24 => {
                mutator.enter(|cx| (0..12).for_each(|_| model.step(cx)));
                steps += 12;
            }
            _ => actor.act(&mut mutator),
        }
        if steps > STEPS {
            model.drop_roots();
            steps = 0;
        }
    }
    model
}

/// A thread that is no mutator: drops, clones and shows what it is sent.
fn drop_roots(common: &Common, random: &mut Random, roots: &mpsc::Receiver<AnyRoot>) {
    let mut kept = Vec::new();
    for root in roots {
        match random.below(4) {
            0 => drop(common.show(random.below(1_000), Some(root.clone()))),
            1 => kept.push(root),
            2 => kept.clear(),
            _ => drop(root),
        }
        if kept.len() > 20 {
            kept.swap_remove(random.below(20));
        }
    }
}

/// A thread that asks for cycles, sets the percentage, and looks at the heap.
fn ask_for_cycles(common: &Common, mode: &Mode, random: &mut Random, waves: &AtomicUsize) {
    let heap = &common.heap;
    while Instant::now() < common.until {
        match random.below(5) {
            0 => heap.set_gc_percent(Some(random.below(100) as u32)),
            1 => _ = heap.census(),
            2 => heap.set_gc_percent(mode.percent),
            _ => {
                let cycle = heap.collect().expect("no panic");
                assert_eq!(cycle.markers, mode.markers);
                waves.fetch_add(cycle.waves as usize, Ordering::Relaxed);
            }
        }
        let ballast_bytes = ((mode.markers - 1) * 18) << 20;
        if heap.stats().live_bytes > LIVE_BYTES_MAX + ballast_bytes {
            (0..BOARD).for_each(|at| drop(common.show(at, None)));
        }
        let pause = if mode.percent.is_none() { 1 } else { 8 };
        std::thread::sleep(Duration::from_millis(pause));
    }
}

/// Looks at every object that the board reaches.
fn look_at_all(cx: &runtime::Cx<'_>, common: &Common) {
    let roots = common.board.iter().filter_map(|slot| {
        let slot = slot.lock().expect("nobody panicked");
        slot.as_ref().map(|root| root.get(cx))
    });
    let mut stack: Vec<Any<'_>> = roots.collect();
    let mut seen = HashSet::new();
    while let Some(any) = stack.pop() {
        if seen.insert(any.address()) {
            any.check(&common.census);
            stack.extend(any.edges(cx));
        }
    }
}

/// What was dropped is what the twins say is unreachable.
fn compare(mutator: &mut Mutator, models: &[Model], drops: &Drops, shown: &Board) {
    mutator.collect().expect("no panic");
    let models: Vec<&Model> = models.iter().collect();
    let roots = shown.lock().expect("nobody panicked");
    let roots: Vec<u64> = roots.iter().map(|(id, _)| *id).collect();
    let living = reachable_from(&models, &roots);
    let (all, kept) = tokens(&models, &living);
    let expected: BTreeSet<u64> = all.difference(&kept).copied().collect();
    assert!(drops.take_dropped() == expected, "dropped, and unreachable");
    mutator.enter(|cx| models.iter().for_each(|model| model.verify(cx)));
}

/// Every root is gone: nothing is left.
fn end(mut mutator: Mutator, heap: &Heap, census: &Census, drops: &Drops) {
    mutator.collect().expect("no panic");
    let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    assert_eq!(
        load(&census.made),
        load(&census.dropped),
        "made and dropped"
    );
    // What the twins kept has been counted already.
    let (left, dropped) = drops.totals();
    assert_eq!(left, dropped);
    drop(drops.take_dropped());
    drop(mutator);
    let stats = heap.stats();
    assert_eq!((stats.live_bytes, stats.roots), (0, 0));
    assert_eq!((stats.drop_panics, stats.trace_panics), (0, 0));
    assert_eq!(stats.mutators, 0);
    let objects: usize = heap.census().iter().map(|kind| kind.objects).sum();
    assert_eq!(objects, 0, "{:?}", heap.census());
}
