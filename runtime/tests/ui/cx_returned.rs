//! A context does not leave its closure.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let cx = mutator.enter(|cx| cx);
    cx.alloc(7_u32);
    let mut kept = None;
    mutator.enter(|cx| kept = Some(cx));
}
