//! A depot: free slots of one class on their way from threads that free to threads that allocate.
//!
//! Where one thread makes what another frees, the second one's stash is always full and the first
//! one's always empty. A depot hands slots from one to the other by tens, under a lock that is held
//! for the copy alone; without it each slot's bit would travel between two processors' caches. Its
//! room is fixed and small: what does not fit goes to its span, and what it holds is given up
//! whenever a thread flushes its magazines.
//!
//! The lock orders everything: what a thread wrote to a slot before it freed it, the next owner's
//! writes come after.

use crate::malloc::stash::PARCEL_SLOTS;
use crate::size_class::SizeClass;
use crate::sync::Mutex;
#[cfg(all(any(unix, test), not(heapwright_loom)))]
use crate::sync::{MutexGuard, lock};

/// The most slots in a depot.
const SLOTS_MAX: usize = 4 * PARCEL_SLOTS;
/// Shorter slots go by their spans: many of them share a word of bits there, and a line of memory.
const SLOT_BYTES_MIN: usize = 128;
/// The bytes of slots that a depot is for.
const DEPOT_BYTES: usize = 256 << 10;

/// Free slots of one class that are no thread's, the newest last. Never longer than it was at
/// first: it asks for no memory.
pub(crate) struct Depot {
    slots: Mutex<Vec<*mut u8>>,
    room: usize,
}

// SAFETY: the pointers are to free slots, whose memory no thread owns.
unsafe impl Send for Depot {}
// SAFETY: as above, and under the lock.
unsafe impl Sync for Depot {}

impl Depot {
    /// An empty one.
    pub(crate) fn new(class: SizeClass) -> Self {
        let room = if class.bytes() < SLOT_BYTES_MIN {
            0
        } else {
            (DEPOT_BYTES / class.bytes()).min(SLOTS_MAX)
        };
        Self {
            slots: Mutex::new(Vec::with_capacity(room)),
            room,
        }
    }

    /// Waits for the lock: a fork does, and tests.
    #[cfg(all(any(unix, test), not(heapwright_loom)))]
    pub(crate) fn open(&self) -> MutexGuard<'_, Vec<*mut u8>> {
        lock(&self.slots)
    }

    /// Puts slots in; false if there is no room for all of them, or somebody else is at it.
    pub(crate) fn put(&self, slots: &[*mut u8]) -> bool {
        if self.room == 0 {
            return false;
        }
        let Ok(mut open) = self.slots.try_lock() else {
            return false;
        };
        let fits = slots.len() <= self.room - open.len();
        if fits {
            open.extend_from_slice(slots);
        }
        fits
    }

    /// Takes slots out, the newest, as many as there are and `into` has room for; how many. None if
    /// somebody else is at it.
    pub(crate) fn take(&self, into: &mut [*mut u8]) -> usize {
        if self.room == 0 {
            return 0;
        }
        let Ok(mut open) = self.slots.try_lock() else {
            return 0;
        };
        let rest = open.len().saturating_sub(into.len());
        let taken = open.len() - rest;
        into[..taken].copy_from_slice(&open[rest..]);
        open.truncate(rest);
        taken
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use std::ptr::{null_mut, without_provenance_mut};

    #[test]
    fn slots_go_through_it_once_and_it_never_asks_for_memory() {
        for class in (0..SizeClass::COUNT).filter_map(SizeClass::from_index) {
            let depot = Depot::new(class);
            let room = depot.open().capacity();
            assert!(room * class.bytes() <= DEPOT_BYTES, "{class:?}");
            assert_eq!(room == 0, class.bytes() < SLOT_BYTES_MIN, "{class:?}");
            if room == 0 {
                assert!(!depot.put(&[null_mut()]) && depot.take(&mut [null_mut()]) == 0);
                continue;
            }
            let slots: Vec<_> = (1..=room).map(without_provenance_mut).collect();
            let (older, newer) = slots.split_at(room / 2);
            assert!(depot.put(older) && depot.put(newer) && !depot.put(&[null_mut()]));
            assert_eq!(depot.open().capacity(), room);
            let mut into = vec![null_mut(); newer.len()];
            assert_eq!(depot.take(&mut into), newer.len());
            assert_eq!(into, newer);
            let mut into = vec![null_mut(); room];
            assert_eq!(depot.take(&mut into), older.len());
            assert_eq!(into[..older.len()], *older);
            assert_eq!(depot.take(&mut into), 0);
        }
    }
}
