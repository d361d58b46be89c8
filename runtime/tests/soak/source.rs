//! The system's memory, which is refused now and then.

use alloc_core::SourceError;
use runtime::{Mmap, PageSource, SourceCall};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One call in so many fails.
const FAILS_EVERY: u64 = 9;

/// What was asked and what was refused, of all heaps that share it.
#[derive(Default)]
pub(crate) struct Faults {
    /// Nothing is refused while this is set.
    pub(crate) is_healed: AtomicBool,
    calls: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) releases: AtomicU64,
}

/// Refuses some requests to commit pages and to release them.
///
/// Advice is let through: a heap that was refused once does not ask again, and the paths behind it
/// would be left alone from then on.
pub(crate) struct Unreliable {
    pub(crate) system: Mmap,
    pub(crate) faults: Arc<Faults>,
}

impl Unreliable {
    fn refuse(&self, call: SourceCall, bytes: usize, count: &AtomicU64) -> Result<(), SourceError> {
        let n = self.faults.calls.fetch_add(1, Ordering::Relaxed);
        // Neighbors fail together at times, and are spared for long at others.
        let is_chosen = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).is_multiple_of(FAILS_EVERY);
        if is_chosen && !self.faults.is_healed.load(Ordering::Relaxed) {
            count.fetch_add(1, Ordering::Relaxed);
            return Err(SourceError::new(call, bytes, None));
        }
        Ok(())
    }
}

type Region = <Mmap as PageSource>::Region;

// SAFETY: everything that is done is done by the system's source; a call that is refused has done
// nothing.
unsafe impl PageSource for Unreliable {
    type Region = Region;

    fn reserve(&self, bytes: usize) -> Result<Region, SourceError> {
        self.system.reserve(bytes)
    }

    fn base(&self, region: &Region) -> NonNull<u8> {
        self.system.base(region)
    }

    fn commit(&self, region: &Region, offset: usize, bytes: usize) -> Result<(), SourceError> {
        self.refuse(SourceCall::Commit, bytes, &self.faults.commits)?;
        self.system.commit(region, offset, bytes)
    }

    unsafe fn release(
        &self,
        region: &Region,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        self.refuse(SourceCall::Release, bytes, &self.faults.releases)?;
        // SAFETY: the caller's promise.
        unsafe { self.system.release(region, offset, bytes) }
    }

    fn advise_huge(&self, region: &Region, offset: usize, bytes: usize) -> Result<(), SourceError> {
        self.system.advise_huge(region, offset, bytes)
    }

    fn populate(&self, region: &Region, offset: usize, bytes: usize) -> Result<(), SourceError> {
        self.system.populate(region, offset, bytes)
    }

    fn advise_small(
        &self,
        region: &Region,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        self.system.advise_small(region, offset, bytes)
    }

    unsafe fn discard(&self, region: &Region, offset: usize, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.system.discard(region, offset, bytes) };
    }

    fn discard_granule_bytes(&self) -> usize {
        self.system.discard_granule_bytes()
    }

    fn release_granule_bytes(&self) -> usize {
        self.system.release_granule_bytes()
    }
}
