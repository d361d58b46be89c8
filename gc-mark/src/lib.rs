#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod sync;
mod trace;

pub use trace::{Kind, Object, Rebrand, Trace, Visitor};
