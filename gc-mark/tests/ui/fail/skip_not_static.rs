//! A skipped field could hold a reference unless it is `'static`.

#[path = "../fake.rs"]
mod fake;

#[derive(gc_mark::Trace)]
struct Branded<'gc> {
    #[trace(skip)]
    next: Option<fake::Gc<'gc, u8>>,
}

fn main() {}
