//! A type that holds no reference has no use for a brand.

#[derive(gc_mark::Trace)]
#[trace(noscan)]
struct Text<'gc> {
    text: &'gc str,
}

fn main() {}
