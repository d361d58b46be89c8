//! Data behind a lock does not pass for data of a supertype.

use runtime::{Cx, Heap, Locked};

type Any = for<'a> fn(&'a str);
type Static = fn(&'static str);

fn store(place: &Locked<Vec<Static>>, cx: &Cx<'_>, value: Static) {
    place.lock(cx).push(value);
}

fn main() {
    Heap::new().unwrap().mutator().enter(|cx| {
        let place: Locked<Vec<Any>> = Locked::default();
        let value: Static = |_| {};
        store(&place, cx, value);
    });
}
