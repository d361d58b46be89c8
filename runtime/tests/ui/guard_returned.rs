//! A guard does not leave its closure, so that none is alive while the world is stopped.

use runtime::{Heap, Locked};

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let guard = mutator.enter(|cx| cx.alloc(Locked::new(7_u32)).lock(cx));
    mutator.collect().unwrap();
    println!("{}", *guard);
}
