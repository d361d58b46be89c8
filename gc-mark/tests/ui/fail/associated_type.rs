//! Of which trait an associated type is must be said.

#[derive(gc_mark::Trace)]
struct Items<T: Iterator> {
    items: Vec<T::Item>,
}

fn main() {}
