//! Nor does a guard of a lock that itself lives outside: it borrows the context.

use runtime::{Heap, Locked};

fn main() {
    let mut mutator = Heap::new().unwrap().mutator();
    let lock = Locked::new(7_u32);
    let guard = mutator.enter(|cx| lock.lock(cx));
    println!("{}", *guard);
    let mut kept = None;
    mutator.enter(|cx| kept = lock.try_lock(cx));
}
