//! Nor does it survive in a variable around the loop.

use runtime::Heap;
use runtime::stack::{EntryPoint, StackOptions, Stacks};

fn main() {
    let heap = Heap::new().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    heap.mutator().fibers(|fibers| {
        let mut register = None;
        loop {
            fibers.turn(&mut stack, |cx, _| register = Some(cx.alloc(7_u32)));
            fibers.checkpoint();
        }
    });
}
