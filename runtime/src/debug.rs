//! Modes that make a collector's mistakes show: slow, and for tests.

use crate::sync::sleep;
use std::time::Duration;

/// What a heap checks and provokes. Everything is off by default; set through
/// [`Builder::debug`](crate::Builder::debug).
#[derive(Clone, Copy, Debug, Default)]
pub struct Debug {
    /// When marking is over, stop the world, mark a second time and compare: an object that is
    /// reachable and not marked aborts the process with its address and type.
    pub check_marks: bool,
    /// Fill the memory of dead objects with [`Self::POISON`] when they are swept, after their
    /// drop glue has run.
    pub poison: bool,
    /// Hand a mutator's log over after so many entries, instead of 1,024.
    pub log_entries: Option<usize>,
    /// Hand logs over at handshakes only, however long they are, and when a mutator leaves.
    pub delay_logs: bool,
    /// Wait so long before each handshake, so that mutators run on in the phase before.
    pub handshake_delay: Duration,
    /// Want a cycle at each allocation's slow path, whatever the collector: at its closure's edge,
    /// or at once where it marks beside the mutators.
    pub collect_at_polls: bool,
    /// Repeat the last wave so many times after it was clean.
    pub extra_waves: u32,
}

impl Debug {
    /// What each byte of a dead object is, if [`poison`](Self::poison) is set: no address, no small
    /// number, and no length that could pass.
    pub const POISON: u8 = 0xDB;

    /// Whether a cycle beside the mutators is what is to be provoked.
    pub(crate) fn is_about_handshakes(&self) -> bool {
        self.check_marks
            || self.delay_logs
            || self.log_entries.is_some()
            || self.collect_at_polls
            || self.extra_waves > 0
            || !self.handshake_delay.is_zero()
    }

    pub(crate) fn delay(&self) {
        if !self.handshake_delay.is_zero() {
            sleep(self.handshake_delay);
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use crate::Heap;
    use crate::raw::log::LOG_ENTRIES;
    use crate::raw::{info, kind_of, object_at};
    use crate::repr::Plain;
    use gc_mark::Object;

    /// After how many entries a log is handed over, if it is before 5,000.
    fn handed_over_after(debug: Debug) -> Option<usize> {
        let builder = Heap::builder().gc_off().debug(debug);
        let heap = builder.build().unwrap();
        let mutator = heap.mutator();
        let core = &*mutator.shared.core;
        let kind = kind_of(info::<Plain<u64>>());
        // SAFETY: nobody is inside and no handshake runs; the loan is the only one.
        let mut local = unsafe { mutator.state.local() };
        let after = (1..5_000).find(|&n| {
            // Never followed: no cycle runs.
            let object = Object(object_at(core.heap.base()).0 + 16 * n);
            core.log(&mut local, (object, kind));
            !core.logs.take().is_empty()
        });
        local.log.clear();
        after
    }

    #[test]
    fn logs_are_handed_over_early_or_late_as_set() {
        let usual = Debug::default();
        assert_eq!(handed_over_after(usual), Some(LOG_ENTRIES));
        let short = Debug {
            log_entries: Some(3),
            ..usual
        };
        assert_eq!(handed_over_after(short), Some(3));
        let delayed = Debug {
            delay_logs: true,
            ..short
        };
        assert_eq!(handed_over_after(delayed), None);
    }
}
