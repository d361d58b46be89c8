//! A cleanup cannot hold the object whose death it waits for, nor another.

use runtime::Heap;

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        let gc = cx.alloc(7_u32);
        cx.on_death(gc, move || println!("{gc}"));
    });
}
