//! The protocols over spans under loom: every interleaving of small instances.
//!
//! Run: `RUSTFLAGS="--cfg heapwright_loom" CARGO_TARGET_DIR=target-loom cargo test --profile loom
//! -p alloc-core --features loom --lib models -- --nocapture`.
//!
//! Spans, centrals and bits are built alone, from a few lines of metadata, so that no model needs
//! a mapping. What a span consists of is stood in for by a loom cell: two accesses that the
//! protocol does not order fail the model, whether or not they overlapped in the schedule at hand.
//!
//! Each model names the mutants that it kills; they are listed, with the line that each changes,
//! in `xtask/mutants/alloc-core-spans.toml` and, for `slots` and `fork`, in
//! `alloc-core-malloc.toml` and `alloc-core-model.toml`.

mod bits;
mod central;
mod fork;
mod slots;
mod spans;

use crate::bits::Bits;
use crate::size_class::SizeClass;
use crate::span::{Birth, Line, Spans};
use crate::type_info::{Ops, TypeInfo};
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Swept, in the cycle that the models begin with.
const SWEPT: u32 = 4;
const CLAIMED: u32 = SWEPT - 1;
const UNSWEPT: u32 = SWEPT - 2;

static INFO: TypeInfo = TypeInfo {
    name: || "model",
    size: 16,
    align: 8,
    noscan: true,
    needs_drop: false,
    ops: Ops::NONE,
};

/// The class of 16 bytes: as many slots as granules.
fn class() -> SizeClass {
    SizeClass::of(16, 8).unwrap()
}

/// Explores `body` without a bound and with at most one, two and three preemptions: loom's
/// reduction misses schedules that the bounded search happens on.
fn model(name: &str, body: fn()) {
    for preemptions in [Some(1), Some(2), Some(3), None] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        builder.max_duration = None;
        builder.max_permutations = None;
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        builder.check(move || {
            counted.fetch_add(1, Relaxed);
            body();
        });
        let runs = runs.load(Relaxed);
        println!("{name}: complete, preemptions {preemptions:?}, {runs} runs");
    }
}

/// `words` words of zero bits.
fn bits(words: usize) -> Bits {
    // SAFETY: under the model the words are boxes of their own, and the address is not used.
    unsafe { Bits::from_raw(NonNull::<u64>::dangling().cast(), words) }
}

/// Spans of a heap of `pages` pages, none of them born.
fn spans(pages: usize) -> Spans {
    // SAFETY: as in `bits`.
    let lines = unsafe { Spans::lines_at(NonNull::<Line>::dangling().cast(), pages) };
    Spans::new(lines, bits(1), bits(1))
}

/// A span of one page and `central`, swept.
fn birth(central: u32) -> Birth {
    Birth {
        info: &INFO,
        class: Some(class()),
        pages: 1,
        central,
        generation: SWEPT,
    }
}

/// What whoever has the right to a span may touch, alone.
#[derive(Default)]
struct Content {
    touches: UnsafeCell<u32>,
    step: AtomicU32,
}

// SAFETY: loom's cell is not `Sync`, but it reports every access that the protocol fails to order.
unsafe impl Sync for Content {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Content {}

impl Content {
    /// Writes it, with a step in the midst at which loom may let another thread run.
    fn touch(&self) {
        self.touches.with_mut(|touches| {
            self.step.fetch_add(1, Relaxed);
            // SAFETY: loom has checked that nobody else has access.
            unsafe { *touches += 1 };
        });
    }
}
