//! The raw guard is of one thread as well.

use runtime::{Heap, raw};
use std::thread;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    // SAFETY: dropped by the thread that is spawned, or would be.
    let inside = unsafe { raw::enter(&mut mutator) };
    thread::scope(|scope| {
        scope.spawn(move || drop(inside));
    });
}
