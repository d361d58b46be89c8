//! A pair of fences, cheap on one side: for "I store, then look at what you stored; so do you".
//!
//! Entering a closure is such a pair's frequent side, publishing a phase its rare side. Of two
//! threads that each store and then load what the other stored, at least one sees the other's
//! store if there is a full fence between store and load on both sides. Where the system can make
//! every running thread of the process pass a full fence on demand (Linux: `membarrier`, private
//! expedited), the frequent side needs only to keep the compiler from swapping the two: the rare
//! side's call stands in for its fence. The call costs some 0.4 to 20 µs, the fence 1.4 ns and
//! more an entry, and there are thousands of entries for each call.
//!
//! | | light | heavy |
//! |---|---|---|
//! | asymmetric | compiler fence | SeqCst fence, then every thread passes one |
//! | symmetric | SeqCst fence | SeqCst fence |
//!
//! Proof sketch, asymmetric: during the call each running thread passes a full fence at some
//! moment. If its store was before that moment, the caller's load afterwards sees it. If not, its
//! load is after that moment too (the compiler kept the order), and sees what the caller stored
//! before the call. A thread that does not run passed one when it was descheduled.

use crate::sync::{Ordering, fence};

/// How a heap's mutators and its collector order their looks at each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fences {
    /// The rare side pays for both.
    Asymmetric,
    /// Each side pays.
    Symmetric,
}

impl Fences {
    /// What this system offers.
    pub(crate) fn probe() -> Self {
        if membarrier::register() {
            Self::Asymmetric
        } else {
            Self::Symmetric
        }
    }

    /// Between the store and the load of the frequent side.
    #[inline(always)]
    pub(crate) fn light(self) {
        match self {
            // SeqCst: a fence for the compiler; pairs with the call in `heavy`.
            #[cfg(not(heapwright_loom))]
            Self::Asymmetric => crate::sync::compiler_fence(Ordering::SeqCst),
            // SeqCst: pairs with the fence in `heavy`.
            _ => fence(Ordering::SeqCst),
        }
    }

    /// Between the store and the load of the rare side.
    pub(crate) fn heavy(self) {
        // SeqCst: pairs with the fence in `light`.
        fence(Ordering::SeqCst);
        if self == Self::Asymmetric {
            membarrier::run();
        }
    }
}

#[cfg(all(
    target_os = "linux",
    not(any(heapwright_loom, heapwright_portable, heapwright_tsan))
))]
mod membarrier {
    // Linux's include/uapi/linux/membarrier.h.
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

    fn call(command: libc::c_int) -> bool {
        // SAFETY: takes three integers and touches no memory; unknown commands are refused.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }

    /// Whether this process may use the call from now on.
    pub(super) fn register() -> bool {
        call(REGISTER_PRIVATE_EXPEDITED)
    }

    /// Makes every thread of the process pass a full fence.
    pub(super) fn run() {
        // A forked child has to register anew.
        if !(call(PRIVATE_EXPEDITED) || register() && call(PRIVATE_EXPEDITED)) {
            // Nothing orders the mutators any more: going on could free what they use.
            eprintln!("heapwright: the system withdrew `membarrier`; a sandbox must allow it");
            std::process::abort();
        }
    }
}

#[cfg(any(
    not(target_os = "linux"),
    heapwright_loom,
    heapwright_portable,
    heapwright_tsan
))]
mod membarrier {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn run() {
        unreachable!("asymmetric fences were never offered")
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Store buffering, a million times on each kind of fence: never do both miss the other.
    #[test]
    fn one_of_two_sees_the_other() {
        for fences in [Fences::Symmetric, Fences::probe()] {
            let rounds = if fences == Fences::Symmetric {
                20_000
            } else {
                2_000
            };
            let words = [const { AtomicUsize::new(0) }; 2];
            let seen = [const { AtomicUsize::new(0) }; 2];
            let barrier = std::sync::Barrier::new(2);
            let run = |me: usize| {
                for round in 1..=rounds {
                    barrier.wait();
                    words[me].store(round, Relaxed);
                    if me == 0 {
                        fences.light();
                    } else {
                        fences.heavy();
                    }
                    seen[me].store(words[1 - me].load(Relaxed), Relaxed);
                    barrier.wait();
                    let saw = seen.each_ref().map(|seen| seen.load(Relaxed) == round);
                    assert!(saw[0] || saw[1], "round {round}: neither saw the other");
                }
            };
            std::thread::scope(|scope| {
                scope.spawn(|| run(0));
                run(1);
            });
        }
    }
}
