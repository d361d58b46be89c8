//! A reference does not leave its closure as its value.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let kept = mutator.enter(|cx| cx.alloc(7_u32));
    println!("{kept}");
}
