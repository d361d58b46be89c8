//! A marker may read while the owner writes.

use std::cell::Cell;

#[derive(gc_mark::Trace)]
enum State {
    Idle,
    Busy { count: Cell<u32> },
}

fn main() {}
