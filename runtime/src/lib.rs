#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

// So that what `#[derive(Trace)]` writes is right in this crate as in any other.
extern crate self as runtime;

// What a program holds.
mod cell;
mod cleanup;
mod cx;
mod ephemeron;
mod external;
mod finalize;
mod gc;
mod heap;
mod local;
mod locked;
mod repr;
mod root;
mod rw_locked;
mod weak;
mod weak_map;

// How cycles run.
mod alone;
mod beside;
mod collector;
mod crew;
mod cycle;
mod debug;
mod on_the_fly;
pub mod pacer;
pub mod scavenge;
mod stats;
mod stop_the_world;
mod trace_line;

// For compilers and interpreters.
pub mod escape;
pub mod stack;

// What is below.
mod ports;
pub mod raw;
mod sync;

#[cfg(all(test, not(heapwright_loom)))]
mod directed;
#[cfg(all(test, heapwright_loom))]
mod models;

pub use alloc_core::{Census, FakeSource, Mmap, Occupancy, PageSource, ReserveError, SourceCall};
pub use beside::Beside;
pub use cell::GcCell;
pub use cleanup::Cleanup;
pub use collector::{Barrier, Collector, NoGc};
pub use crew::Crew;
pub use cx::{Cx, Exhausted};
pub use cycle::{CollectError, Session, Stopped};
pub use debug::Debug;
pub use ephemeron::Ephemeron;
pub use external::External;
pub use finalize::Finalizer;
pub use gc::Gc;
pub use gc_mark::{Kind, Object, Rebrand, Trace, Visitor};
pub use heap::{Builder, Heap, Mutator, Runtime};
pub use local::{LocalBuilder, LocalCell, LocalCx, LocalHeap, LocalRefCell, LocalRoot};
pub use locked::{Locked, LockedGuard};
pub use on_the_fly::OnTheFly;
pub use repr::Managed;
pub use root::Root;
pub use rw_locked::{ReadGuard, RwLocked, WriteGuard};
pub use stats::{CycleStats, Late, Reason, Stats};
pub use stop_the_world::StopTheWorld;
pub use weak::Weak;
pub use weak_map::WeakMap;

#[doc(hidden)]
pub use gc_mark;

/// The project's own README, so that its example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ProjectReadme;
