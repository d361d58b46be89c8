//! A local heap stays on its thread, and so do its roots, its contexts and what is in it.

use runtime::{Gc, LocalCell, LocalHeap, Trace};
use std::thread;

#[derive(Trace)]
struct Points<'gc> {
    to: LocalCell<'gc, u32>,
}

fn main() {
    let mut heap = LocalHeap::new().unwrap();
    let root = heap.enter(|cx| cx.root(cx.alloc(7_u32)));
    thread::spawn(move || drop(root));
    heap.enter(|cx| {
        thread::scope(|scope| scope.spawn(|| _ = cx.alloc(7_u32)).join().unwrap());
    });
    heap.enter(|cx| {
        let points: Gc<'_, Points<'_>> = cx.alloc(Points { to: LocalCell::empty() });
        thread::scope(|scope| scope.spawn(move || points.to.get()).join().unwrap());
    });
    thread::spawn(move || drop(heap));
}
