//! When a round of marking is over: counting the busy workers, in one word.
//!
//! # States
//!
//! A worker is *outside* (not started, or gone), *busy*, or *resting*. Only a busy worker holds
//! work in its hands, scans, pushes to its own deque, pops or steals. The word of the round counts
//! busy and resting workers, the *quits*, and has two flags:
//!
//! | word | meaning |
//! |---|---|
//! | busy > 0 | somebody works |
//! | busy = 0, not done | nobody works; work may be queued; whoever enters decides |
//! | done | no work anywhere: the round is over and no count changes any more |
//! | aborted | a port panicked: the round is over, whatever is queued is garbage |
//!
//! | step | from → to | the word | only when |
//! |---|---|---|---|
//! | `enter` | outside → busy | busy + 1 | not over |
//! | `rest` | busy → resting | busy − 1, resting + 1 | empty-handed, own deque empty, busy > 1 |
//! | `rest` | busy → outside | busy − 1 | the same, for a worker that does not wait |
//! | `rest` | busy → outside | done | the same, busy = 1, and every deque was *seen* empty |
//! | `wake` | resting → busy | busy + 1, resting − 1 | not over |
//! | `quit` | busy → outside | busy − 1, quits + 1 | its hands are empty; its deque need not be |
//! | `abort` | any | aborted | – |
//!
//! Each step is one compare-exchange, so a step is taken on the very word that its condition was
//! checked on.
//!
//! # Why done means done
//!
//! Let W set done, by replacing a word `w` (busy = 1: W itself) that it read before it looked at
//! the deques. Suppose some work is left. No hands hold it: hands are busy, and W's are empty. So
//! it is in the deque of some X that is not busy.
//!
//! * X last left *after* W read `w`. It did not quit, for quits would differ and the exchange
//!   would have failed. So it rested, with its deque empty; and only X pushes there. Contradiction.
//! * X last left *before* W read `w`. Then W's read, an acquire, is ordered after all X pushed, and
//!   nothing was pushed since. W saw the deque empty; a deque into which nothing is pushed stays
//!   empty. Contradiction.
//!
//! (An X that has not started yet "last left" before the round, which begins with all that is left
//! of an earlier one in the deques: an open packet of a worker that never starts would be lost.)
//!
//! Hence also the rule that a worker wakes *before* it steals. A thief that is still counted as
//! resting holds work in hands that no count shows: the last busy worker would find every deque
//! empty and declare the end. And hence the quits: without them a worker could wake, steal, and
//! quit with children queued, all between W's look at its deque and W's exchange.
//!
//! A late starter finds either done, and returns at once, or a word in which it counts. Nobody
//! need wait for it: before it starts it has only what others can steal. Those who rest must wake
//! when nobody is busy as well as when they see work: the last busy worker may have quit after its
//! work was stolen and finished by one that rests again, and then somebody has to come and declare
//! the end.

use crate::sync::{AtomicU64, Ordering};

/// More workers than this do not fit the word.
pub(crate) const WORKERS_MAX: usize = u16::MAX as usize;

/// The state of a round: busy workers in bits 0 to 15, resting ones in 16 to 31, quits (modulo
/// 2^30: the argument needs that fewer happen between a read and an exchange) in 32 to 61.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(u64);

const BUSY_ONE: u64 = 1;
const RESTING_ONE: u64 = 1 << 16;
const QUIT_ONE: u64 = 1 << 32;
const QUITS: u64 = (QUIT_ONE << 30) - QUIT_ONE;
const DONE: u64 = 1 << 62;
const ABORTED: u64 = 1 << 63;

impl Word {
    pub(crate) fn busy(self) -> u64 {
        self.0 & 0xFFFF
    }

    /// Somebody waits for work.
    pub(crate) fn anyone_resting(self) -> bool {
        self.0 & (RESTING_ONE * 0xFFFF) != 0
    }

    /// Done or aborted.
    pub(crate) fn is_over(self) -> bool {
        self.0 & (DONE | ABORTED) != 0
    }

    pub(crate) fn is_aborted(self) -> bool {
        self.0 & ABORTED != 0
    }

    fn quit(self) -> Word {
        let quits = self.0.wrapping_add(QUIT_ONE) & QUITS;
        Word(((self.0 & !QUITS) | quits) - BUSY_ONE)
    }
}

/// What became of a worker that had nothing left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It rests, or is gone: others are busy.
    Left,
    /// It is still busy: it is the last, and some deque is not empty.
    WorkLeft,
    /// The round is over.
    Over,
}

/// The word that the workers of a round share.
pub(crate) struct Termination {
    word: AtomicU64,
}

impl Termination {
    pub(crate) fn new() -> Termination {
        Termination {
            word: AtomicU64::new(0),
        }
    }

    /// Begins a new round. Nobody else may look at the word: it takes `&mut`.
    pub(crate) fn reset(&mut self) {
        *self = Termination::new();
    }

    /// The word as it is now.
    pub(crate) fn look(&self) -> Word {
        // Acquire: pairs with the AcqRel of `rest`; who sees done sees every mark of the round.
        Word(self.word.load(Ordering::Acquire))
    }

    /// Starts a worker: false if the round is over already.
    pub(crate) fn enter(&self) -> bool {
        self.step(self.look(), |word| Word(word.0 + BUSY_ONE))
    }

