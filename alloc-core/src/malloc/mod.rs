//! Memory with explicit free, for a program without a collector.
//!
//! [`Heapwright`] is a global allocator: one line, and a program allocates from here.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: alloc_core::malloc::Heapwright = alloc_core::malloc::Heapwright;
//!
//! fn main() {
//!     let words: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
//!     assert_eq!(words.concat().len(), 2890);
//! }
//! ```
//!
//! [`Hardened`] is the same with checks: what is freed twice, or is not the heap's, stops the
//! program with a line that says so. [`ByteHeap`] is the heap below them, for who wants several,
//! or one over a [`PageSource`](crate::PageSource) of their own.
//!
//! How it works, from the top down: `magazines.rs` has the fast path, `slots.rs` and `hold.rs` the
//! protocol between those who free and the one who allocates from a span, `byte_heap.rs` the
//! whole. It asks nothing of the page heap that the collected heap does not, and takes the array
//! of mark bits, for which it has no other use, to say which slots were freed.

mod back;
mod byte_heap;
mod check;
mod classes;
mod depot;
mod discard;
mod fatal;
mod guard;
mod hold;
mod large;
mod magazines;
mod shape;
mod shelf;
mod slots;
mod stash;
mod trim;

// The allocator of a process: there is one, so models have none.
#[cfg(all(unix, not(heapwright_loom), feature = "allocator-api2"))]
mod api2;
#[cfg(all(unix, not(heapwright_loom)))]
mod boot;
#[cfg(all(unix, not(heapwright_loom)))]
mod fork;
#[cfg(all(unix, not(heapwright_loom)))]
mod global;
#[cfg(all(unix, not(heapwright_loom)))]
mod thread;

#[cfg(all(unix, not(heapwright_loom)))]
pub use global::{Hardened, Heapwright};

pub use byte_heap::{ByteHeap, Mode};
pub(crate) use hold::HoldWord;
pub use magazines::Magazines;

#[cfg(all(test, heapwright_loom))]
pub(crate) use {depot::Depot, hold::Hold, shelf::Shelf, slots::Slots};
