//! Drop code written by hand cannot reach a reference: its target may be gone.

use runtime::{Gc, Heap, Trace};

#[derive(Trace)]
struct Node<'gc> {
    other: Gc<'gc, String>,
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        println!("{}", *self.other);
    }
}

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        let other = cx.alloc(String::from("gone"));
        cx.alloc(Node { other });
    });
}
