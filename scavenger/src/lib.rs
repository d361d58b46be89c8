#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]
#![forbid(unsafe_code)]

mod decay;
mod goal;
mod pacer;
mod pages;
mod sync;
mod worker;

pub use decay::Decay;
pub use goal::{Goal, LIMIT_PERCENT, MARGIN_PERCENT, Surplus, Usage};
pub use pacer::{Action, Config, Pacer};
pub use pages::PageHeap;
pub use worker::{Statistics, Worker, monotonic};
