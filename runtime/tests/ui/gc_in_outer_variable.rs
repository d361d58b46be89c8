//! A reference does not leave its closure by way of a variable outside of it.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let mut kept = None;
    mutator.enter(|cx| kept = Some(cx.alloc(7_u32)));
    mutator.collect().unwrap();
    mutator.enter(|_| println!("{}", kept.unwrap()));
}
