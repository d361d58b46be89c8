//! Mark bits, whose words are shared by objects that others mark, and the bits at which spans are
//! found.

use super::{INFO, SWEPT, birth, bits, class, model, spans};
use crate::span::Spans;
use loom::thread;
use std::sync::Arc;

/// Two markers, three objects in one word; the one in the middle is claimed by both.
///
/// Kills: `claim-by-store`, `claim-without-verdict`.
#[test]
fn mark_claim() {
    model("mark_claim", || {
        let marks = Arc::new(bits(1));
        let other = thread::spawn({
            let marks = marks.clone();
            move || {
                // SAFETY: the word has 64 bits.
                let shared = unsafe { marks.claim(5) };
                // SAFETY: as above.
                (shared, unsafe { marks.claim(63) })
            }
        });
        // SAFETY: the word has 64 bits.
        let own = unsafe { marks.claim(0) };
        // SAFETY: as above.
        let shared = unsafe { marks.claim(5) };
        let (others_shared, others_own) = other.join().unwrap();
        assert!(own && others_own, "a mark was lost to another's");
        assert!(shared != others_shared, "one marker wins the object");
        assert_eq!(marks.word(0), 1 | 1 << 5 | 1 << 63, "every mark is kept");
    });
}

/// The same by words: each marker claims two at once, of which one is the other's as well.
///
/// Kills: `words-claimed-by-store`.
#[test]
fn mark_claim_by_words() {
    model("mark_claim_by_words", || {
        let marks = Arc::new(bits(1));
        let other = thread::spawn({
            let marks = marks.clone();
            // SAFETY: there is a word.
            move || unsafe { marks.claim_in_word(0, 0b110) }
        });
        // SAFETY: there is a word.
        let lost = unsafe { marks.claim_in_word(0, 0b011) };
        let others_lost = other.join().unwrap();
        assert_eq!(
            lost | others_lost,
            0b010,
            "one of them has lost, and one mark"
        );
        assert_eq!(lost & others_lost, 0, "one marker wins the object");
        assert_eq!(marks.word(0), 0b111, "every mark is kept");
    });
}

/// A mutator that allocates black takes the free slots of a word, uses one and gives the other
/// up, while a marker marks objects of the same word: neither writes over the other's marks.
///
/// Kills: `black-by-store`, `unblack-by-store`.
#[test]
fn black_word() {
    model("black_word", || {
        let marks = Arc::new(bits(1));
        let marker = thread::spawn({
            let marks = marks.clone();
            move || {
                // SAFETY: the word has 64 bits.
                [5, 63].map(|bit| unsafe { marks.claim(bit) })
            }
        });
        marks.set_in_word(0, 0b11);
        marks.clear_in_word(0, 0b10);
        assert_eq!(marker.join().unwrap(), [true, true]);
        assert_eq!(marks.word(0), 1 | 1 << 5 | 1 << 63);
    });
}

/// A span that was found on page 1 is the one of central 7, and filled in.
fn assert_complete(spans: &Spans, found: Option<u32>) {
    let Some(span) = found else { return };
    assert_eq!(span, 1, "page 1 is in no other span");
    assert_eq!(spans.pages(span), 1);
    assert_eq!(spans.class(span), Some(class()));
    assert_eq!(spans.central(span), 7);
    let info = spans.info(span).expect("a head without a type");
    assert!(std::ptr::eq(info, &INFO));
}

/// A span is born beside one that dies. Who finds a head, in either direction, reads a line that
/// is filled in; the neighbours' bits are kept.
///
/// Kills: `head-before-line`, `relaxed-head`, `relaxed-next`, `relaxed-prev`, `head-by-store`,
/// `containing-beyond-the-end`.
#[test]
fn heads() {
    model("heads", || {
        let spans = Arc::new(spans(3));
        spans.birth(0, birth(0));
        spans.disown(0);
        spans.publish_generation(0, 0);
        let newborn = thread::spawn({
            let spans = spans.clone();
            move || spans.birth(1, birth(7))
        });
        let searcher = thread::spawn({
            let spans = spans.clone();
            move || {
                // One look after the other, so that neither relies on the other's order.
                assert_complete(&spans, spans.next(1, 3));
                assert_complete(&spans, spans.containing(1));
            }
        });
        spans.bury(0);
        newborn.join().unwrap();
        searcher.join().unwrap();
        assert_eq!(spans.next(0, 3), Some(1), "one head is left");
        assert_eq!(spans.next(2, 3), None);
        assert_eq!(
            spans.containing(2),
            None,
            "the span before it ends before it"
        );
    });
}

/// An allocator kept the number of a span that is being born. If it finds it swept, it finds its
/// line filled in and the span owned.
///
/// Kills: `relaxed-birth`, `generation-before-line`.
#[test]
fn birth_by_number() {
    model("birth_by_number", || {
        let spans = Arc::new(spans(1));
        let newborn = thread::spawn({
            let spans = spans.clone();
            move || spans.birth(0, birth(7))
        });
        if spans.generation(0) == SWEPT {
            assert_eq!(spans.central(0), 7);
            assert_eq!(spans.class(0), Some(class()));
            assert!(spans.info(0).is_some());
            assert!(!spans.own(0, 7), "a newborn span is its maker's");
        }
        newborn.join().unwrap();
    });
}
