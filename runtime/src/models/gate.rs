//! Weak references against the end of marking: nobody keeps what is found dead, and nobody finds
//! dead what was kept.

use super::wave::{LEAF, NULL, Rig};
use super::{bounded, model};
use crate::raw::wave;
use crate::raw::weak_gate::{Upgrade, WeakGate};
use crate::sync::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use std::sync::Arc;

/// Two upgrades beside a collector that finds its target nowhere else: the target was taken if and
/// only if it is marked when marking is over, and once it is dead it stays so.
///
/// Kills: `close-after-the-wave`, `clear-before-the-wave`.
#[test]
fn upgrade_and_clear() {
    bounded("upgrade_and_clear", || {
        let rig = Rig::new(NULL, 9);
        let state = rig.register();
        let collector = thread::spawn({
            let rig = rig.clone();
            move || rig.collect()
        });
        let taken = [(); 2].map(|()| {
            rig.enter(&state);
            let taken = rig.upgrade(&state);
            rig.leave(&state);
            taken
        });
        collector.join().unwrap();
        assert_eq!(
            taken[0], taken[1],
            "dead, then alive, or taken and then dead"
        );
        assert_eq!(taken[0], rig.is_marked(), "taken, or else dead");
        rig.enter(&state);
        assert_eq!(rig.upgrade(&state), taken[0], "judged for good");
        rig.leave(&state);
    });
}

/// An upgrade, a poll inside the same closure, and the reference kept in the heap.
///
/// Kills: `pass-without-opening`, `pass-when-clearing`.
#[test]
fn upgrade_and_keep() {
    model("upgrade_and_keep", || {
        let rig = Rig::new(NULL, 9);
        let state = rig.register();
        let collector = thread::spawn({
            let rig = rig.clone();
            move || rig.collect()
        });
        rig.enter(&state);
        let taken = rig.upgrade(&state);
        rig.poll(&state);
        if taken {
            rig.store(&state, LEAF);
        }
        rig.leave(&state);
        collector.join().unwrap();
        assert_eq!(taken, rig.is_marked(), "taken, or else dead");
    });
}

/// The dead are marked once more, to be brought back, beside two upgrades: these get the leaf if it
/// was found alive, and never because it is brought back.
///
/// Kills: `revive-without-handshake`, `revive-before-clearing`.
#[test]
fn upgrade_and_revive() {
    bounded("upgrade_and_revive", || {
        let rig = Rig::new(NULL, 9);
        let state = rig.register();
        let cell = Arc::new(AtomicUsize::new(LEAF));
        let collector = thread::spawn({
            let (rig, cell) = (rig.clone(), cell.clone());
            move || {
                rig.collect();
                let found_alive = rig.is_marked();
                if !found_alive {
                    // Relaxed: as `WeakList::clear_targets`, which stores: the loads below write,
                    // and a store could come before one of them in the place's order.
                    let clear = || _ = cell.swap(NULL, Ordering::Relaxed);
                    wave::revive(clear, || rig.handshake(), || rig.mark(LEAF));
                }
                found_alive
            }
        });
        let taken = [(); 2].map(|()| {
            rig.enter(&state);
            // Relaxed: as `Weak::upgrade`. It sees the newest value; see `models`.
            let taken = cell.fetch_add(0, Ordering::Relaxed) == LEAF && rig.upgrade(&state);
            rig.leave(&state);
            taken
        });
        let found_alive = collector.join().unwrap();
        assert_eq!(taken, [found_alive; 2], "found alive: {found_alive}");
    });
}

/// The gate alone, against two upgrades on threads of their own: of an exchange that the collector
/// and upgrades want to make at once, one is made. Who finds the gate at clearing sees every mark.
///
/// Kills: `gate-cleared-by-store`, `dead-when-closing`.
#[test]
fn exchanges() {
    model("exchanges", || {
        let gate = Arc::new(WeakGate::default());
        let mark = Arc::new(AtomicBool::new(false));
        gate.close();
        let upgrades = [(); 2].map(|()| {
            let (gate, mark) = (gate.clone(), mark.clone());
            // Relaxed: as a mark's bit.
            thread::spawn(move || gate.pass(|| mark.load(Ordering::Relaxed)))
        });
        let cleared = gate.clear();
        for upgrade in upgrades.map(|upgrade| upgrade.join().unwrap()) {
            let expected = if cleared { Upgrade::Dead } else { Upgrade::Log };
            assert_eq!(upgrade, expected, "cleared: {cleared}");
        }
    });
}

/// A target is marked, then the gate goes to clearing: who finds it there finds the mark.
///
/// Kills: `gate-unordered`, `clear-unordered`, `mark-before-gate`.
#[test]
fn marks_before_clearing() {
    model("marks_before_clearing", || {
        let gate = Arc::new(WeakGate::default());
        let mark = Arc::new(AtomicBool::new(false));
        let upgrade = thread::spawn({
            let (gate, mark) = (gate.clone(), mark.clone());
            // Relaxed: as a mark's bit.
            move || gate.pass(|| mark.load(Ordering::Relaxed))
        });
        // Relaxed: as a mark's bit.
        mark.store(true, Ordering::Relaxed);
        gate.close();
        gate.clear();
        assert_ne!(upgrade.join().unwrap(), Upgrade::Dead, "marked before");
    });
}
