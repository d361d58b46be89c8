//! The heap as the scavenger sees it: free pages, by how much of them is backed by memory.

use crate::raw::core::Core;
use crate::trace_line;
use alloc_core::Reach;
use scavenger::{Goal, PageHeap, Policy, Refused, Usage, Worker, monotonic};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After so long the worker's call ends at the next block, whatever it was asked for: the worker
/// measures what a byte costs, but the price may rise thirtyfold within a call.
const CALL_MAX: Duration = Duration::from_millis(1);

impl Core {
    /// Gives up to `bytes_max` back, as far as `reach` goes and `call_max` lasts, and writes a line
    /// about it.
    fn give_back(
        &self,
        bytes_max: usize,
        reach: Reach,
        call_max: Duration,
    ) -> Result<usize, Refused> {
        let began = Instant::now();
        let goes_on = || began.elapsed() < call_max;
        let pages = self.heap.pages();
        let release = pages.release_while(bytes_max, reach, goes_on);
        trace_line::release(&release, reach, began.elapsed(), || {
            self.heap.pages().stats()
        });
        match release.refused {
            None => Ok(release.bytes),
            Some(_) => Err(Refused {
                released_bytes: release.bytes,
            }),
        }
    }

    /// Gives all free memory back, whatever huge pages that costs; how many bytes went.
    pub(crate) fn give_all_back(&self) -> usize {
        self.give_back_as_far_as(Reach::All)
    }

    /// Gives the free memory back of which most huge pages consist.
    pub(crate) fn give_much_back(&self) {
        self.give_back_as_far_as(Reach::Sparse);
    }

    fn give_back_as_far_as(&self, reach: Reach) -> usize {
        let mut released_bytes = 0;
        loop {
            match self.give_back(usize::MAX, reach, Duration::MAX) {
                Ok(0) => return released_bytes,
                Ok(more) => released_bytes += more,
                Err(refused) => return released_bytes + refused.released_bytes,
            }
        }
    }
}

impl PageHeap for Core {
    fn retained_bytes(&self) -> usize {
        self.heap.pages().stats().retained_bytes
    }

    fn released_bytes(&self) -> usize {
        self.heap.pages().stats().released_bytes
    }

    fn in_use_bytes(&self) -> usize {
        self.heap.pages().stats().in_use_bytes
    }

    fn release(&self, bytes_max: usize) -> Result<usize, Refused> {
        self.give_back(bytes_max, Reach::Whole, CALL_MAX)
    }

    /// Above the memory limit no huge page is worth its memory: all that is free may go.
    fn release_sparse(&self, bytes_max: usize) -> Result<usize, Refused> {
        let goal = Goal {
            limit_bytes: self.account.limit_pages_bytes(),
            ..Goal::default()
        };
        let usage = Usage {
            in_use_bytes: self.in_use_bytes(),
            retained_bytes: self.retained_bytes(),
            refaulted_bytes: 0,
        };
        let is_urgent = goal.surplus(usage).urgent_bytes > 0;
        let reach = if is_urgent { Reach::All } else { Reach::Sparse };
        self.give_back(bytes_max, reach, CALL_MAX)
    }

    fn refaulted_bytes(&self) -> u64 {
        self.heap.pages().stats().refaulted_bytes
    }
}

/// Starts the thread that gives memory back; without it, only `release_os_memory` does.
///
/// The thread holds the heap weakly, and upgrades for a step at a time.
pub(crate) fn spawn(core: &Arc<Core>, policy: Box<dyn Policy>) -> Option<Worker> {
    Worker::spawn(Arc::downgrade(core), monotonic(), policy).ok()
}
