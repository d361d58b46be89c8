//! An object is shared: nobody gets a mutable borrow of one.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        let mut gc = cx.alloc(vec![7_u32]);
        gc.push(8);
    });
}
