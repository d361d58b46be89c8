//! The gate between weak references and the end of marking: one word a heap.
//!
//! An upgrade makes a strong reference out of nothing that the marker could have followed. So
//! while marking lasts it logs its target, and when marking is over it must find the target marked
//! or get nothing. The gate tells which, and closes before the last wave:
//!
//! | gate | an upgrade of an unmarked target | left for |
//! |---|---|---|
//! | open | logs it | closing, by the collector, before each wave |
//! | closing | opens the gate, so that the wave proves nothing, then logs it | open, by an upgrade; or clearing, by the collector after a clean wave |
//! | clearing | gets nothing | open, by the collector, when no mutator marks any more |
//!
//! Proof sketch. All changes are compare-exchanges (but the last), so the collector that goes from
//! closing to clearing knows that no upgrade has opened the gate since the wave began. Take an
//! upgrade that logged its target. If it read the gate open before the wave was published, its
//! log is dirty when its mutator acknowledges the wave. It cannot read it open afterwards: the
//! acknowledgement acquired the publication, which came after closing. An upgrade that finds the
//! gate closing exchanges it, and either wins, and the wave fails, or finds clearing, and judges
//! again by marks that are final. So none goes from nothing to something; and none that got
//! something is forgotten.
//!
//! An upgrade never waits. Each that opens the gate has an unmarked target, which will be marked
//! when the next wave begins, and new objects are black: so waves fail finitely often.

use crate::sync::{AtomicUsize, Ordering};

const OPEN: usize = 0;
const CLOSING: usize = 1;
const CLEARING: usize = 2;

/// What an upgrade must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// Take the target, which is marked.
    Take,
    /// Log the target, and take it.
    Log,
    /// The target is dead.
    Dead,
}

/// The gate of one heap.
#[derive(Debug, Default)]
pub(crate) struct WeakGate(AtomicUsize);

impl WeakGate {
    /// Judges an upgrade by a mutator that logs. `is_marked` looks at the target's mark.
    pub(crate) fn pass(&self, is_marked: impl Fn() -> bool) -> Upgrade {
        loop {
            // Acquire: pairs with the Release in `clear`; who finds it clearing sees every mark.
            let gate = self.0.load(Ordering::Acquire);
            if is_marked() {
                return Upgrade::Take;
            }
            match gate {
                OPEN => return Upgrade::Log,
                CLOSING if self.exchange(CLOSING, OPEN) => return Upgrade::Log,
                CLOSING => {}
                _ => return Upgrade::Dead,
            }
        }
    }

    /// A wave is about to begin.
    pub(crate) fn close(&self) {
        self.exchange(OPEN, CLOSING);
    }

    /// The wave was clean: marking is over, unless an upgrade has opened the gate meanwhile.
    pub(crate) fn clear(&self) -> bool {
        self.exchange(CLOSING, CLEARING)
    }

    /// The wave was not clean, or no mutator marks any more.
    pub(crate) fn open(&self) {
        // Relaxed: who finds it open logs its target, whatever else it sees.
        self.0.store(OPEN, Ordering::Relaxed);
    }

    /// Whether marks are final.
    #[cfg(all(test, not(heapwright_loom)))]
    pub(crate) fn is_clearing(&self) -> bool {
        // Acquire: as in `pass`.
        self.0.load(Ordering::Acquire) == CLEARING
    }

    fn exchange(&self, from: usize, to: usize) -> bool {
        // Release: pairs with the Acquire in `pass`: marks before clearing. Who wins goes on with
        // what is its own, or came by a handshake. Relaxed on failure: judged anew.
        self.0
            .compare_exchange(from, to, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }
}
