#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod os;
mod page_alloc;
mod page_bits;
mod page_error;
mod page_heap;
mod page_release;
mod page_tree;
mod pages;
mod sync;

pub use os::{FakeRegion, FakeSource, Mmap, MmapRegion, PageSource, SourceCall, SourceError};
pub use page_alloc::PageAlloc;
pub use page_error::{Exhausted, ReserveError};
pub use page_heap::PageHeap;
pub use pages::{
    HUGE_PAGE_BYTES, HUGE_PAGES, PAGE_BYTES, PAGE_SHIFT, PageCounts, PageRun, PageState, PageStats,
    Taken,
};
