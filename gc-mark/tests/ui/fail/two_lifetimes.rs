//! Only one lifetime can be the brand.

#[path = "../fake.rs"]
mod fake;

#[derive(gc_mark::Trace)]
struct Node<'gc, 'a> {
    next: fake::Gc<'gc, u8>,
    text: &'a str,
}

fn main() {}
