//! A byte string as a program on the default collector's heap, beside the twin graph.
//!
//! The first bytes set the heap up; the others are its choices. In the first form mutators take
//! turns on one thread, so that bytes alone decide what happens; if cycles begin only when they
//! are asked for, the twin also knows when each weak reference dies. In the second form the string
//! is dealt out to threads. Marks are checked by a second mark, and what is dead is poisoned, in
//! both.

use crate::common::{Drops, Random};
use crate::graph::{Board, Model, reachable_from, tokens};
use runtime::{Builder, Cx, Debug, Heap, Mutator, OnTheFly};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// Bytes of pages at most: more than a program makes, but for the one that fills the heap.
const LIMIT_BYTES: usize = 24 << 20;
/// Mutators and models.
const MUTATORS: usize = 3;

/// Runs a program; panics, or ends the process, if heap and twin disagree.
pub(crate) fn run_input(input: &[u8]) {
    let mut random = Random::of_bytes(input);
    let form = random.below(8);
    let debug = debug_of(&mut random);
    let is_threaded = form == 0;
    let is_automatic = form < 4;
    let builder = Builder::new(OnTheFly::with_markers(1)).debug(debug);
    let builder = builder.reserve_bytes(64 << 20).limit_bytes(LIMIT_BYTES);
    let builder = match is_automatic {
        true => builder.gc_percent(random.below(120) as u32),
        false => builder.gc_off(),
    };
    let heap = builder.build().expect("a range of addresses");
    let drops = Drops::default();
    let models = (0..MUTATORS as u64)
        .map(|number| Model::new(0, number << 40 | 1, &drops, is_automatic))
        .collect();
    let mut program = Program {
        mutators: (0..MUTATORS).map(|_| heap.mutator()).collect(),
        heap,
        models,
        board: Board::default(),
        drops,
        random,
        is_automatic,
        was_filled: false,
    };
    if is_threaded {
        program.on_threads();
    } else {
        while !program.random.is_over() {
            program.turn();
        }
    }
    program.end();
}

/// Checks are always on; what provokes the collector is chosen.
fn debug_of(random: &mut Random) -> Debug {
    let chosen = random.below(64);
    Debug {
        check_marks: true,
        poison: true,
        log_entries: (chosen & 1 != 0).then_some(1),
        delay_logs: chosen & 2 != 0,
        extra_waves: if chosen & 4 != 0 { 2 } else { 0 },
        collect_at_polls: chosen & 24 == 24,
        handshake_delay: match chosen & 32 {
            0 => Duration::ZERO,
            _ => Duration::from_micros(20),
        },
    }
}

struct Program {
    heap: Heap,
    mutators: Vec<Mutator>,
    models: Vec<Model>,
    board: Board,
    drops: Drops,
    random: Random,
    is_automatic: bool,
    was_filled: bool,
}

