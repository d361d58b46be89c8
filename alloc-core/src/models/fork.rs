//! A fork while another thread frees: what the child finds, in which that thread is not.
//!
//! The forking thread takes the shelf's lock, as `malloc/fork.rs` takes every lock, and the system
//! copies the memory: word by word, in no order that another thread would have to respect. So the
//! child of the model is a second lot, made of words that were read one by one under the lock; the
//! other thread goes on in the parent meanwhile, and has vanished from the child.
//!
//! What loom cannot express: `fork` itself, and the handlers that the system calls (there are no
//! processes in a model); the page heap's lock, whose state is behind it as a whole; and the phases
//! of a thread (`malloc/thread.rs`), which are words that no other thread touches: there is nothing
//! to interleave. `tests/global.rs` forks threaded programs, and lets threads come and go, and
//! allocate in every phase. What a leaving thread gives back is modelled in `slots`.

use super::slots::{Lot, SLOTS, class};
use super::{bits, model, spans};
use crate::malloc::{Hold, Shelf};
use crate::thread_cache::PAGE_WORDS;
use loom::thread;
use std::sync::Arc;

/// Spans of a lot.
const SPANS: u32 = 2;

/// The memory of the parent as the child gets it; the shelf's lock is free there.
fn child(parent: &Lot) -> Lot {
    let open = parent.shelf.open(&parent.spans);
    let child = Lot {
        spans: spans(SPANS as usize),
        taken: bits((SPANS * PAGE_WORDS) as usize),
        freed: bits((SPANS * PAGE_WORDS) as usize),
        shelf: Shelf::from_first(open.first()),
        contents: Default::default(),
    };
    for span in 0..SPANS {
        let (previous, next) = parent.spans.links(span);
        child.spans.set_previous(span, previous);
        child.spans.set_next(span, next);
        let hold = parent.spans.hold(span).get();
        child.spans.hold(span).begin(hold);
        for index in span * PAGE_WORDS..(span + 1) * PAGE_WORDS {
            let index = index as usize;
            child.taken.store_word(index, parent.taken.word(index));
            child.freed.store_word(index, parent.freed.word(index));
        }
    }
    child
}

/// A span is on the shelf if and only if its word says so.
fn check_shelf(lot: &Lot) {
    let mut on_shelf = [false; SPANS as usize];
    lot.shelf.for_each(&lot.spans, |span| {
        let seen = std::mem::replace(&mut on_shelf[span as usize], true);
        assert!(!seen, "span {span} is on the shelf twice");
    });
    for span in 0..SPANS {
        let is_listed = lot.spans.hold(span).get().is_listed();
        assert_eq!(is_listed, on_shelf[span as usize], "span {span}");
    }
}

/// Another thread frees two slots of a span that nobody holds: the first makes it worth a look, and
/// is shelved. The child finds the shelf whole, gets no slot that is in its own hands, none twice,
/// and can free what it has.
///
/// Kills: `listed-before-the-lock`.
#[test]
fn fork_and_free() {
    model("fork_and_free", || {
        let lot = Arc::new(Lot::new());
        assert_eq!(lot.take(0), [0, 1, 2, 3]);
        lot.leave(0, SLOTS);
        let other = thread::spawn({
            let lot = lot.clone();
            move || {
                lot.free(0);
                lot.free(1);
            }
        });
        let child = child(&lot);
        check_shelf(&child);
        let mut found = Vec::new();
        while let Some(span) = child.shelf.take(&child.spans) {
            let slots = child.take(span);
            assert!(
                !child.leave_to_die(span, slots.len()),
                "it has slots in use"
            );
            found.extend(slots);
        }
        found.sort_unstable();
        let is_mine = |slot: &usize| [2, 3].contains(slot);
        assert!(!found.iter().any(is_mine), "{found:?} are in use");
        assert!(found.is_sorted_by(|a, b| a < b), "{found:?}: one twice");
        for slot in [2, 3] {
            child.deliver(slot);
            let is_dead = child.slots().count_freed(&child.shelf, class(), 0, 1);
            let used = child.spans.hold(0).get().used() as usize;
            assert!(used >= found.len(), "{used} of {found:?} are counted");
            assert_eq!(is_dead, child.spans.hold(0).get() == Hold::DEAD);
        }
        check_shelf(&child);
        other.join().unwrap();
    });
}
