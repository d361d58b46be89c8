//! A reference that is in no frame does not survive a checkpoint: it does not leave its turn.

use runtime::Heap;
use runtime::stack::{EntryPoint, StackOptions, Stacks};

fn main() {
    let heap = Heap::new().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    heap.mutator().fibers(|fibers| {
        let kept = fibers.turn(&mut stack, |cx, _| cx.alloc(7_u32));
        fibers.checkpoint();
        println!("{kept}");
    });
}
