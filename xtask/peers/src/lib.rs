//! What the benches share: a clock that sees every thread, random numbers, the machine's limits,
//! and the table that they print.
//!
//! A figure here is never alone. Each *round* measures the heap, its rival and the machine's limit
//! one after the other, and a ratio is the median of the rounds' ratios: on a machine whose clock
//! and memory drift by half within minutes, that is what can be compared.

pub mod beside;
pub mod cost;
pub mod go;
pub mod latency;
pub mod limits;
pub mod process;
pub mod programs;
pub mod random;
pub mod report;
pub mod rivals;

pub use cost::{Cost, cost};
pub use random::Random;
pub use report::{Basis, Report};
