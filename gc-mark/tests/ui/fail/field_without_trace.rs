//! A field whose references nobody can enumerate.

struct Opaque;

#[derive(gc_mark::Trace)]
struct Node {
    opaque: Opaque,
}

fn main() {}
