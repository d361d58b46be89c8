//! No brand passes for a shorter or longer one.

use runtime::{Cx, Gc, GcCell, Weak};

fn shorten<'short, 'long: 'short>(gc: Gc<'long, u8>) -> Gc<'short, u8> {
    gc
}

fn lengthen<'short, 'long: 'short>(gc: Gc<'short, u8>) -> Gc<'long, u8> {
    gc
}

fn shorten_cell<'a, 'short, 'long: 'short>(
    cell: &'a GcCell<'long, u8>,
) -> &'a GcCell<'short, u8> {
    cell
}

fn shorten_weak<'short, 'long: 'short>(weak: Weak<'long, u8>) -> Weak<'short, u8> {
    weak
}

fn shorten_cx<'a, 'short, 'long: 'short>(cx: &'a Cx<'long>) -> &'a Cx<'short> {
    cx
}

fn main() {}
