//! A local heap is not collected, entered or stepped inside its closure.

use runtime::LocalHeap;

fn main() {
    let mut heap = LocalHeap::new().unwrap();
    let mut other = LocalHeap::new().unwrap();
    heap.enter(|_| _ = heap.collect());
    heap.enter(|_| _ = heap.step());
    heap.enter(|_| heap.enter(|_| ()));
    heap.enter(|_| drop(heap));
    other.enter(|_| other.begin_cycle());
}
