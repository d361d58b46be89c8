//! A guard does not go to another thread.

use runtime::{Heap, Locked};
use std::thread;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        let place = cx.alloc(Locked::new(7_u32));
        let guard = place.lock(cx);
        thread::scope(|scope| {
            scope.spawn(move || drop(guard));
        });
    });
}
