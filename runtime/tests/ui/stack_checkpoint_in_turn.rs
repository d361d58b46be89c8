//! A checkpoint is no part of a turn, in which references are held.

use runtime::Heap;
use runtime::stack::{EntryPoint, StackOptions, Stacks};

fn main() {
    let heap = Heap::new().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    heap.mutator().fibers(|fibers| {
        fibers.turn(&mut stack, |cx, _| {
            let held = cx.alloc(7_u32);
            fibers.checkpoint();
            println!("{held}");
        });
    });
}
