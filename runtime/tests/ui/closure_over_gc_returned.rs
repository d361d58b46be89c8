//! A reference does not leave inside of a closure that is called later.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let later: Box<dyn Fn() -> u32> = mutator.enter(|cx| {
        let gc = cx.alloc(7_u32);
        Box::new(move || *gc) as Box<dyn Fn() -> u32>
    });
    later();
}
