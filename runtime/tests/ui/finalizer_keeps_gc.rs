//! A finalizer keeps its object by storing it in the heap or in a root, not by taking it outside.

use runtime::{Gc, Heap};
use std::sync::Mutex;

fn main() {
    static KEPT: Mutex<Option<Gc<'static, u32>>> = Mutex::new(None);
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        cx.finalize(cx.alloc(7_u32), |_, gc| *KEPT.lock().unwrap() = Some(gc));
    });
    mutator.run_finalizers();
}
