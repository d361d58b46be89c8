//! A reference does not go to a scoped thread whose scope is around the closure.

use runtime::Heap;
use std::thread;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    thread::scope(|scope| {
        mutator.enter(|cx| {
            let gc = cx.alloc(7_u32);
            scope.spawn(move || println!("{gc}"));
        });
    });
}
