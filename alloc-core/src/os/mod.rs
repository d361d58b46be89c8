//! The port to the operating system's memory: reserve a range, and say which parts are needed.
//!
//! A heap reserves one long range of addresses when it is built and never moves it. Afterwards
//! memory only goes back and forth inside that range: a part is *committed* before it is used and
//! *released* when it is not needed for a while. On Linux a commit has nothing to do, because a
//! first touch brings a page of zeros; the call exists for sources that must do something, and for
//! the point at which they may say no.
//!
//! The port is a trait for two reasons: a kernel, an embedded system or a host with its own ideas
//! supplies another source, and exhaustion can be tested by one that fails when told to.
//!
//! [`Mmap`] is the source for production, [`FakeSource`] the one for tests.

use std::fmt;
use std::ptr::NonNull;

mod fake;
mod mmap;

pub use fake::{FakeRegion, FakeSource};
pub use mmap::{Mmap, MmapRegion};

use crate::pages::PAGE_BYTES;

/// Where a heap's memory comes from.
///
/// The heap calls these methods with no lock held, from several threads at once, but never two
/// calls at once whose ranges overlap, the advice of [`advise_huge`](PageSource::advise_huge) and
/// [`advise_small`](PageSource::advise_small) excepted.
///
/// # Safety
///
/// The implementer promises, for each region that `reserve` returned and until it is dropped:
///
/// - `base` returns the same address each time, a multiple of [`HUGE_PAGE_BYTES`]; the range of the
///   asked length from there belongs to nobody else, and the pointer may be used for all of it.
/// - A range for which `commit` returned `Ok`, and that was not released since, can be read and
///   written from any thread.
/// - The first `commit` of a range, and the first after a `release`, makes it read as zero. A
///   `commit` of a range that is committed keeps its content.
/// - After `release` returned `Err` the range is as it was, content included.
/// - `advise_huge`, `advise_small` and `populate` change no content.
///
/// [`HUGE_PAGE_BYTES`]: crate::HUGE_PAGE_BYTES
pub unsafe trait PageSource: Send + Sync + 'static {
    /// A reserved range. Dropping it gives the addresses and the memory back.
    type Region: Send + Sync + 'static;

    /// Reserves `bytes` of address space (a multiple of
    /// [`HUGE_PAGE_BYTES`](crate::HUGE_PAGE_BYTES)), without memory behind it.
    ///
    /// # Errors
    ///
    /// If the range is not to be had. The heap then tries half of it.
    fn reserve(&self, bytes: usize) -> Result<Self::Region, SourceError>;

    /// The first byte of a region.
    fn base(&self, region: &Self::Region) -> NonNull<u8>;

    /// Makes a range usable, before its first use and after each release.
    ///
    /// # Errors
    ///
    /// If there is no memory. The heap hands the error on as exhaustion and has lost nothing.
    fn commit(&self, region: &Self::Region, offset: usize, bytes: usize)
    -> Result<(), SourceError>;

    /// Gives the memory of a range back and keeps its addresses. The content is gone.
    ///
    /// # Errors
    ///
    /// If the memory cannot be given back. The heap keeps it for its own use then.
    ///
    /// # Safety
    ///
    /// - `offset` and `bytes` are multiples of
    ///   [`release_granule_bytes`](PageSource::release_granule_bytes) and lie inside the region.
    /// - Nobody reads or writes the range from the beginning of the call until it is committed
    ///   again, or until the call returned `Err`; and nobody relies on its content any more, unless
    ///   it returned `Err`.
    unsafe fn release(
        &self,
        region: &Self::Region,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError>;

    /// Asks for huge pages behind a range. A hint.
    ///
    /// # Errors
    ///
    /// If there are none. The heap takes it as "pages are small here", nothing worse.
    fn advise_huge(
        &self,
        region: &Self::Region,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError>;

    /// Puts memory behind a committed range now, so that no first touch has to wait for it. A
    /// hint, which changes no content; a source whose commit does that already has nothing to do,
    /// which is what is provided.
    ///
    /// # Errors
    ///
    /// If the system cannot. The heap does not ask again.
    fn populate(
        &self,
        region: &Self::Region,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        let _ = (region, offset, bytes);
        Ok(())
    }

    /// Asks for small pages behind a range of whole huge pages that was advised huge, because it is
    /// about to be released in pieces. A hint, which ends with the next
    /// [`advise_huge`](PageSource::advise_huge) for the range.
    ///
    /// Without it an operating system that makes huge pages by itself may do so around the pieces,
    /// and give all of them memory again. A source without huge pages has nothing to do, which is
    /// what is provided.
    ///
    /// # Errors
    ///
    /// If the system refused. The pieces are released nevertheless.
    fn advise_small(
        &self,
        region: &Self::Region,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        let _ = (region, offset, bytes);
        Ok(())
    }

    /// Forgets what a committed range holds; it stays committed, and each byte reads as zero or as
    /// it did. A hint: the source may give the memory back until the next touch, or do nothing, as
    /// is provided.
    ///
    /// # Safety
    ///
    /// - `offset` and `bytes` are multiples of
    ///   [`discard_granule_bytes`](PageSource::discard_granule_bytes) and lie inside the region,
    ///   in a committed part of it.
    /// - Nobody relies on what the range holds from the beginning of the call on, other than that
    ///   a byte that was zero is zero; nobody writes to it during the call.
    unsafe fn discard(&self, region: &Self::Region, offset: usize, bytes: usize) {
        let _ = (region, offset, bytes);
    }

    /// The unit in which memory can be discarded: a power of two, from 4 KiB to
    /// [`PAGE_BYTES`](crate::PAGE_BYTES).
    fn discard_granule_bytes(&self) -> usize {
        PAGE_BYTES
    }

    /// The unit in which memory can be released: a power of two, from
    /// [`PAGE_BYTES`](crate::PAGE_BYTES) to [`HUGE_PAGE_BYTES`](crate::HUGE_PAGE_BYTES).
    ///
    /// At least the size of the processor's pages: an operating system that is asked for a part of
    /// one rounds outward, and destroys the neighbor.
    fn release_granule_bytes(&self) -> usize {
        PAGE_BYTES
    }
}

/// The calls of a [`PageSource`], as a word for errors and for [`FakeSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceCall {
    /// [`PageSource::reserve`]
    Reserve,
    /// [`PageSource::commit`]
    Commit,
    /// [`PageSource::release`]
    Release,
    /// [`PageSource::advise_huge`]
    AdviseHuge,
    /// [`PageSource::advise_small`]
    AdviseSmall,
    /// [`PageSource::populate`]
    Populate,
}

