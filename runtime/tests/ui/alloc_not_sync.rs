//! An object is shared by threads and dropped by another: its type is `Send` and `Sync`.

use runtime::{Heap, Trace};
use std::cell::Cell;
use std::rc::Rc;

#[derive(Trace)]
struct Counts {
    #[trace(skip)]
    count: Cell<u32>,
}

#[derive(Trace)]
struct Shares {
    #[trace(skip)]
    name: Rc<str>,
}

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        cx.alloc(Counts { count: Cell::new(0) });
        cx.alloc(Shares { name: "x".into() });
        let _ = cx.try_alloc(Counts { count: Cell::new(0) });
        let _ = cx.try_alloc_slice([Counts { count: Cell::new(0) }]);
        cx.alloc_slice([Counts { count: Cell::new(0) }]);
    });
}
