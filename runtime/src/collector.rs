//! The port of collectors: what one must do, and what it may use.
//!
//! A collector is a type parameter of the heap, so that one without a barrier costs a mutator
//! nothing. It is asked to run a cycle when no other runs, on a thread that is in no closure. The
//! [`Session`] it gets can finish the last sweep and stop the world; what a stopped world allows
//! is a type, [`Stopped`], not a comment.

use crate::cycle::{CollectError, Session, Stopped};

/// What a mutator must do when it overwrites a reference in the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// Nothing: the collector marks while the world is stopped.
    None,
    /// It logs the reference that it overwrites, while the collector marks beside the mutators;
    /// and the new one too, until every mutator does.
    Deletion,
}

/// A policy of collection.
///
/// `runtime/examples/custom_collector.rs` writes one outside of this crate.
///
/// # Safety
///
/// * A collector that calls [`Stopped::begin_sweep`] has marked every
///   object reachable from the roots since the world stopped.
/// * It [shades](Stopped::shade) nothing but objects that this stopped world reported.
pub unsafe trait Collector: Send + Sync + Sized + 'static {
    /// What the collector is called in reports.
    const NAME: &'static str;
    /// What it asks of mutators.
    const BARRIER: Barrier;
    /// Whether it ever frees anything. If not, no cycle is begun.
    const COLLECTS: bool = true;

    /// Runs a cycle.
    ///
    /// # Errors
    ///
    /// [`CollectError`] if it gave up; then nothing was freed and the heap is as before.
    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError>;

    /// Runs a cycle on the thread of the heap's only mutator, which has just left a closure, if
    /// that takes some microseconds ([`Stopped::mark_few`]); whether it did. Asked of a collector
    /// with a barrier, in a heap where little lives, before its own thread is woken.
    ///
    /// # Errors
    ///
    /// As [`Self::collect`], which is called next.
    fn collect_alone(&self, _world: &mut Stopped<'_>) -> Result<bool, CollectError> {
        Ok(false)
    }
}

/// Collects nothing: for programs that end before memory does, and as the baseline of benches.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGc;

// SAFETY: never begins a sweep.
unsafe impl Collector for NoGc {
    const NAME: &'static str = "no-gc";
    const BARRIER: Barrier = Barrier::None;
    const COLLECTS: bool = false;

    fn collect(&self, _session: &mut Session<'_>) -> Result<(), CollectError> {
        Ok(())
    }
}
