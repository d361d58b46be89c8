//! What mutators do to the heap while a collector marks beside them, under loom: every
//! interleaving of small instances.
//!
//! Run: `RUSTFLAGS="--cfg heapwright_loom" CARGO_TARGET_DIR=target-loom cargo test --profile loom
//! -p runtime --features loom --lib models_barrier -- --nocapture`.
//!
//! | file | what |
//! |---|---|
//! | `slot` | the barrier of a single reference, publication, the checker's own hole |
//! | `lock` | the lock of data inside objects: writers, readers, the marker, sleep |
//!
//! The code under test is the shipped one: [`crate::raw::barrier`], [`crate::raw::log`],
//! [`crate::raw::stamp_lock`] and what [`crate::locked`] builds of it. The handshakes are stood in
//! for by joins: they have models of their own.
//!
//! Each model names the mutants that it kills; they are listed, with the line that each changes,
//! in `xtask/mutants/runtime-barrier.toml`.

mod lock;
mod slot;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Explores `body` without a bound and with at most one, two and three preemptions: loom's
/// reduction misses schedules that the bounded search happens on.
fn model(name: &str, body: fn()) {
    for preemptions in [Some(1), Some(2), Some(3), None] {
        let begun = Instant::now();
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
        let (runs, seconds) = (runs.load(Relaxed), begun.elapsed().as_secs_f64());
        println!("{name}: complete, preemptions {preemptions:?}, {runs} runs, {seconds:.1} s");
    }
}
