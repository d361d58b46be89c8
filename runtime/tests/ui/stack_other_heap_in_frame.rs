//! A reference of one heap is not kept in a frame of another's stack.

use runtime::stack::{EntryPoint, FrameKind, StackOptions, Stacks};
use runtime::{Gc, Heap};

static HELD: FrameKind<Gc<'static, u32>> = FrameKind::new("held");

fn main() {
    let (one, other) = (Heap::new().unwrap(), Heap::new().unwrap());
    let stacks = Stacks::of(&one, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    other.mutator().enter(|cx| {
        let foreign = cx.alloc(7_u32);
        one.mutator().fibers(|fibers| {
            fibers.turn(&mut stack, |_, frames| {
                frames.push(&HELD, foreign, 0, ()).unwrap();
            });
        });
    });
}
