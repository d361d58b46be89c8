//! The operating system's anonymous memory.
//!
//! One private anonymous mapping a region, without swap reserved for it, so that a range of many
//! GiB costs nothing until it is touched; longer than asked by a huge page, because the system does
//! not promise that alignment and the heap needs it. The kernel places it at random.
//!
//! Where it stops: only Linux (and Android) both drops the memory at once and promises zeros
//! afterwards. Elsewhere the advice of the same name is a hint that keeps the content, so `release`
//! refuses and the heap keeps its memory; everything else works.

use std::io;
use std::ptr::NonNull;

use memmap2::{MmapOptions, MmapRaw};

use super::{PageSource, SourceCall, SourceError};
use crate::pages::{HUGE_PAGE_BYTES, PAGE_BYTES};

/// The unit of a release. On x86 the processor's pages are 4 KiB; elsewhere a kernel may use pages
/// of up to 64 KiB, and there is no way to ask it that every system shares.
const RELEASE_GRANULE_BYTES: usize = if cfg!(all(
    any(target_arch = "x86", target_arch = "x86_64"),
    not(heapwright_portable)
)) {
    PAGE_BYTES
} else {
    64 << 10
};

/// The unit of a discard: the processor's page, which no other architecture has for certain.
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(heapwright_portable)))]
const DISCARD_GRANULE_BYTES: usize = 4 << 10;

/// The longest range under Miri, where each byte is memory from the start.
const INTERPRETED_BYTES_MAX: usize = 96 << 20;

/// Memory from the operating system.
///
/// ```
/// use alloc_core::{Mmap, PageHeap};
///
/// let heap = PageHeap::new(Mmap::new(), 64 << 20, 4 << 20, |_| 0)?;
/// let run = heap.alloc(3)?;
/// assert_eq!(run.bytes(), 3 * alloc_core::PAGE_BYTES);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Mmap {
    #[cfg_attr(
        any(not(target_os = "linux"), heapwright_portable),
        allow(dead_code, reason = "no huge pages are asked for here")
    )]
    is_small: bool,
}

impl Mmap {
    /// The source. It has no state: each region is its own.
    #[must_use]
    pub const fn new() -> Self {
        Mmap { is_small: false }
    }

    /// As [`new`](Self::new), but never asks for huge pages: memory is touched and given back by
    /// small ones. A system that makes huge pages by itself does so all the same.
    #[must_use]
    pub const fn small_pages() -> Self {
        Mmap { is_small: true }
    }
}

/// A range that [`Mmap`] reserved.
#[derive(Debug)]
pub struct MmapRegion {
    map: MmapRaw,
    /// Bytes before the first multiple of a huge page.
    skip: usize,
    bytes: usize,
}

impl MmapRegion {
    /// Where a part of the region lies in the mapping.
    ///
    /// # Panics
    ///
    /// If it is not a part of it.
    fn offset_in_map(&self, offset: usize, bytes: usize) -> usize {
        assert!(
            offset <= self.bytes && bytes <= self.bytes - offset,
            "{bytes} bytes at {offset} are outside of a region of {} bytes",
            self.bytes
        );
        self.skip + offset
    }
}

/// The error of a call, with what the system said.
fn failed(call: SourceCall, bytes: usize, error: &io::Error) -> SourceError {
    SourceError::new(call, bytes, error.raw_os_error())
}

// SAFETY: the base is the first multiple of a huge page in a mapping that is longer than asked by
// one, and the mapping is private, anonymous, readable, writable and stays until the region drops.
// A page that was never touched, or dropped by the advice DONTNEED, comes as zeros at the next
// touch, which is all that `commit` promises; an advice that fails changes nothing.
unsafe impl PageSource for Mmap {
    type Region = MmapRegion;

    fn reserve(&self, bytes: usize) -> Result<MmapRegion, SourceError> {
        let is_possible = !cfg!(miri) || bytes <= INTERPRETED_BYTES_MAX;
        let mapped = bytes.checked_add(HUGE_PAGE_BYTES);
        let Some(mapped) = mapped.filter(|_| is_possible) else {
            return Err(SourceError::new(SourceCall::Reserve, bytes, None));
        };
        let mut options = MmapOptions::new();
        options.len(mapped);
        // Miri knows no reservation.
        #[cfg(not(miri))]
        options.no_reserve_swap();
        let map = options
            .map_anon()
            .map_err(|error| failed(SourceCall::Reserve, bytes, &error))?;
        let map = MmapRaw::from(map);
        let skip = map.as_mut_ptr().addr().wrapping_neg() % HUGE_PAGE_BYTES;
        Ok(MmapRegion { map, skip, bytes })
    }

