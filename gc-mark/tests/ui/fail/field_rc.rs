//! A cycle through the heap and an `Rc` would keep itself alive.

use std::rc::Rc;

#[derive(gc_mark::Trace)]
struct Node {
    shared: Rc<u8>,
}

fn main() {}
