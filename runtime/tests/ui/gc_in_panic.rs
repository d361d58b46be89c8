//! A reference does not leave as the payload of a panic.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| std::panic::panic_any(cx.alloc(7_u32)));
}
