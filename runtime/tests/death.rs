//! Random programs of everything that has to do with dying, each beside a plain model that knows
//! what is reachable, and by which pairs: weak maps, cleanups, finalizers and weak references, with
//! churn around them.
//!
//! After a collection that was asked for, what has been dropped, cleaned up after, and queued for
//! finalizing is *exactly* what the model says. The same program under a collector that stops the
//! world and under one that does not has the same history. `HEAPWRIGHT_SEED` replays a run.
//!
//! Mutant: `finalizers-queued-in-any-order` is killed here.

mod common;

use common::{Drops, Random, Token, seed};
use runtime::{
    Builder, Collector, Cx, Debug, Gc, GcCell, Mutator, OnTheFly, Root, StopTheWorld, Trace, Weak,
    WeakMap,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

#[derive(Trace)]
struct Node<'gc> {
    token: Token,
    to: [GcCell<'gc, Node<'gc>>; 2],
    notes: WeakMap<'gc, Node<'gc>, Node<'gc>>,
    weak: runtime::Locked<Option<Weak<'gc, Node<'gc>>>>,
}

/// What the model knows of a node.
#[derive(Default)]
struct Twin {
    to: [Option<u64>; 2],
    notes: BTreeMap<u64, u64>,
    weak: Option<u64>,
    /// Cleanups registered.
    cleanups: usize,
}

/// What has happened: by cleanups, which say their node's number, and by finalizers.
#[derive(Clone, Default)]
struct Log {
    cleaned: Arc<Mutex<Vec<u64>>>,
    finalized: Arc<Mutex<Vec<u64>>>,
}

struct Program {
    twins: BTreeMap<u64, Twin>,
    roots: Vec<(u64, Root<Node<'static>>)>,
    next_id: u64,
    random: Random,
    drops: Drops,
    log: Log,
    /// Finalizers in the order of registration.
    registered: Vec<u64>,
    /// Cycles begin when they like.
    automatic: bool,
}

impl Program {
    fn new(seed: u64, automatic: bool) -> Self {
        Self {
            twins: BTreeMap::new(),
            roots: Vec::new(),
            next_id: 1,
            random: Random::new(seed),
            drops: Drops::default(),
            log: Log::default(),
            registered: Vec::new(),
            automatic,
        }
    }

    fn twin(&mut self, id: u64) -> &mut Twin {
        self.twins.get_mut(&id).expect("a node of this program")
    }

    /// A node by a random way from a root, over references and notes.
    fn walk<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>) -> Option<Gc<'gc, Node<'gc>>> {
        if self.roots.is_empty() {
            return None;
        }
        let start = self.random.below(self.roots.len());
        let mut at = self.roots[start].1.get(cx);
        for _ in 0..self.random.below(10) {
            let twin = &self.twins[&at.token.id];
            assert_eq!(self.drops.of(at.token.id), 0, "reachable and dropped");
            let way = self.random.below(3);
            let (next, expected) = match way {
                0 | 1 => (at.to[way].get(), twin.to[way]),
                _ => {
                    // A key: a root that has a note here, if there is one.
                    let key = self
                        .roots
                        .iter()
                        .find(|(id, _)| twin.notes.contains_key(id));
                    let Some((id, key)) = key else { continue };
                    (at.notes.get(cx, key.get(cx)), Some(twin.notes[id]))
                }
            };
            assert_eq!(next.map(|next| next.token.id), expected);
            let Some(next) = next else { break };
            at = next;
        }
        Some(at)
    }

