//! A worker's open packets: one for each kind that it meets, but never more than 64.
//!
//! The packet of a kind is found through a small open-addressed table keyed by [`Kind::id`]:
//! Fibonacci hashing (Knuth, TAOCP 3, 6.4) gives a home slot, and a kind sits in one of the eight
//! slots from there. The common case, a hit at home, is a multiplication, a compare and the append.
//!
//! Programs with more kinds than slots must not pay with a packet of 2 KiB for each object. When
//! all eight slots hold other kinds, the emptiest of them gives way if it holds little; what it
//! held, or else the newcomer, goes to one *mixed* packet whose entries carry their kind and are
//! scanned with a call each. So a worker never has more than 64 packets and the mixed one open,
//! frequent kinds keep their packet, and the tail of rare ones costs a dispatch an object.
//!
//! An append is one bounds check: `space` is empty in a slot that was never used and as long as a
//! packet otherwise, so "no space yet" and "full" are the same cold branch.

use std::mem;

use crate::near::FEW;
use crate::packet::{PACKET_OBJECTS, Space, Work};
use crate::sync::Deque;
use crate::trace::{Kind, Object};

/// Open packets of a worker at most. A power of two: indices are masked.
const SLOTS: usize = if cfg!(heapwright_loom) { 8 } else { 64 };
/// Slots in which a kind may sit, from its home on.
const PROBES: usize = 8;
/// A slot with at most so many objects may be taken over by another kind.
const EVICT_MAX: usize = 8;
/// Spaces kept from one round to the next, a worker: 2 MiB.
const SPARE_MAX: usize = 1024;

/// An open packet. Invariant: `len <= space.len()`, which is 0 or [`PACKET_OBJECTS`].
#[derive(Default)]
struct Slot {
    id: usize,
    len: usize,
    space: Space,
}

/// All open packets of a worker, and spaces for more.
pub(crate) struct Open {
    slots: [Slot; SLOTS],
    /// Bit `i` is set once slot `i` was used.
    used: u64,
    /// Objects of kinds that found no slot.
    mixed: Vec<(Object, Kind)>,
    spare: Vec<Space>,
    spare_mixed: Vec<Vec<(Object, Kind)>>,
}

/// The home slot of a kind.
#[inline(always)]
fn home(id: usize) -> usize {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    ((id as u64).wrapping_mul(GOLDEN) >> (64 - SLOTS.trailing_zeros())) as usize
}

impl Open {
    pub(crate) fn new() -> Open {
        Open {
            slots: std::array::from_fn(|_| Slot::default()),
            used: 0,
            mixed: Vec::new(),
            spare: Vec::new(),
            spare_mixed: Vec::new(),
        }
    }

    /// The slot of a kind, if it has one.
    ///
    /// A slot that was never used carries id 0 and no space: to the kind of that id it is a slot
    /// whose packet is full, which [`push`](Self::push) puts right.
    #[inline(always)]
    fn find(&self, id: usize) -> Option<usize> {
        let home = home(id);
        (0..PROBES)
            .map(|probe| (home + probe) % SLOTS)
            .find(|&slot| self.slots[slot].id == id)
    }

    /// Appends `object` if `claim` says so, without a branch on what it says. Returns false,
    /// `claim` not called, if there is no room.
    #[inline(always)]
    pub(crate) fn append_if(
        &mut self,
        object: Object,
        kind: Kind,
        claim: impl FnOnce() -> bool,
    ) -> bool {
        let Some(slot) = self.find(kind.id) else {
            return false;
        };
        let slot = &mut self.slots[slot];
        let Some(place) = slot.space.get_mut(slot.len) else {
            return false;
        };
        *place = object;
        slot.len += usize::from(claim());
        true
    }

    /// Takes the newest object of the kind, if its open packet holds few: fewer than four.
    #[inline(always)]
    pub(crate) fn pop_if_few(&mut self, kind: Kind) -> Option<Object> {
        let slot = self.find(kind.id)?;
        let slot = &mut self.slots[slot];
        if slot.len == 1 {
            // A list. No address and no value below depends on a length that was just stored, so
            // its nodes are not chained by the latency of that store: 8 ns a node otherwise.
            slot.len = 0;
            return slot.space.first().copied();
        }
        if slot.len == 0 || slot.len >= FEW {
            return None;
        }
        slot.len -= 1;
        slot.space.get(slot.len).copied()
    }

    /// Appends an object, making room where there is none: a full packet goes to the deque.
    #[inline(never)]
    pub(crate) fn push(&mut self, object: Object, kind: Kind, deque: &Deque<Work>) {
        let Some(index) = self.find(kind.id).or_else(|| self.take_over(kind, deque)) else {
            self.push_mixed(object, kind, deque);
            return;
        };
        if self.slots[index].len == self.slots[index].space.len() {
            let fresh = self.space();
            self.used |= 1 << index;
            let slot = &mut self.slots[index];
            let space = mem::replace(&mut slot.space, fresh);
            let len = mem::replace(&mut slot.len, 0);
            if len > 0 {
                deque.push(Work::Packet { kind, len, space });
            }
        }
        let slot = &mut self.slots[index];
        slot.space[slot.len] = object;
        slot.len += 1;
    }

