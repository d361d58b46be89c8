//! The runtime's protocols under loom: every interleaving of small instances.
//!
//! Run: `RUSTFLAGS="--cfg heapwright_loom" CARGO_TARGET_DIR=target-loom cargo test --profile loom
//! -p runtime --features loom --lib models -- --nocapture`.
//!
//! | file | what |
//! |---|---|
//! | `stop` | the world is stopped, mutators enter, leave, register |
//! | `handshake` | each mutator is told of a phase on its own |
//! | `wave` | logs, and the end of marking |
//! | `assist` | mutators that help to mark |
//! | `gate` | weak references against the end of marking |
//! | `ephemerons` | pairs whose value lives as long as the key, against the end of marking |
//! | `roots` | the handle table |
//! | `slot` | the barrier of a single reference, publication, the checker's own hole |
//! | `stack` | frames of stacks: fibers, markers, shrinking |
//! | `lock` | the lock of data inside objects: writers, readers, the marker, sleep |
//!
//! The code under test is the shipped one. In `slot` and `lock` handshakes are stood in for by
//! joins: they have models of their own.
//!
//! A loom cell stands for the heap: mutators look at it, the collector writes it, and loom reports
//! every pair of accesses that the protocol does not order. Each mutator's own local is such a cell
//! as well ([`crate::sync::ProtocolCell`]). A wait that nobody ends is reported as a deadlock, a
//! spin that nobody ends as too many branches.
//!
//! Each model names the mutants that it kills; they are listed, with the line that each changes,
//! in `xtask/mutants/runtime-loom.toml`, `runtime-barrier.toml`, `runtime-assist.toml`,
//! `runtime-ephemerons.toml` and `runtime-stack.toml`. The words of [`crate::raw::world`] are
//! loaded as they are, not by read-modify-writes, which would see the newest value and so hide a
//! missing fence; the bounded searches make up for what loom's reduction misses then. What the
//! models' own heaps consist of is loaded by read-modify-writes.

mod assist;
mod ephemerons;
mod gate;
mod handshake;
mod lock;
mod roots;
mod slot;
mod stack;
mod stop;
mod wave;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Explores `body` without a bound and with at most one, two and three preemptions: loom's
/// reduction misses schedules that the bounded search happens on.
fn model(name: &str, body: impl Fn() + Copy + Send + Sync + 'static) {
    explore(name, &[Some(1), Some(2), Some(3), None], body);
}

/// Explores `body` with at most one to four preemptions: for what takes minutes without a bound.
fn bounded(name: &str, body: impl Fn() + Copy + Send + Sync + 'static) {
    explore(name, &[Some(1), Some(2), Some(3), Some(4)], body);
}

/// Explores `body` once for each bound on preemptions, to its end.
fn explore(name: &str, bounds: &[Option<usize>], body: impl Fn() + Copy + Send + Sync + 'static) {
    for &preemptions in bounds {
        let begun = std::time::Instant::now();
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
