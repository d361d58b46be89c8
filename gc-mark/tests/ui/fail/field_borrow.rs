//! A borrow's lifetime is no brand.

#[derive(gc_mark::Trace)]
struct Text<'a> {
    text: &'a str,
}

fn main() {}
