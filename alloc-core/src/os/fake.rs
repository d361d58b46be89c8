//! A page source for tests: real memory underneath, and failures on demand.
//!
//! It answers the question that the operating system never answers in a test: what happens if
//! *this* call fails? Each call is counted, by kind and over all; a test runs its scenario once to
//! learn the count, then once for each call, failing that one. It is stricter than the system,
//! too: what is released is filled with garbage until it is committed again, so that a forgotten
//! commit shows.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{PageSource, SourceCall, SourceError};
use crate::pages::{HUGE_PAGE_BYTES, PAGE_BYTES, PAGE_SHIFT};
use crate::sync::{Mutex, MutexGuard, lock};

/// What released memory holds until it is committed again.
const GARBAGE: u8 = 0xDB;

/// Which calls are to fail. The numbers count from zero, and from the source's first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The n-th call of all.
    Nth(usize),
    /// The n-th call of a kind.
    NthOf(SourceCall, usize),
    /// The n-th call of a kind and all of that kind that follow.
    From(SourceCall, usize),
    /// Each reservation of more bytes than these.
    ReserveAbove(usize),
}

/// One call that was made.
#[derive(Clone, Debug)]
struct Record {
    call: SourceCall,
    range: Range<usize>,
}

#[derive(Debug, Default)]
struct State {
    failures: Vec<Failure>,
    records: Vec<Record>,
    /// A page of the latest region: whether it is committed.
    committed: Vec<bool>,
    discarded_bytes: usize,
}

impl State {
    /// How often a kind was called so far.
    fn calls(&self, call: SourceCall) -> usize {
        self.records.iter().filter(|r| r.call == call).count()
    }

    /// Notes a call, and says whether it is to fail.
    fn record(&mut self, call: SourceCall, range: Range<usize>) -> Result<(), SourceError> {
        let (nth, nth_of) = (self.records.len(), self.calls(call));
        let bytes = range.len();
        let fails = self.failures.iter().any(|failure| match *failure {
            Failure::Nth(n) => n == nth,
            Failure::NthOf(kind, n) => kind == call && n == nth_of,
            Failure::From(kind, n) => kind == call && n <= nth_of,
            Failure::ReserveAbove(most) => call == SourceCall::Reserve && bytes > most,
        });
        self.records.push(Record { call, range });
        if fails {
            Err(SourceError::new(call, bytes, None))
        } else {
            Ok(())
        }
    }
}

/// The pages of a range of bytes, as indexes into `State::committed`.
fn pages_of(range: &Range<usize>) -> Range<usize> {
    range.start >> PAGE_SHIFT..range.end.div_ceil(PAGE_BYTES)
}

/// A [`PageSource`] for tests, which fails when it is told to and remembers each call.
///
/// Clones share one state: keep one, give the other to the heap. The questions about pages concern
/// the region that was reserved last.
///
/// ```
/// use alloc_core::{Exhausted, FakeSource, PageHeap, SourceCall};
///
/// let source = FakeSource::new();
/// let heap = PageHeap::new(source.clone(), 4 << 20, 4 << 20, |_| 0)?;
/// source.fail_nth_of(SourceCall::Commit, source.calls(SourceCall::Commit));
/// assert!(matches!(heap.alloc(1), Err(Exhausted::Source(_))));
/// assert!(heap.alloc(1).is_ok(), "only that one call fails, and nothing is lost");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FakeSource {
    state: Arc<Mutex<State>>,
}