impl fmt::Display for SourceCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SourceCall::Reserve => "reserve",
            SourceCall::Commit => "commit",
            SourceCall::Release => "release",
            SourceCall::AdviseHuge => "advise huge pages for",
            SourceCall::AdviseSmall => "advise small pages for",
            SourceCall::Populate => "put memory behind",
        })
    }
}

/// A source said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceError {
    call: SourceCall,
    bytes: usize,
    os_code: Option<i32>,
}

impl SourceError {
    /// The error of a call for so many bytes. `os_code` is what the operating system said, if it
    /// was asked; without it the source itself could not or would not.
    #[must_use]
    pub const fn new(call: SourceCall, bytes: usize, os_code: Option<i32>) -> Self {
        SourceError {
            call,
            bytes,
            os_code,
        }
    }

    /// The call that failed.
    #[must_use]
    pub const fn call(&self) -> SourceCall {
        self.call
    }

    /// The bytes that were asked for.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The operating system's error code, if it was asked.
    #[must_use]
    pub const fn os_code(&self) -> Option<i32> {
        self.os_code
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} {} bytes", self.call, self.bytes)?;
        match self.os_code {
            Some(code) => write!(f, ": {}", std::io::Error::from_raw_os_error(code)),
            None => f.write_str(": the page source refused"),
        }
    }
}

impl std::error::Error for SourceError {}
