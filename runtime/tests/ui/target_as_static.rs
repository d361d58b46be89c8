//! A borrow of the object is not `'static`, whatever the object is.

use runtime::{Gc, Heap};

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        let text: &'static str = Gc::get(cx.alloc_str("gone"));
        let leaked: Box<dyn std::any::Any> = Box::new(text);
        drop(leaked);
    });
}
