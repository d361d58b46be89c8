//! The packet at hand: the one open packet that a loop appends to without looking it up.
//!
//! A loop over a packet mostly meets edges to one kind. The open packet of the first kind that it
//! meets is taken out of its slot for as long as the loop lasts. Its length and its room are then
//! fields of a value that nobody else points to, so they live in registers, where those of a slot
//! are loaded and stored at each edge; and what is inlined at an edge is small enough for a type's
//! `trace` to be inlined into the loop. Objects of other kinds go to their slots by a call.
//!
//! Marks are claimed a word at a time. In a heap in order, objects that are met one after another
//! have their marks in one word; claimed singly, each waits for the store of the one before, or
//! costs a locked instruction of its own. So the packet carries the word of the mark that it met
//! last:
//!
//! | field | is |
//! |---|---|
//! | `looked` | the word as the heap had it when it was first met |
//! | `seen` | the same, and the marks that were met since |
//! | `seen ^ looked` | marks that are not claimed yet: their objects are taken for won |
//! | `space[settled..len]` | those objects, which nobody else sees yet |
//!
//! When a mark of another word is met, and before an object of the packet can be seen by anyone
//! (it is popped, or the packet goes to the deque or back to its slot), the packet is *settled*:
//! all its marks are claimed at once. What another worker had claimed since the look is
//! among `space[settled..len]`, and nowhere else, and is taken out again.
//!
//! Proof sketch: an object is queued by whoever claims its mark. It is appended when its mark is
//! clear in `seen`, that is, at most once between two settlings; it stays if the claim of its mark
//! is won. Of all claims of a mark one is won, by the heap's promise. If its mark is set in `seen`,
//! somebody has claimed it, or this packet will, and queues the object if it wins.

use std::mem;

use crate::packet::{PREFETCH_AHEAD, Space};
use crate::port::ObjectModel;
use crate::trace::{Kind, Object};
use crate::tracer::Sharing;

/// The id of no kind.
const NONE: usize = usize::MAX;

/// An open packet with fewer objects is followed directly, newest first.
pub(crate) const FEW: usize = 4;

/// The packet at hand, or none. Invariant: `settled <= len <= space.len()`.
pub(crate) struct Near {
    /// The kind's id; [`NONE`] if no packet is at hand.
    id: usize,
    len: usize,
    space: Space,
    /// The objects before this place have been won.
    settled: usize,
    /// The number of the word of marks.
    word: usize,
    looked: u64,
    seen: u64,
}

impl Default for Near {
    fn default() -> Near {
        Near {
            id: NONE,
            len: 0,
            space: Space::default(),
            settled: 0,
            word: 0,
            looked: 0,
            seen: 0,
        }
    }
}

impl Near {
    /// The open packet of a kind, about to meet an object with a mark in `word`.
    pub(crate) fn new<M: ObjectModel>(
        model: &M,
        word: usize,
        (id, space, len): (usize, Space, usize),
    ) -> Near {
        assert!(id != NONE, "a kind's id is below usize::MAX");
        let mut near = Near {
            id,
            len,
            space,
            settled: len,
            ..Near::default()
        };
        near.look(model, word);
        near
    }

    /// Id, room and length. The packet is settled.
    pub(crate) fn into_parts(self) -> (usize, Space, usize) {
        debug_assert_eq!(self.settled, self.len, "a packet is settled before it goes");
        (self.id, self.space, self.len)
    }

    #[inline(always)]
    pub(crate) fn is_none(&self) -> bool {
        self.id == NONE
    }

    #[inline(always)]
    pub(crate) fn is_of(&self, kind: Kind) -> bool {
        self.id == kind.id
    }

    /// The objects that a loop over the full packet begins with.
    pub(crate) fn head(&self) -> impl Iterator<Item = Object> {
        self.space.iter().copied().take(PREFETCH_AHEAD)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.space.len()
    }

    /// Appends an object of the packet's kind if it was not marked, without a branch on that.
    /// Returns false, the object not marked, if there is no room.
    #[inline(always)]
    pub(crate) fn append<M: ObjectModel, S: Sharing>(&mut self, model: &M, object: Object) -> bool {
        let mark = model.mark_of(object);
        if mark / 64 != self.word {
            self.settle::<M, S>(model);
            self.look(model, mark / 64);
        }
        let Some(place) = self.space.get_mut(self.len) else {
            return false;
        };
        *place = object;
        let bit = 1 << (mark % 64);
        self.len += usize::from(self.seen & bit == 0);
        self.seen |= bit;
        true
    }

    #[inline(always)]
    fn look<M: ObjectModel>(&mut self, model: &M, word: usize) {
        self.word = word;
        self.looked = model.marks(word);
        self.seen = self.looked;
    }

    /// Claims the marks that were met, and takes out what others have won.
    #[inline(always)]
    pub(crate) fn settle<M: ObjectModel, S: Sharing>(&mut self, model: &M) {
        let lost = S::claim_marks(model, self.word, self.seen ^ self.looked);
        if lost != 0 {
            let unsettled = self.space.get_mut(self.settled..self.len);
            self.len = self.settled + take_out(model, unsettled.unwrap_or_default(), lost);
        }
        self.settled = self.len;
        self.looked = self.seen;
    }

    /// Takes the newest object, if there are few: fewer than four.
    #[inline(always)]
    pub(crate) fn pop_if_few<M: ObjectModel, S: Sharing>(&mut self, model: &M) -> Option<Object> {
        if self.len >= FEW {
            return None;
        }
        self.settle::<M, S>(model);
        if self.len == 1 {
            // A list. No address and no value below depends on the length, which depends on a mark:
            // its nodes are not chained by the latency of a look-up, 8 ns a node otherwise.
            self.len = 0;
            self.settled = 0;
            return self.space.first().copied();
        }
        self.len = self.len.checked_sub(1)?;
        self.settled = self.len;
        self.space.get(self.len).copied()
    }

    /// Takes the objects out, and goes on with another room. The packet is settled.
    pub(crate) fn renew(&mut self, fresh: Space) -> (Space, usize) {
        self.settled = 0;
        let space = mem::replace(&mut self.space, fresh);
        (space, mem::take(&mut self.len))
    }
}

/// Moves the objects whose marks were not lost to the front; returns how many they are. All have
/// their marks in one word.
#[cold]
#[inline(never)]
fn take_out<M: ObjectModel>(model: &M, objects: &mut [Object], lost: u64) -> usize {
    let mut kept = 0;
    for place in 0..objects.len() {
        let object = objects[place];
        if lost >> (model.mark_of(object) % 64) & 1 == 0 {
            objects[kept] = object;
            kept += 1;
        }
    }
    kept
}
