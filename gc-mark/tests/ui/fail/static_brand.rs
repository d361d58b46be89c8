//! A reference under the brand `'static` belongs to no heap.

#[path = "../fake.rs"]
mod fake;

#[derive(gc_mark::Trace)]
struct Node<'gc> {
    next: fake::Gc<'gc, u8>,
    other: fake::Gc<'static, u8>,
}

fn main() {}
