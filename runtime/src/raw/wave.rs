//! The end of marking: how a collector finds out that nothing is left to mark, and how it marks the
//! dead that have finalizers after that.
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

/// Whether marking is over: `waves` waves in a row were clean, each with no value of an ephemeron
/// left to mark behind it, and no weak reference was upgraded meanwhile. Then the gate is at
/// clearing, else open.
///
/// `is_resolved` looks at the ephemerons. It comes behind the wave because that hands over those
/// that nobody has looked at yet, and before the gate clears because a value taken out of its pair
/// before it looks must open the gate. The argument is in [`crate::raw::ephemerons`].
pub(crate) fn is_over(
    gate: &WeakGate,
    waves: u32,
    mut wave: impl FnMut() -> bool,
    is_resolved: impl Fn() -> bool,
) -> bool {
    gate.close();
    let is_over = (0..waves).all(|_| wave() && is_resolved()) && gate.clear();
    if !is_over {
        gate.open();
    }
    is_over
}

/// Marks the dead that are to be brought back, by `mark`, when marking is over and the gate is at
/// clearing. `clear` clears what refers weakly to them.
///
/// To a mutator they stay dead. One that upgrades a weak reference has read its cell first and
/// then judges by the target's mark: who read the cell before it was cleared must have judged
/// before the mark is set. After the handshake all have: none is told of it in mid-upgrade.
pub(crate) fn revive<R>(
    clear: impl FnOnce(),
    handshake: impl FnOnce(),
    mark: impl FnOnce() -> R,
) -> R {
    clear();
    handshake();
    mark()
}
