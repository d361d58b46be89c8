//! A reference does not leave its closure in a collection outside of it.

use runtime::{Gc, Heap};

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let mut kept: Vec<Gc<'_, u32>> = Vec::new();
    mutator.enter(|cx| kept.push(cx.alloc(7)));
}
