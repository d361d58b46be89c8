//! The handle table: references into the heap from outside of it.
//!
//! A handle is an entry with a count, made, cloned and dropped in constant time at any moment,
//! from any thread, during any phase of a cycle. The collector copies a piece of the table under
//! its lock and visits the copy without it, so no user code ever runs under the lock.
//!
//! To a collector that marks beside the mutators the table is an object like any other, whose
//! places are overwritten. A handle is *made* only inside a closure, whose mutator logs what it
//! must. It is *dropped* anywhere, by threads that are no mutators: so the table logs that itself,
//! from before the first handshake of a cycle until after the last ([`RootTable::set_logging`]).
//! Its lock makes the switch a handshake with every thread that drops. What is made after a piece
//! was copied was held by a mutator that logs, and so need not be seen.
//!
//! A handle dropped while the world is stopped is either still seen (its target floats for one
//! cycle) or not; both are sound.

use crate::raw::log::Entry;
use crate::sync::{Mutex, lock};
use gc_mark::{Kind, Object, Visitor};
use std::sync::Arc;

/// Entries of a piece: allocated, copied and scanned as one.
const PIECE: usize = if cfg!(heapwright_loom) { 2 } else { 512 };
/// No slot.
const NONE: u32 = u32::MAX;

/// The handles of one heap.
#[derive(Debug, Default)]
pub(crate) struct RootTable {
    slots: Mutex<Slots>,
}

/// The slots, in pieces that never move: growing costs the same however many there are.
#[derive(Debug, Default)]
struct Slots {
    pieces: Vec<Box<[Slot; PIECE]>>,
    /// Slots that were ever used.
    used: u32,
    in_use: usize,
    /// The first of a list of free ones, if `in_use` is below `used`.
    free: u32,
    /// Objects whose last handle was dropped, while `logging`.
    log: Vec<Entry>,
    logging: bool,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Free { next: u32 },
    Used { entry: Entry, handles: usize },
}

impl Slots {
    fn at(&mut self, index: u32) -> &mut Slot {
        &mut self.pieces[index as usize / PIECE][index as usize % PIECE]
    }

    fn insert(&mut self, entry: Entry) -> u32 {
        let mut index = self.free;
        if self.in_use == self.used as usize {
            index = self.used;
            self.used += 1;
            if index as usize == self.pieces.len() * PIECE {
                self.grow();
            }
        } else if let Slot::Free { next } = *self.at(index) {
            self.free = next;
        }
        self.in_use += 1;
        *self.at(index) = Slot::Used { entry, handles: 1 };
        index
    }

    /// Apart: a piece is built on the stack, all of which a function that might do so probes.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let piece = [Slot::Free { next: NONE }; PIECE];
        self.pieces.push(Box::new(piece));
    }

    /// Counts a handle of the slot up, or down to nothing.
    #[inline]
    fn count(&mut self, index: u32, change: isize) {
        let Slot::Used { entry, handles } = self.at(index) else {
            unreachable!("a handle of a free slot");
        };
        *handles = handles.wrapping_add_signed(change);
        if *handles == 0 {
            let entry = *entry;
            *self.at(index) = Slot::Free { next: self.free };
            self.free = index;
            self.in_use -= 1;
            if self.logging {
                self.log.push(entry);
            }
        }
    }
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
        let index = lock(&table.slots).insert((object, kind));
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
        lock(&self.table.slots).count(self.index, 1);
        Self {
            table: self.table.clone(),
            index: self.index,
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.table.slots).count(self.index, -1);
    }
}

impl RootTable {
    /// How many objects have handles.
    pub(crate) fn len(&self) -> usize {
        lock(&self.slots).in_use
    }

    /// From now on objects that lose their last handle are logged, or no more; what was logged is
    /// forgotten.
    pub(crate) fn set_logging(&self, logging: bool) {
        let mut slots = lock(&self.slots);
        slots.logging = logging;
        slots.log = Vec::new();
    }

    /// What was logged since this was last asked and is not marked. Without that condition, as a
    /// barrier has it, threads that never cease to drop handles would keep marking from its end.
    pub(crate) fn take_log(&self, is_marked: impl Fn(Object) -> bool) -> Vec<Entry> {
        let mut log = std::mem::take(&mut lock(&self.slots).log);
        log.retain(|entry| !is_marked(entry.0));
        log
    }

    /// Into how many independent jobs the table falls.
    pub(crate) fn jobs(&self) -> usize {
        lock(&self.slots).pieces.len()
    }

    /// Visits the handles of one job.
    pub(crate) fn scan<V: Visitor>(&self, job: usize, visitor: &mut V) {
        let piece = match lock(&self.slots).pieces.get(job) {
            Some(piece) => **piece,
            None => return,
        };
        for slot in piece {
            if let Slot::Used {
                entry: (object, kind),
                ..
            } = slot
            {
                visitor.visit(object, kind);
            }
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    /// Kills: `handles-of-the-marked-logged`.
    #[test]
    fn what_is_marked_is_not_logged() {
        let table = Arc::new(RootTable::default());
        let kind = Kind {
            id: 0,
            noscan: true,
        };
        table.set_logging(true);
        for object in 1..=4 {
            drop(Handle::new(&table, Object(object), kind));
        }
        let log = table.take_log(|object| object.0 % 2 == 0);
        let logged: Vec<usize> = log.iter().map(|(object, _)| object.0).collect();
        assert_eq!(logged, [1, 3]);
        assert!(table.take_log(|_| false).is_empty(), "taken, or marked");
    }
}
