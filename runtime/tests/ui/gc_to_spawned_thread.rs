//! A reference does not go to a thread that may outlive the closure.

use runtime::Heap;
use std::thread;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        let gc = cx.alloc(7_u32);
        thread::spawn(move || println!("{gc}"));
    });
}
