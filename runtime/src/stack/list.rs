//! The stacks of one heap, as roots of its cycles.

use super::fiber::Cell;
use crate::sync::{Mutex, Ordering, lock};
use std::sync::Arc;

/// Every stack of a heap, from when it is made until it is dropped.
#[derive(Default)]
pub(crate) struct StackList(Mutex<Vec<Arc<Cell>>>);

impl StackList {
    /// Adds a stack, which is empty.
    pub(crate) fn add(&self, cell: &Arc<Cell>) {
        let mut cells = lock(&self.0);
        // Relaxed: written and read under the lock.
        cell.index.store(cells.len(), Ordering::Relaxed);
        cells.push(cell.clone());
    }

    /// Removes a stack. Constant time.
    pub(crate) fn remove(&self, cell: &Cell) {
        let mut cells = lock(&self.0);
        // Relaxed: as in `add`.
        let index = cell.index.load(Ordering::Relaxed);
        let removed = cells.swap_remove(index);
        if let Some(moved) = cells.get(index) {
            // Relaxed: as in `add`.
            moved.index.store(index, Ordering::Relaxed);
        }
        drop(cells);
        assert!(
            std::ptr::eq(&*removed, cell),
            "the list of stacks is out of order"
        );
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// All of them, at this moment.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Cell>> {
        lock(&self.0).clone()
    }
}
