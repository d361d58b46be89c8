//! Data behind a lock takes references of its own closure only.

use runtime::{Gc, Heap, Locked, Trace};

#[derive(Trace)]
struct List<'gc> {
    items: Locked<Vec<Gc<'gc, u32>>>,
}

fn main() {
    let (mut one, mut other) = (Heap::new().unwrap().mutator(), Heap::new().unwrap().mutator());
    one.enter(|one| {
        other.enter(|other| {
            let list = one.alloc(List { items: Locked::default() });
            list.items.lock(one).push(other.alloc(7));
        });
    });
}
