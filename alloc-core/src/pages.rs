//! Pages, the unit in which a heap takes memory and gives it back, and the words for them.
//!
//! A page has a number: its place in the heap's reserved range, counted from the range's base. A
//! number needs half the room of an address and says the same wherever the range happens to lie, so
//! that everything about pages can be tested without any memory. [`PageAlloc`](crate::PageAlloc)
//! knows only numbers; [`PageHeap`](crate::PageHeap) is the one that knows the base.

/// log2 of [`PAGE_BYTES`].
pub const PAGE_SHIFT: u32 = 13;

/// Bytes in a page: 8 KiB, whatever the processor's page is.
///
/// Two or more times the smallest hardware page, so that a span of small objects amortizes its
/// metadata; small enough that a class with few objects wastes little.
pub const PAGE_BYTES: usize = 1 << PAGE_SHIFT;

/// Bytes in a huge page: 2 MiB, the size of x86-64 and of AArch64 with 4 KiB pages.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Pages in a huge page.
pub const HUGE_PAGES: u32 = (HUGE_PAGE_BYTES >> PAGE_SHIFT) as u32;

/// A row of neighboring pages, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageRun {
    /// The first page, counted from the base of the heap's range.
    pub start: u32,
    /// How many pages there are.
    pub count: u32,
}

impl PageRun {
    /// The number just behind the last page.
    #[must_use]
    pub const fn end(self) -> u32 {
        self.start + self.count
    }

    /// Where the run begins, in bytes from the base of the heap's range.
    #[must_use]
    pub const fn offset_bytes(self) -> usize {
        (self.start as usize) << PAGE_SHIFT
    }

    /// The length of the run in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        (self.count as usize) << PAGE_SHIFT
    }
}

/// A run that was taken, and what is known of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The pages.
    pub run: PageRun,
    /// How many of them the operating system held: released, or never touched so far. They have to
    /// be committed before use, and read as zero then.
    pub released_pages: u32,
}

impl Taken {
    /// Whether every byte of the run reads as zero once it is committed.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.released_pages == self.run.count
    }
}

/// What a page is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageState {
    /// Taken by somebody, or on its way to or from the operating system.
    InUse,
    /// Free, and its memory is still held by the process.
    Retained,
    /// Free, and its memory is with the operating system.
    Released,
    /// Reserved, but the heap has not grown to it yet.
    Ungrown,
}

/// How many pages of a heap are what. `grown == in_use + retained + released`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// Pages the heap has grown to.
    pub grown: u32,
    /// Pages that are taken.
    pub in_use: u32,
    /// Free pages whose memory the process holds; those on their way out are among them.
    pub retained: u32,
    /// Free pages whose memory is with the operating system.
    pub released: u32,
    /// Pages that are being released, or backed, right now. Each is counted as retained or released
    /// too.
    pub releasing: u32,
}

/// What a heap's pages are doing, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageStats {
    /// The reserved range of the heap, without its metadata.
    pub reserved_bytes: usize,
    /// How far it has grown: `in_use_bytes + retained_bytes + released_bytes`.
    pub grown_bytes: usize,
    /// Pages that are allocated.
    pub in_use_bytes: usize,
    /// Free pages whose memory the process holds.
    pub retained_bytes: usize,
    /// Free pages whose memory is with the operating system.
    pub released_bytes: usize,
    /// The most bytes that may be in use.
    pub limit_bytes: usize,
    /// Calls that gave memory back.
    pub releases: u64,
    /// Calls to give memory back that the source refused.
    pub releases_refused: u64,
    /// Bytes that went back so far, each time counted; what is with the operating system now and
    /// was never touched is not among them.
    pub released_total_bytes: u64,
    /// Of these, bytes that were taken again: the price of having released them was a fault.
    pub refaulted_bytes: u64,
    /// The longest run of free pages among the grown ones.
    pub free_run_max_bytes: usize,
    /// Blocks of 2 MiB that were broken: released in pieces, so that they lost their huge page.
    pub blocks_broken: u64,
    /// Broken blocks that were released as a whole later, and may have a huge page again.
    pub blocks_mended: u64,
}

impl PageStats {
    /// External fragmentation: the part of the free pages that lies outside of the longest free
    /// run, 0 if they are in one piece (or there are none), near 1 if they are scattered.
    #[must_use]
    pub fn fragmentation(&self) -> f64 {
        let free = (self.retained_bytes + self.released_bytes).max(self.free_run_max_bytes);
        if free == 0 {
            return 0.0;
        }
        1.0 - self.free_run_max_bytes as f64 / free as f64
    }
}
