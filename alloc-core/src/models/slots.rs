//! Slots of bytes that are freed by other threads, between the span's holder, the shelf and death.
//!
//! The class of the models has four slots to a page, each in a word of its own, and a span is worth
//! a look when one of them is free. What a slot holds is a cell that its user writes when it gets
//! the slot and before freeing it; the pages are reused by who buries the span, which writes all
//! of them. Two accesses that the protocol does not order fail the model.

use super::{Content, birth, bits, model, spans};
use crate::bits::Bits;
use crate::malloc::{Depot, Hold, Shelf, Slots};
use crate::size_class::SizeClass;
use crate::span::{Birth, Spans};
use crate::thread_cache::PAGE_WORDS;
use loom::thread;
use std::sync::Arc;

/// Slots of a span.
pub(super) const SLOTS: usize = 4;

pub(super) fn class() -> SizeClass {
    let class = SizeClass::of(2048, 8).unwrap();
    assert_eq!((class.slots() as usize, class.pages()), (SLOTS, 1));
    class
}

/// Two pages, of which the first `born` are spans.
pub(super) struct Lot {
    pub(super) spans: Spans,
    pub(super) taken: Bits,
    pub(super) freed: Bits,
    pub(super) shelf: Shelf,
    pub(super) contents: [Content; 2 * SLOTS],
}

impl Lot {
    /// One span, held by the caller; nothing of it is taken.
    pub(super) fn new() -> Lot {
        let lot = Lot {
            spans: spans(2),
            taken: bits(2 * PAGE_WORDS as usize),
            freed: bits(2 * PAGE_WORDS as usize),
            shelf: Shelf::new(),
            contents: Default::default(),
        };
        lot.birth(0);
        lot
    }

    fn birth(&self, span: u32) {
        self.spans.hold(span).begin(Hold::NEWBORN);
        self.spans.birth(
            span,
            Birth {
                class: Some(class()),
                ..birth(0)
            },
        );
    }

    pub(super) fn slots(&self) -> Slots<'_> {
        Slots {
            spans: &self.spans,
            taken: &self.taken,
            freed: &self.freed,
        }
    }

    /// Takes what is free of a span that the caller holds, and uses it: the slots, over all spans.
    pub(super) fn take(&self, span: u32) -> Vec<usize> {
        let words = 0..PAGE_WORDS;
        let taken = words.filter(|word| self.slots().take_word(class(), span, *word) != 0);
        let slots: Vec<_> = taken.map(|word| slot_of(span, word)).collect();
        slots.iter().for_each(|slot| self.contents[*slot].touch());
        slots
    }

    /// Uses a slot for the last time, frees it and counts it.
    pub(super) fn free(&self, slot: usize) {
        self.contents[slot].touch();
        self.deliver(slot);
        self.count(slot, 1);
    }

    pub(super) fn deliver(&self, slot: usize) {
        let twice = self.slots().free(word_of(slot), 1);
        assert_eq!(twice, 0, "slot {slot} was freed before");
    }

    /// Counts slots of the span that this one lies in.
    fn count(&self, slot: usize, slots: u32) {
        let span = (slot / SLOTS) as u32;
        if self.slots().count_freed(&self.shelf, class(), span, slots) {
            self.bury(span);
        }
    }

    /// Gives up a span that the caller holds.
    pub(super) fn leave(&self, span: u32, taken: usize) {
        if self.leave_to_die(span, taken) {
            self.bury(span);
        }
    }

    /// The same; true if the span is the caller's to bury.
    pub(super) fn leave_to_die(&self, span: u32, taken: usize) -> bool {
        let taken = taken as u32;
        self.slots().leave(&self.shelf, class(), span, taken)
    }

    /// Reuses the page: nobody else may look at it any more.
    fn bury(&self, span: u32) {
        let contents = span as usize * SLOTS..(span as usize + 1) * SLOTS;
        self.contents[contents].iter().for_each(Content::touch);
        for word in 0..PAGE_WORDS {
            let index = (span * PAGE_WORDS + word) as usize;
            let used = self.taken.word(index) & !self.freed.word(index);
            assert_eq!(used, 0, "span {span} is buried with a slot in use");
        }
        self.slots().wipe(span, 1);
        self.spans.publish_generation(span, 0);
        self.spans.bury(span);
    }

    /// The span is dead, once, and on no shelf.
    fn check_dead(&self, span: u32) {
        assert_eq!(self.spans.hold(span).get(), Hold::DEAD);
        assert_eq!(self.spans.next(span, span + 1), None, "it was buried");
        assert_eq!(self.shelf.take(&self.spans), None, "nothing is left");
    }
}

fn slot_of(span: u32, word: u32) -> usize {
    span as usize * SLOTS + (word / 2) as usize
}

fn word_of(slot: usize) -> usize {
    slot / SLOTS * PAGE_WORDS as usize + slot % SLOTS * 2
}

