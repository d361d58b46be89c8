#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod impls;
mod marker;
mod near;
mod open;
mod packet;
mod port;
mod sync;
mod termination;
mod trace;
mod tracer;
mod worker;

#[cfg(feature = "derive")]
#[doc = include_str!("../derive/README.md")]
pub use gc_mark_derive::Trace;
pub use impls::SizedUnder;
pub use marker::{Aborted, Marker, Outcome, Round};
pub use packet::{PACKET_OBJECTS, PREFETCH_AHEAD, Packet};
pub use port::{ObjectModel, Roots};
pub use trace::{Kind, Object, Rebrand, Trace, Visitor};
pub use tracer::{Alone, Shared, Sharing, Tracer};
