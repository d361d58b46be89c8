//! A context is of one thread: its allocation cache is not shared, by scoped threads either.

use runtime::Heap;
use std::thread;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        thread::scope(|scope| {
            scope.spawn(|| cx.alloc(7_u32).to_string());
        });
    });
}
