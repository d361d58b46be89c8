//! A mutator cannot collect inside its own closure, nor enter again, nor go away.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        let gc = cx.alloc(7_u32);
        mutator.collect().unwrap();
        println!("{gc}");
    });
    mutator.enter(|_| {
        mutator.enter(|_| ());
    });
    mutator.enter(|_| drop(mutator));
}
