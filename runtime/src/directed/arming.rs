//! While a cycle arms, mutators are in two phases at a time: here one is ahead and one behind, for
//! each pair, and the one behind hides an object in what the other has just made.

use super::brakes::{Laggard, wait_until_asked};
use super::{Leaf, heap, leaf};
use crate::raw::phase::Phase;
use crate::raw::stamp_lock::UNLOGGED;
use crate::{Cx, Gc, GcCell, Locked, Mutator, Root, RwLocked, Trace, Weak};
use std::time::Duration;

/// So long the collector waits before each handshake: a laggard's edge is over by then.
const DELAY: Duration = Duration::from_millis(3);
/// How far the laggard is; the other one is a phase ahead.
const BEHIND: [Phase; 3] = [Phase::Idle, Phase::Arming, Phase::Armed];

/// A place of each kind.
#[derive(Trace)]
struct Places<'gc> {
    cell: GcCell<'gc, Leaf>,
    list: Locked<Vec<Gc<'gc, Leaf>>>,
    shelf: RwLocked<Vec<Gc<'gc, Leaf>>>,
    weak: Locked<Option<Weak<'gc, Leaf>>>,
}

type PlacesRoot = Root<Places<'static>>;

fn places(mutator: &mut Mutator) -> PlacesRoot {
    mutator.enter(|cx| {
        let places = Places {
            cell: GcCell::empty(),
            list: Locked::default(),
            shelf: RwLocked::default(),
            weak: Locked::default(),
        };
        cx.root(cx.alloc(places))
    })
}

/// Takes a leaf out of a place, so that nothing but the closure holds it.
type Take = for<'gc> fn(&Cx<'gc>, &Places<'gc>) -> Gc<'gc, Leaf>;

const TAKES: [Take; 5] = [
    |cx, from| from.cell.swap(cx, None).expect("a leaf"),
    |cx, from| from.list.lock(cx).pop().expect("a leaf"),
    |cx, from| from.shelf.write(cx).pop().expect("a leaf"),
    |cx, from| {
        let weak = *from.weak.lock(cx);
        weak.and_then(|weak| weak.upgrade(cx)).expect("a leaf")
    },
    |cx, _| leaf(cx),
];

fn fill(cx: &Cx<'_>, from: &PlacesRoot) {
    let from = from.get(cx);
    from.cell.set(cx, Some(leaf(cx)));
    from.list.lock(cx).push(leaf(cx));
    from.shelf.write(cx).push(leaf(cx));
    *from.weak.lock(cx) = Some(cx.downgrade(leaf(cx)));
}

/// Puts a leaf into a place.
type Put = for<'gc> fn(&Cx<'gc>, &Places<'gc>, Gc<'gc, Leaf>);

const PUTS: [Put; 4] = [
    |cx, into, leaf| into.cell.set(cx, Some(leaf)),
    |cx, into, leaf| _ = into.cell.compare_exchange(cx, None, Some(leaf)),
    |cx, into, leaf| into.list.lock(cx).push(leaf),
    |cx, into, leaf| into.shelf.write(cx).push(leaf),
];

/// What is in any of the places.
fn found<'gc>(cx: &Cx<'gc>, places: &Places<'gc>) -> Gc<'gc, Leaf> {
    let cell = places.cell.get();
    let list = places.list.lock(cx).first().copied();
    let shelf = places.shelf.read(cx).first().copied();
    cell.or(list).or(shelf).expect("a leaf was put there")
}

/// Runs a cycle that is kept at the end of one phase by a laggard, which is in a closure of that
/// phase, and calls `act` with a mutator that goes on to the next. `None` if the laggard missed
/// the phase.
fn in_two_phases<P: Send>(
    behind: Phase,
    set_up: impl FnOnce(&mut Mutator) -> P,
    act: impl FnOnce(&mut Mutator, P, &mut Laggard),
) -> Option<Mutator> {
    let heap = heap(DELAY);
    let mut mutator = heap.mutator();
    let prepared = set_up(&mut mutator);
    let mut laggard = Laggard::new(&heap);
    std::thread::scope(|scope| {
        scope.spawn(|| heap.collect().unwrap());
        wait_until_asked(&heap, &laggard.state);
        while laggard.phase != behind {
            laggard.step();
            wait_until_asked(&heap, &laggard.state);
            if laggard.phase == Phase::Marking {
                // It was kept from running for longer than the delay.
                drop(laggard);
                return None;
            }
        }
        // The other one is a phase ahead from its next closure on, and cannot be further.
        act(&mut mutator, prepared, &mut laggard);
        drop(laggard);
        Some(())
    })?;
    Some(mutator)
}

/// As often as it takes.
fn surely<R>(attempt: impl Fn() -> Option<R>) -> R {
    (0..50).find_map(|_| attempt()).expect("one of fifty times")
}

/// Whatever a mutator that is behind hides, wherever it was, in what another one has just made.
#[test]
fn nothing_is_hidden_between_two_phases() {
    for behind in BEHIND {
        for take in TAKES {
            for put in PUTS {
                surely(|| hide_between(behind, take, put));
            }
        }
    }
}

