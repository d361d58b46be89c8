//! A reference into a local heap does not leave its closure, nor does a guard or the context.

use runtime::{LocalHeap, LocalRefCell};

fn main() {
    let mut heap = LocalHeap::new().unwrap();
    let returned = heap.enter(|cx| cx.alloc(7_u32));
    println!("{returned}");
    let mut outer = None;
    heap.enter(|cx| outer = Some(cx.alloc(7_u32)));
    let guard = heap.enter(|cx| {
        let list = cx.alloc(LocalRefCell::new(vec![1_u32]));
        runtime::Gc::get(list).borrow_mut(cx)
    });
    drop(guard);
    let _ = heap.enter(|cx| cx);
}
