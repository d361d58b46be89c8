//! A parameter could bring a reference along.

#[derive(gc_mark::Trace)]
struct Generic<T> {
    #[trace(skip)]
    value: Vec<T>,
}

fn main() {}