    /// Takes the open packet of a kind out of its slot: id, room and length. `None` if the kind has
    /// no slot and gets none.
    pub(crate) fn lend(
        &mut self,
        kind: Kind,
        deque: &Deque<Work>,
    ) -> Option<(usize, Space, usize)> {
        let index = self.find(kind.id).or_else(|| self.take_over(kind, deque))?;
        let slot = &mut self.slots[index];
        let len = mem::take(&mut slot.len);
        let mut space = mem::take(&mut slot.space);
        if space.is_empty() {
            space = self.space();
        }
        Some((kind.id, space, len))
    }

    /// Puts back what was [`lend`](Self::lend)ed; if its slot is taken, to the deque.
    pub(crate) fn put_back(
        &mut self,
        (id, space, len): (usize, Space, usize),
        deque: &Deque<Work>,
    ) {
        let index = self.find(id);
        if let Some(index) = index.filter(|&index| self.slots[index].space.is_empty()) {
            self.used |= 1 << index;
            let slot = &mut self.slots[index];
            slot.len = len;
            slot.space = space;
        } else if len > 0 {
            let kind = Kind { id, noscan: false };
            deque.push(Work::Packet { kind, len, space });
        } else {
            self.recycle(space);
        }
    }

    /// Gives the kind one of its slots, if the emptiest holds little.
    fn take_over(&mut self, kind: Kind, deque: &Deque<Work>) -> Option<usize> {
        let home = home(kind.id);
        let index = (0..PROBES)
            .map(|probe| (home + probe) % SLOTS)
            .min_by_key(|&slot| self.slots[slot].len)
            .filter(|&slot| self.slots[slot].len <= EVICT_MAX)?;
        let old = Kind {
            id: self.slots[index].id,
            noscan: false,
        };
        for place in 0..mem::replace(&mut self.slots[index].len, 0) {
            let object = self.slots[index].space[place];
            self.push_mixed(object, old, deque);
        }
        self.slots[index].id = kind.id;
        Some(index)
    }

    fn push_mixed(&mut self, object: Object, kind: Kind, deque: &Deque<Work>) {
        self.mixed.push((object, kind));
        if self.mixed.len() >= PACKET_OBJECTS {
            let fresh = self.spare_mixed.pop().unwrap_or_default();
            deque.push(Work::Mixed(mem::replace(&mut self.mixed, fresh)));
        }
    }

    /// Room for a packet, of those that have been scanned if there is one.
    pub(crate) fn space(&mut self) -> Space {
        let spare = self.spare.pop();
        spare.unwrap_or_else(|| vec![Object(0); PACKET_OBJECTS].into_boxed_slice())
    }

    /// Takes back the room of a packet that has been scanned.
    pub(crate) fn recycle(&mut self, space: Space) {
        self.spare.push(space);
    }

    /// Takes back the room of a mixed packet that has been scanned.
    pub(crate) fn recycle_mixed(&mut self, mut objects: Vec<(Object, Kind)>) {
        objects.clear();
        self.spare_mixed.push(objects);
    }

    /// Gives memory back: called between rounds.
    pub(crate) fn trim(&mut self) {
        self.spare.truncate(SPARE_MAX);
        self.spare_mixed.truncate(SPARE_MAX / 4);
    }

    /// The used slots.
    fn used(&self) -> impl Iterator<Item = usize> + use<> {
        let mut rest = self.used;
        std::iter::from_fn(move || {
            let next = (rest != 0).then(|| rest.trailing_zeros() as usize);
            rest &= rest.wrapping_sub(1);
            next
        })
    }

    /// Closes a slot's packet and takes it out.
    fn close(&mut self, index: usize) -> Work {
        // No allocation here: a slot left without space gets one at its next object.
        let fresh = self.spare.pop().unwrap_or_default();
        let slot = &mut self.slots[index];
        Work::Packet {
            kind: Kind {
                id: slot.id,
                noscan: false,
            },
            len: mem::replace(&mut slot.len, 0),
            space: mem::replace(&mut slot.space, fresh),
        }
    }

    /// Takes out the largest open packet, the mixed one if no other holds anything.
    pub(crate) fn take_largest(&mut self) -> Option<Work> {
        let largest = self.used().max_by_key(|&slot| self.slots[slot].len);
        if let Some(index) = largest.filter(|&slot| self.slots[slot].len > 0) {
            return Some(self.close(index));
        }
        if self.mixed.is_empty() {
            return None;
        }
        let fresh = self.spare_mixed.pop().unwrap_or_default();
        Some(Work::Mixed(mem::replace(&mut self.mixed, fresh)))
    }

    /// Moves every open packet of at least `len_min` objects to the deque.
    pub(crate) fn flush(&mut self, len_min: usize, deque: &Deque<Work>) {
        for index in self.used() {
            if self.slots[index].len >= len_min {
                deque.push(self.close(index));
            }
        }
        if self.mixed.len() >= len_min {
            let fresh = self.spare_mixed.pop().unwrap_or_default();
            deque.push(Work::Mixed(mem::replace(&mut self.mixed, fresh)));
        }
    }

    /// Whether no packet holds an object.
    pub(crate) fn is_empty(&self) -> bool {
        self.mixed.is_empty() && self.used().all(|slot| self.slots[slot].len == 0)
    }

    /// Forgets every object.
    pub(crate) fn clear(&mut self) {
        self.mixed.clear();
        for slot in &mut self.slots {
            slot.len = 0;
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests;
