//! Marking that mutators do: the collector lends its round of marking out while it works on it.
//!
//! One word says whether there is a round to help with, and how many are at it:
//!
//! | word | meaning | left for |
//! |---|---|---|
//! | bit 0 clear | closed: nobody may come in | open, by the collector, when nobody is in |
//! | bit 0 set | open | closed, by the collector, when it has done its share |
//! | the rest | helpers that are in | |
//!
//! A helper counts itself in by compare-exchange on an open word, so none comes in once it is
//! closed; and the collector ends its round when those who are in have left. They stay for a
//! bounded number of objects and wait for nobody.

use crate::sync::{AtomicPtr, AtomicUsize, Ordering, doze};
use std::ptr;

const OPEN: usize = 1;
const HELPER: usize = 2;

/// What a helper calls, with the number of objects that it should mark, or none; how many all have
/// marked in this round so far.
type Work<'w> = dyn Fn(usize) -> usize + Sync + 'w;

/// The place where a collector offers work.
#[derive(Debug, Default)]
pub(crate) struct Assist {
    word: AtomicUsize,
    /// The [`Work`] on offer, on the collector's stack.
    work: AtomicPtr<&'static Work<'static>>,
}

impl Assist {
    /// Runs `act`, and lends out `work` meanwhile. One thread at a time.
    pub(crate) fn lend<R>(&self, work: &Work<'_>, act: impl FnOnce() -> R) -> R {
        struct Close<'a>(&'a Assist);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.close();
            }
        }
        let mut work: &Work<'_> = work;
        // Relaxed: published by opening.
        self.work
            .store(ptr::from_mut(&mut work).cast(), Ordering::Relaxed);
        let _close = Close(self);
        // Release: pairs with the Acquire in `help`; who comes in sees the work.
        self.word.fetch_or(OPEN, Ordering::Release);
        act()
    }

    fn close(&self) {
        // Relaxed: who comes in does so on an open word, by a read-modify-write.
        self.word.fetch_and(!OPEN, Ordering::Relaxed);
        let mut round = 0;
        // Acquire: pairs with the Release in `Leave`; the work is not used any more.
        while self.word.load(Ordering::Acquire) != 0 {
            doze(round);
            round += 1;
        }
    }

    /// Helps, if there is something to help with; how many objects all have marked in this round.
    /// Never waits.
    pub(crate) fn help(&self, objects_max: usize) -> Option<usize> {
        struct Leave<'a>(&'a Assist);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                // Release: pairs with the Acquire in `close`.
                self.0.word.fetch_sub(HELPER, Ordering::Release);
            }
        }
        // Relaxed: the exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & OPEN == 0 {
                return None;
            }
            // Acquire: pairs with the Release in `lend`. Relaxed on failure: tried again.
            let (order, on_failure) = (Ordering::Acquire, Ordering::Relaxed);
            let exchange = self
                .word
                .compare_exchange_weak(word, word + HELPER, order, on_failure);
            match exchange {
                Ok(_) => break,
                Err(found) => word = found,
            }
        }
        let _leave = Leave(self);
        // Relaxed: the exchange acquired it.
        let work = self.work.load(Ordering::Relaxed);
        // SAFETY: set by `lend` before it opened, to a place in its frame; `lend` does not return,
        // nor unwind, before this helper has left.
        let work = unsafe { *work };
        Some(work(objects_max))
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn helpers_come_in_while_it_is_open_and_are_out_afterwards() {
        let (assist, over) = (Assist::default(), AtomicBool::new(false));
        assert_eq!(assist.help(1), None, "nothing is on offer");
        let helped = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        assist.help(3);
                    }
                });
            }
            // Helpers may be late.
            let rounds = (0..).take_while(|n| *n < 2_000 || helped.load(Ordering::Relaxed) == 0);
            for round in rounds {
                // In this frame, and gone with it.
                let current = AtomicUsize::new(round);
                let work = |objects: usize| {
                    assert_eq!((objects, current.load(Ordering::Relaxed)), (3, round));
                    helped.fetch_add(1, Ordering::Relaxed)
                };
                assist.lend(&work, std::thread::yield_now);
                current.store(usize::MAX, Ordering::Relaxed);
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}
