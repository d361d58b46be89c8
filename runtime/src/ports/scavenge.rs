//! The heap as the scavenger sees it: free pages, by how much of them is backed by memory.

use crate::raw::core::Core;
use alloc_core::Reach;
use scavenger::{Config, PageHeap, Worker, monotonic};
use std::sync::Arc;

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

    fn release(&self, bytes_max: usize) -> usize {
        self.heap.pages().release(bytes_max, Reach::Whole)
    }

    fn release_sparse(&self, bytes_max: usize) -> usize {
        self.heap.pages().release(bytes_max, Reach::Sparse)
    }
}

/// Starts the thread that gives memory back; without it, only `release_os_memory` does.
///
/// The thread holds the heap weakly, and upgrades for a step at a time.
pub(crate) fn spawn(core: &Arc<Core>) -> Option<Worker> {
    Worker::spawn(Arc::downgrade(core), monotonic(), Config::default()).ok()
}
