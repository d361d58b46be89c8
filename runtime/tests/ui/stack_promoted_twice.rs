//! What was promoted is in its frame no more.

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
                let _text = frames.promote(cx, place);
                println!("{}", frames.value(&place));
            })
        })
    });
}
