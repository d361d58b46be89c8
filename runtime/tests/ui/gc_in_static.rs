//! A reference does not go into a static.

use runtime::{Gc, Heap};
use std::sync::Mutex;

static KEPT: Mutex<Option<Gc<'static, u32>>> = Mutex::new(None);

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| *KEPT.lock().unwrap() = Some(cx.alloc(7)));
}
