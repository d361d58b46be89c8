//! Directed tests: one interleaving of a cycle and its mutators each, driven step by step.
//!
//! Random programs come to a given interleaving seldom; here each comes about for certain, by two
//! brakes. A [`Laggard`] is a mutator that stays inside a closure, and so keeps the cycle at the
//! handshake that it has not acknowledged; each of its steps is one closure's edge. A [`Gate`] is
//! a field at which the marker stops until it is opened, so that what lies behind it is not marked
//! yet. What each test loses, if anything, is found by its poison.
//!
//! Mutants: those of `xtask/mutants/runtime-stress.toml` and `runtime-stack.toml` that name `lib`
//! as their test.

mod arming;
mod brakes;
mod stacks;

use crate::raw::phase::Phase;
use crate::{
    Builder, Cx, Debug, Gc, GcCell, Heap, Locked, Mutator, OnTheFly, Root, RwLocked, Trace, Weak,
};
use brakes::{Gate, Laggard, Trap, wait_until, wait_until_asked};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// What must not get lost.
#[derive(Trace)]
struct Leaf {
    number: u64,
}

/// A leaf in each kind of place, behind a gate.
#[derive(Trace)]
struct Dam<'gc> {
    gate: Gate,
    cell: GcCell<'gc, Leaf>,
    list: Locked<Vec<Gc<'gc, Leaf>>>,
    shelf: RwLocked<Vec<Gc<'gc, Leaf>>>,
    trapped: Locked<(Trap, Option<Gc<'gc, Leaf>>)>,
    /// A lock inside of what a lock guards.
    nest: Locked<(Locked<Vec<Gc<'gc, Leaf>>>, u8)>,
}

/// When the marker stands at the dam's gate it has read this object's cell, and never will again.
#[derive(Trace)]
struct Black<'gc> {
    cell: GcCell<'gc, Leaf>,
    weak: Locked<Option<Weak<'gc, Leaf>>>,
    dam: Gc<'gc, Dam<'gc>>,
}

type BlackRoot = Root<Black<'static>>;

fn heap(handshake_delay: Duration) -> Heap {
    let debug = Debug {
        poison: true,
        handshake_delay,
        ..Debug::default()
    };
    let builder = Builder::new(OnTheFly::with_markers(1)).gc_off();
    builder.debug(debug).build().unwrap()
}

fn leaf<'gc>(cx: &Cx<'gc>) -> Gc<'gc, Leaf> {
    cx.alloc(Leaf { number: 7 })
}

/// An object that is traced before the gate, and the dam behind it, which holds three leaves.
fn black_and_dam(mutator: &mut Mutator, gate: &Gate) -> BlackRoot {
    mutator.enter(|cx| {
        let dam = cx.alloc(Dam {
            gate: gate.clone(),
            cell: GcCell::new(Some(leaf(cx))),
            list: Locked::new(vec![leaf(cx)]),
            shelf: RwLocked::new(vec![leaf(cx)]),
            trapped: Locked::new((Trap::default(), Some(leaf(cx)))),
            nest: Locked::new((Locked::new(vec![leaf(cx)]), 0)),
        });
        let black = Black {
            cell: GcCell::empty(),
            // To a leaf that nothing else leads to.
            weak: Locked::new(Some(cx.downgrade(leaf(cx)))),
            dam,
        };
        cx.root(cx.alloc(black))
    })
}

/// The leaf in a cell is alive.
#[track_caller]
fn assert_kept(mutator: &mut Mutator, black: &BlackRoot) {
    let number = mutator.enter(|cx| {
        let leaf = black.get(cx).cell.get().expect("a leaf was stored");
        leaf.number
    });
    assert_eq!(number, 7, "a reachable object was freed");
}

