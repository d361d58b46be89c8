//! A bound of the declaration must hold under every brand.

#[path = "../fake.rs"]
mod fake;

use gc_mark::{Rebrand, Trace};

#[derive(Trace)]
struct Holder<T: 'static>(T);

fn stored<T: Trace + Rebrand>() {}

fn main() {
    stored::<Holder<u8>>();
    stored::<Holder<fake::Gc<'static, u8>>>();
}
