//! `Trace` holds, `Rebrand` would stretch the borrow that the pointer stands for.

use std::marker::PhantomData;

#[derive(gc_mark::Trace)]
struct Text<'a> {
    #[trace(skip)]
    start: *const u8,
    borrow: PhantomData<&'a str>,
}

fn main() {}
