//! Where a sweep stands: one atomic word.
//!
//! | bits   | meaning                                                    |
//! |--------|------------------------------------------------------------|
//! | 32..64 | the heap's generation                                      |
//! | 31     | every index was taken for spans with drop glue             |
//! | 30     | every index was taken for spans without                    |
//! | 29     | closed: the generation has moved, sweeping may not begin   |
//! | 0..29  | active: visitors who may hold a claim or an untaken batch  |
//!
//! States, and what leads from one to the next:
//!
//! | state    | bits 31, 30 | active | next                                            |
//! |----------|-------------|--------|-------------------------------------------------|
//! | sweeping | not both    | any    | draining, when the second bit is set            |
//! | draining | both        | > 0    | done, when the last visitor leaves              |
//! | done     | both        | 0      | closed, by `advance`, in the next generation    |
//! | closed   | both        | 0      | sweeping, by `open`                             |
//!
//! *Closed* is done as well: nobody sweeps. It is the time in which mutators give up the spans
//! that they allocate from, one by one: spans of the generation before are still born and filled.
//!
//! *Done is stable*, until `open`: `enter` refuses in it, and only visitors set bits.
//!
//! *Done means swept.* Take an index whose span was unswept when the cycle began. The visitor V
//! that took it for its kind entered before the kind's bit was set: both are read-modify-writes
//! of this one word, so one comes first, and `enter_for` refuses behind the bit. So V counted
//! until it left, and V left after it had swept the span or had lost the claim on it, to a
//! visitor W. W too entered before done, since `enter` refuses in it, and left after it had
//! published. When nobody is active, all of them have left.
//!
//! Generation and count share a word so that a visitor can never count itself into one cycle and
//! judge words by another.

use crate::Glue;
use crate::generation::Generation;
use crate::sync::{AtomicU64, Ordering};

const GENERATION_SHIFT: u32 = 32;
const WITH_TAKEN: u64 = 1 << 31;
const WITHOUT_TAKEN: u64 = 1 << 30;
const CLOSED: u64 = 1 << 29;
const ACTIVE_MASK: u64 = CLOSED - 1;

/// The word's value at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(u64);

impl Snapshot {
    fn new(generation: Generation, bits: u64) -> Snapshot {
        Snapshot(u64::from(generation.word()) << GENERATION_SHIFT | bits)
    }

    pub(crate) fn generation(self) -> Generation {
        // The shift leaves 32 bits: nothing is cut off.
        Generation::from_word((self.0 >> GENERATION_SHIFT) as u32)
    }

    /// Whether every index was taken for spans of this kind.
    pub(crate) fn is_taken(self, glue: Glue) -> bool {
        self.0 & taken_bit(glue) != 0
    }

    /// Whether nothing is left to sweep and nobody sweeps.
    pub(crate) fn is_done(self) -> bool {
        self.is_taken(Glue::With) && self.is_taken(Glue::Without) && self.active() == 0
    }

    /// Whether the generation has moved and sweeping has not been opened.
    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    fn active(self) -> u64 {
        self.0 & ACTIVE_MASK
    }
}

fn taken_bit(glue: Glue) -> u64 {
    match glue {
        Glue::With => WITH_TAKEN,
        Glue::Without => WITHOUT_TAKEN,
    }
}

/// The word.
#[derive(Debug)]
pub(crate) struct State(AtomicU64);

impl State {
    /// Done, in the first generation: a new heap has nothing to sweep.
    pub(crate) fn new() -> State {
        State(AtomicU64::new(
            Snapshot::new(Generation::FIRST, WITH_TAKEN | WITHOUT_TAKEN).0,
        ))
    }

    pub(crate) fn load(&self) -> Snapshot {
        // Acquire: pairs with the Release in `leave`; who sees done sees every span swept.
        Snapshot(self.0.load(Ordering::Acquire))
    }

    /// Counts the caller, who has last seen `now`, in, unless the sweep is done. Whoever gets
    /// `Some` must `leave`.
    pub(crate) fn enter(&self, now: Snapshot) -> Option<Snapshot> {
        self.enter_unless(now, Snapshot::is_done)
    }

    /// Counts the caller in, unless every index was taken for spans of this kind.
    pub(crate) fn enter_for(&self, glue: Glue) -> Option<Snapshot> {
        self.enter_unless(self.load(), |now| now.is_taken(glue))
    }

    fn enter_unless(
        &self,
        mut now: Snapshot,
        refuse: impl Fn(Snapshot) -> bool,
    ) -> Option<Snapshot> {
        loop {
            if refuse(now) {
                return None;
            }
            // Acquire: pairs with the Release in `open`; a visitor sees the cursors at 0 and the
            // end of this cycle. Relaxed on failure: the value is only tried again.
            let tried = self.0.compare_exchange_weak(
                now.0,
                now.0 + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match tried {
                Ok(_) => return Some(now),
                Err(found) => now = Snapshot(found),
            }
        }
    }

    /// Counts the caller out; whether that ended the sweep.
    pub(crate) fn leave(&self) -> bool {
        // Release: pairs with the Acquire in `load`; who sees done sees what each visitor wrote,
        // as every later visitor's read-modify-write continues this release.
        let before = self.0.fetch_sub(1, Ordering::Release);
        debug_assert!(Snapshot(before).active() > 0, "left without having entered");
        Snapshot(before - 1).is_done()
    }

    /// Notes that every index was taken for spans of this kind. The caller is a visitor.
    pub(crate) fn set_taken(&self, glue: Glue) {
        // Relaxed: nothing is handed over. The proof above needs the order of this word's own
        // changes alone, and the caller's `leave`, which follows, releases what it did.
        let before = self.0.fetch_or(taken_bit(glue), Ordering::Relaxed);
        debug_assert!(
            Snapshot(before).active() > 0,
            "noted by one who has not entered"
        );
    }

    /// Moves to the next generation, closed. The caller has seen the word done, and is alone in
    /// advancing.
    pub(crate) fn advance(&self, generation: Generation) {
        // Release: pairs with the Acquire in `load`; who sees the new generation sees what its
        // announcer did before. A store, as nobody else changes a word that is done.
        self.0.store(
            Snapshot::new(generation, WITH_TAKEN | WITHOUT_TAKEN | CLOSED).0,
            Ordering::Release,
        );
    }

    /// Opens the cycle. The caller has seen the word closed and is alone in opening.
    pub(crate) fn open(&self, generation: Generation) {
        // Release: pairs with the Acquire in `enter_unless`. A store, as nobody else changes a
        // word that is done.
        self.0
            .store(Snapshot::new(generation, 0).0, Ordering::Release);
    }
}
