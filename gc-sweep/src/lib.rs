#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod background;
mod claims;
mod credit;
mod generation;
mod space;
mod state;
mod sweeper;
mod sync;

pub use background::{Background, Step};
pub use credit::Debt;
pub use generation::{Claim, Claims, GenerationWord};
pub use space::{Reclaimed, SweepSpace};
pub use sweeper::{Glue, Outcome, Progress, Sweeper};
