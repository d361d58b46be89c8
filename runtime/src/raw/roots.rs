//! The handle table: references into the heap from outside of it.
//!
//! A handle is an entry with a count, made, cloned and dropped in constant time at any moment,
//! from any thread, during any phase of a cycle. The collector copies a piece of the table under
//! its lock and visits the copy without it, so no user code ever runs under the lock.
//!
//! A handle dropped while the world is stopped is either still seen (its target floats for one
//! cycle) or not; both are sound. A handle can be *made* only inside a closure, where its target
//! is held, so none appears while the world is stopped.

use crate::sync::{Mutex, lock};
use gc_mark::{Kind, Object, Visitor};
use std::sync::Arc;

/// Entries copied at once, and scanned as one job.
const JOB_ENTRIES: usize = 512;

/// The handles of one heap.
#[derive(Debug, Default)]
pub(crate) struct RootTable {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    slots: Vec<Entry>,
    /// Indexes of free slots.
    free: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    object: Object,
    kind: Kind,
    /// Handles that share the entry; 0 if it is free.
    count: usize,
}

/// One handle. It keeps its object alive, and the table, but not the heap.
#[derive(Debug)]
pub(crate) struct Handle {
    table: Arc<RootTable>,
    index: u32,
}

impl Handle {
    /// A handle for `object`, which the caller holds inside a closure.
    pub(crate) fn new(table: &Arc<RootTable>, object: Object, kind: Kind) -> Self {
        let mut entries = lock(&table.entries);
        let entry = Entry {
            object,
            kind,
            count: 1,
        };
        let index = match entries.free.pop() {
            Some(index) => {
                entries.slots[index as usize] = entry;
                index
            }
            None => {
                entries.slots.push(entry);
                (entries.slots.len() - 1) as u32
            }
        };
        drop(entries);
        Self {
            table: table.clone(),
            index,
        }
    }

    /// Whether the handle is of that table.
    pub(crate) fn is_of(&self, table: &Arc<RootTable>) -> bool {
        Arc::ptr_eq(&self.table, table)
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        lock(&self.table.entries).slots[self.index as usize].count += 1;
        Self {
            table: self.table.clone(),
            index: self.index,
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut entries = lock(&self.table.entries);
        let entry = &mut entries.slots[self.index as usize];
        entry.count -= 1;
        if entry.count == 0 {
            entries.free.push(self.index);
        }
    }
}

impl RootTable {
    /// How many objects have handles.
    pub(crate) fn len(&self) -> usize {
        let entries = lock(&self.entries);
        entries.slots.len() - entries.free.len()
    }

    /// Into how many independent jobs the table falls.
    pub(crate) fn jobs(&self) -> usize {
        lock(&self.entries).slots.len().div_ceil(JOB_ENTRIES)
    }

    /// Visits the handles of one job.
    pub(crate) fn scan<V: Visitor>(&self, job: usize, visitor: &mut V) {
        let piece: Vec<Entry> = {
            let entries = lock(&self.entries);
            let piece = entries
                .slots
                .iter()
                .skip(job * JOB_ENTRIES)
                .take(JOB_ENTRIES);
            piece.filter(|entry| entry.count != 0).copied().collect()
        };
        piece
            .iter()
            .for_each(|entry| visitor.visit(entry.object, entry.kind));
    }
}
