//! Finalizers: each runs once, with its object and all that it reaches alive and found by nobody
//! else; under all collectors.
//!
//! Mutants: `finalizers-not-found`, `revived-not-marked`, `weak-survives-death`,
//! `revived-values-not-resolved` and `weak-cells-of-the-revived-forgotten` are killed here.

mod common;
#[allow(
    dead_code,
    reason = "the example's main and its table are not used here"
)]
#[path = "../examples/custom_collector.rs"]
mod custom_collector;

use common::{Drops, Random, Token, panic_of, seed, strict_heap};
use custom_collector::DepthFirst;
use runtime::{
    Barrier, Builder, CollectError, Collector, Cx, Debug, Gc, GcCell, Locked, Mutator, OnTheFly,
    Root, Session, StopTheWorld, Trace, Weak, WeakMap,
};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Trace)]
struct Node<'gc> {
    token: Token,
    to: GcCell<'gc, Node<'gc>>,
    weak: Locked<Option<Weak<'gc, Node<'gc>>>>,
    notes: WeakMap<'gc, Node<'gc>, Node<'gc>>,
}

fn node<'gc, C: Collector>(cx: &Cx<'gc, C>, drops: &Drops, id: u64) -> Gc<'gc, Node<'gc>> {
    cx.alloc(Node {
        token: drops.token(id),
        to: GcCell::empty(),
        weak: Locked::default(),
        notes: WeakMap::new(),
    })
}

fn rooted<C: Collector>(mutator: &mut Mutator<C>, drops: &Drops, id: u64) -> Root<Node<'static>> {
    mutator.enter(|cx| cx.root(node(cx, drops, id)))
}

type Said = Arc<Mutex<Vec<u64>>>;

fn taken(said: &Said) -> Vec<u64> {
    std::mem::take(&mut *said.lock().unwrap())
}

/// Registers one that says its object's number.
fn finalize<'gc, C: Collector>(cx: &Cx<'gc, C>, node: Gc<'gc, Node<'gc>>, said: &Said) {
    let (said, id) = (said.clone(), node.token.id);
    cx.finalize(node, move |_, node| {
        assert_eq!(node.token.id, id);
        said.lock().unwrap().push(id);
    });
}

fn all_of_the_dead_run_once<C: Collector + Default>() {
    let (heap, drops, said) = (strict_heap::<C>(), Drops::default(), Said::default());
    let mut mutator = heap.mutator();
    let kept = rooted(&mut mutator, &drops, 100);
    mutator.enter(|cx| {
        // 0 to 9 in a circle, of which those with even numbers have finalizers, 4 first; and one
        // that lives.
        let nodes: Vec<_> = (0..10).map(|id| node(cx, &drops, id)).collect();
        for n in 0..10 {
            nodes[n].to.set(cx, Some(nodes[(n + 1) % 10]));
        }
        for n in [4, 0, 2, 8, 6] {
            finalize(cx, nodes[n], &said);
        }
        finalize(cx, kept.get(cx), &said);
        // Twice the same.
        finalize(cx, nodes[2], &said);
    });
    let stats = || (heap.stats().finalizers, heap.stats().finalizers_queued);
    assert_eq!(stats(), (7, 0));
    for _ in 0..2 {
        mutator.collect().unwrap();
        assert_eq!((stats(), drops.dropped().len()), ((1, 6), 0));
    }
    assert_eq!(mutator.run_finalizers(), 6);
    assert_eq!(taken(&said), [4, 0, 2, 8, 6, 2]);
    mutator.collect().unwrap();
    assert_eq!((mutator.run_finalizers(), stats()), (0, (1, 0)));
    assert!(drops.dropped().into_iter().eq(0..10));
    drop(kept);
    mutator.collect().unwrap();
    assert_eq!(mutator.run_finalizers(), 1);
    mutator.collect().unwrap();
    assert_eq!((taken(&said), heap.stats().live_bytes), (vec![100], 0));
    assert_eq!(heap.stats().finalizers_run, 7);
}

#[test]
fn the_dead_are_finalized_once() {
    all_of_the_dead_run_once::<OnTheFly>();
    all_of_the_dead_run_once::<StopTheWorld>();
    all_of_the_dead_run_once::<DepthFirst>();
}

