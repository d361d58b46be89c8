#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]
#![forbid(unsafe_code)]

pub mod cgroup;
mod decay;
mod goal;
mod latency;
mod pacer;
mod pages;
mod policy;
mod sync;
mod worker;

pub use decay::Decay;
pub use goal::{Goal, LIMIT_PERCENT, MARGIN_PERCENT, Surplus, Usage};
pub use latency::Latencies;
pub use pacer::{Config, Pacer};
pub use pages::{PageHeap, Refused};
pub use policy::{Action, Outcome, Policy};
pub use worker::{Statistics, Worker, monotonic};
