//! Who has a span of bytes, and how many of its slots are in use: one word in the span's line.
//!
//! | owned | listed | used | the span is | next |
//! |---|---|---|---|---|
//! | 1 | 0 | any | held: its holder alone writes its allocation bits | shelved, full or dead |
//! | 0 | 1 | any | shelved: it has room, and waits for a holder | held; dying, by the last free |
//! | 0 | 0 | > 0 | full, or nearly | held, by the free that makes room |
//! | 1 | 1 | 0 | dying: still on the shelf, its last slot is free | dead |
//! | 0 | 0 | 0 | dead, or never born | held, by birth |
//!
//! A fourth part, *discarded*, says of a shelved span that its free pages were discarded and
//! nothing was freed since. It is a hint for those who discard, and has no part in the protocol.
//!
//! `used` counts slots that were taken and whose freeing was not counted yet. A holder counts what
//! it takes by itself and adds it when it leaves, so while a span is held its `used` lies too low
//! by that much, below zero too, and wraps.
//!
//! Every change is a read-modify-write of the whole word, so the changes of a span are in one
//! order. Proof sketch:
//!
//! * *One holder.* `owned` is set only where it was clear, by a compare-exchange; cleared only by
//!   who set it.
//! * *Nobody touches a dead span.* A slot that is in use is counted in `used`, and who frees it
//!   has not counted it yet. So `used` is zero, with nobody holding the span, only after the
//!   last of those who free has made its last access, which was that very count. The one whose
//!   change finds zero (the last to free, or the holder who leaves) holds the span, alone.
//! * *No room is lost.* The free that brings an unheld, unlisted span to the threshold sees so in
//!   the word that it changes, and holds the span from that moment on in order to shelve it. If
//!   the span is held just then, its holder sees the count in the word when it leaves.
//! * *No stale number.* A span's number is taken from a shelf under the lock, where `listed` is
//!   set for exactly those on it: no candidate can die between two looks.

use crate::sync::{AtomicU64, Ordering, load_visible};

const OWNED: u64 = 1 << 32;
const LISTED: u64 = 1 << 33;
const DISCARDED: u64 = 1 << 34;
const USED: u64 = OWNED - 1;

/// A value of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold(u64);

impl Hold {
    /// Nobody's, and without a slot in use.
    pub(crate) const DEAD: Hold = Hold(0);
    /// Held by who made it, without a slot in use.
    pub(crate) const NEWBORN: Hold = Hold(OWNED);

    /// Slots in use.
    pub(crate) const fn used(self) -> u32 {
        (self.0 & USED) as u32
    }

    /// Somebody holds the span.
    pub(crate) const fn is_owned(self) -> bool {
        self.0 & OWNED != 0
    }

    /// The span is on its shelf.
    pub(crate) const fn is_listed(self) -> bool {
        self.0 & LISTED != 0
    }

    /// The span's free pages were discarded, and nothing was freed since.
    pub(crate) const fn is_discarded(self) -> bool {
        self.0 & DISCARDED != 0
    }

    /// The same, discarded.
    pub(crate) const fn discarded(self) -> Hold {
        Hold(self.0 | DISCARDED)
    }

    /// The same with so many slots in use, because some were freed.
    pub(crate) const fn with_used(self, used: u32) -> Hold {
        Hold(self.0 & (OWNED | LISTED) | used as u64)
    }

    /// The same, held by the caller.
    pub(crate) const fn held(self) -> Hold {
        Hold(self.0 | OWNED)
    }

    /// Nobody's, on the shelf or not.
    pub(crate) const fn left(used: u32, listed: bool) -> Hold {
        Hold(used as u64 | if listed { LISTED } else { 0 })
    }

    /// Held, and on no shelf.
    pub(crate) const fn taken(used: u32) -> Hold {
        Hold(OWNED | used as u64)
    }
}

/// The word.
#[derive(Default)]
pub(crate) struct HoldWord(AtomicU64);

impl HoldWord {
    /// The value now; what was freed before it was counted can be collected.
    pub(crate) fn get(&self) -> Hold {
        // Acquire: pairs with the Release in `exchange`; a holder that sees slots counted as free
        // finds them delivered.
        Hold(load_visible(&self.0, Ordering::Acquire))
    }

    /// Overwrites the word of a span that nobody knows of yet.
    pub(crate) fn begin(&self, hold: Hold) {
        // Relaxed: the span's head bit publishes it, or the lock of its shelf.
        self.0.store(hold.0, Ordering::Relaxed);
    }

    /// Changes the word by `change`, which is called again if the word has changed meanwhile.
    /// Returns what it was, and what it is.
    pub(crate) fn update(&self, mut change: impl FnMut(Hold) -> Hold) -> (Hold, Hold) {
        // Relaxed: a guess, which the exchange checks.
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            let new = change(Hold(old));
            match self.exchange(Hold(old), new) {
                Ok(()) => return (Hold(old), new),
                Err(now) => old = now.0,
            }
        }
    }

    /// Changes the word from `old` to `new`; what it is instead, if it is not `old`.
    pub(crate) fn exchange(&self, old: Hold, new: Hold) -> Result<(), Hold> {
        let word = &self.0;
        // AcqRel: pairs with itself. Who frees releases the use of its slots; who leaves releases
        // the allocation bits that it wrote; who holds the span next, or buries it, acquires both.
        // Relaxed on failure: the loser tries again, or touches nothing.
        match word.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(now) => Err(Hold(now)),
        }
    }
}
