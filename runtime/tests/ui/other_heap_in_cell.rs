//! A cell takes references and contexts of its own closure only.

use runtime::{Cx, Gc, GcCell};

fn set<'a, 'b>(one: &Cx<'a>, cell: &GcCell<'a, u32>, theirs: Gc<'b, u32>) {
    cell.set(one, Some(theirs));
}

fn set_by_another<'a, 'b>(other: &Cx<'b>, cell: &GcCell<'a, u32>) {
    cell.set(other, None);
}

fn swap<'a, 'b>(one: &Cx<'a>, cell: &GcCell<'a, u32>, theirs: Gc<'b, u32>) {
    cell.swap(one, Some(theirs));
}

fn exchange<'a, 'b>(one: &Cx<'a>, cell: &GcCell<'a, u32>, theirs: Gc<'b, u32>) {
    let _ = cell.compare_exchange(one, None, Some(theirs));
}

fn get<'a, 'b>(cell: &GcCell<'a, u32>) -> Option<Gc<'b, u32>> {
    cell.get()
}

fn main() {}
