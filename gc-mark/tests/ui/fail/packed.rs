//! A packed field cannot be borrowed, so it cannot be traced.

#[derive(gc_mark::Trace)]
#[repr(packed)]
struct Packed {
    byte: u8,
    word: u64,
}

fn main() {}
