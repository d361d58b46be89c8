//! Nothing is traced, so nothing can be skipped.

#[derive(gc_mark::Trace)]
#[trace(noscan)]
struct Leaf {
    #[trace(skip)]
    value: u8,
}

fn main() {}
