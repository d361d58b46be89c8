//! What is allocated does not borrow from the stack: it may be dropped, or read, at any time.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let text = String::from("gone");
    let root = mutator.enter(|cx| cx.root(cx.alloc(text.as_str())));
    drop(text);
    mutator.enter(|cx| println!("{}", *root.get(cx)));
}
