//! What releasing cost: pages that were given back and then wanted again.
//!
//! A released page that is committed either was never touched, which costs the same whoever runs
//! the heap, or had been given back, which a release has to answer for. Only the second is a
//! *refault*. One bit a page tells them apart: it is *fresh* until it is committed for the first
//! time. The bits lie apart from those that allocation and release look at, because they are
//! looked at only when a page is committed.
//!
//! Invariant: a fresh page is marked as released.

use crate::page_alloc::{PageAlloc, pieces};
use crate::page_bits::ChunkBits;
use crate::pages::PageRun;

/// Which pages were never committed, and how many came back from a release.
#[derive(Debug)]
pub(crate) struct Refaults {
    /// A chunk: its pages that were never committed.
    fresh: Vec<ChunkBits>,
    pages: u64,
}

impl Refaults {
    /// No chunks, with room for so many.
    pub(crate) fn with_capacity(chunks_max: usize) -> Self {
        Refaults {
            fresh: Vec::with_capacity(chunks_max),
            pages: 0,
        }
    }

    /// A chunk is added, all of it fresh.
    pub(crate) fn push(&mut self) {
        self.fresh.push(ChunkBits::ALL);
    }
}

impl PageAlloc {
    /// Pages that were released and then committed, so far; each time counts.
    #[must_use]
    pub fn refaulted_pages(&self) -> u64 {
        self.refaults.pages
    }

    /// The length of the longest run of free pages among the grown ones, in pages. O(1).
    #[must_use]
    pub fn free_run_max(&self) -> u32 {
        self.tree.root().max
    }

    /// A run is about to be marked as committed: counts its refaults, and it is fresh no more.
    pub(crate) fn note_refaults(&mut self, run: PageRun) {
        for (chunk, start, count) in pieces(run) {
            let fresh = &mut self.refaults.fresh[chunk];
            let released = self.chunks[chunk].released.count_set(start, count);
            self.refaults.pages += u64::from(released - fresh.count_set(start, count));
            fresh.clear(start, count);
        }
    }

    /// The part of [`check_invariants`](Self::check_invariants) that is about refaults.
    pub(crate) fn check_refaults(&self) {
        assert_eq!(self.refaults.fresh.len(), self.chunks.len(), "chunks");
        for (index, (fresh, chunk)) in self.refaults.fresh.iter().zip(&self.chunks).enumerate() {
            assert!(
                fresh.is_within(&chunk.released),
                "a fresh page of chunk {index} is not marked as released"
            );
        }
    }
}