impl FakeSource {
    /// A source that does not fail yet.
    #[must_use]
    pub fn new() -> Self {
        FakeSource::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Lets the n-th call fail, counted from zero over the calls of all kinds.
    pub fn fail_nth(&self, n: usize) {
        self.state().failures.push(Failure::Nth(n));
    }

    /// Lets the n-th call of a kind fail, counted from zero.
    pub fn fail_nth_of(&self, call: SourceCall, n: usize) {
        self.state().failures.push(Failure::NthOf(call, n));
    }

    /// Lets the n-th call of a kind, counted from zero, and all that follow it fail.
    pub fn fail_from(&self, call: SourceCall, n: usize) {
        self.state().failures.push(Failure::From(call, n));
    }

    /// Refuses reservations of more bytes than these.
    pub fn refuse_reserve_above(&self, bytes: usize) {
        self.state().failures.push(Failure::ReserveAbove(bytes));
    }

    /// From now on no call fails.
    pub fn heal(&self) {
        self.state().failures.clear();
    }

    /// How often a kind was called, failures included.
    #[must_use]
    pub fn calls(&self, call: SourceCall) -> usize {
        self.state().calls(call)
    }

    /// How many calls there were over all kinds, failures included.
    #[must_use]
    pub fn calls_total(&self) -> usize {
        self.state().records.len()
    }

    /// The ranges, in bytes from the region's base, that a kind was called for, in order, failures
    /// included. A reservation counts as the range from zero to its length.
    #[must_use]
    pub fn ranges(&self, call: SourceCall) -> Vec<Range<usize>> {
        let state = self.state();
        let of_kind = state.records.iter().filter(|r| r.call == call);
        of_kind.map(|r| r.range.clone()).collect()
    }

    /// Bytes that were discarded, over all calls.
    #[must_use]
    pub fn discarded_bytes(&self) -> usize {
        self.state().discarded_bytes
    }

    /// All calls in order, failures included, with their ranges as in [`ranges`](Self::ranges).
    #[must_use]
    pub fn history(&self) -> Vec<(SourceCall, Range<usize>)> {
        let state = self.state();
        let records = state.records.iter();
        records.map(|r| (r.call, r.range.clone())).collect()
    }

    /// Whether the page at this many bytes from the base may not be used now: it was released, or
    /// never committed.
    ///
    /// # Panics
    ///
    /// If no region reaches that far.
    #[must_use]
    pub fn is_released(&self, offset: usize) -> bool {
        !self.state().committed[offset >> PAGE_SHIFT]
    }
}

/// A range that [`FakeSource`] reserved: zeroed memory of the allocator.
#[derive(Debug)]
pub struct FakeRegion {
    /// What the allocator returned; the region begins at the next multiple of a huge page.
    memory: NonNull<u8>,
    layout: Layout,
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the region owns its memory, and its own fields are never written after construction.
unsafe impl Send for FakeRegion {}
// SAFETY: a shared region gives out a pointer and two lengths, nothing that changes.
unsafe impl Sync for FakeRegion {}

impl Drop for FakeRegion {
    fn drop(&mut self) {
        // SAFETY: `memory` came from the allocator with this layout and is given back only here.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

impl FakeRegion {
    /// Reserves memory; `None` if the allocator has none.
    fn new(bytes: usize) -> Option<Self> {
        // The alignment is made by hand: the allocator keeps zeroed memory untouched only for
        // small alignments.
        let layout = Layout::from_size_align(bytes.checked_add(HUGE_PAGE_BYTES)?, 16).ok()?;
        // SAFETY: the size is not zero, a huge page was added.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let skip = memory.addr().get().wrapping_neg() % HUGE_PAGE_BYTES;
        // SAFETY: `skip` is below a huge page, by which the memory is longer than `bytes`.
        let base = unsafe { memory.add(skip) };
        Some(FakeRegion {
            memory,
            layout,
            base,
            bytes,
        })
    }

    /// Overwrites a part of the region.
    ///
    /// # Safety
    ///
    /// Nobody else reads or writes that part meanwhile, nor relies on what it held.
    unsafe fn fill(&self, range: Range<usize>, byte: u8) {
        assert!(range.start <= range.end && range.end <= self.bytes);
        // SAFETY: the start was just checked to lie inside the region, or at its end.
        let at = unsafe { self.base.add(range.start) };
        // SAFETY: the range lies inside the region, which is the allocator's writable memory; the
        // caller promises that it is not used.
        unsafe { at.write_bytes(byte, range.len()) };
    }
}

// SAFETY: the memory stays where it is, owned by the region alone, aligned by `FakeRegion::new`.
// It is zero from the allocator, or made so by `commit` where a page is not committed. A call that
// is to fail returns before it changes anything. Advice does nothing.
unsafe impl PageSource for FakeSource {
    type Region = FakeRegion;

    fn reserve(&self, bytes: usize) -> Result<FakeRegion, SourceError> {
        let mut state = self.state();
        state.record(SourceCall::Reserve, 0..bytes)?;
        let Some(region) = FakeRegion::new(bytes) else {
            return Err(SourceError::new(SourceCall::Reserve, bytes, None));
        };
        state.committed.clear();
        state.committed.resize(bytes.div_ceil(PAGE_BYTES), false);
        Ok(region)
    }

    fn base(&self, region: &FakeRegion) -> NonNull<u8> {
        region.base
    }

    fn commit(&self, region: &FakeRegion, offset: usize, bytes: usize) -> Result<(), SourceError> {
        let range = offset..offset + bytes;
        assert!(range.end <= region.bytes, "commit outside of the region");
        let mut state = self.state();
        state.record(SourceCall::Commit, range.clone())?;
        for page in pages_of(&range) {
            if !state.committed[page] {
                state.committed[page] = true;
                let bytes = page << PAGE_SHIFT..((page + 1) << PAGE_SHIFT).min(region.bytes);
                // SAFETY: a page that is not committed may not be in use by anybody.
                unsafe { region.fill(bytes, 0) };
            }
        }
        Ok(())
    }

    unsafe fn release(
        &self,
        region: &FakeRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        let range = offset..offset + bytes;
        assert!(range.end <= region.bytes, "release outside of the region");
        assert!(
            offset.is_multiple_of(PAGE_BYTES) && bytes.is_multiple_of(PAGE_BYTES),
            "release of {bytes} bytes at {offset}, which are no whole pages"
        );
        let mut state = self.state();
        state.record(SourceCall::Release, range.clone())?;
        state.committed[pages_of(&range)].fill(false);
        // SAFETY: the caller promises that nobody uses the range or relies on its content.
        unsafe { region.fill(range, GARBAGE) };
        Ok(())
    }

    unsafe fn discard(&self, region: &FakeRegion, offset: usize, bytes: usize) {
        let range = offset..offset + bytes;
        assert!(range.end <= region.bytes, "discard outside of the region");
        let mut state = self.state();
        let mut pages = pages_of(&range);
        state.discarded_bytes += bytes;
        assert!(
            pages.all(|page| state.committed[page]),
            "discard of {bytes} bytes at {offset}, which are not committed"
        );
        // SAFETY: the caller promises that nobody writes to the range or relies on its content.
        unsafe { region.fill(range, 0) };
    }

    fn advise_huge(
        &self,
        region: &FakeRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        let range = offset..offset + bytes;
        assert!(range.end <= region.bytes, "advice outside of the region");
        self.state().record(SourceCall::AdviseHuge, range)
    }

    fn advise_small(
        &self,
        region: &FakeRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        let range = offset..offset + bytes;
        assert!(range.end <= region.bytes, "advice outside of the region");
        assert!(
            offset.is_multiple_of(HUGE_PAGE_BYTES) && bytes.is_multiple_of(HUGE_PAGE_BYTES),
            "small pages advised for {bytes} bytes at {offset}, which are no whole huge pages"
        );
        self.state().record(SourceCall::AdviseSmall, range)
    }

    fn populate(
        &self,
        region: &FakeRegion,
        offset: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        let range = offset..offset + bytes;
        assert!(range.end <= region.bytes, "populated outside of the region");
        let mut state = self.state();
        state.record(SourceCall::Populate, range.clone())?;
        let committed = &state.committed[pages_of(&range)];
        assert!(
            committed.iter().all(|page| *page),
            "populated, not committed"
        );
        Ok(())
    }
}
