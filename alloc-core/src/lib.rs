#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

// Pages, from the operating system up.
mod os;
mod page_ahead;
mod page_alloc;
mod page_bits;
mod page_error;
mod page_heap;
mod page_parts;
mod page_reach;
mod page_refault;
mod page_release;
mod page_tree;
mod pages;

// Spans of typed objects on these pages, up to the fast path of allocation.
mod bits;
mod central;
mod heap;
mod inspect;
mod places;
mod reclaim;
mod refill;
mod size_class;
mod size_table;
mod span;
mod thread_cache;
mod type_info;

// Explicit free on the same pages and spans, up to a program's global allocator.
pub mod malloc;

mod sync;

#[cfg(all(test, heapwright_loom))]
mod models;

pub use bits::Bits;
pub use heap::{Heap, pages_within};
pub use inspect::{Census, Found, Occupancy};
pub use os::{FakeRegion, FakeSource, Mmap, MmapRegion, PageSource, SourceCall, SourceError};
pub use page_alloc::PageAlloc;
pub use page_error::{Exhausted, ReserveError};
pub use page_heap::PageHeap;
pub use page_reach::{Effect, Outgoing, Reach};
pub use page_release::Release;
pub use pages::{
    HUGE_PAGE_BYTES, HUGE_PAGES, PAGE_BYTES, PAGE_SHIFT, PageCounts, PageRun, PageState, PageStats,
    Taken,
};
pub use reclaim::{Burials, Swept};
pub use refill::{NoRefill, Refill};
pub use size_class::{GRANULE_BYTES, SMALL_BYTES_MAX, SizeClass};
pub use thread_cache::ThreadCache;
pub use type_info::{Ops, TypeInfo};
