//! Any page source as one type, so that a heap is not generic over where its memory comes from.
//!
//! The calls are rare (a reservation, growth by 4 MiB, a release), so an indirect call is nothing.

use alloc_core::{PageSource, SourceError};
use std::any::Any;
use std::ptr::NonNull;

/// A page source behind a pointer.
pub(crate) struct AnySource(Box<dyn Erased>);

type Region = Box<dyn Any + Send + Sync>;

trait Erased: Send + Sync {
    fn reserve(&self, bytes: usize) -> Result<Region, SourceError>;
    fn base(&self, region: &Region) -> NonNull<u8>;
    fn commit(&self, region: &Region, offset: usize, bytes: usize) -> Result<(), SourceError>;
    /// # Safety
    ///
    /// As [`PageSource::release`].
    unsafe fn release(&self, region: &Region, at: usize, len: usize) -> Result<(), SourceError>;
    fn advise_huge(&self, region: &Region, offset: usize, bytes: usize) -> Result<(), SourceError>;
    fn advise_small(&self, region: &Region, at: usize, bytes: usize) -> Result<(), SourceError>;
    fn populate(&self, region: &Region, at: usize, bytes: usize) -> Result<(), SourceError>;
    /// # Safety
    ///
    /// As [`PageSource::discard`].
    unsafe fn discard(&self, region: &Region, offset: usize, bytes: usize);
    fn discard_granule_bytes(&self) -> usize;
    fn release_granule_bytes(&self) -> usize;
}

fn own<S: PageSource>(region: &Region) -> &S::Region {
    match region.downcast_ref() {
        Some(region) => region,
        None => unreachable!("a region went to a source that it did not come from"),
    }
}

impl<S: PageSource> Erased for S {
    fn reserve(&self, bytes: usize) -> Result<Region, SourceError> {
        Ok(Box::new(PageSource::reserve(self, bytes)?))
    }

    fn base(&self, region: &Region) -> NonNull<u8> {
        PageSource::base(self, own::<S>(region))
    }

    fn commit(&self, region: &Region, offset: usize, bytes: usize) -> Result<(), SourceError> {
        PageSource::commit(self, own::<S>(region), offset, bytes)
    }

    unsafe fn release(&self, region: &Region, at: usize, len: usize) -> Result<(), SourceError> {
        // SAFETY: the caller's own preconditions are the same.
        unsafe { PageSource::release(self, own::<S>(region), at, len) }
    }

    fn advise_huge(&self, region: &Region, offset: usize, bytes: usize) -> Result<(), SourceError> {
        PageSource::advise_huge(self, own::<S>(region), offset, bytes)
    }

    fn advise_small(&self, region: &Region, at: usize, bytes: usize) -> Result<(), SourceError> {
        PageSource::advise_small(self, own::<S>(region), at, bytes)
    }

    fn populate(&self, region: &Region, at: usize, bytes: usize) -> Result<(), SourceError> {
        PageSource::populate(self, own::<S>(region), at, bytes)
    }

    unsafe fn discard(&self, region: &Region, offset: usize, bytes: usize) {
        // SAFETY: the caller's own preconditions are the same.
        unsafe { PageSource::discard(self, own::<S>(region), offset, bytes) }
    }

    fn discard_granule_bytes(&self) -> usize {
        PageSource::discard_granule_bytes(self)
    }

    fn release_granule_bytes(&self) -> usize {
        PageSource::release_granule_bytes(self)
    }
}

impl AnySource {
    pub(crate) fn new(source: impl PageSource) -> Self {
        Self(Box::new(source))
    }
}

// SAFETY: passes every call on to a page source, with that source's own region.
unsafe impl PageSource for AnySource {
    type Region = Region;

    fn reserve(&self, bytes: usize) -> Result<Region, SourceError> {
        self.0.reserve(bytes)
    }

    fn base(&self, region: &Region) -> NonNull<u8> {
        self.0.base(region)
    }

    fn commit(&self, region: &Region, offset: usize, bytes: usize) -> Result<(), SourceError> {
        self.0.commit(region, offset, bytes)
    }

    unsafe fn release(
        &self,
        region: &Region,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        // SAFETY: the caller's own preconditions are the same.
        unsafe { self.0.release(region, offset, bytes) }
    }

    fn advise_huge(&self, region: &Region, offset: usize, bytes: usize) -> Result<(), SourceError> {
        self.0.advise_huge(region, offset, bytes)
    }

    fn populate(&self, region: &Region, at: usize, bytes: usize) -> Result<(), SourceError> {
        self.0.populate(region, at, bytes)
    }

    fn advise_small(&self, region: &Region, at: usize, bytes: usize) -> Result<(), SourceError> {
        self.0.advise_small(region, at, bytes)
    }

    unsafe fn discard(&self, region: &Region, offset: usize, bytes: usize) {
        // SAFETY: the caller's own preconditions are the same.
        unsafe { self.0.discard(region, offset, bytes) }
    }

    fn discard_granule_bytes(&self) -> usize {
        self.0.discard_granule_bytes()
    }

    fn release_granule_bytes(&self) -> usize {
        self.0.release_granule_bytes()
    }
}