impl Program {
    /// Runs a closure of one mutator, in which one model takes its choices from the program's; a
    /// panic leaves them where it came.
    fn enter(&mut self, act: impl FnOnce(&mut Model, &Cx<'_>)) {
        let (who, whose) = (self.random.below(MUTATORS), self.random.below(MUTATORS));
        let (mutator, model) = (&mut self.mutators[who], &mut self.models[whose]);
        std::mem::swap(&mut self.random, &mut model.random);
        let result = catch_unwind(AssertUnwindSafe(|| mutator.enter(|cx| act(model, cx))));
        std::mem::swap(&mut self.random, &mut model.random);
        result.unwrap_or_else(|payload| resume_unwind(payload));
    }

    /// One operation of the program whose mutators take turns.
    fn turn(&mut self) {
        match self.random.below(32) {
            0..14 => {
                let steps = 1 + self.random.below(8);
                self.enter(|model, cx| (0..steps).for_each(|_| model.step(cx)));
            }
            14 | 15 => self.nested(),
            16 | 17 => {
                let board = std::mem::take(&mut self.board);
                self.enter(|model, cx| model.trade(cx, &board));
                self.board = board;
            }
            18 => self.enter(|model, cx| model.verify(cx)),
            19..22 => self.compare(),
            22 => self.panicking(),
            23 => self.enter(|model, cx| model.break_slice(cx)),
            24 => {
                let who = self.random.below(MUTATORS);
                self.mutators[who] = self.heap.mutator();
            }
            25 => self.set(),
            26 | 27 => {
                let count = self.random.below(64);
                self.enter(|model, cx| model.linger(cx, count));
            }
            28 => {
                let whose = self.random.below(MUTATORS);
                self.models[whose].drop_roots();
            }
            29 => self.board.lock().expect("nobody panicked").clear(),
            30 => self.fill(),
            _ => _ = self.heap.release_os_memory(),
        }
    }

    /// A closure inside of another mutator's: what one holds, a collection in between may not take.
    fn nested(&mut self) {
        let (outer, inner) = (self.random.below(MUTATORS), self.random.below(MUTATORS));
        let whose = self.random.below(MUTATORS);
        let mut second = self.heap.mutator();
        std::mem::swap(&mut self.mutators[inner], &mut second);
        let model = &mut self.models[whose];
        std::mem::swap(&mut self.random, &mut model.random);
        let (first, other) = match outer == inner {
            true => (&mut self.mutators[inner], &mut second),
            false => (&mut self.mutators[outer], &mut second),
        };
        first.enter(|cx| {
            let held = model.walk(cx);
            other.enter(|cx| model.step(cx));
            model.step(cx);
            if let Some((id, at)) = held {
                model.check(id, at);
            }
        });
        std::mem::swap(&mut self.random, &mut model.random);
    }

    /// A closure that panics changes nothing of the graph, and the mutator goes on.
    fn panicking(&mut self) {
        let closure = AssertUnwindSafe(|| self.enter(|model, cx| model.panic_locked(cx)));
        assert!(catch_unwind(closure).is_err());
    }

    /// Percentage and limit change while the program runs.
    fn set(&mut self) {
        let choice = self.random.below(256);
        if !self.is_automatic {
            // A limit would begin cycles.
            return;
        }
        match choice % 4 {
            0 => self.heap.set_gc_percent(None),
            1 => self.heap.set_memory_limit(Some(choice << 16)),
            2 => self.heap.set_memory_limit(None),
            _ => self.heap.set_gc_percent(Some(choice as u32)),
        }
    }

    /// Fills the heap with garbage until an allocation fails as a value; once a program.
    fn fill(&mut self) {
        if std::mem::replace(&mut self.was_filled, true) {
            return;
        }
        let (heap, mutator) = (&self.heap, &mut self.mutators[0]);
        mutator.enter(|cx| {
            let roots = |pages: usize| {
                let filled = cx.try_alloc_slice(vec![[1_u64; 1024]; pages]);
                filled.map(|filled| cx.root(filled)).ok()
            };
            // Roots, so that no cycle makes room meanwhile.
            let large: Vec<_> = std::iter::from_fn(|| roots(128)).collect();
            let small: Vec<_> = std::iter::from_fn(|| roots(8)).collect();
            assert!(!large.is_empty() || !small.is_empty(), "the heap was full");
            assert!(heap.stats().heap_bytes <= LIMIT_BYTES);
        });
        self.compare();
    }

    /// Asks for a collection: what was dropped is what the twins say is unreachable.
    fn compare(&mut self) {
        let who = self.random.below(MUTATORS + 1);
        let cycle = match self.mutators.get_mut(who) {
            Some(mutator) => mutator.collect(),
            None => self.heap.collect(),
        };
        cycle.expect("no trace panics");
        let models: Vec<&Model> = self.models.iter().collect();
        let board = self.board.lock().expect("nobody panicked");
        let shown: Vec<u64> = board.iter().map(|(id, _)| *id).collect();
        drop(board);
        let living = reachable_from(&models, &shown);
        let (all, kept) = tokens(&models, &living);
        let expected: BTreeSet<u64> = all.difference(&kept).copied().collect();
        assert_eq!(self.drops.take_dropped(), expected, "dropped, unreachable");
        for model in &mut self.models {
            model.settle(&living);
        }
        let models = &self.models;
        self.mutators[0].enter(|cx| models.iter().for_each(|model| model.verify(cx)));
    }

    /// Deals what is left of the string out to threads, each with a mutator and a model.
    fn on_threads(&mut self) {
        let Random::Bytes(bytes) = &mut self.random else {
            unreachable!("a program is a byte string")
        };
        let bytes: Vec<u8> = std::mem::take(bytes).into();
        let parts = bytes.chunks(bytes.len().div_ceil(MUTATORS).max(1));
        for (model, part) in self.models.iter_mut().zip(parts) {
            model.random = Random::of_bytes(part);
        }
        let (heap, board) = (&self.heap, &self.board);
        std::thread::scope(|scope| {
            for (model, mutator) in self.models.iter_mut().zip(&mut self.mutators) {
                scope.spawn(move || {
                    while matches!(model.random, Random::Bytes(_)) && !model.random.is_over() {
                        thread_turn(heap, board, model, mutator);
                    }
                });
            }
        });
    }

    /// Everything goes: each token was dropped once, and nothing is left.
    fn end(mut self) {
        self.compare();
        self.models.iter_mut().for_each(Model::drop_roots);
        self.board = Board::default();
        self.compare();
        assert_eq!(self.drops.totals(), (0, 0), "tokens that are left");
        self.mutators.clear();
        let stats = self.heap.stats();
        assert_eq!((stats.live_bytes, stats.roots, stats.mutators), (0, 0, 0));
        assert_eq!((stats.drop_panics, stats.trace_panics), (0, 0));
        let objects: usize = self.heap.census().iter().map(|kind| kind.objects).sum();
        assert_eq!(objects, 0, "{:?}", self.heap.census());
    }
}

/// One operation of a thread.
fn thread_turn(heap: &Heap, board: &Board, model: &mut Model, mutator: &mut Mutator) {
    match model.random.below(16) {
        0..8 => {
            let steps = 1 + model.random.below(16);
            mutator.enter(|cx| (0..steps).for_each(|_| model.step(cx)));
        }
        8 | 9 => mutator.enter(|cx| model.trade(cx, board)),
        10 => mutator.enter(|cx| model.verify(cx)),
        11 => _ = mutator.collect().expect("no trace panics"),
        12 => {
            let closure = AssertUnwindSafe(|| mutator.enter(|cx| model.panic_locked(cx)));
            assert!(catch_unwind(closure).is_err());
        }
        13 => *mutator = heap.mutator(),
        14 => {
            let percent = model.random.below(256) as u32;
            heap.set_gc_percent(percent.checked_sub(60));
        }
        _ => {
            let count = model.random.below(64);
            mutator.enter(|cx| model.linger(cx, count));
        }
    }
}
