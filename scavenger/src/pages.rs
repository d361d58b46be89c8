//! The port: what the scavenger asks of a page heap.
//!
//! Three counts and a deed, which a heap of huge pages can do in two ways. Which free pages go
//! first within the rule "highest address first", how large a piece one call to the operating
//! system takes, and what keeps a page from being handed out while it is being released are the
//! heap's affair. The trait is safe: whatever a heap answers, the worst that follows is memory
//! kept or returned at the wrong time.
//!
//! Every method is called from the worker's thread with no lock of this crate held.

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
    fn release(&self, bytes_max: usize) -> usize;

    /// As [`release`](Self::release), but gives free memory back also where that costs more than
    /// the call: pieces of huge pages that are mostly free. Asked when `release` has nothing left
    /// and the surplus persists.
    ///
    /// Provided for heaps without such memory: nothing goes.
    fn release_sparse(&self, bytes_max: usize) -> usize {
        let _ = bytes_max;
        0
    }
}
