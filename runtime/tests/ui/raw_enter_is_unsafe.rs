//! Entering by the raw guard is unsafe: one that is forgotten, or dropped before a closure that
//! was entered after it, would leave that closure running in a stopped world.

use runtime::{Heap, raw};

fn main() {
    let heap = Heap::new().unwrap();
    let (mut outer, mut inner) = (heap.mutator(), heap.mutator());
    let guard = raw::enter(&mut outer);
    inner.enter(|cx| {
        drop(guard);
        cx.alloc(7_u32);
    });
}
