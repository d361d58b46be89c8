//! A parameter that is not rebranded has no brand.

#[path = "../fake.rs"]
mod fake;

trait Named {
    type Name: 'static;
}

#[derive(gc_mark::Trace)]
struct Holder<T: Named> {
    #[trace(skip)]
    name: Option<T::Name>,
}

fn main() {}
