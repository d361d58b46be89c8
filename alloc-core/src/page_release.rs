//! Giving free pages back to the operating system, while others allocate.
//!
//! A release is a loop of three steps: take the highest run that can go, under the heap's lock;
//! call the source for it, without the lock, because that call takes microseconds to milliseconds;
//! put the run back, under the lock. In between, the run is marked in use, so that no allocation
//! can get it; the table in `page_heap` has the states and the argument.
//!
//! From the highest address down, because allocation fills from the lowest up: what is high is the
//! least likely to be needed again soon. Where memory is huge, whole blocks first; `page_reach`
//! says which pages go, and what is advised for a block that breaks or mends.
//!
//! When and how much is not decided here, nor whether blocks may break: that is a policy, and
//! belongs to the caller.

use crate::os::{PageSource, SourceError};
use crate::page_heap::PageHeap;
use crate::page_reach::{Effect, Outgoing, Reach};
use crate::pages::{PAGE_BYTES, PAGE_SHIFT, PageRun};

/// What came of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Bytes of retained memory that went back.
    pub bytes: usize,
    /// What the source said, if it refused a call; nothing was tried after that.
    pub refused: Option<SourceError>,
}

impl<S: PageSource> PageHeap<S> {
    /// Gives up to `bytes_max` bytes of free memory back to the operating system, as far as `reach`
    /// goes, and returns how many bytes of retained memory that were. Zero means that there is
    /// nothing in reach, or that the source refused.
    ///
    /// Memory goes by whole units, so `bytes_max` is rounded up to one: 2 MiB where pages are huge.
    /// What breaks no block goes first, and in each reach the highest address. Each call of the
    /// source is for at most 2 MiB, with no lock held.
    pub fn release(&self, bytes_max: usize, reach: Reach) -> usize {
        self.try_release(bytes_max, reach).bytes
    }

    /// As [`release`](Self::release), and tells nothing in reach from a refusal.
    pub fn try_release(&self, bytes_max: usize, reach: Reach) -> Release {
        self.release_while(bytes_max, reach, || true)
    }

    /// As [`try_release`](Self::try_release), and stops when `goes_on` says so, which is asked
    /// after each call of the source, with no lock held: for those who have a time to keep, since
    /// what a byte costs may change thirtyfold from one block to the next.
    pub fn release_while(
        &self,
        bytes_max: usize,
        reach: Reach,
        mut goes_on: impl FnMut() -> bool,
    ) -> Release {
        let mut budget = bytes_max.div_ceil(PAGE_BYTES);
        let mut release = Release {
            bytes: 0,
            refused: None,
        };
        while budget > 0 {
            let pages_max = u32::try_from(budget).unwrap_or(u32::MAX);
            let taken = self.state().pages.take_for_release(pages_max, reach);
            let Some(outgoing) = taken else {
                break;
            };
            match self.release_run(outgoing) {
                Ok(newly) => release.bytes += newly,
                Err(error) => {
                    release.refused = Some(error);
                    break;
                }
            }
            budget = budget.saturating_sub(outgoing.run.count as usize);
            if !goes_on() {
                break;
            }
        }
        release
    }

    /// Releases a run that was taken for it; the bytes that were retained.
    fn release_run(&self, outgoing: Outgoing) -> Result<usize, SourceError> {
        let releasing = Releasing {
            heap: self,
            outgoing,
        };
        let advised = self.advise(outgoing);
        let (offset, bytes) = (outgoing.run.offset_bytes(), outgoing.run.bytes());
        // SAFETY: the run is made of whole units of free pages, and is marked in use under the
        // lock, so nobody gets it before it is put back; a free page's content is nobody's.
        let answer = unsafe { self.source.release(&self.region, offset, bytes) };
        if answer.is_ok() {
            self.discard_shadows(outgoing.run);
        }
        let newly = releasing.finish(answer.is_ok(), advised);
        answer.map(|()| (newly as usize) << PAGE_SHIFT)
    }

    /// Advises what the block of a run is to be made of, if that changes; whether that worked.
    ///
    /// Before the release, so that a source that panics at it has taken nothing yet.
    fn advise(&self, outgoing: Outgoing) -> bool {
        let PageRun { start, count } = outgoing.block();
        let (offset, bytes) = (
            (start as usize) << PAGE_SHIFT,
            (count as usize) << PAGE_SHIFT,
        );
        let answer = match outgoing.effect {
            Effect::None => return true,
            // Where it fails, the kernel may fill the block up again: then what goes comes back
            // some day, but it is gone now.
            Effect::Breaks => self.source.advise_small(&self.region, offset, bytes),
            // Where it fails, the block stays broken.
            Effect::Mends => self.source.advise_huge(&self.region, offset, bytes),
        };
        answer.is_ok()
    }

    /// Puts a run back that was taken for release, counts the call, and wakes who waits for pages.
    /// Returns how many pages became released.
    fn put_back(&self, outgoing: Outgoing, accepted: bool, advised: bool) -> u32 {
        let mut state = self.state();
        state.blocks_broken += u64::from(outgoing.effect == Effect::Breaks);
        if accepted && advised && outgoing.effect == Effect::Mends {
            state.blocks_mended += 1;
            state.pages.mended(outgoing.run);
        }
        let newly = if accepted {
            state.releases += 1;
            let newly = state.pages.put_back_released(outgoing.run);
            state.released_total_pages += u64::from(newly);
            newly
        } else {
            state.releases_refused += 1;
            state.pages.put_back_retained(outgoing.run);
            0
        };
        self.put_back.notify_all();
        newly
    }
}

/// A run whose release is under way. If the source panics, the run is put back as refused.
struct Releasing<'a, S: PageSource> {
    heap: &'a PageHeap<S>,
    outgoing: Outgoing,
}

impl<S: PageSource> Releasing<'_, S> {
    /// The source has answered.
    fn finish(self, accepted: bool, advised: bool) -> u32 {
        let newly = self.heap.put_back(self.outgoing, accepted, advised);
        std::mem::forget(self);
        newly
    }
}

impl<S: PageSource> Drop for Releasing<'_, S> {
    fn drop(&mut self) {
        self.heap.put_back(self.outgoing, false, false);
    }
}
