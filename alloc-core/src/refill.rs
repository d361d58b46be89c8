//! The port through which an allocation asks for what only the heap's owner knows: whether a span
//! has been swept, and what became of the bytes it takes.
//!
//! Invariant: each method is called from an allocation's slow path, with no lock held and no span
//! half taken, so that it may sweep, wake threads or take locks of its own.

/// What the allocator asks of the heap's owner.
///
/// # Safety
///
/// * `ready` returns true only if the span's allocation bits are exact: no slot whose bit is clear
///   holds an object that anyone can reach.
/// * `generation` is what a swept span carries, and stays the same while any mutator allocates.
pub unsafe trait Refill {
    /// The sweep generation that fresh spans are born with.
    fn generation(&self) -> u32;

    /// Makes `span` ready for allocation, by sweeping it if need be; false if that cannot be done
    /// here and now (another thread is at it, or its drop glue must not run on this path).
    fn ready(&self, span: u32) -> bool;

    /// `bytes` of slots have been taken for allocation.
    fn charge(&self, bytes: usize);
}

/// For a heap that is never swept: every span is ready, and nobody counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRefill;

// SAFETY: without sweeping, allocation bits are exact at all times, and the generation is fixed.
unsafe impl Refill for NoRefill {
    fn generation(&self) -> u32 {
        2
    }

    fn ready(&self, _span: u32) -> bool {
        true
    }

    fn charge(&self, _bytes: usize) {}
}
