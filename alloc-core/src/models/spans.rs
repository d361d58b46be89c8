//! The owner word and the generation word of a span: who may write its bits, and what the next one
//! sees of them.

use super::{CLAIMED, Content, SWEPT, UNSWEPT, birth, bits, class, model, spans};
use crate::bits::Bits;
use crate::span::Spans;
use loom::thread;
use std::sync::Arc;

/// One span, its bits, and what stands for its memory.
struct One {
    spans: Spans,
    allocs: Bits,
    marks: Bits,
    content: Content,
}

impl One {
    fn new() -> Arc<One> {
        Arc::new(One {
            spans: spans(1),
            allocs: bits(1),
            marks: bits(1),
            content: Content::default(),
        })
    }

    /// Born, given up and unswept, with the lowest `live` slots in use.
    fn unswept(live: u32) -> Arc<One> {
        let one = One::new();
        one.spans.birth(0, birth(0));
        one.allocs.store_word(0, (1 << live) - 1);
        one.spans.set_live(0, live);
        one.spans.disown(0);
        one.spans.publish_generation(0, UNSWEPT);
        one
    }

    /// Takes the span, if it can, and one slot of it; gives it up. Which slot.
    fn alloc_one(&self) -> Option<u32> {
        if !self.spans.own(0, 0) {
            return None;
        }
        self.content.touch();
        let word = self.allocs.word(0);
        assert_eq!(
            self.spans.live(0),
            word.count_ones(),
            "the new owner sees the old one's bits and count"
        );
        let slot = word.trailing_ones();
        self.allocs.store_word(0, word | 1 << slot);
        self.spans.set_live(0, self.spans.live(0) + 1);
        self.spans.disown(0);
        Some(slot)
    }

    /// Sweeps the span if the claim from `from` is won: how many objects live.
    fn sweep(&self, from: u32) -> Option<u32> {
        if !self.spans.exchange_generation(0, from, from + 1) {
            return None;
        }
        self.content.touch();
        let before = self.allocs.word(0).count_ones();
        assert_eq!(
            self.spans.live(0),
            before,
            "the claimant sees the last count"
        );
        let live = self.allocs.become_marks(&self.marks, 0, 1);
        self.spans.set_live(0, live);
        self.spans.publish_generation(0, from + 2);
        Some(live)
    }
}

/// Two allocators take one slot after another of the same span.
///
/// Kills: `relaxed-disown`, `relaxed-own`, `own-by-store`.
#[test]
fn own() {
    model("own", || {
        let one = One::new();
        one.spans.birth(0, birth(0));
        one.spans.disown(0);
        let other = thread::spawn({
            let one = one.clone();
            move || [one.alloc_one(), one.alloc_one()]
        });
        let mut slots = vec![one.alloc_one()];
        slots.extend(other.join().unwrap());
        slots.push(one.alloc_one());
        assert!(slots[3].is_some(), "the span was given up by everybody");
        let mut slots: Vec<u32> = slots.into_iter().flatten().collect();
        slots.sort_unstable();
        let all: Vec<u32> = (0..slots.len() as u32).collect();
        assert_eq!(slots, all, "each slot is handed out once, and none is lost");
    });
}

/// A sweeper and an allocator race for the claim of an unswept span; the allocator then allocates
/// if the span is swept. The next cycle claims it again as soon as it is let.
///
/// Kills: `relaxed-publish`, `relaxed-generation`, `relaxed-exchange`, `exchange-by-store`,
/// `marks-not-cleared`, `sweep-keeps-bits`.
#[test]
fn sweep_two_cycles() {
    model("sweep_two_cycles", || {
        let one = One::unswept(3);
        one.marks.store_word(0, 0b010);
        let sweeper = thread::spawn({
            let one = one.clone();
            move || one.sweep(UNSWEPT)
        });
        let own = one.sweep(UNSWEPT);
        let mut allocated = None;
        if one.spans.generation(0) == SWEPT {
            assert_eq!(one.spans.live(0), 1, "a span that says swept is swept");
            allocated = one.alloc_one();
            assert_eq!(allocated, Some(0), "the lowest slot is free again");
        }
        // The next cycle begins, in which the mutator itself is the first to claim.
        let again = one.sweep(SWEPT);
        let swept = sweeper.join().unwrap();
        assert!(own.is_some() != swept.is_some(), "one claimant wins");
        assert_eq!(own.or(swept), Some(1));
        assert!(again.is_none_or(|live| live == 0), "old marks are gone");
        assert!(allocated.is_none() || again.is_some());
        assert_ne!(one.spans.generation(0), CLAIMED, "no claim is left behind");
    });
}

/// An allocator holds the number of a span that the sweeper finds dead. The span is born again
/// under another central and given up, all before the allocator looks, or in the midst of it.
///
/// Kills: `own-without-second-look`, `own-keeps-a-strangers-span`.
#[test]
fn own_reborn() {
    model("own_reborn", || {
        let one = One::unswept(1);
        let sweeper = thread::spawn({
            let one = one.clone();
            move || {
                assert!(one.spans.exchange_generation(0, UNSWEPT, CLAIMED));
                one.allocs.become_marks(&one.marks, 0, 1);
                one.spans.publish_generation(0, 0);
                one.spans.bury(0);
                one.spans.birth(0, birth(1));
                one.content.touch();
                one.allocs.store_word(0, 1);
                one.spans.set_live(0, 1);
                one.spans.disown(0);
            }
        });
        // As `Heap::try_own` does, with the number of a candidate of central 0.
        if one.spans.generation(0) == SWEPT && one.spans.live(0) < class().slots() {
            assert!(!one.spans.own(0, 0), "the span is another central's now");
        }
        sweeper.join().unwrap();
        assert!(
            one.spans.own(0, 1),
            "its own central's allocator finds it free"
        );
        one.content.touch();
        assert_eq!(one.allocs.word(0), 1, "nobody else wrote its bits");
    });
}