fn one_that_is_stored_lives_and_may_register_again<C: Collector + Default>() {
    let (heap, drops) = (strict_heap::<C>(), Drops::default());
    let mut mutator = heap.mutator();
    let keeper = rooted(&mut mutator, &drops, 0);
    mutator.enter(|cx| {
        let [object, reached] = [1, 2].map(|id| node(cx, &drops, id));
        object.to.set(cx, Some(reached));
        let keeper = keeper.clone();
        cx.finalize(object, move |cx, object| {
            assert_eq!(object.to.get().unwrap().token.id, 2);
            keeper.get(cx).to.set(cx, Some(object));
            cx.finalize(object, |cx, object| object.to.set(cx, None));
        });
    });
    mutator.collect().unwrap();
    assert_eq!(mutator.run_finalizers(), 1);
    mutator.collect().unwrap();
    assert_eq!((mutator.run_finalizers(), drops.dropped().len()), (0, 0));
    mutator.enter(|cx| {
        let keeper = keeper.get(cx);
        let object = keeper.to.swap(cx, None).unwrap();
        let reached = object.to.get().unwrap();
        assert_eq!([object.token.id, reached.token.id], [1, 2]);
    });
    mutator.collect().unwrap();
    assert_eq!(mutator.run_finalizers(), 1);
    mutator.collect().unwrap();
    assert_eq!((mutator.run_finalizers(), drops.dropped()), (0, vec![1, 2]));
}

#[test]
fn the_revived_may_stay() {
    one_that_is_stored_lives_and_may_register_again::<OnTheFly>();
    one_that_is_stored_lives_and_may_register_again::<StopTheWorld>();
    one_that_is_stored_lives_and_may_register_again::<DepthFirst>();
}

/// Whether the weak reference in a node still leads anywhere.
fn finds<'gc, C: Collector>(cx: &Cx<'gc, C>, node: Gc<'gc, Node<'gc>>) -> bool {
    let weak = node.weak.lock(cx).unwrap();
    weak.upgrade(cx).is_some()
}

/// What refers weakly to the dead is cleared, wherever it is; what the dead refer to weakly and is
/// alive is not.
fn nobody_finds_the_revived<C: Collector + Default>() {
    let (heap, drops, said) = (strict_heap::<C>(), Drops::default(), Said::default());
    let mut mutator = heap.mutator();
    let (outer, living) = (
        rooted(&mut mutator, &drops, 0),
        rooted(&mut mutator, &drops, 1),
    );
    mutator.enter(|cx| {
        let (outer, living) = (outer.get(cx), living.get(cx));
        let [dead, reached, inner, value, lost] = [2, 3, 4, 5, 6].map(|id| node(cx, &drops, id));
        dead.to.set(cx, Some(reached));
        reached.to.set(cx, Some(inner));
        // From without: to the dead, and to what they reach.
        *outer.weak.lock(cx) = Some(cx.downgrade(dead));
        outer.notes.insert(cx, reached, living);
        // From within: to the living and to the dead.
        *dead.weak.lock(cx) = Some(cx.downgrade(living));
        *reached.weak.lock(cx) = Some(cx.downgrade(inner));
        dead.notes.insert(cx, living, value);
        dead.notes.insert(cx, inner, inner);
        *inner.weak.lock(cx) = Some(cx.downgrade(lost));
        let said = said.clone();
        cx.finalize(dead, move |cx, dead| {
            let reached = dead.to.get().unwrap();
            let inner = reached.to.get().unwrap();
            assert!(finds(cx, dead), "it refers to one that lives");
            assert!(!finds(cx, reached), "it referred to one that had died");
            assert!(!finds(cx, inner), "it referred to one that is gone");
            assert!(dead.notes.get(cx, inner).is_none(), "the key had died");
            let notes = dead.notes.entries(cx);
            let [(key, value)] = notes[..] else {
                panic!("{} notes", notes.len())
            };
            assert_eq!([key.token.id, value.token.id], [1, 5]);
            said.lock().unwrap().push(dead.token.id);
        });
    });
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [6]);
    for _ in 0..2 {
        mutator.enter(|cx| {
            let outer = outer.get(cx);
            assert!(outer.weak.lock(cx).unwrap().upgrade(cx).is_none());
            assert!(outer.notes.entries(cx).is_empty());
        });
        mutator.collect().unwrap();
    }
    mutator.run_finalizers();
    mutator.collect().unwrap();
    assert_eq!(
        (taken(&said), drops.dropped()),
        (vec![2], vec![2, 3, 4, 5, 6])
    );
    assert_eq!(heap.stats().finalizer_panics, 0);
    drop(living);
}

#[test]
fn weak_references_are_cleared_first() {
    nobody_finds_the_revived::<OnTheFly>();
    nobody_finds_the_revived::<StopTheWorld>();
    nobody_finds_the_revived::<DepthFirst>();
}

fn a_cleanup_waits_for_the_second_death<C: Collector + Default>() {
    let (heap, drops, said) = (strict_heap::<C>(), Drops::default(), Said::default());
    let mut mutator = heap.mutator();
    mutator.enter(|cx| {
        let [object, reached] = [1, 2].map(|id| node(cx, &drops, id));
        object.to.set(cx, Some(reached));
        for (node, id) in [(object, 11), (reached, 12)] {
            let said = said.clone();
            cx.on_death(node, move || said.lock().unwrap().push(id));
        }
        finalize(cx, object, &said);
    });
    mutator.collect().unwrap();
    assert_eq!((heap.run_cleanups(), mutator.run_finalizers()), (0, 1));
    assert_eq!(taken(&said), [1]);
    mutator.collect().unwrap();
    heap.run_cleanups();
    assert_eq!((mutator.run_finalizers(), taken(&said)), (0, vec![11, 12]));
}

