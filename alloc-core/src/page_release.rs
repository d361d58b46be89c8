//! Giving free pages back to the operating system, while others allocate.
//!
//! A release is a loop of three steps: take the highest run that can go, under the heap's lock;
//! call the source for it, without the lock, because that call takes microseconds to milliseconds;
//! put the run back, under the lock. In between, the run is marked in use, so that no allocation
//! can get it; the table in `page_heap` has the states and the argument.
//!
//! From the highest address down, because allocation fills from the lowest up: what is high is the
//! least likely to be needed again soon.
//!
//! When and how much is not decided here: that is a policy, and belongs to the caller.

use crate::os::PageSource;
use crate::page_heap::PageHeap;
use crate::pages::{PAGE_BYTES, PAGE_SHIFT, PageRun};

impl<S: PageSource> PageHeap<S> {
    /// Gives up to `bytes_max` bytes of free memory back to the operating system, from the highest
    /// address down, and returns how many bytes of retained memory that were. Zero means that there
    /// is nothing to release, or that the source refused.
    ///
    /// Memory goes by whole units, so `bytes_max` is rounded up to one: 2 MiB where pages are huge.
    /// Each call of the source is for at most 4 MiB, with no lock held.
    pub fn release(&self, bytes_max: usize) -> usize {
        let mut budget = bytes_max.div_ceil(PAGE_BYTES);
        let mut released = 0;
        while budget > 0 {
            let pages_max = u32::try_from(budget).unwrap_or(u32::MAX);
            let taken = self.state().pages.take_for_release(pages_max);
            let Some(run) = taken else {
                break;
            };
            let Some(newly) = self.release_run(run) else {
                break;
            };
            released += newly;
            budget = budget.saturating_sub(run.count as usize);
        }
        released
    }

    /// Releases a run that was taken for it; the bytes that were retained, or `None` if refused.
    fn release_run(&self, run: PageRun) -> Option<usize> {
        let releasing = Releasing { heap: self, run };
        let (offset, bytes) = (run.offset_bytes(), run.bytes());
        // SAFETY: the run is made of whole units of free pages, and is marked in use under the
        // lock, so nobody gets it before it is put back; a free page's content is nobody's.
        let answer = unsafe { self.source.release(&self.region, offset, bytes) };
        let newly = releasing.finish(answer.is_ok());
        answer.is_ok().then_some((newly as usize) << PAGE_SHIFT)
    }

    /// Puts a run back that was taken for release, counts the call, and wakes who waits for pages.
    /// Returns how many pages became released.
    fn put_back(&self, run: PageRun, accepted: bool) -> u32 {
        let mut state = self.state();
        let newly = if accepted {
            state.releases += 1;
            state.pages.put_back_released(run)
        } else {
            state.releases_refused += 1;
            state.pages.put_back_retained(run);
            0
        };
        self.put_back.notify_all();
        newly
    }
}

/// A run whose release is under way. If the source panics, the run is put back as refused.
struct Releasing<'a, S: PageSource> {
    heap: &'a PageHeap<S>,
    run: PageRun,
}

impl<S: PageSource> Releasing<'_, S> {
    /// The source has answered.
    fn finish(self, accepted: bool) -> u32 {
        let newly = self.heap.put_back(self.run, accepted);
        std::mem::forget(self);
        newly
    }
}

impl<S: PageSource> Drop for Releasing<'_, S> {
    fn drop(&mut self) {
        self.heap.put_back(self.run, false);
    }
}
