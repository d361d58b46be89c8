//! A fiber on a stack that the marker has not come to: it stands at a gate in another stack's
//! frame.

use super::brakes::Gate;
use super::{Leaf, heap, leaf};
use crate::raw::phase::Phase;
use crate::stack::{EntryPoint, FrameAt, FrameKind, Frames, Stack, StackOptions, Stacks};
use crate::{Cx, Gc, GcCell, Mutator, Root, Trace};
use std::time::Duration;

static GATED: FrameKind<Gate> = FrameKind::new("gated");
static HELD: FrameKind<u64, Option<Gc<'static, Leaf>>> = FrameKind::new("held");

/// Frames of more than three chunks.
const DEPTH: u64 = 2_000;

/// A new object, which is black while a cycle marks: its field is not looked at again.
#[derive(Trace)]
struct Black<'gc> {
    cell: GcCell<'gc, Leaf>,
}

/// A stack whose every frame holds a leaf, and where its first frame is.
struct Deep {
    stack: Stack,
    bottom: FrameAt,
}

/// The leaf in the bottom frame, which is read and not written, is hidden in a black object.
fn hide<'gc>(cx: &Cx<'gc>, frames: &Frames<'_, 'gc>, bottom: FrameAt) -> Root<Black<'static>> {
    assert_eq!(cx.inside().phase(), Phase::Marking);
    let found = frames.get(&HELD, bottom, 0);
    cx.root(cx.alloc(Black {
        cell: GcCell::new(found),
    }))
}

/// Runs `act` in the middle of a cycle that has not come to the deep stack; what it has hidden
/// must be alive at the end.
fn beside(act: impl FnOnce(&mut Mutator, Deep) -> (Root<Black<'static>>, Option<Deep>)) {
    let heap = heap(Duration::ZERO);
    let stacks = Stacks::of(&heap, StackOptions::default());
    let (entry, gate) = (EntryPoint::new("directed"), Gate::default());
    let mut first = stacks.stack(&entry).unwrap();
    let mut stack = stacks.stack(&entry).unwrap();
    let mut mutator = heap.mutator();
    let bottom = mutator.fibers(|fibers| {
        fibers.turn(&mut first, |_, frames| {
            frames.push(&GATED, gate.clone(), 0, ()).unwrap();
        });
        fibers.turn(&mut stack, |cx, frames| {
            let mut push = |number| frames.push(&HELD, number, 1, Some(leaf(cx))).unwrap();
            let bottom = push(0);
            (1..DEPTH).for_each(|number| {
                push(number);
            });
            bottom
        })
    });
    let kept = std::thread::scope(|scope| {
        let cycle = scope.spawn(|| heap.collect().unwrap());
        gate.wait_for_marker();
        let kept = act(&mut mutator, Deep { stack, bottom });
        gate.open();
        cycle.join().unwrap();
        kept
    });
    let number = mutator.enter(|cx| kept.0.get(cx).cell.get().map(|leaf| leaf.number));
    assert_eq!(number, Some(7), "what a frame held was freed");
    drop((kept, first));
    assert_eq!(heap.collect().unwrap().live_bytes, 0);
}

/// Kills: `stores-below-unlogged`.
#[test]
fn a_store_below_the_watermark_logs_what_it_overwrites() {
    beside(|mutator, mut deep| {
        let kept = mutator.fibers(|fibers| {
            fibers.turn(&mut deep.stack, |cx, frames| {
                let kept = hide(cx, frames, deep.bottom);
                frames.set(&HELD, deep.bottom, 0, None);
                kept
            })
        });
        (kept, Some(deep))
    });
}

/// Kills: `popped-unscanned`.
#[test]
fn a_pop_scans_the_frame_below() {
    beside(|mutator, mut deep| {
        let kept = mutator.fibers(|fibers| {
            fibers.turn(&mut deep.stack, |cx, frames| {
                let kept = hide(cx, frames, deep.bottom);
                for number in (0..DEPTH).rev() {
                    frames.top_mut(&HELD).1[0] = None;
                    assert_eq!(frames.pop(&HELD), number);
                }
                kept
            })
        });
        (kept, Some(deep))
    });
}

/// Kills: `dropped-unscanned`.
#[test]
fn a_dropped_stack_logs_what_was_not_scanned() {
    beside(|mutator, mut deep| {
        let kept = mutator.fibers(|fibers| {
            fibers.turn(&mut deep.stack, |cx, frames| hide(cx, frames, deep.bottom))
        });
        (kept, None)
    });
}

#[test]
fn what_is_in_frames_when_marking_begins_is_kept() {
    beside(|mutator, mut deep| {
        let kept = mutator.fibers(|fibers| {
            fibers.turn(&mut deep.stack, |cx, frames| hide(cx, frames, deep.bottom))
        });
        (kept, Some(deep))
    });
}
