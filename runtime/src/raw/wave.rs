//! The end of marking: how a collector finds out that nothing is left to mark.
//!
//! Kept apart from the cycle that calls it, so that the order of its steps can be model-checked.
//! The argument for the order is in [`crate::beside`] and in [`crate::raw::weak_gate`].

use crate::raw::log::Logs;
use crate::raw::roots::RootTable;
use crate::raw::weak_gate::WeakGate;
use gc_mark::Object;

/// One wave: whether every log that `handshake` visited was clean, and nothing was handed over
/// meanwhile. The caller's queues are empty and its markers at rest: what is marked is scanned.
pub(crate) fn is_clean(
    logs: &Logs,
    roots: &RootTable,
    is_marked: impl Fn(Object) -> bool,
    handshake: impl FnOnce(),
) -> bool {
    logs.add(roots.take_log(&is_marked));
    let Some(early) = logs.begin_wave() else {
        return false;
    };
    handshake();
    logs.add(roots.take_log(is_marked));
    logs.was_clean(early)
}

/// Whether marking is over: `waves` waves in a row were clean, and no weak reference was upgraded
/// meanwhile. Then the gate is at clearing, else open.
pub(crate) fn is_over(gate: &WeakGate, waves: u32, mut wave: impl FnMut() -> bool) -> bool {
    gate.close();
    let is_over = (0..waves).all(|_| wave()) && gate.clear();
    if !is_over {
        gate.open();
    }
    is_over
}
