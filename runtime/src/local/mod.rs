//! `LocalHeap`: a heap of one thread, collected by that thread in small steps.
//!
//! What one thread alone can reach needs no locks and no atomics: values may hold `Rc`, `Cell` and
//! whatever else is bound to its thread, and what changes inside an object does so through
//! [`LocalCell`] and [`LocalRefCell`]. There is no background thread: at a closure's edge, where no
//! reference is held, the heap marks some objects or sweeps some spans, in proportion to what was
//! allocated, and the program goes on. Below the surface it is the same heap as [`Heap`]
//! (`crate::raw::core`), with one mutator that never goes inside, so that each handshake is
//! acknowledged in its name on the spot.
//!
//! | file | holds |
//! |---|---|
//! | `heap.rs` | the heap as its user holds it |
//! | `cx.rs`, `root.rs` | what a closure can do, and what outlives it |
//! | `cell.rs`, `ref_cell.rs` | places that change, and the barrier at each |
//! | `cycle.rs` | the steps of a cycle, and why they find all that is reachable |
//! | `pace.rs` | how large a step is: arithmetic |
//!
//! [`Heap`]: crate::Heap

mod cell;
mod cx;
mod cycle;
mod heap;
mod pace;
mod ref_cell;
mod root;

pub use cell::LocalCell;
pub use cx::LocalCx;
pub use heap::{LocalBuilder, LocalHeap};
pub use ref_cell::LocalRefCell;
pub use root::LocalRoot;
