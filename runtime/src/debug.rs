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
    /// Fill the memory of dead objects with a pattern when they are swept.
    pub poison: bool,
    /// Hand a mutator's log over after so many entries, instead of 1,024.
    pub log_entries: Option<usize>,
    /// Hand logs over at handshakes only, however long they are.
    pub delay_logs: bool,
    /// Wait so long before each handshake, so that mutators run on in the phase before.
    pub handshake_delay: Duration,
    /// Want a cycle at each allocation's slow path.
    pub collect_at_polls: bool,
    /// Repeat the last wave so many times after it was clean.
    pub extra_waves: u32,
}

impl Debug {
    pub(crate) fn delay(&self) {
        if !self.handshake_delay.is_zero() {
            sleep(self.handshake_delay);
        }
    }
}