/// Runs a cycle, and `act` while the marker stands at the gate; opens it afterwards, waits for the
/// cycle's end, and looks for the leaf in the black object.
fn at_the_gate(act: impl FnOnce(&Heap, &mut Mutator, &BlackRoot, &Gate)) {
    let heap = heap(Duration::ZERO);
    let gate = Gate::default();
    let mut mutator = heap.mutator();
    // By another one, which leaves, and so hands its weak reference over.
    let black = black_and_dam(&mut heap.mutator(), &gate);
    std::thread::scope(|scope| {
        let cycle = scope.spawn(|| heap.collect().unwrap());
        gate.wait_for_marker();
        act(&heap, &mut mutator, &black, &gate);
        gate.open();
        cycle.join().unwrap();
    });
    assert_kept(&mut mutator, &black);
    drop(black);
    assert_eq!(heap.collect().unwrap().live_bytes, 0);
}

/// Hides the leaf that `take` takes out of the dam in the object that is black already.
fn hide(take: impl for<'gc> FnOnce(&Cx<'gc>, &Dam<'gc>) -> Gc<'gc, Leaf>) {
    at_the_gate(|_, mutator, black, _| {
        mutator.enter(|cx| {
            assert_eq!(cx.inside().phase(), Phase::Marking);
            let black = black.get(cx);
            let leaf = take(cx, &black.dam);
            black.cell.set(cx, Some(leaf));
        });
    });
}

#[test]
fn what_a_set_overwrites_is_marked() {
    hide(|cx, dam| {
        let leaf = dam.cell.get().expect("a leaf");
        dam.cell.set(cx, None);
        leaf
    });
}

#[test]
fn what_a_swap_takes_is_marked() {
    hide(|cx, dam| dam.cell.swap(cx, None).expect("a leaf"));
}

#[test]
fn what_an_exchange_takes_is_marked() {
    hide(|cx, dam| {
        let leaf = dam.cell.get();
        assert!(dam.cell.compare_exchange(cx, leaf, None).is_ok());
        leaf.expect("a leaf")
    });
}

#[test]
fn what_leaves_a_list_is_marked() {
    hide(|cx, dam| dam.list.lock(cx).pop().expect("a leaf"));
}

#[test]
fn what_leaves_a_list_that_was_tried_is_marked() {
    hide(|cx, dam| {
        let mut list = dam.list.try_lock(cx).expect("nobody has it");
        list.pop().expect("a leaf")
    });
}

#[test]
fn what_leaves_a_list_for_readers_is_marked() {
    hide(|cx, dam| dam.shelf.write(cx).pop().expect("a leaf"));
}

#[test]
fn what_leaves_a_list_under_a_leaked_guard_is_marked() {
    hide(|cx, dam| {
        let mut list = dam.list.lock(cx);
        let leaf = list.pop().expect("a leaf");
        std::mem::forget(list);
        leaf
    });
}

#[test]
fn what_a_mutator_makes_while_marking_is_black() {
    at_the_gate(|_, mutator, black, _| {
        mutator.enter(|cx| black.get(cx).cell.set(cx, Some(leaf(cx))));
    });
}

#[test]
fn what_a_new_mutator_makes_while_marking_is_black() {
    at_the_gate(|heap, _, black, _| {
        let mut new = heap.mutator();
        new.enter(|cx| black.get(cx).cell.set(cx, Some(leaf(cx))));
    });
}

#[test]
fn a_mutator_that_leaves_hands_its_log_over() {
    at_the_gate(|heap, _, black, _| {
        let mut new = heap.mutator();
        new.enter(|cx| {
            let black = black.get(cx);
            let leaf = black.dam.cell.swap(cx, None);
            black.cell.set(cx, leaf);
        });
    });
}

#[test]
fn what_lies_behind_a_leaked_guard_is_marked() {
    let heap = heap(Duration::ZERO);
    let gate = Gate::default();
    gate.open();
    let mut mutator = heap.mutator();
    let black = black_and_dam(&mut mutator, &gate);
    mutator.enter(|cx| {
        let black = black.get(cx);
        let list = black.dam.list.lock(cx);
        *black.weak.lock(cx) = Some(cx.downgrade(list[0]));
        std::mem::forget(list);
    });
    heap.collect().unwrap();
    mutator.enter(|cx| {
        let weak = *black.get(cx).weak.lock(cx);
        let leaf = weak.and_then(|weak| weak.upgrade(cx));
        assert_eq!(leaf.expect("the leaf is in the list").number, 7);
    });
}

