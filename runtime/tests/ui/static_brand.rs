//! A type whose references are branded `'static` is not allocated: it could leave the closure.

use runtime::{Gc, GcCell, Heap, Trace};

#[derive(Trace)]
struct Node<'gc> {
    next: GcCell<'gc, Node<'gc>>,
}

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        cx.alloc(Node::<'static> { next: GcCell::empty() });
    });
    mutator.enter(|cx| {
        cx.alloc(None::<Gc<'static, u32>>);
    });
}