#[test]
fn cleanups_come_after_finalizers() {
    a_cleanup_waits_for_the_second_death::<OnTheFly>();
    a_cleanup_waits_for_the_second_death::<StopTheWorld>();
}

#[test]
fn a_panic_is_counted_and_the_others_run() {
    let (heap, drops, said) = (strict_heap::<OnTheFly>(), Drops::default(), Said::default());
    let mut mutator = heap.mutator();
    let canceled = mutator.enter(|cx| {
        cx.finalize(node(cx, &drops, 1), |_, _| panic!("planned"));
        finalize(cx, node(cx, &drops, 2), &said);
        cx.finalize(node(cx, &drops, 3), |_, _| panic!("canceled"))
    });
    assert!(canceled.cancel());
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [3]);
    assert_eq!((mutator.run_finalizers(), taken(&said)), (2, vec![2]));
    let stats = heap.stats();
    assert_eq!((stats.finalizers_run, stats.finalizer_panics), (2, 1));
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [1, 2, 3]);
}

/// Whether `Broken` panics when it is traced.
type Switch = Arc<AtomicBool>;

struct Broken(Switch);

// SAFETY: it holds no reference.
unsafe impl Trace for Broken {
    const NEEDS_TRACE: bool = true;

    fn trace<V: runtime::Visitor>(&self, _visitor: &mut V) {
        assert!(!self.0.load(Ordering::Relaxed), "planned");
    }
}

// SAFETY: it has no brand.
unsafe impl runtime::Rebrand for Broken {
    type With<'to> = Broken;
}

fn a_cycle_that_gives_up_keeps_them<C: Collector + Default>() {
    let (heap, drops, said) = (strict_heap::<C>(), Drops::default(), Said::default());
    let (mut mutator, switch) = (heap.mutator(), Switch::new(AtomicBool::new(true)));
    mutator.enter(|cx| {
        let (said_too, broken) = (said.clone(), cx.alloc(Broken(switch.clone())));
        cx.finalize(broken, move |_, _| said_too.lock().unwrap().push(9));
        finalize(cx, node(cx, &drops, 1), &said);
    });
    let error = mutator.collect().unwrap_err();
    assert!(matches!(error, CollectError::TracePanicked { .. }));
    let stats = heap.stats();
    assert_eq!((stats.finalizers, stats.finalizers_queued), (2, 0));
    assert_eq!((mutator.run_finalizers(), drops.dropped()), (0, vec![]));
    switch.store(false, Ordering::Relaxed);
    mutator.collect().unwrap();
    assert_eq!((mutator.run_finalizers(), taken(&said)), (2, vec![9, 1]));
}

#[test]
fn they_wait_for_a_cycle_that_succeeds() {
    a_cycle_that_gives_up_keeps_them::<OnTheFly>();
    a_cycle_that_gives_up_keeps_them::<StopTheWorld>();
}

#[test]
fn they_do_not_run_when_the_heap_goes() {
    let (drops, said) = (Drops::default(), Said::default());
    let heap = strict_heap::<OnTheFly>();
    let mut mutator = heap.mutator();
    let handle = mutator.enter(|cx| {
        finalize(cx, node(cx, &drops, 1), &said);
        let said = said.clone();
        cx.finalize(node(cx, &drops, 2), move |_, _| drop(said))
    });
    mutator.collect().unwrap();
    mutator.enter(|cx| finalize(cx, node(cx, &drops, 3), &said));
    assert_eq!(Arc::strong_count(&said), 4);
    drop((heap, mutator));
    assert_eq!(Arc::strong_count(&said), 1, "what they own is dropped");
    assert!(!handle.cancel() && taken(&said).is_empty());
    drops.assert_each_once();
}

/// Marks what the roots reach, and does not ask for more.
#[derive(Default)]
struct Careless;

// SAFETY: marks what the roots reach, as far as these tests have it follow references: not at all.
unsafe impl Collector for Careless {
    const NAME: &'static str = "careless";
    const BARRIER: Barrier = Barrier::None;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        session.finish_sweep();
        session.stop_the_world(|world| {
            let mut roots = Vec::new();
            world.for_each_root(&mut |object, _| roots.push(object));
            roots.into_iter().for_each(|object| _ = world.shade(object));
            // SAFETY: the roots are marked, and hold no references.
            unsafe { world.begin_sweep() };
        })
    }
}