    fn make<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>) -> Gc<'gc, Node<'gc>> {
        let id = self.next_id;
        self.next_id += 1;
        self.twins.insert(id, Twin::default());
        cx.alloc(Node {
            token: self.drops.token(id),
            to: [GcCell::empty(), GcCell::empty()],
            notes: WeakMap::new(),
            weak: runtime::Locked::default(),
        })
    }

    fn step<C: Collector>(&mut self, cx: &Cx<'_, C>) {
        let choice = self.random.below(24);
        let (Some(a), Some(b)) = (self.walk(cx), self.walk(cx)) else {
            let made = self.make(cx);
            self.roots.push((made.token.id, cx.root(made)));
            return;
        };
        let [a_id, b_id] = [a, b].map(|node| node.token.id);
        let way = self.random.below(2);
        match choice {
            0..6 => {
                let made = self.make(cx);
                a.to[way].set(cx, Some(made));
                self.twin(a_id).to[way] = Some(made.token.id);
                if self.roots.len() < 12 {
                    self.roots.push((made.token.id, cx.root(made)));
                }
            }
            6..9 => {
                a.to[way].set(cx, Some(b));
                self.twin(a_id).to[way] = Some(b_id);
            }
            9..11 => {
                a.to[way].set(cx, None);
                self.twin(a_id).to[way] = None;
            }
            11..15 => {
                // A note whose value leads to other places, the key among them.
                let value = self.make(cx);
                value.to[0].set(cx, Some(b));
                self.twin(value.token.id).to[0] = Some(b_id);
                let old = a.notes.insert(cx, b, value);
                let was = self.twin(a_id).notes.insert(b_id, value.token.id);
                assert_eq!(old.map(|old| old.token.id), was);
            }
            15 => {
                let old = a.notes.remove(cx, b);
                let was = self.twin(a_id).notes.remove(&b_id);
                assert_eq!(old.map(|old| old.token.id), was);
            }
            16 => {
                let log = self.log.cleaned.clone();
                let cleanup = cx.on_death(a, move || log.lock().unwrap().push(a_id));
                if self.random.below(4) == 0 {
                    assert!(cleanup.cancel());
                } else {
                    self.twin(a_id).cleanups += 1;
                }
            }
            17 => self.register(cx, a),
            18 => {
                *a.weak.lock(cx) = Some(cx.downgrade(b));
                self.twin(a_id).weak = Some(b_id);
            }
            19 => self.follow_weak(cx, a),
            20..23 if self.roots.len() > 3 => {
                let index = self.random.below(self.roots.len());
                self.roots.swap_remove(index);
            }
            _ => (0..12).for_each(|n| _ = cx.alloc([n; 25])),
        }
    }

    /// Upgrades a weak reference: it finds its target, or that is gone.
    fn follow_weak<'gc, C: Collector>(&self, cx: &Cx<'gc, C>, node: Gc<'gc, Node<'gc>>) {
        let weak = *node.weak.lock(cx);
        let found = weak.and_then(|weak| weak.upgrade(cx));
        let found = found.map(|found| found.token.id);
        let target = self.twins[&node.token.id].weak;
        if !self.automatic || found.is_some() {
            assert_eq!(found, target);
        } else if let Some(target) = target {
            let mut living = BTreeSet::new();
            self.reach(self.roots.iter().map(|(id, _)| *id), &mut living);
            assert!(!living.contains(&target), "{target} is reachable");
        }
    }

    fn register<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>, node: Gc<'gc, Node<'gc>>) {
        let (id, log) = (node.token.id, self.log.finalized.clone());
        let drops = self.drops.clone();
        cx.finalize(node, move |_, node| {
            assert_eq!((node.token.id, drops.of(id)), (id, 0));
            log.lock().unwrap().push(id);
        });
        self.registered.push(id);
    }

    /// Adds what these reach: by references, and by notes whose key and map are reached.
    fn reach(&self, from: impl IntoIterator<Item = u64>, reached: &mut BTreeSet<u64>) {
        let mut stack: Vec<u64> = from.into_iter().collect();
        loop {
            while let Some(id) = stack.pop() {
                if reached.insert(id) {
                    stack.extend(self.twins[&id].to.iter().flatten());
                }
            }
            let notes = reached.iter().flat_map(|id| &self.twins[id].notes);
            let values =
                notes.filter(|(key, value)| reached.contains(key) && !reached.contains(value));
            stack.extend(values.map(|(_, value)| value));
            if stack.is_empty() {
                return;
            }
        }
    }

    /// Collects, and compares; what was dropped, cleaned up after, and finalized.
    fn collect<C: Collector>(&mut self, mutator: &mut Mutator<C>) -> [Vec<u64>; 3] {
        let mut living = BTreeSet::new();
        self.reach(self.roots.iter().map(|(id, _)| *id), &mut living);
        // The dead are forgotten by all that refers to them weakly, and then some come back.
        for twin in self.twins.values_mut() {
            twin.notes.retain(|key, _| living.contains(key));
            twin.weak = twin.weak.filter(|target| living.contains(target));
        }
        let (queued, kept) = self.registered.iter().partition(|id| !living.contains(id));
        self.registered = kept;
        let queued: Vec<u64> = queued;
        self.reach(queued.iter().copied(), &mut living);
        let (mut dropped, mut cleaned) = (BTreeSet::new(), Vec::new());
        self.twins.retain(|id, twin| {
            let lives = living.contains(id);
            if !lives {
                dropped.insert(*id);
                cleaned.extend(std::iter::repeat_n(*id, twin.cleanups));
            }
            lives
        });
        mutator.collect().unwrap();
        mutator.heap().run_cleanups();
        assert_eq!(
            self.drops.take_dropped(),
            dropped,
            "dropped, and unreachable"
        );
        let mut ran = std::mem::take(&mut *self.log.cleaned.lock().unwrap());
        ran.sort_unstable();
        assert_eq!(ran, cleaned, "cleanups, of the unreachable");
        assert_eq!(mutator.run_finalizers(), queued.len());
        let finalized = std::mem::take(&mut *self.log.finalized.lock().unwrap());
        assert_eq!(finalized, queued, "finalizers, of the unreachable");
        [dropped.into_iter().collect(), cleaned, finalized]
    }
}

