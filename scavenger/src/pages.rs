//! The port: what the scavenger asks of a page heap.
//!
//! Three counts and a deed, which a heap of huge pages can do in two ways; a fourth count, of what
//! was released in vain, where a heap keeps it. Which free pages go
//! first within the rule "highest address first", how large a piece one call to the operating
//! system takes, and what keeps a page from being handed out while it is being released are the
//! heap's affair. The trait is safe: whatever a heap answers, the worst that follows is memory
//! kept or returned at the wrong time.
//!
//! Every method is called from the worker's thread with no lock of this crate held.

use std::fmt;

/// The operating system would not take memory that the heap wanted to give back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Bytes that went back before it said no.
    pub released_bytes: usize,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the operating system refused to take memory back, after {} bytes",
            self.released_bytes
        )
    }
}

impl std::error::Error for Refused {}

/// A heap of pages, some in use, some free; of the free ones some are backed by memory.
pub trait PageHeap: Send + Sync {
    /// Bytes of free pages that are still backed by memory.
    fn retained_bytes(&self) -> usize;

    /// Bytes of free pages that were given back and will fault when they are touched.
    fn released_bytes(&self) -> usize;

    /// Bytes of pages that are in use.
    fn in_use_bytes(&self) -> usize;

    /// Gives back up to `bytes_max` of free pages, highest address first, and returns how many
    /// bytes went back; 0 means that there is nothing left that may go.
    ///
    /// High addresses first because a page heap serves the lowest first: what it will need last
    /// goes first. A heap that releases in units (2 MiB pages, say) may leave a request that is
    /// smaller than a unit undone, or exceed it to complete one.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the operating system said no. The heap keeps that memory for its own use; a
    /// policy asks again, but not at once.
    fn release(&self, bytes_max: usize) -> Result<usize, Refused>;

    /// As [`release`](Self::release), but gives free memory back also where that costs more than
    /// the call: pieces of huge pages that are mostly free. Asked when `release` has nothing left
    /// and the surplus persists.
    ///
    /// How far that goes is the heap's affair; above a limit everything free should.
    ///
    /// Provided for heaps without such memory: nothing goes.
    ///
    /// # Errors
    ///
    /// As for `release`.
    fn release_sparse(&self, bytes_max: usize) -> Result<usize, Refused> {
        let _ = bytes_max;
        Ok(0)
    }

    /// Bytes that were given back and then taken again, since the heap was made: the price that
    /// was paid for what was saved.
    ///
    /// Provided for heaps that do not count them: 0.
    fn refaulted_bytes(&self) -> u64 {
        0
    }
}
