#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod impls;
mod sync;
mod trace;

#[cfg(feature = "derive")]
#[doc = include_str!("../derive/README.md")]
pub use gc_mark_derive::Trace;
pub use impls::SizedUnder;
pub use trace::{Kind, Object, Rebrand, Trace, Visitor};
