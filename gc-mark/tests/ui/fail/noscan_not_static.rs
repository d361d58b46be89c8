//! A parameter could bring a reference along.

#[derive(gc_mark::Trace)]
#[trace(noscan)]
struct Leaf<T> {
    value: T,
}

fn main() {}
