//! A hand-written `Trace` says nothing about lifetimes: without `Rebrand` it cannot be a field.

struct Borrow<'a>(&'a str);

unsafe impl gc_mark::Trace for Borrow<'_> {
    const NEEDS_TRACE: bool = false;
    fn trace<V: gc_mark::Visitor>(&self, _: &mut V) {}
}

#[derive(gc_mark::Trace)]
struct Text<'a> {
    text: Borrow<'a>,
}

fn main() {}
