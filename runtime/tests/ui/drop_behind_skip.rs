//! Nor is a type with drop code and a reference smuggled in as a field that is not traced, or
//! as a type that holds none.

use runtime::{Gc, Trace};

struct Printer<'gc>(Gc<'gc, String>);

impl Drop for Printer<'_> {
    fn drop(&mut self) {
        println!("{}", *self.0);
    }
}

#[derive(Trace)]
struct Skips<'gc> {
    own: Gc<'gc, u8>,
    #[trace(skip)]
    printer: Printer<'gc>,
}

#[derive(Trace)]
struct Traces<'gc> {
    own: Gc<'gc, u8>,
    printer: Printer<'gc>,
}

#[derive(Trace)]
#[trace(noscan)]
struct Noscan<'gc>(Printer<'gc>);

fn main() {}