    /// Takes a resting worker back to work, *before* it takes any: false if the round is over.
    ///
    /// `word` is what it saw last, here as in `quit` and `rest`.
    pub(crate) fn wake(&self, word: Word) -> bool {
        self.step(word, |word| Word(word.0 + BUSY_ONE - RESTING_ONE))
    }

    /// Takes a busy worker out whose deque need not be empty: others, now or later, will see to it.
    pub(crate) fn quit(&self, word: Word) {
        self.step(word, Word::quit);
    }

    /// Ends the round without a result.
    pub(crate) fn abort(&self) {
        // Relaxed: no more than "stop"; the payload has a lock, and is read when all have stopped.
        self.word.fetch_or(ABORTED, Ordering::Relaxed);
    }

    /// A busy worker has nothing in its hands and an empty deque: it ends the round if it is the
    /// last, else it rests (`stay`) or goes.
    ///
    /// `queues_empty` looks at every other worker's deque.
    pub(crate) fn rest(&self, mut word: Word, stay: bool, queues_empty: impl Fn() -> bool) -> Rest {
        loop {
            if word.is_over() {
                return Rest::Over;
            }
            let last = word.busy() == 1;
            if last && !queues_empty() {
                return Rest::WorkLeft;
            }
            let next = match (last, stay) {
                (true, _) => Word(word.0 | DONE),
                (false, true) => Word(word.0 - BUSY_ONE + RESTING_ONE),
                (false, false) => Word(word.0 - BUSY_ONE),
            };
            match self.exchange(word, next) {
                Ok(()) if last => return Rest::Over,
                Ok(()) => return Rest::Left,
                Err(seen) => word = seen,
            }
        }
    }

    /// Replaces the word by what `next` makes of it: false if the round is over.
    fn step(&self, mut word: Word, next: impl Fn(Word) -> Word) -> bool {
        while !word.is_over() {
            match self.exchange(word, next(word)) {
                Ok(()) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }

    fn exchange(&self, from: Word, to: Word) -> Result<(), Word> {
        // AcqRel: the Release publishes this worker's marks and pushes to whoever reads this word
        // or a later one; the Acquire takes over those of everybody who left before, so that the
        // one that sets done publishes the marks of all. Pairs with itself and with `look`.
        // Acquire on failure: the word seen is the start of the next attempt, as from `look`.
        self.word
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(Word)
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    /// Busy workers, whether any rests, whether the round is over and whether it was aborted.
    fn seen(word: Word) -> (u64, bool, bool, bool) {
        let over = (word.is_over(), word.is_aborted());
        (word.busy(), word.anyone_resting(), over.0, over.1)
    }

    /// Nobody may ask for the others' queues.
    fn not_last() -> bool {
        panic!("it is not the last")
    }

    #[test]
    fn each_step_is_that_of_the_table() {
        let mut round = Termination::new();
        let now = |round: &Termination| seen(round.look());
        assert_eq!(now(&round), (0, false, false, false));
        assert!(round.enter() && round.enter());
        assert_eq!(now(&round), (2, false, false, false));
        assert_eq!(round.rest(round.look(), true, not_last), Rest::Left);
        assert_eq!(now(&round), (1, true, false, false));
        assert_eq!(round.rest(round.look(), true, || false), Rest::WorkLeft);
        assert_eq!(now(&round), (1, true, false, false));
        assert!(round.wake(round.look()));
        assert_eq!(now(&round), (2, false, false, false));
        assert_eq!(round.rest(round.look(), false, not_last), Rest::Left);
        assert_eq!(now(&round), (1, false, false, false));

        let before = round.look();
        assert!(round.enter());
        round.quit(before);
        assert_eq!(now(&round), (1, false, false, false));
        assert_ne!(round.look(), before, "who came and quit has left a trace");
        assert_eq!(round.rest(before, true, || true), Rest::Over);
        let done = round.look();
        assert_eq!(seen(done), (1, false, true, false));
        assert!(!round.enter() && !round.wake(done));
        round.quit(before);
        assert_eq!(round.rest(done, false, not_last), Rest::Over);
        assert_eq!(round.look(), done, "nothing changes any more");

        round.reset();
        assert!(round.enter());
        round.abort();
        assert_eq!(now(&round), (1, false, true, true));
        assert!(!round.enter());
    }

    /// As many workers as there may be, in any state, do not run over into each other's bits.
    #[test]
    fn the_counts_are_apart() {
        let most = WORKERS_MAX as u64;
        assert_eq!(seen(Word(most * BUSY_ONE)), (most, false, false, false));
        assert_eq!(seen(Word(most * RESTING_ONE)), (0, true, false, false));
        assert_eq!(seen(Word(QUITS)), (0, false, false, false));
        assert_eq!(seen(Word(DONE)), (0, false, true, false));
        assert_eq!(seen(Word(ABORTED)), (0, false, true, true));
    }

    /// More workers may leave in one round than the count holds: it begins anew, and says neither
    /// that the round is over nor that anybody rests.
    #[test]
    fn quits_wrap_within_their_bits() {
        let word = Word(QUITS | (2 * BUSY_ONE)).quit();
        assert_eq!(word, Word(BUSY_ONE));
        assert_eq!(word.quit(), Word(QUIT_ONE));
    }
}
