//! Drop code could follow a reference to an object that is gone.

#[path = "../fake.rs"]
mod fake;

#[derive(gc_mark::Trace)]
struct Node<'gc, T> {
    next: Option<fake::Gc<'gc, Node<'gc, T>>>,
    value: T,
}

impl<T> Drop for Node<'_, T> {
    fn drop(&mut self) {}
}

fn main() {
    let _ = Node { next: Some(fake::Gc::new(1)), value: 0 };
}
