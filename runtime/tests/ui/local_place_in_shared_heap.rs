//! Places of a local heap are one thread's: no shared heap takes an object that has one.

use runtime::{Heap, LocalCell, LocalRefCell, Trace};

#[derive(Trace)]
struct Points<'gc> {
    to: LocalCell<'gc, u32>,
}

#[derive(Trace)]
struct Lists {
    of: LocalRefCell<Vec<u32>>,
}

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        cx.alloc(Points { to: LocalCell::empty() });
        cx.alloc(Lists { of: LocalRefCell::default() });
    });
}
