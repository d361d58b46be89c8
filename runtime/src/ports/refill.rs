//! The heap's owner as the allocator sees it: who sweeps, and who counts.

use crate::ports::sweep::SweepPort;
use crate::raw::core::Core;
use alloc_core::Refill;
use gc_sweep::Outcome;

/// What an allocation's slow path may ask.
pub(crate) struct RefillPort<'a>(pub(crate) &'a Core);

// SAFETY:
// * `ready` answers true only for a span that is swept, or that it has swept itself.
// * The generation moves while the world is stopped, when nobody allocates.
unsafe impl Refill for RefillPort<'_> {
    fn generation(&self) -> u32 {
        self.0.sweeper.generation()
    }

    /// Sweeps the span unless that runs drop glue, which has no business on an allocation's path.
    fn ready(&self, span: u32) -> bool {
        let core = self.0;
        if core.heap.info(span).is_none_or(|info| info.needs_drop) {
            return core.heap.generation(span) == core.sweeper.generation();
        }
        let space = SweepPort::keeping(core);
        match core.sweeper.sweep_span(&space, span) {
            Outcome::Swept(_) | Outcome::AlreadySwept => true,
            Outcome::InFlight | Outcome::NoSpan => false,
        }
    }

    fn charge(&self, bytes: usize) {
        self.0.charge(bytes);
    }
}
