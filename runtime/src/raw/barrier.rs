//! The barrier: a place for a reference, and what of a store into it is logged.
//!
//! The log hears of a store after it, and the mutator acknowledges nothing in between. The store
//! and the look at the old value are one exchange, so that of two writers of one place each logs
//! what it has itself overwritten.
//!
//! | phase | the place | the log |
//! |---|---|---|
//! | idle | a store | nothing |
//! | arming, armed | an exchange | the old and the new value, if they are not marked |
//! | marking | an exchange | the old value, if it is not marked |
//!
//! Why that is enough is said in [`crate::raw::phase`] and at the head of `beside.rs`. A mark that
//! is seen set is set: whoever set it has the object queued. One that is not seen costs an entry.

use crate::raw::log::Entry;
use crate::raw::phase::Phase;
use crate::sync::{AtomicPtr, Ordering, load_visible_ptr};
use gc_mark::Object;

/// A place for a reference, or null.
pub(crate) struct Slot(AtomicPtr<u8>);

impl Slot {
    pub(crate) fn new(word: *mut u8) -> Self {
        Self(AtomicPtr::new(word))
    }

    /// Acquire: pairs with the Release of the stores below; who reads a reference reads the object
    /// as it was when the reference was stored.
    #[inline(always)]
    pub(crate) fn load(&self) -> *mut u8 {
        load_visible_ptr(&self.0)
    }

    /// Stores `new`, for a mutator in `phase`; `log` is told what was there if that is to be
    /// logged.
    #[inline(always)]
    pub(crate) fn store(&self, new: *mut u8, phase: Phase, log: impl FnOnce(*mut u8)) {
        if phase.logs() {
            log(self.swap(new));
        } else {
            // Release: pairs with the Acquire in `load`.
            self.0.store(new, Ordering::Release);
        }
    }

    /// Stores `new` and returns what was there, which the caller logs.
    #[inline]
    pub(crate) fn swap(&self, new: *mut u8) -> *mut u8 {
        // AcqRel: Release pairs with the Acquire in `load`; Acquire as there, for the old.
        self.0.swap(new, Ordering::AcqRel)
    }

    /// Stores `new` if `current` is there, which the caller then logs; else what is there.
    #[inline]
    pub(crate) fn compare_exchange(
        &self,
        current: *mut u8,
        new: *mut u8,
    ) -> Result<*mut u8, *mut u8> {
        // AcqRel, and Acquire on failure: as in `swap` and in `load`. On success the old value is
        // known, but not what was done before it was stored.
        self.0
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

/// Logs, in `phase`, what must be of a store of `new` over `old`.
pub(crate) fn log_store(
    phase: Phase,
    old: Option<Entry>,
    new: Option<Entry>,
    is_marked: impl Fn(Object) -> bool,
    log: impl FnMut(Entry),
) {
    let new = new.filter(|_| phase.logs_new());
    old.into_iter()
        .chain(new)
        .filter(|entry| !is_marked(entry.0))
        .for_each(log);
}
