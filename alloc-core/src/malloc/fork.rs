//! What a fork needs: no lock may be held by a thread that the child does not have.
//!
//! Before a fork the forking thread takes every lock of the heap, so that what they guard is whole,
//! and gives them back after it, in the parent and in the child.
//!
//! What other threads were doing without a lock stays undone in the child, and costs memory there,
//! nothing else: slots in their magazines and the spans they held are in use for ever; slots that
//! they had freed and not counted keep their span from dying; pages on their way from or to the
//! system stay out. A child that uses up the whole range waits for the latter, in vain.

use crate::malloc::byte_heap::ByteHeap;
use crate::malloc::magazines::Magazines;
use crate::malloc::shelf::Open;
use crate::os::Mmap;
use crate::page_heap::State;
use crate::size_class::SizeClass;
use crate::sync::{Mutex, MutexGuard, UnsafeCell, lock};

/// Every lock of the global heap, in the order in which they are taken elsewhere.
pub(crate) struct Everything {
    _shared: MutexGuard<'static, Magazines>,
    _depots: [MutexGuard<'static, Vec<*mut u8>>; SizeClass::COUNT],
    _shelves: [Open<'static>; SizeClass::COUNT],
    _pages: MutexGuard<'static, State>,
}

impl Everything {
    fn lock(heap: &'static ByteHeap<Mmap>, shared: &'static Mutex<Magazines>) -> Self {
        Self {
            _shared: lock(shared),
            _depots: heap.open_depots(),
            _shelves: heap.open_shelves(),
            _pages: heap.heap().pages().state(),
        }
    }
}

/// Where the locks are kept during a fork.
///
/// Invariant: touched only by a thread that holds all of them.
pub(crate) struct Kept(UnsafeCell<Option<Everything>>);

// SAFETY: by the invariant, one thread at a time has access; and the guards are dropped by the
// thread that took them, which the child's only thread is a copy of.
unsafe impl Sync for Kept {}

impl Kept {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// Takes every lock.
    pub(crate) fn before(&self, heap: &'static ByteHeap<Mmap>, shared: &'static Mutex<Magazines>) {
        let everything = Everything::lock(heap, shared);
        // SAFETY: this thread holds all locks, so no other is between its `before` and `after`.
        unsafe { *self.0.get() = Some(everything) };
    }

    /// Gives the locks back.
    pub(crate) fn after(&self) {
        // SAFETY: this thread holds all locks until they are dropped, which is after the cell was
        // emptied.
        let everything = unsafe { (*self.0.get()).take() };
        drop(everything);
    }
}
