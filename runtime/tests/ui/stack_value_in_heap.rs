//! A value in a frame is not stored in the heap by a borrow either.

use runtime::Heap;
use runtime::stack::{EntryPoint, FrameKind, StackOptions, Stacks};

static TEXT: FrameKind<String> = FrameKind::new("text");

fn main() {
    let heap = Heap::new().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    heap.mutator().fibers(|fibers| {
        fibers.turn(&mut stack, |cx, frames| {
            frames.with(&TEXT, String::new(), |frames, place| {
                cx.alloc(frames.value(&place));
            })
        })
    });
}
