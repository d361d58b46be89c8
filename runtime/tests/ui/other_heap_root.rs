//! A reference is rooted and downgraded in its own closure only.

use runtime::Heap;

fn main() {
    let (mut one, mut other) = (Heap::new().unwrap().mutator(), Heap::new().unwrap().mutator());
    one.enter(|one| {
        other.enter(|other| {
            one.root(other.alloc(7_u32));
        });
    });
    one.enter(|one| {
        other.enter(|other| {
            let gc = other.alloc(7_u32);
            let weak = other.downgrade(gc);
            weak.upgrade(one);
        });
    });
}