/// A history of collections, and how much of each kind there was.
fn run<C: Collector>(collector: C, seed: u64, debug: Debug, beside: bool) -> Vec<[Vec<u64>; 3]> {
    let heap = Builder::new(collector)
        .gc_off()
        .debug(debug)
        .build()
        .unwrap();
    let (mut mutator, mut program) = (heap.mutator(), Program::new(seed, false));
    let mut history = Vec::new();
    for _ in 0..25 {
        for _ in 0..40 {
            mutator.enter(|cx| (0..10).for_each(|_| program.step(cx)));
        }
        history.push(program.collect(&mut mutator));
    }
    program.roots.clear();
    history.push(program.collect(&mut mutator));
    history.push(program.collect(&mut mutator));
    let stats = heap.stats();
    assert_eq!(
        (
            stats.finalizer_panics,
            stats.cleanup_panics,
            stats.drop_panics
        ),
        (0, 0, 0)
    );
    assert_eq!(
        (stats.live_bytes, stats.cleanups, stats.finalizers),
        (0, 0, 0)
    );
    let [dropped, cleaned, finalized] =
        [0, 1, 2].map(|kind| history.iter().map(|all| all[kind].len()).sum::<usize>());
    assert!(
        dropped > 1_000 && cleaned > 50 && finalized > 50,
        "{dropped} {cleaned} {finalized}"
    );
    assert_eq!(beside, stats.pause_total.is_zero());
    history
}

#[test]
fn histories_are_as_the_model_says() {
    let seed = seed();
    let debug = Debug {
        check_marks: true,
        poison: true,
        log_entries: Some(3),
        extra_waves: 1,
        ..Debug::default()
    };
    for n in 0..4 {
        let stopped = run(StopTheWorld::with_markers(1), seed + n, debug, false);
        let beside = run(OnTheFly::with_markers(1), seed + n, debug, true);
        assert!(stopped == beside, "seed {}", seed + n);
    }
}

/// Several programs on one heap, whose cycles begin when they like; at the end all is accounted
/// for, once.
fn together<C: Collector + Default>() {
    let seed = seed();
    let debug = Debug {
        check_marks: true,
        poison: true,
        collect_at_polls: true,
        ..Debug::default()
    };
    let builder = Builder::new(C::default()).gc_percent(5).debug(debug);
    let heap = builder.build().unwrap();
    let programs: Vec<Program> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let heap = &heap;
                scope.spawn(move || {
                    let (mut mutator, mut program) =
                        (heap.mutator(), Program::new(seed + thread, true));
                    let is_enough = |round| round >= 300 && heap.stats().cycles > 8;
                    for round in (0..20_000).take_while(|&round| !is_enough(round)) {
                        let steps = if round < 300 { 10 } else { 1 };
                        mutator.enter(|cx| (0..steps).for_each(|_| program.step(cx)));
                        mutator.enter(|cx| (0..30).for_each(|n| _ = cx.alloc([n as u64; 400])));
                        if round % 100 == 0 {
                            mutator = heap.mutator();
                        }
                        mutator.run_finalizers();
                    }
                    program
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let mut mutator = heap.mutator();
    let mut expected: Vec<(Log, Drops, usize)> = Vec::new();
    for program in programs {
        let registered = program.registered.len();
        expected.push((program.log.clone(), program.drops.clone(), registered));
    }
    for _ in 0..3 {
        mutator.collect().unwrap();
        mutator.run_finalizers();
        heap.run_cleanups();
    }
    for (log, drops, registered) in expected {
        drops.assert_each_once();
        assert_eq!(log.finalized.lock().unwrap().len(), registered);
    }
    let stats = heap.stats();
    assert_eq!(
        (stats.live_bytes, stats.cleanups, stats.finalizers),
        (0, 0, 0)
    );
    assert_eq!((stats.finalizer_panics, stats.cleanup_panics), (0, 0));
    assert!(stats.cycles > 8, "{} cycles", stats.cycles);
}

#[test]
fn programs_share_a_heap() {
    together::<OnTheFly>();
    together::<StopTheWorld>();
}