/// Two threads free slots of one word, one of which also collects them: no bit is lost.
///
/// Kills: `deliver-by-store`, `collect-by-store`.
#[test]
fn deliver_and_collect() {
    model("deliver_and_collect", || {
        let freed = Arc::new(bits(1));
        let other = thread::spawn({
            let freed = freed.clone();
            move || assert_eq!(freed.deliver(0, 0b10), 0)
        });
        assert_eq!(freed.deliver(0, 0b01), 0);
        let first = freed.collect(0);
        other.join().unwrap();
        let second = freed.collect(0);
        assert_eq!(first & second, 0, "a bit is collected once");
        assert_eq!(first | second, 0b11, "no bit is lost");
    });
}

/// Two threads free the same object of a hardened heap, beside another object of its word: one is
/// told that it was free, and the neighbor stays.
///
/// Kills: `unclaim-by-store`.
#[test]
fn freed_twice() {
    model("freed_twice", || {
        let live = Arc::new(bits(1));
        live.set_in_word(0, 0b11);
        let other = thread::spawn({
            let live = live.clone();
            move || live.unclaim(1)
        });
        let own = live.unclaim(1);
        assert!(own != other.join().unwrap(), "one of two frees it");
        assert!(live.test(0) && !live.test(1));
    });
}

/// Another thread frees two slots while the holder takes what is free: each slot is handed out
/// again once it was freed, with its last use over, and never twice.
///
/// Kills: `relaxed-deliver`, `relaxed-collect`, `fold-forgets-freed`, `take-word-keeps-bits`,
/// `relaxed-get`, `count-leaves-what-is-held`.
#[test]
fn free_and_refill() {
    model("free_and_refill", || {
        let lot = Arc::new(Lot::new());
        assert_eq!(lot.take(0), [0, 1, 2, 3]);
        let other = thread::spawn({
            let lot = lot.clone();
            move || {
                lot.free(0);
                lot.free(1);
            }
        });
        let has_room = lot.slots().has_room(class(), 0, SLOTS as u32);
        let mut again = lot.take(0);
        assert!(
            !has_room || !again.is_empty(),
            "there is room, and nothing is found"
        );
        other.join().unwrap();
        again.extend(lot.take(0));
        again.sort_unstable();
        assert_eq!(again, [0, 1], "what was freed is to be had, once");
        again.extend([2, 3]);
        again.into_iter().for_each(|slot| lot.free(slot));
        lot.leave(0, SLOTS + 2);
        lot.check_dead(0);
    });
}

/// The holder leaves a full span while another frees a slot of it: whoever is second shelves it.
///
/// Kills: `leave-drops-taken`, `leave-never-shelves`, `no-claim-for-room`, `hold-by-store`.
#[test]
fn free_and_leave() {
    model("free_and_leave", || {
        let lot = Arc::new(Lot::new());
        lot.take(0);
        let other = thread::spawn({
            let lot = lot.clone();
            move || lot.free(2)
        });
        lot.leave(0, SLOTS);
        other.join().unwrap();
        assert_eq!(lot.shelf.take(&lot.spans), Some(0), "it has room");
        assert_eq!(lot.take(0), [2]);
        lot.leave(0, 1);
        assert_eq!(lot.shelf.take(&lot.spans), None, "it is full");
        (0..SLOTS).for_each(|slot| lot.free(slot));
        lot.check_dead(0);
    });
}

/// Two threads free the slots of one full span that nobody holds: one shelves it, one buries it.
///
/// Kills: `relaxed-hold`, `hold-without-release`, `hold-without-acquire`.
#[test]
fn two_free() {
    model("two_free", || {
        let lot = Arc::new(Lot::new());
        lot.take(0);
        lot.deliver(0);
        lot.deliver(1);
        lot.leave(0, SLOTS);
        let other = thread::spawn({
            let lot = lot.clone();
            move || {
                lot.free(2);
                lot.count(0, 1);
            }
        });
        lot.free(3);
        lot.count(1, 1);
        other.join().unwrap();
        lot.check_dead(0);
    });
}

/// A thread's exit gives up the span while another frees its last slots: it dies once, by the one
/// or the other.
///
/// Kills: `shelve-the-dead`.
#[test]
fn leave_and_death() {
    model("leave_and_death", || {
        let lot = Arc::new(Lot::new());
        lot.take(0);
        lot.free(0);
        lot.free(1);
        let other = thread::spawn({
            let lot = lot.clone();
            move || {
                lot.free(2);
                lot.free(3);
            }
        });
        lot.leave(0, SLOTS);
        other.join().unwrap();
        lot.check_dead(0);
    });
}

