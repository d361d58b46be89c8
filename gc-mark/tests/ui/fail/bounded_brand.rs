//! A brand is any brand.

#[path = "../fake.rs"]
mod fake;

#[derive(gc_mark::Trace)]
struct Inline<'gc: 'static>(fake::Gc<'gc, u8>);

#[derive(gc_mark::Trace)]
struct Clause<'gc>(fake::Gc<'gc, u8>)
where
    'gc: 'static;

fn main() {}
