//! Stacks for interpreters and compilers: memory that cleans itself.
//!
//! A [`Stack`] is made of frames, pushed and popped in a few instructions. A frame holds plain data
//! in place, and references into a heap, which are roots of its cycles. A stack grows by moving;
//! frames are found by what they are and where they stand in it, never by an address.
//!
//! ```
//! use runtime::stack::{EntryPoint, FrameKind, StackOptions, Stacks};
//! use runtime::{Gc, Heap, Trace};
//!
//! /// What one call of an interpreted function needs.
//! #[derive(Trace)]
//! struct Call<'gc> {
//!     name: Gc<'gc, str>,
//!     next: usize,
//! }
//! static CALL: FrameKind<Call<'static>, Option<Gc<'static, u64>>> = FrameKind::new("call");
//!
//! let heap = Heap::new()?;
//! let stacks = Stacks::of(&heap, StackOptions::default());
//! let mut stack = stacks.stack(&EntryPoint::new("main"))?;
//! let mut mutator = heap.mutator();
//! mutator.fibers(|fibers| {
//!     fibers.turn(&mut stack, |cx, frames| {
//!         let call = Call { name: cx.alloc_str("main"), next: 0 };
//!         frames.push(&CALL, call, 2, None).map_err(|refused| refused.cause)?;
//!         let (call, slots) = frames.top_mut(&CALL);
//!         call.next += 1;
//!         slots[1] = Some(cx.alloc(7));
//!         Ok::<(), runtime::stack::StackError>(())
//!     })?;
//!     // Here a cycle may begin or end: no reference is held but in frames.
//!     fibers.checkpoint();
//!     fibers.turn(&mut stack, |_, frames| {
//!         assert_eq!(frames.top(&CALL).1[1].map(|seven| *seven), Some(7));
//!         assert_eq!(&*frames.pop(&CALL).name, "main");
//!     });
//!     Ok::<(), runtime::stack::StackError>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Turns
//!
//! References live in a turn, and are branded by it as those of
//! [`Mutator::enter`](crate::Mutator::enter) are by their closure: what a turn does not put in a
//! frame, or in a [`Root`](crate::Root), it does not find again. Between two turns
//! [`Fibers::checkpoint`] acknowledges whatever a cycle asks, without leaving the closure around
//! them. A stack's turns may be of different mutators, on different threads.
//!
//! # Values that live in a frame
//!
//! [`Frames::with`] keeps a value in a frame of its own while a closure runs, and drops it at the
//! end, also on unwinding. It costs no collector anything, and the borrow checker is the escape
//! analysis: the [`Place`] cannot leave the closure, and nothing in the heap can hold it.
//! [`Frames::promote`] moves the value to the heap.
//!
//! # Where to read on
//!
//! `scan.rs` says why nothing that a frame holds is lost while a cycle marks beside the fiber;
//! `memory.rs` how frames lie; `pool.rs` where memory comes from; `entry.rs` how large a stack is
//! at first.

mod address;
mod entry;
mod fiber;
mod frames;
mod kind;
mod list;
mod memory;
mod mounted;
mod pool;
mod scan;
mod scope;
mod turns;

pub use address::FrameAt;
pub use entry::EntryPoint;
pub use fiber::{Stack, StackOptions, Stacks};
pub use frames::Frames;
pub use kind::{CopyUnder, FRAME_BYTES_MAX, FrameData, FrameKind, SlotData};
pub use scope::Place;
pub use turns::Fibers;

pub(crate) use fiber::Cell;
pub(crate) use list::StackList;
#[cfg(all(test, heapwright_loom))]
pub(crate) use scan::Shared;

use std::fmt;

/// Why a stack did not grow, or was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackError {
    /// It would be larger than [`StackOptions::limit_bytes`]: recursion without an end, perhaps.
    Limit {
        /// Frames on the stack.
        depth: usize,
        /// What the frame that did not fit is called.
        kind: &'static str,
        /// How large that frame is.
        asked_bytes: usize,
        /// How much the others use.
        used_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// One frame is more than [`FRAME_BYTES_MAX`] bytes large: keep what is large in the heap.
    FrameTooLarge {
        /// What the frame is called.
        kind: &'static str,
    },
    /// There is no memory for it: drop stacks or collect, and try again.
    Memory(alloc_core::Exhausted),
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit {
                depth,
                kind,
                asked_bytes,
                used_bytes,
                limit_bytes,
            } => write!(
                f,
                "a frame `{kind}` of {asked_bytes} bytes does not fit on top of {depth} frames of \
                 {used_bytes} bytes: the stack's limit is {limit_bytes} bytes; raise \
                 `StackOptions::limit_bytes`, or recurse less deeply"
            ),
            Self::FrameTooLarge { kind } => write!(
                f,
                "a frame `{kind}` would have more than {FRAME_BYTES_MAX} bytes; keep what is \
                 large in the heap"
            ),
            Self::Memory(cause) => write!(f, "no memory for a stack: {cause}"),
        }
    }
}

impl std::error::Error for StackError {}

/// A frame that was not pushed: its head comes back.
pub struct Refused<H> {
    /// What would have been the frame's head.
    pub head: H,
    /// Why it was not pushed.
    pub cause: StackError,
}

impl<H> fmt::Debug for Refused<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

impl<H> fmt::Display for Refused<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<H> std::error::Error for Refused<H> {}