/// A thread takes a span off the shelf while another frees its last slot: either it dies and there
/// is no span to take, or it is held and lives until its new holder leaves.
///
/// Kills: `take-the-dying`, `take-stays-shelved`, `dead-stays-shelved`, `link-nowhere`.
#[test]
fn death_and_take() {
    model("death_and_take", || {
        let lot = Lot::new();
        lot.birth(1);
        for span in [1, 0] {
            lot.take(span);
            for slot in 1..SLOTS {
                lot.free(span as usize * SLOTS + slot);
            }
            lot.leave(span, SLOTS);
        }
        let lot = Arc::new(lot);
        let other = thread::spawn({
            let lot = lot.clone();
            move || lot.free(0)
        });
        let taken = lot.shelf.take(&lot.spans).unwrap();
        // A slot that is free, so its holder may use it.
        lot.contents[taken as usize * SLOTS + 3].touch();
        lot.leave(taken, 0);
        other.join().unwrap();
        lot.free(SLOTS);
        lot.check_dead(0);
        lot.check_dead(1);
    });
}

/// A pass takes a span off the shelf, overwrites what is free in it as a discard does, and leaves
/// it again, while another frees a slot: nothing in use is written over, the slot is not lost, and
/// the span is stale if the free came later.
///
/// Kills: `freed-is-not-stale`, `pass-marks-what-it-missed`.
#[test]
fn pages_are_discarded_beside_frees() {
    model("pages_are_discarded_beside_frees", || {
        let lot = Lot::new();
        assert_eq!(lot.take(0), [0, 1, 2, 3]);
        lot.free(0);
        lot.leave(0, SLOTS);
        let lot = Arc::new(lot);
        let other = thread::spawn({
            let lot = lot.clone();
            move || lot.free(1)
        });
        let mut into = [u32::MAX; 2];
        let count = lot.shelf.take_stale(&lot.spans, &mut into);
        let mut discarded = Vec::new();
        if count == 1 {
            assert_eq!(into[0], 0);
            let used = lot.spans.hold(0).get().used();
            discarded = lot.take(0);
            for slot in &discarded {
                lot.slots().give_back(word_of(*slot), 1);
            }
            if lot.slots().leave_discarded(&lot.shelf, class(), 0, used) {
                lot.bury(0);
            }
        }
        other.join().unwrap();
        let now = lot.spans.hold(0).get();
        assert!(now.is_listed() && !now.is_owned(), "{now:?}");
        assert!(
            discarded.contains(&1) || !now.is_discarded(),
            "what was freed later is passed over"
        );
        assert_eq!(lot.shelf.take(&lot.spans), Some(0));
        assert_eq!(lot.take(0), [0, 1], "what is free is to be had, once");
        lot.leave(0, 2);
        (0..SLOTS).for_each(|slot| lot.free(slot));
        lot.check_dead(0);
    });
}

/// A pass takes a span off the shelf while another frees the last slots of it: it dies once, by the
/// one or the other, and the pass writes to nothing that is reused.
///
/// Kills: `pass-takes-by-a-store`.
#[test]
fn a_pass_and_death() {
    model("a_pass_and_death", || {
        let lot = Lot::new();
        assert_eq!(lot.take(0), [0, 1, 2, 3]);
        (0..2).for_each(|slot| lot.free(slot));
        lot.leave(0, SLOTS);
        let lot = Arc::new(lot);
        let other = thread::spawn({
            let lot = lot.clone();
            move || {
                (2..SLOTS).for_each(|slot| lot.free(slot));
            }
        });
        let mut into = [u32::MAX; 1];
        if lot.shelf.take_stale(&lot.spans, &mut into) == 1 {
            let used = lot.spans.hold(0).get().used();
            let free = lot.take(0);
            free.iter()
                .for_each(|slot| lot.slots().give_back(word_of(*slot), 1));
            if lot.slots().leave_discarded(&lot.shelf, class(), 0, used) {
                lot.bury(0);
            }
        }
        other.join().unwrap();
        lot.check_dead(0);
    });
}

/// Slots go from one thread to another by a depot: each once, with its last use over.
///
/// Kills: `depot-keeps-what-it-gave`.
#[test]
fn a_depot_hands_over() {
    model("a_depot_hands_over", || {
        let (depot, contents) = (Depot::new(class()), <[Content; 3]>::default());
        let shared = Arc::new((depot, contents));
        let address = |n: usize| std::ptr::without_provenance_mut::<u8>(n);
        let other = thread::spawn({
            let shared = shared.clone();
            move || {
                let (depot, contents) = &*shared;
                contents[0].touch();
                contents[1].touch();
                depot.put(&[address(0), address(1)])
            }
        });
        let take = || {
            let mut into = [std::ptr::null_mut(); 1];
            let count = shared.0.take(&mut into);
            let taken = into[..count].iter().map(|slot| slot.addr());
            taken
                .inspect(|slot| shared.1[*slot].touch())
                .collect::<Vec<_>>()
        };
        let mut taken = take();
        let is_put = other.join().unwrap();
        (0..3).for_each(|_| taken.extend(take()));
        taken.sort_unstable();
        assert_eq!(taken, if is_put { vec![0, 1] } else { vec![] });
    });
}
