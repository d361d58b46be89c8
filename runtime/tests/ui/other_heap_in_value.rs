//! An object of one heap does not hold a reference into another.

use runtime::{Cx, Gc, Trace};

#[derive(Trace)]
struct Holder<'gc> {
    held: Gc<'gc, u32>,
}

fn in_a_type<'a, 'b>(one: &Cx<'a>, other: &Cx<'b>) {
    one.alloc(Holder { held: other.alloc(7) });
}

fn bare<'a, 'b>(one: &Cx<'a>, other: &Cx<'b>) {
    one.alloc(other.alloc(7_u32));
}

fn in_a_slice<'a, 'b>(one: &Cx<'a>, other: &Cx<'b>) {
    one.alloc_slice([other.alloc(7_u32)]);
}

fn boxed<'a, 'b>(one: &Cx<'a>, other: &Cx<'b>) {
    one.alloc(Some(Box::new(other.alloc(7_u32))));
}

fn beside_a_right_one<'a, 'b>(one: &Cx<'a>, other: &Cx<'b>) {
    one.alloc((one.alloc(7_u32), other.alloc(7_u32)));
}

fn weak<'a, 'b>(one: &Cx<'a>, other: &Cx<'b>) {
    one.alloc(other.downgrade(other.alloc(7_u32)));
}

fn tried<'a, 'b>(one: &Cx<'a>, other: &Cx<'b>) {
    let _ = one.try_alloc(other.alloc(7_u32));
    let _ = one.try_alloc_slice([other.alloc(7_u32)]);
}

fn main() {}
