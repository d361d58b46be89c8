//! A central's list between allocators that take candidates, owners that give spans back and a
//! sweeper that frees them.

use super::{CLAIMED, Content, INFO, SWEPT, UNSWEPT, birth, class, model, spans};
use crate::central::Central;
use crate::span::Spans;
use loom::thread;
use std::iter;
use std::sync::Arc;

/// The spans of one central, or two.
struct Lists {
    spans: Spans,
    centrals: [Central; 2],
    contents: [Content; 3],
}

impl Lists {
    /// Two centrals, and no span.
    fn empty() -> Lists {
        Lists {
            spans: spans(3),
            centrals: [0, 1].map(|index| Central::new(&INFO, class(), index)),
            contents: Default::default(),
        }
    }

    /// Three swept spans that central 0 offers.
    fn new() -> Arc<Lists> {
        let lists = Lists::empty();
        for span in 0..3 {
            lists.spans.birth(span, birth(0));
            lists.centrals[0].add(&lists.spans, iter::once(span));
            lists.spans.disown(span);
        }
        assert_eq!(
            lists.centrals[0].next_candidate(),
            None,
            "the newborn are no candidates"
        );
        lists.centrals[0].rewind();
        Arc::new(lists)
    }

    /// Takes a span for allocation as a thread cache does.
    fn take(&self, central: usize) -> Option<u32> {
        let central = &self.centrals[central];
        loop {
            let span = central.next_candidate()?;
            if self.spans.generation(span) == SWEPT && self.spans.own(span, central.index) {
                self.contents[span as usize].touch();
                return Some(span);
            }
        }
    }

    /// Gives a span back that has free slots, as a flush does.
    fn give_back(&self, central: usize, span: u32) {
        self.contents[span as usize].touch();
        self.spans.disown(span);
        self.centrals[central].offer(&self.spans, span);
    }

    /// Frees a span whose sweep is claimed.
    fn free(&self, span: u32) {
        self.contents[span as usize].touch();
        self.spans.publish_generation(span, 0);
        self.centrals[0].remove(&self.spans, span);
        self.spans.bury(span);
    }

    /// All that are still to be had of a central.
    fn drain(&self, central: usize) -> Vec<u32> {
        self.centrals[central].check_invariants(&self.spans);
        iter::from_fn(|| self.take(central)).collect()
    }
}

/// Two allocators; one gives its span back. No span is handed out twice, and none is lost.
///
/// Kills: `candidate-read-then-taken`, `offer-without-next`, `offer-without-position`,
/// `add-as-candidate`.
#[test]
fn central_hands_out_once() {
    model("central_hands_out_once", || {
        let lists = Lists::new();
        let other = thread::spawn({
            let lists = lists.clone();
            move || {
                let span = lists.take(0).unwrap();
                lists.give_back(0, span);
            }
        });
        let mut held: Vec<u32> = lists.take(0).into_iter().collect();
        other.join().unwrap();
        held.extend(lists.drain(0));
        held.sort_unstable();
        assert_eq!(held, [0, 1, 2], "each span is held once");
        lists.centrals[0].check_invariants(&lists.spans);
    });
}

/// An allocator takes spans and gives one back while a sweeper frees the first, which is born
/// again under the other central. What is dead is not handed out, what lives is not lost, and the
/// allocator never has a span of the other central.
///
/// Kills: `remove-keeps-next`, `remove-without-position`.
#[test]
fn central_and_death() {
    model("central_and_death", || {
        let lists = Lists::new();
        // Taken and found full, then rewound: the list's order is what it was.
        lists.spans.publish_generation(0, UNSWEPT);
        assert!(lists.spans.exchange_generation(0, UNSWEPT, CLAIMED));
        let sweeper = thread::spawn({
            let lists = lists.clone();
            move || {
                lists.free(0);
                lists.spans.birth(0, birth(1));
                lists.contents[0].touch();
                lists.centrals[1].add(&lists.spans, iter::once(0));
                lists.spans.disown(0);
            }
        });
        let first = lists.take(0).unwrap();
        assert_ne!(first, 0, "the first is dead, or another central's");
        lists.give_back(0, first);
        sweeper.join().unwrap();
        let mut held = lists.drain(0);
        held.sort_unstable();
        assert_eq!(held, [1, 2], "what lives is to be had, once");
        assert_eq!(lists.drain(1), [], "the newborn was no candidate");
        lists.centrals[1].rewind();
        assert_eq!(lists.drain(1), [0]);
    });
}

/// An allocator makes two spans at once and keeps the first, while another looks for one: it gets
/// the candidate that was there or what is given up, filled in, and never the first.
///
/// Kills: `batch-keeps-all`, `batch-gives-all`, `batch-without-positions`, `add-without-position`.
#[test]
fn central_and_batch() {
    model("central_and_batch", || {
        let lists = Lists::empty();
        lists.spans.birth(0, birth(0));
        lists.centrals[0].add(&lists.spans, iter::once(0));
        lists.spans.disown(0);
        lists.centrals[0].rewind();
        let lists = Arc::new(lists);
        let maker = thread::spawn({
            let lists = lists.clone();
            move || {
                for span in 1..3 {
                    lists.spans.birth(span, birth(0));
                    lists.contents[span as usize].touch();
                }
                lists.centrals[0].add(&lists.spans, 1..3);
                lists.contents[1].touch();
            }
        });
        let mut held: Vec<u32> = lists.take(0).into_iter().collect();
        maker.join().unwrap();
        held.extend(lists.drain(0));
        held.sort_unstable();
        assert_eq!(
            held,
            [0, 2],
            "what its maker does not keep is to be had, once"
        );
        assert!(!lists.spans.own(1, 0), "the first is its maker's");
    });
}
