//! What one thread keeps behind its magazines: parcels of free slots, of any class.
//!
//! A magazine is small, so that many classes fit into the processor's cache; a program that makes
//! a thousand objects and then frees them fills and empties it again and again. A full magazine
//! therefore lays half of it aside as a parcel, and an empty one takes the newest parcel back: two
//! copies of a few lines for tens of objects, where their spans would cost an atomic for each word
//! of slots. Parcels are shared among the classes, so what a thread works with gets them.
//!
//! Bounded by bytes and by parcels; what does not fit goes to its spans. Untouched parcels cost
//! addresses only.

use crate::size_class::SizeClass;
use std::ptr::null_mut;

/// Slots in a parcel: half of the largest magazine.
pub(crate) const PARCEL_SLOTS: usize = 128;
/// Parcels of a stash.
const PARCELS: usize = 128;
/// The most bytes of slots in a stash.
const STASH_BYTES: usize = 1 << 20;

/// Slots of one class, the newest last.
#[derive(Clone, Copy)]
struct Parcel {
    slots: [*mut u8; PARCEL_SLOTS],
    count: u32,
    /// The next older parcel of the class, or the next empty one, plus one; 0 for none.
    next: u32,
}

/// The parcels of one thread. Made of zeros alone at first.
pub(crate) struct Stash {
    bytes: usize,
    /// The newest parcel of each class, plus one; 0 for none.
    newest: [u32; SizeClass::COUNT],
    /// The first of the emptied parcels, plus one; 0 for none.
    emptied: u32,
    /// The parcels from here on were never used.
    fresh: u32,
    parcels: [Parcel; PARCELS],
}

impl Stash {
    pub(crate) const fn new() -> Self {
        const EMPTY: Parcel = Parcel {
            slots: [null_mut(); PARCEL_SLOTS],
            count: 0,
            next: 0,
        };
        Self {
            bytes: 0,
            newest: [0; SizeClass::COUNT],
            emptied: 0,
            fresh: 0,
            parcels: [EMPTY; PARCELS],
        }
    }

    /// Forgets all, whatever it is.
    #[cfg(all(unix, not(heapwright_loom)))]
    pub(crate) fn renew(&mut self) {
        self.newest = [0; SizeClass::COUNT];
        (self.bytes, self.emptied, self.fresh) = (0, 0, 0);
    }

    /// Lays slots of a class aside, at most [`PARCEL_SLOTS`]; false if there is no room for them.
    pub(crate) fn put(&mut self, class: SizeClass, slots: &[*mut u8]) -> bool {
        let bytes = slots.len() * class.bytes();
        if slots.is_empty() || slots.len() > PARCEL_SLOTS || self.bytes + bytes > STASH_BYTES {
            return false;
        }
        let at = match self.emptied {
            0 if self.fresh as usize == PARCELS => return false,
            0 => {
                self.fresh += 1;
                self.fresh
            }
            emptied => {
                self.emptied = self.parcels[emptied as usize - 1].next;
                emptied
            }
        };
        let parcel = &mut self.parcels[at as usize - 1];
        parcel.slots[..slots.len()].copy_from_slice(slots);
        parcel.count = slots.len() as u32;
        parcel.next = std::mem::replace(&mut self.newest[class.index()], at);
        self.bytes += bytes;
        true
    }

    /// Takes the newest parcel of a class: its slots go to the beginning of `into`, which has room
    /// for [`PARCEL_SLOTS`]. How many there were; 0 if there is no parcel.
    pub(crate) fn take(&mut self, class: SizeClass, into: &mut [*mut u8]) -> usize {
        let at = self.newest[class.index()];
        if at == 0 {
            return 0;
        }
        let parcel = &mut self.parcels[at as usize - 1];
        let count = parcel.count as usize;
        into[..count].copy_from_slice(&parcel.slots[..count]);
        self.newest[class.index()] = parcel.next;
        parcel.next = std::mem::replace(&mut self.emptied, at);
        self.bytes -= count * class.bytes();
        count
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    fn slots(class: SizeClass, first: usize, count: usize) -> Vec<*mut u8> {
        let addresses = (first..first + count).map(|n| n * class.bytes());
        addresses.map(std::ptr::without_provenance_mut).collect()
    }

    #[test]
    fn parcels_come_back_newest_first_and_of_their_class() {
        let (a, b) = (
            SizeClass::of(64, 8).unwrap(),
            SizeClass::of(256, 8).unwrap(),
        );
        let mut stash = Stash::new();
        let full = slots(a, 0, PARCEL_SLOTS);
        assert!(stash.put(a, &full));
        assert!(stash.put(b, &slots(b, 100, 7)));
        assert!(stash.put(a, &slots(a, PARCEL_SLOTS, 5)));
        let mut into = [null_mut(); PARCEL_SLOTS];
        assert_eq!(stash.take(a, &mut into), 5);
        assert_eq!(into[..5], slots(a, PARCEL_SLOTS, 5));
        assert_eq!(stash.take(a, &mut into), PARCEL_SLOTS);
        assert_eq!(into[..], full);
        assert_eq!(stash.take(a, &mut into), 0);
        assert_eq!(stash.take(b, &mut into), 7);
        assert_eq!(into[..7], slots(b, 100, 7));
        assert_eq!(stash.bytes, 0);
    }

    #[test]
    fn it_is_bounded_by_parcels_and_by_bytes_and_room_comes_back() {
        let (small, big) = (
            SizeClass::of(16, 8).unwrap(),
            SizeClass::of(32 << 10, 8).unwrap(),
        );
        let mut into = [null_mut(); PARCEL_SLOTS];
        for (class, most) in [(small, PARCELS), (big, STASH_BYTES / big.bytes())] {
            let mut stash = Stash::new();
            for _ in 0..3 {
                let put = |stash: &mut Stash, n| stash.put(class, &slots(class, n, 1));
                assert!((0..most).all(|n| put(&mut stash, n)), "{class:?}");
                assert!(!put(&mut stash, most), "{class:?}: beyond the bound");
                for n in (0..most).rev() {
                    assert_eq!(stash.take(class, &mut into), 1);
                    assert_eq!(into[0], slots(class, n, 1)[0]);
                }
            }
        }
    }
}
