//! Local heaps are apart from each other and from shared ones: values, stores and borrows.

use runtime::{Cx, Gc, GcCell, LocalCell, LocalCx, LocalRefCell, Locked};

fn value<'a, 'b>(one: &LocalCx<'a>, theirs: Gc<'b, u32>) {
    one.alloc(Some(theirs));
}

fn value_to_shared<'a, 'b>(shared: &Cx<'a>, theirs: Gc<'b, u32>) {
    shared.alloc(Some(theirs));
}

fn store<'a, 'b>(one: &LocalCx<'a>, cell: &LocalCell<'a, u32>, theirs: Gc<'b, u32>) {
    cell.set(one, Some(theirs));
}

fn store_by_another<'a, 'b>(other: &LocalCx<'b>, cell: &LocalCell<'a, u32>) {
    cell.take(other);
}

fn borrow_by_another<'a, 'b>(other: &LocalCx<'b>, data: &LocalRefCell<Vec<Gc<'a, u32>>>) {
    data.borrow_mut(other).clear();
}

fn try_borrow_by_another<'a, 'b>(other: &LocalCx<'b>, data: &LocalRefCell<Vec<Gc<'a, u32>>>) {
    let _ = data.try_borrow_mut(other);
}

fn shared_places<'a>(one: &LocalCx<'a>, cell: &GcCell<'a, u32>, data: &Locked<Vec<Gc<'a, u32>>>) {
    cell.set(one, None);
    data.lock(one).clear();
}

fn main() {}
