//! Which field holds a value is known to nobody.

#[derive(gc_mark::Trace)]
union Word {
    number: u64,
    bytes: [u8; 8],
}

fn main() {}
