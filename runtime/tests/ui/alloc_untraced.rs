//! What is allocated says where its references are.

use runtime::{Gc, Heap};

struct Opaque<'gc>(Gc<'gc, u32>);

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        cx.alloc(Opaque(cx.alloc(7)));
    });
    mutator.enter(|cx| {
        cx.alloc_slice([Opaque(cx.alloc(7))]);
    });
}