/// A mutator takes a lock, and its `trace`, which is to log the data, panics; but a marker has
/// come by meanwhile, and trusted the lock's stamp. So nobody knows what the data holds.
#[test]
fn a_cycle_ends_in_vain_if_what_a_lock_holds_is_not_known() {
    let heap = heap(Duration::ZERO);
    let gate = Gate::default();
    let mut mutator = heap.mutator();
    let black = black_and_dam(&mut mutator, &gate);
    let (opened, asking, state) = (gate.clone(), heap.clone(), mutator.state.clone());
    mutator.enter(|cx| {
        let dam = black.get(cx).dam;
        dam.trapped.lock(cx).0.set(move || {
            opened.open();
            // The marker is done, and asks for the last time.
            wait_until_asked(&asking, &state);
            resume_unwind(Box::new("planned"));
        });
    });
    std::thread::scope(|scope| {
        let cycle = scope.spawn(|| heap.collect());
        gate.wait_for_marker();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            mutator.enter(|cx| {
                drop(black.get(cx).dam.trapped.lock(cx));
            });
        }));
        assert!(panicked.is_err());
        assert!(cycle.join().unwrap().is_err(), "the cycle cannot know");
    });
    heap.collect().unwrap();
    mutator.enter(|cx| {
        let leaf = black.get(cx).dam.trapped.lock(cx).1.expect("a leaf");
        assert_eq!(leaf.number, 7, "a reachable object was freed");
    });
}

/// The mutator's log is what the last wave is for: it is private until then.
#[test]
fn what_is_in_a_log_when_the_queues_are_empty_is_marked() {
    at_the_gate(|heap, mutator, black, gate| {
        let state = mutator.state.clone();
        mutator.enter(|cx| {
            let black = black.get(cx);
            let leaf = black.dam.cell.swap(cx, None);
            black.cell.set(cx, leaf);
            gate.open();
            // The marker comes to its end meanwhile, and asks; this closure does not answer yet.
            wait_until_asked(heap, &state);
        });
    });
}

/// A leaf to which a weak reference alone leads is taken while the marker is at work.
#[test]
fn what_is_upgraded_while_marking_is_marked() {
    at_the_gate(|_, mutator, black, _| upgrade(mutator, black));
}

fn upgrade(mutator: &mut Mutator, black: &BlackRoot) {
    mutator.enter(|cx| {
        assert_eq!(cx.inside().phase(), Phase::Marking);
        let black = black.get(cx);
        let weak = *black.weak.lock(cx);
        let leaf = weak.and_then(|weak| weak.upgrade(cx));
        black
            .cell
            .set(cx, Some(leaf.expect("it was not found dead yet")));
    });
}

/// The same, between one mutator's answer to the last wave and another's: the first one's log was
/// empty when it answered.
#[test]
fn what_is_upgraded_in_the_last_wave_is_marked() {
    at_the_gate(|heap, mutator, black, gate| {
        let laggard = Laggard::new(heap);
        assert_eq!(laggard.phase, Phase::Marking);
        gate.open();
        // The collector answers for the other mutator, which is outside; or it does so on entry.
        wait_until_asked(heap, &laggard.state);
        upgrade(mutator, black);
    });
}

/// Between the end of marking and the clearing of weak references: too late.
#[test]
fn what_was_found_dead_is_not_upgraded() {
    at_the_gate(|heap, mutator, black, gate| {
        let core = &heap.shared.core;
        let held = core.weaks.hold();
        gate.open();
        wait_until("marking is over", || core.weak_gate.is_clearing());
        mutator.enter(|cx| {
            assert_eq!(cx.inside().phase(), Phase::Marking);
            let black = black.get(cx);
            let weak = *black.weak.lock(cx);
            let upgraded = weak.and_then(|weak| weak.upgrade(cx));
            assert!(upgraded.is_none(), "back from the dead");
            black.cell.set(cx, Some(leaf(cx)));
        });
        drop(held);
    });
}

