//! Values that live in a frame: dropped at the pop, whatever ends it, and promoted by hand.

use runtime::stack::{EntryPoint, FrameKind, StackOptions, Stacks};
use runtime::{Gc, Heap, Trace};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

static COUNTED: FrameKind<Arc<()>> = FrameKind::new("counted");
static PAIR: FrameKind<Pair<'static>> = FrameKind::new("pair");
static ANGRY: FrameKind<Angry> = FrameKind::new("angry");

#[derive(Trace)]
struct Pair<'gc> {
    text: Gc<'gc, str>,
    counted: Arc<()>,
}

/// Panics when it is dropped, having counted that.
#[derive(Trace)]
#[trace(noscan)]
struct Angry(#[expect(dead_code, reason = "held to be counted")] Arc<()>);

impl Drop for Angry {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Not through the hook, which would print it.
            resume_unwind(Box::new("planned"));
        }
    }
}

/// Kills: `pop-without-drop`.
#[test]
fn a_value_is_dropped_once_at_the_pop() {
    let stacks = Stacks::new(StackOptions::default()).unwrap();
    let mut stack = stacks.stack(&EntryPoint::new("values")).unwrap();
    let one = Arc::new(());
    stack.run(|frames| {
        let inside = frames.with(&COUNTED, one.clone(), |frames, outer| {
            let inner = frames.with(&COUNTED, one.clone(), |frames, mut inner| {
                *frames.value_mut(&mut inner) = one.clone();
                frames.push(&COUNTED, one.clone(), 0, ()).unwrap();
                assert!(Arc::ptr_eq(frames.value(&outer), frames.value(&inner)));
                Arc::strong_count(&one)
            });
            (inner.unwrap(), Arc::strong_count(&one))
        });
        assert_eq!(inside.unwrap(), (4, 2));
        assert_eq!((Arc::strong_count(&one), frames.depth()), (1, 0));
        let kept = frames.push(&COUNTED, one.clone(), 0, ());
        assert!(kept.is_ok() && Arc::strong_count(&one) == 2);
        assert!(frames.discard() && Arc::strong_count(&one) == 1);
        frames.push(&COUNTED, one.clone(), 0, ()).unwrap();
    });
    assert_eq!(Arc::strong_count(&one), 2);
    drop(stack);
    assert_eq!(Arc::strong_count(&one), 1, "dropped with the stack");
}

/// Kills: `scope-left-by-panic`.
#[test]
fn unwinding_drops_what_the_scope_holds() {
    let stacks = Stacks::new(StackOptions::default()).unwrap();
    let mut stack = stacks.stack(&EntryPoint::new("values")).unwrap();
    let one = Arc::new(());
    stack.run(|frames| {
        frames.push(&COUNTED, one.clone(), 0, ()).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            frames.with(&COUNTED, one.clone(), |frames, _place| {
                frames.push(&COUNTED, one.clone(), 0, ()).unwrap();
                resume_unwind(Box::new("planned"));
            })
        }));
        assert!(panicked.is_err());
        assert_eq!((frames.depth(), Arc::strong_count(&one)), (1, 2));
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        stack.run(|frames| {
            frames.push(&COUNTED, one.clone(), 0, ()).unwrap();
            resume_unwind(Box::new("planned"));
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(stack.depth(), 2, "a turn that panics leaves the frames");
    drop(stack);
    assert_eq!(Arc::strong_count(&one), 1);
}

#[test]
fn drop_glue_that_panics_loses_neither_frames_nor_memory() {
    let stacks = Stacks::new(StackOptions::default()).unwrap();
    let mut stack = stacks.stack(&EntryPoint::new("values")).unwrap();
    let one = Arc::new(());
    stack.run(|frames| {
        frames.push(&COUNTED, one.clone(), 0, ()).unwrap();
        frames.push(&ANGRY, Angry(one.clone()), 0, ()).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| frames.discard()));
        assert!(panicked.is_err() && frames.depth() == 1);
        frames.push(&ANGRY, Angry(one.clone()), 0, ()).unwrap();
    });
    assert!(catch_unwind(AssertUnwindSafe(|| drop(stack))).is_err());
    assert_eq!(Arc::strong_count(&one), 1);
    assert!(stacks.in_use_bytes() <= 32 << 10);
}

#[test]
fn a_scope_frame_is_not_popped_from_within() {
    let stacks = Stacks::new(StackOptions::default()).unwrap();
    let mut stack = stacks.stack(&EntryPoint::new("values")).unwrap();
    stack.run(|frames| {
        let inside = frames.with(&COUNTED, Arc::new(()), |frames, _place| {
            let popped = catch_unwind(AssertUnwindSafe(|| frames.discard()));
            assert!(popped.is_err());
            frames.depth()
        });
        assert_eq!(inside.unwrap(), 1);
    });
}

/// Kills: `promoted-and-dropped`.
#[test]
fn a_promoted_value_lives_in_the_heap() {
    let heap = Heap::new().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("values")).unwrap();
    let mut mutator = heap.mutator();
    let one = Arc::new(());
    let root = mutator.fibers(|fibers| {
        fibers.turn(&mut stack, |cx, frames| {
            let pair = Pair {
                text: cx.alloc_str("two"),
                counted: one.clone(),
            };
            let promoted = frames.with(&PAIR, pair, |frames, place| {
                assert_eq!(&*frames.value(&place).text, "two");
                frames.promote(cx, place).unwrap()
            });
            let promoted = promoted.unwrap();
            assert_eq!((frames.depth(), Arc::strong_count(&one)), (0, 2));
            cx.root(promoted)
        })
    });
    mutator.collect().unwrap();
    mutator.enter(|cx| assert_eq!(&*root.get(cx).text, "two"));
    assert!(Arc::ptr_eq(
        &mutator.enter(|cx| root.get(cx).counted.clone()),
        &one
    ));
    drop(root);
    mutator.collect().unwrap();
    assert_eq!(Arc::strong_count(&one), 1, "the collector drops it then");
}

/// Scopes that leave frames of the very kind of their values, and scopes whose stack moves.
///
/// Kills: `scope-left-from-a-moved-stack`.
#[test]
fn a_scope_takes_what_was_left_in_it() {
    let stacks = Stacks::new(StackOptions::default()).unwrap();
    let mut stack = stacks.stack(&EntryPoint::new("test")).unwrap();
    let counted = Arc::new(());
    stack.run(|frames| {
        for left in [0, 1, 2, 300] {
            let outer = frames.with(&COUNTED, counted.clone(), |frames, _| {
                let inner = frames.with(&COUNTED, counted.clone(), |frames, _| {
                    for _ in 0..left {
                        frames.push(&COUNTED, counted.clone(), 0, ()).unwrap();
                    }
                });
                inner.unwrap();
                assert_eq!((frames.depth(), Arc::strong_count(&counted)), (1, 2));
                for _ in 0..left {
                    frames.push(&COUNTED, counted.clone(), 0, ()).unwrap();
                }
            });
            outer.unwrap();
            assert_eq!((frames.depth(), Arc::strong_count(&counted)), (0, 1));
        }
    });
}
