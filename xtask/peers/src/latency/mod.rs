//! The latency bench: what its runs have in common, whatever system and language they are of.
//!
//! A run is a process of its own. It gets its [`Plan`] as arguments and prints an [`Outcome`] as
//! lines of text, so that a program in another language takes part by speaking the same two
//! forms. The harness runs the systems in turn, compares their checksums, and makes [`Rows`] of
//! the medians.

mod outcome;
mod plan;
mod rows;

pub use outcome::{Outcome, recorder};
pub use plan::{Plan, SLOTS};
pub use rows::Rows;