/// The mutator that made a weak reference has not listed it when the cycle begins.
#[test]
fn a_weak_reference_that_was_just_made_is_cleared() {
    let heap = heap(Duration::ZERO);
    let gate = Gate::default();
    gate.open();
    let mut mutator = heap.mutator();
    let black = black_and_dam(&mut mutator, &gate);
    heap.collect().unwrap();
    mutator.enter(|cx| {
        let weak = *black.get(cx).weak.lock(cx);
        assert!(weak.expect("a weak reference").upgrade(cx).is_none());
    });
}

/// A closure that began while nobody logged is not led into a cycle, however often it polls: it may
/// hold references that it alone knows of, and does not log what it builds.
#[test]
fn a_closure_is_not_led_into_a_cycle() {
    let heap = heap(Duration::ZERO);
    let gate = Gate::default();
    gate.open();
    let mut mutator = heap.mutator();
    let black = black_and_dam(&mut mutator, &gate);
    std::thread::scope(|scope| {
        mutator.enter(|cx| {
            let black = black.get(cx);
            let leaf = black.dam.cell.swap(cx, None);
            scope.spawn(|| heap.collect().unwrap());
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(60) {
                cx.poll();
            }
            assert_eq!(cx.inside().phase(), Phase::Idle);
            black.cell.set(cx, leaf);
        });
    });
    assert_kept(&mut mutator, &black);
}

/// A closure that began while the cycle was arming is led on, but not to marking. What it puts into
/// a lock that it took before is found there.
#[test]
fn a_closure_is_led_through_arming_and_not_to_marking() {
    let heap = heap(Duration::from_millis(2));
    let gate = Gate::default();
    gate.open();
    let mut mutator = heap.mutator();
    let black = black_and_dam(&mut mutator, &gate);
    std::thread::scope(|scope| {
        let mut is_led = false;
        let mut cycle = scope.spawn(|| heap.collect().unwrap());
        while !is_led {
            // The one before was over while this thread was kept from running.
            if cycle.is_finished() {
                cycle = scope.spawn(|| heap.collect().unwrap());
            }
            mutator.enter(|cx| {
                if cx.inside().phase() != Phase::Arming {
                    return;
                }
                let black = black.get(cx);
                let leaf = black.dam.cell.swap(cx, None);
                let mut list = black.dam.list.lock(cx);
                while cx.inside().phase() != Phase::Armed {
                    cx.poll();
                }
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(60) {
                    cx.poll();
                }
                assert_eq!(cx.inside().phase(), Phase::Armed);
                list.extend(leaf);
                is_led = true;
            });
        }
    });
    mutator.enter(|cx| {
        let black = black.get(cx);
        let list = black.dam.list.lock(cx);
        let numbers: Vec<_> = list.iter().map(|leaf| leaf.number).collect();
        assert_eq!(numbers, [7, 7]);
    });
}

/// A guard was leaked of a lock that lies inside of what another lock guards: the outer one can be
/// taken and logged all the same.
#[test]
fn what_holds_a_leaked_guard_can_be_locked_and_logged() {
    let heap = heap(Duration::ZERO);
    let gate = Gate::default();
    let mut mutator = heap.mutator();
    let black = black_and_dam(&mut mutator, &gate);
    mutator.enter(|cx| {
        let dam = black.get(cx).dam;
        std::mem::forget(dam.nest.lock(cx).0.lock(cx));
    });
    std::thread::scope(|scope| {
        let cycle = scope.spawn(|| heap.collect());
        gate.wait_for_marker();
        let locked = catch_unwind(AssertUnwindSafe(|| {
            mutator.enter(|cx| black.get(cx).dam.nest.lock(cx).1 += 1);
        }));
        gate.open();
        assert!(cycle.join().unwrap().is_ok());
        assert!(locked.is_ok());
    });
}
