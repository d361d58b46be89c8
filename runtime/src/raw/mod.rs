//! The heap without a safety net, for authors of VMs with an object model and stacks of their own.
//!
//! Objects are addresses, kinds are descriptions ([`ObjectType`]), roots are what a
//! [`RootSource`] reports. The safe layer is written against this module and nothing below it.
//!
//! ```
//! use runtime::raw::{self, ObjectType};
//! use runtime::{Heap, Visitor};
//! use std::ptr::NonNull;
//!
//! /// A pair of words that are references or null.
//! struct Pair;
//!
//! // SAFETY: both words are reported, nothing is dropped.
//! unsafe impl ObjectType for Pair {
//!     const SIZE: usize = 16;
//!     const ALIGN: usize = 8;
//!     const NOSCAN: bool = false;
//!     const NEEDS_DROP: bool = false;
//!
//!     unsafe fn trace<V: Visitor>(object: NonNull<u8>, visitor: &mut V) {
//!         // SAFETY: an initialised pair (precondition).
//!         for word in unsafe { object.cast::<[*mut u8; 2]>().read() } {
//!             if let Some(target) = NonNull::new(word) {
//!                 visitor.visit(raw::object_at(target), raw::kind_of(raw::info::<Pair>()));
//!             }
//!         }
//!     }
//!
//!     unsafe fn drop(_object: NonNull<u8>) {}
//! }
//!
//! let heap = Heap::new()?;
//! let mut mutator = heap.mutator();
//! // SAFETY: dropped at the end of this scope, and made in no other.
//! let inside = unsafe { raw::enter(&mut mutator) };
//! // SAFETY: 16 bytes of a `Pair`, initialised at once.
//! let pair = unsafe { inside.alloc(raw::info::<Pair>(), 16) }?;
//! unsafe { pair.cast::<[*mut u8; 2]>().write([std::ptr::null_mut(); 2]) };
//! // SAFETY: nobody else allocates.
//! let found = unsafe { inside.object_containing(pair.as_ptr().addr() + 9) };
//! assert_eq!(found.map(|found| found.start), Some(pair));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod account;
pub(crate) mod assist;
pub(crate) mod barrier;
pub(crate) mod core;
pub(crate) mod ephemerons;
pub(crate) mod fences;
pub(crate) mod inside;
pub(crate) mod log;
pub(crate) mod object_type;
pub(crate) mod phase;
pub(crate) mod registry;
pub(crate) mod roots;
pub(crate) mod shared;
pub(crate) mod stamp_lock;
mod sweeping;
pub(crate) mod task;
pub(crate) mod wave;
pub(crate) mod weak_gate;
pub(crate) mod world;

pub use self::core::RootSource;
pub use self::inside::{Inside, enter};
pub use self::object_type::{OBLET_BYTES, ObjectType, info, kind_of, object_at};
pub use alloc_core::{Found, TypeInfo};
