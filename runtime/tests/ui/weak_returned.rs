//! A weak reference does not leave its closure either: its own cell would be gone.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let kept = mutator.enter(|cx| cx.downgrade(cx.alloc(7_u32)));
    mutator.enter(|cx| kept.upgrade(cx));
}
