//! A reference does not go into a thread-local.

use runtime::{Gc, Heap};
use std::cell::Cell;

thread_local!(static KEPT: Cell<Option<Gc<'static, u32>>> = const { Cell::new(None) });

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| KEPT.set(Some(cx.alloc(7))));
}