    fn base(&self, region: &MmapRegion) -> NonNull<u8> {
        let base = region.map.as_mut_ptr().wrapping_add(region.skip);
        // SAFETY: `skip` is below a huge page and the mapping is longer than that, so the sum stays
        // inside the mapping, which does not contain the null address.
        unsafe { NonNull::new_unchecked(base) }
    }

    fn commit(&self, region: &MmapRegion, offset: usize, bytes: usize) -> Result<(), SourceError> {
        // The mapping is writable from the beginning: the first touch is the commit.
        region.offset_in_map(offset, bytes);
        Ok(())
    }

    #[cfg(all(
        any(target_os = "linux", target_os = "android"),
        not(heapwright_portable)
    ))]
    unsafe fn release(
        &self,
        region: &MmapRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        use memmap2::UncheckedAdvice;

        let at = region.offset_in_map(offset, bytes);
        debug_assert!(offset.is_multiple_of(RELEASE_GRANULE_BYTES));
        debug_assert!(bytes.is_multiple_of(RELEASE_GRANULE_BYTES));
        // SAFETY: the caller promises that nobody uses the range or relies on its content; it is
        // made of whole granules and lies inside the mapping, so no neighbor loses its content.
        unsafe {
            region
                .map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, at, bytes)
        }
        .map_err(|error| failed(SourceCall::Release, bytes, &error))
    }

    #[cfg(any(
        not(any(target_os = "linux", target_os = "android")),
        heapwright_portable
    ))]
    unsafe fn release(
        &self,
        region: &MmapRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        region.offset_in_map(offset, bytes);
        Err(SourceError::new(SourceCall::Release, bytes, None))
    }

    #[cfg(all(target_os = "linux", not(heapwright_portable)))]
    fn advise_huge(
        &self,
        region: &MmapRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        let at = region.offset_in_map(offset, bytes);
        if self.is_small {
            return Err(SourceError::new(SourceCall::AdviseHuge, bytes, None));
        }
        region
            .map
            .advise_range(memmap2::Advice::HugePage, at, bytes)
            .map_err(|error| failed(SourceCall::AdviseHuge, bytes, &error))
    }

    #[cfg(any(not(target_os = "linux"), heapwright_portable))]
    fn advise_huge(
        &self,
        region: &MmapRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        region.offset_in_map(offset, bytes);
        Err(SourceError::new(SourceCall::AdviseHuge, bytes, None))
    }

    #[cfg(all(target_os = "linux", not(heapwright_portable)))]
    fn advise_small(
        &self,
        region: &MmapRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        let at = region.offset_in_map(offset, bytes);
        region
            .map
            .advise_range(memmap2::Advice::NoHugePage, at, bytes)
            .map_err(|error| failed(SourceCall::AdviseSmall, bytes, &error))
    }

    #[cfg(all(target_os = "linux", not(heapwright_portable)))]
    fn populate(
        &self,
        region: &MmapRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        let at = region.offset_in_map(offset, bytes);
        region
            .map
            .advise_range(memmap2::Advice::PopulateWrite, at, bytes)
            .map_err(|error| failed(SourceCall::Populate, bytes, &error))
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64", not(heapwright_portable)))]
    unsafe fn discard(&self, region: &MmapRegion, offset: usize, bytes: usize) {
        use memmap2::UncheckedAdvice;

        let at = region.offset_in_map(offset, bytes);
        debug_assert!(offset.is_multiple_of(DISCARD_GRANULE_BYTES));
        debug_assert!(bytes.is_multiple_of(DISCARD_GRANULE_BYTES));
        // Where the system refuses, the memory stays, which a hint may do.
        // SAFETY: as in `release`; a page that was dropped comes as zeros at the next touch.
        let _ = unsafe {
            region
                .map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, at, bytes)
        };
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64", not(heapwright_portable)))]
    fn discard_granule_bytes(&self) -> usize {
        DISCARD_GRANULE_BYTES
    }

    fn release_granule_bytes(&self) -> usize {
        RELEASE_GRANULE_BYTES
    }
}
