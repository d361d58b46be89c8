//! Nor does a borrow of the object, with either of the two lifetimes that it can have.

use runtime::{Gc, Heap};

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let whole: &u32 = mutator.enter(|cx| Gc::get(cx.alloc(7_u32)));
    let short: &u32 = mutator.enter(|cx| {
        let gc = cx.alloc(7_u32);
        &*gc
    });
    println!("{whole} {short}");
}