/// Runs `act` on a full set of places, and on an empty one that was just made, between two phases;
/// then looks for the leaf that it put there.
fn move_between(
    behind: Phase,
    act: impl FnOnce(&mut Mutator, &mut Laggard, PlacesRoot, PlacesRoot),
) -> Option<()> {
    let kept = std::sync::Mutex::new(None);
    let set_up = |mutator: &mut Mutator| {
        let from = places(mutator);
        mutator.enter(|cx| fill(cx, &from));
        from
    };
    let mut mutator = in_two_phases(behind, set_up, |mutator, from, laggard| {
        let into = places(mutator);
        *kept.lock().unwrap() = Some((from.clone(), into.clone()));
        act(mutator, laggard, from, into);
    })?;
    let kept = kept.into_inner().unwrap();
    mutator.enter(|cx| {
        let (_, into) = kept.as_ref().expect("prepared");
        let number = found(cx, &into.get(cx)).number;
        assert_eq!(number, 7, "{behind:?}: a reachable object was freed");
    });
    Some(())
}

fn hide_between(behind: Phase, take: Take, put: Put) -> Option<()> {
    move_between(behind, |_, laggard, from, into| {
        laggard.run(move |cx| {
            let leaf = take(cx, &from.get(cx));
            put(cx, &into.get(cx), leaf);
        });
    })
}

/// Whatever a mutator that is behind takes away, which the other has just seen and keeps in what
/// it has just made.
#[test]
fn nothing_is_taken_away_between_two_phases() {
    for behind in BEHIND {
        for (look, take) in LOOKS.into_iter().zip(TAKES) {
            for put in PUTS {
                surely(|| take_away_between(behind, look, take, put));
            }
        }
    }
}

/// Sees what a [`Take`] of the same place in the table would take.
const LOOKS: [Take; 4] = [
    |_, from| from.cell.get().expect("a leaf"),
    |cx, from| from.list.lock(cx)[0],
    |cx, from| from.shelf.read(cx)[0],
    |cx, from| {
        let weak = *from.weak.lock(cx);
        weak.and_then(|weak| weak.upgrade(cx)).expect("a leaf")
    },
];

fn take_away_between(behind: Phase, look: Take, take: Take, put: Put) -> Option<()> {
    move_between(behind, |mutator, laggard, from, into| {
        mutator.enter(|cx| {
            let leaf = look(cx, &from.get(cx));
            let from = from.clone();
            laggard.run(move |cx| _ = take(cx, &from.get(cx)));
            put(cx, &into.get(cx), leaf);
        });
    })
}

/// One who is idle still takes away what one who arms has noted: that all is logged.
///
/// Kills: `idle-guard-keeps-the-stamp`, `idle-reader-keeps-the-stamp`.
#[test]
fn who_does_not_log_takes_the_stamp() {
    type Act = for<'gc> fn(&Cx<'gc>, &Places<'gc>);
    const ACTS: [Act; 3] = [
        |cx, places| drop(places.shelf.write(cx)),
        |cx, places| drop(places.shelf.read(cx)),
        |cx, places| drop(places.shelf.try_read(cx)),
    ];
    for act in ACTS {
        surely(|| {
            let act = |mutator: &mut Mutator, places: PlacesRoot, laggard: &mut Laggard| {
                let stamp = |mutator: &mut Mutator| {
                    mutator.enter(|cx| places.get(cx).shelf.stamp().expect("a free lock"))
                };
                mutator.enter(|cx| places.get(cx).shelf.write(cx).push(leaf(cx)));
                assert_ne!(stamp(mutator), UNLOGGED);
                let theirs = places.clone();
                laggard.run(move |cx| act(cx, &theirs.get(cx)));
                assert_eq!(stamp(mutator), UNLOGGED);
            };
            in_two_phases(Phase::Idle, places, act)
        });
    }
}

/// A root that is dropped after its target went into a black object, before roots are scanned:
/// by the mutator, or by a thread that is none.
#[test]
fn the_target_of_a_root_that_is_dropped_is_marked() {
    for elsewhere in [false, true] {
        surely(|| drop_root(elsewhere));
    }
}

fn drop_root(elsewhere: bool) -> Option<()> {
    let kept = std::sync::Mutex::new(None);
    let set_up = |mutator: &mut Mutator| mutator.enter(|cx| cx.root(leaf(cx)));
    let mut mutator = in_two_phases(Phase::Armed, set_up, |mutator, root, _| {
        let into = places(mutator);
        mutator.enter(|cx| into.get(cx).cell.set(cx, Some(root.get(cx))));
        *kept.lock().unwrap() = Some(into);
        if elsewhere {
            std::thread::spawn(|| drop(root)).join().unwrap();
        }
    })?;
    let kept = kept.into_inner().unwrap();
    mutator.enter(|cx| {
        let into = kept.as_ref().expect("prepared").get(cx);
        assert_eq!(found(cx, &into).number, 7, "a reachable object was freed");
    });
    Some(())
}