#[test]
fn a_collector_must_ask_for_them() {
    let heap = strict_heap::<Careless>();
    let mut mutator = heap.mutator();
    let root = mutator.enter(|cx| {
        let object = cx.alloc(5_u64);
        cx.finalize(object, |_, object| assert_eq!(*object, 5));
        cx.root(object)
    });
    mutator.collect().unwrap();
    drop(root);
    let text = panic_of(|| mutator.collect());
    assert!(text.contains("for_each_late_root"), "{text}");
    // Nothing is lost.
    assert_eq!((heap.stats().finalizers, heap.stats().live_bytes), (1, 16));
}

/// What threads share that register, lose, find again by weak references, and run finalizers.
struct Churn {
    drops: Drops,
    next: AtomicUsize,
    finalized: Arc<Mutex<HashSet<u64>>>,
    slots: Vec<Root<Node<'static>>>,
}

impl Churn {
    /// A pair, of which the first has a finalizer.
    fn make<'gc, C: Collector>(&self, cx: &Cx<'gc, C>) -> [Gc<'gc, Node<'gc>>; 2] {
        let id = self.next.fetch_add(2, Ordering::Relaxed) as u64;
        let [first, second] = [id, id + 1].map(|id| node(cx, &self.drops, id));
        first.to.set(cx, Some(second));
        second.to.set(cx, Some(first));
        let finalized = self.finalized.clone();
        cx.finalize(first, move |_, first| {
            let second = first.to.get().unwrap();
            assert_eq!([first.token.id, second.token.id], [id, id + 1]);
            assert!(finalized.lock().unwrap().insert(id), "twice");
        });
        [first, second]
    }

    fn step<C: Collector>(&self, cx: &Cx<'_, C>, random: &mut Random) {
        let slots = &self.slots;
        let [slot, other] = [0; 2].map(|_: i32| slots[random.below(slots.len())].get(cx));
        match random.below(4) {
            0 => {
                let [first, second] = self.make(cx);
                slot.to.set(cx, Some(first));
                *slot.weak.lock(cx) = Some(cx.downgrade(second));
            }
            1 => slot.to.set(cx, None),
            2 => {
                let weak = *other.weak.lock(cx);
                *slot.weak.lock(cx) = weak;
            }
            _ => {}
        }
        let weak = *slot.weak.lock(cx);
        if let Some(found) = weak.and_then(|weak| weak.upgrade(cx)) {
            let first = found.to.get().unwrap();
            let id = first.token.id;
            assert_eq!(found.token.id, id + 1);
            let is_finalized = self.finalized.lock().unwrap().contains(&id);
            assert!(!is_finalized, "found and finalized");
            assert_eq!([id, id + 1].map(|id| self.drops.of(id)), [0, 0]);
            other.to.set(cx, Some(first));
        }
        (0..random.below(50)).for_each(|n| _ = cx.alloc([n; 30]));
    }
}

/// While cycles begin all the time an object is found, or it is finalized, and never both.
fn churn<C: Collector + Default>(millis: u64) {
    let debug = Debug {
        check_marks: true,
        poison: true,
        collect_at_polls: true,
        ..Debug::default()
    };
    let heap = Builder::new(C::default()).debug(debug).build().unwrap();
    let (mut mutator, drops) = (heap.mutator(), Drops::default());
    let mut churn = Churn {
        slots: (0..30).map(|id| rooted(&mut mutator, &drops, id)).collect(),
        drops,
        next: AtomicUsize::new(1_000),
        finalized: Arc::default(),
    };
    let (is_over, seed) = (AtomicBool::new(false), seed());
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (heap, churn, is_over) = (&heap, &churn, &is_over);
            scope.spawn(move || {
                let (mut mutator, mut random) = (heap.mutator(), Random::new(seed + thread));
                while !is_over.load(Ordering::Relaxed) {
                    mutator.enter(|cx| churn.step(cx, &mut random));
                    if random.below(8) == 0 {
                        mutator.run_finalizers();
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_millis(millis));
        is_over.store(true, Ordering::Relaxed);
    });
    churn.slots.clear();
    for _ in 0..3 {
        mutator.collect().unwrap();
        mutator.run_finalizers();
    }
    let stats = heap.stats();
    let left = stats.finalizers + stats.finalizers_queued;
    assert_eq!((left, stats.finalizer_panics), (0, 0));
    assert_eq!(churn.finalized.lock().unwrap().len(), stats.finalizers_run);
    assert_eq!(stats.finalizers_run, (churn.next.into_inner() - 1_000) / 2);
    assert!(stats.cycles > 5 && stats.finalizers_run > 10);
    churn.drops.assert_each_once();
}

#[test]
fn found_or_finalized_and_never_both() {
    churn::<OnTheFly>(1_500);
    churn::<StopTheWorld>(400);
}
