//! Data that holds references is written under a guard of its own heap's context only.

use runtime::{Cx, Gc, Locked, RwLocked};

fn lock<'a, 'b>(other: &Cx<'b>, data: &Locked<Vec<Gc<'a, u32>>>) {
    data.lock(other).clear();
}

fn try_lock<'a, 'b>(other: &Cx<'b>, data: &Locked<Vec<Gc<'a, u32>>>) {
    data.try_lock(other);
}

fn write<'a, 'b>(other: &Cx<'b>, data: &RwLocked<Vec<Gc<'a, u32>>>) {
    data.write(other).clear();
}

fn try_write<'a, 'b>(other: &Cx<'b>, data: &RwLocked<Vec<Gc<'a, u32>>>) {
    data.try_write(other);
}

fn main() {}
