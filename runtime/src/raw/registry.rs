//! Objects that somebody wants to hear of when they are dead: cleanups and finalizers.
//!
//! A registry refers to its objects weakly: it is no root, and it is asked by the collector, when
//! marking is over, which of its objects are not marked. An entry is made by a mutator that holds
//! the object, and so at any moment of a cycle: what a mutator holds when marking is over is
//! marked, hence it does not matter whether the collector's look comes before the entry or after.
//!
//! Entries have places that do not move, and are taken back in constant time. The collector looks
//! at a piece under the lock, which no user code ever runs under.

use crate::sync::{Mutex, lock};
use gc_mark::Object;

/// Entries that the collector looks at under one lock.
const PIECE: usize = 512;
/// No place.
const NONE: u32 = u32::MAX;

/// An object, and what is to be done about it.
pub(crate) struct Watched<A> {
    /// Which registration, counted from 0.
    pub(crate) number: u64,
    pub(crate) object: Object,
    pub(crate) action: A,
}

/// Where an entry is, as long as it is that entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    index: u32,
    number: u64,
}

enum Slot<A> {
    Free { next: u32 },
    Used(Watched<A>),
}

struct Table<A> {
    pieces: Vec<Vec<Slot<A>>>,
    /// The first of a list of free ones.
    free: u32,
    in_use: usize,
    registered: u64,
}

impl<A> Table<A> {
    /// The slot at `index`, and the head of the list of free ones.
    fn at(&mut self, index: u32) -> (&mut Slot<A>, &mut u32) {
        let index = index as usize;
        (
            &mut self.pieces[index / PIECE][index % PIECE],
            &mut self.free,
        )
    }

    fn insert(&mut self, entry: Watched<A>) -> u32 {
        self.in_use += 1;
        let index = self.free;
        if index != NONE {
            let (slot, free) = self.at(index);
            if let Slot::Free { next } = std::mem::replace(slot, Slot::Used(entry)) {
                *free = next;
            }
            return index;
        }
        if self.pieces.last().is_none_or(|last| last.len() == PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let first = (self.pieces.len() - 1) * PIECE;
        let Some(last) = self.pieces.last_mut() else {
            unreachable!("a piece was just added");
        };
        last.push(Slot::Used(entry));
        (first + last.len() - 1) as u32
    }

    /// Takes the entry at `index` out, if there is one and `wanted` says so.
    fn take_if(
        &mut self,
        index: u32,
        wanted: impl FnOnce(&Watched<A>) -> bool,
    ) -> Option<Watched<A>> {
        let (slot, free) = self.at(index);
        if !matches!(slot, Slot::Used(entry) if wanted(entry)) {
            return None;
        }
        let taken = std::mem::replace(slot, Slot::Free { next: *free });
        *free = index;
        self.in_use -= 1;
        match taken {
            Slot::Used(entry) => Some(entry),
            Slot::Free { .. } => None,
        }
    }
}

/// The entries of one heap.
pub(crate) struct Registry<A>(Mutex<Table<A>>);

impl<A> Default for Registry<A> {
    fn default() -> Self {
        Self(Mutex::new(Table {
            pieces: Vec::new(),
            free: NONE,
            in_use: 0,
            registered: 0,
        }))
    }
}

impl<A> Registry<A> {
    /// Adds an entry for an object that the caller holds inside a closure.
    pub(crate) fn add(&self, object: Object, action: A) -> Place {
        let mut table = lock(&self.0);
        let number = table.registered;
        table.registered += 1;
        let index = table.insert(Watched {
            number,
            object,
            action,
        });
        Place { index, number }
    }

    /// Takes an entry out; `None` if somebody has done so already.
    pub(crate) fn take(&self, place: Place) -> Option<Watched<A>> {
        lock(&self.0).take_if(place.index, |entry| entry.number == place.number)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).in_use
    }

    /// Takes out the entries that `wanted` picks by their objects, in the order of registration.
    pub(crate) fn take_where(&self, wanted: impl Fn(Object) -> bool) -> Vec<Watched<A>> {
        let mut taken = Vec::new();
        self.for_each_piece(|table, indexes| {
            for index in indexes {
                taken.extend(table.take_if(index, |entry| wanted(entry.object)));
            }
        });
        taken.sort_unstable_by_key(|entry| entry.number);
        taken
    }

    /// What `look` makes of entries, and their places, in the order of registration.
    pub(crate) fn find<R>(&self, look: impl Fn(&Watched<A>) -> Option<R>) -> Vec<(Place, R)> {
        let mut found = Vec::new();
        self.for_each_piece(|table, indexes| {
            for index in indexes {
                let Slot::Used(entry) = table.at(index).0 else {
                    continue;
                };
                let number = entry.number;
                found.extend(look(entry).map(|result| (Place { index, number }, result)));
            }
        });
        found.sort_unstable_by_key(|(place, _)| place.number);
        found
    }

    /// Locks for each piece anew, so that registering never waits for long.
    fn for_each_piece(&self, mut act: impl FnMut(&mut Table<A>, std::ops::Range<u32>)) {
        let mut piece = 0;
        loop {
            let table = &mut *lock(&self.0);
            let Some(slots) = table.pieces.get(piece) else {
                return;
            };
            let first = (piece * PIECE) as u32;
            let end = first + slots.len() as u32;
            act(table, first..end);
            piece += 1;
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_object_and_taken_once() {
        let registry = Registry::default();
        let places: Vec<Place> = (0..3 * PIECE)
            .map(|n| registry.add(Object(n), n * 10))
            .collect();
        assert_eq!(registry.take(places[7]).map(|entry| entry.action), Some(70));
        assert!(registry.take(places[7]).is_none(), "taken twice");
        let again = registry.add(Object(9_999), 1);
        assert!(
            registry.take(places[7]).is_none(),
            "its place has a new owner"
        );
        let even = registry.take_where(|object| object.0 % 2 == 0);
        let expected = (0..3 * PIECE).filter(|n| n % 2 == 0);
        assert!(even.iter().map(|entry| entry.object.0).eq(expected));
        assert_eq!(registry.len(), 3 * PIECE / 2);
        let late = registry.find(|entry| (entry.object.0 > 9_000).then_some(entry.action));
        assert_eq!(late.len(), 1);
        assert_eq!(
            registry.take(late[0].0).map(|entry| entry.action),
            Some(late[0].1)
        );
        assert!(registry.take(again).is_none());
    }
}
