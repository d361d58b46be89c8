//! The programs of `cargo xtask bench --peers` that are in Rust: every workload on our heap, on
//! explicit free, on counted references, and on collectors from crates.
//!
//! A run is a process: `PROGRAM WORKLOAD key=value...`. It prints lines of a name and a figure, the
//! `answer` among them, which depends on the workload's parameters alone. A workload's loop is one
//! function here, generic over the system, so that the systems differ in what they allocate with
//! and in nothing else; programs in other languages follow the same text.

mod alloc;
mod arena;
mod arena_graph;
mod arena_packages;
mod counted_packages;
mod cycles;
mod floor;
mod graph;
mod growth;
mod heap;
mod heap_graph;
mod heap_growth;
mod heap_mixed;
mod heap_packages;
mod mixed;
mod owned;
mod packages;
mod params;
mod ring;
mod run;
mod trees;

pub use params::Params;
pub use run::{Lines, System, Used, main, run};

/// Whatever goes wrong in a program: it is printed, and the process fails.
pub type Failure = Box<dyn std::error::Error>;

/// A workload that a system has no program for; its process exits with 3.
#[derive(Debug)]
pub struct Unknown(pub String);

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this system has no program for {}", self.0)
    }
}

impl std::error::Error for Unknown {}

pub use alloc::Alloc;
pub use arena::Arena;
pub use cycles::Cycles;
pub use floor::Floor;
pub use heap::Collected;
pub use owned::{Counted, Explicit, SharedCounted};
