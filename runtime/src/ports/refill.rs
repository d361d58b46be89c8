//! The heap's owner as the allocator sees it: who sweeps, and who counts.

use crate::ports::sweep::SweepPort;
use crate::raw::core::Core;
use alloc_core::Refill;
use gc_sweep::Outcome;

/// What the slow path of one mutator's allocation may ask.
pub(crate) struct RefillPort<'a> {
    pub(crate) core: &'a Core,
    /// The generation that the mutator allocates with: the sweeper's, or, while it has not heard
    /// of a new one, the one before.
    pub(crate) generation: u32,
}

// SAFETY:
// * `ready` answers true only for a span that is swept, or that it has swept itself; and for none
//   of another generation than the mutator's.
// * The generation of a mutator moves when it has given up every span, and sweeping is opened when
//   all mutators have moved.
unsafe impl Refill for RefillPort<'_> {
    fn generation(&self) -> u32 {
        self.generation
    }

    /// Sweeps the span unless that runs drop glue, which has no business on an allocation's path.
    fn ready(&self, span: u32) -> bool {
        let core = self.core;
        let has_glue = core.heap.info(span).is_none_or(|info| info.needs_drop);
        if !has_glue && core.sweeper.generation() == self.generation {
            let space = SweepPort::keeping(core);
            match core.sweeper.sweep_span(&space, span) {
                Outcome::Swept(_) | Outcome::AlreadySwept => {}
                Outcome::InFlight | Outcome::NoSpan => return false,
            }
        }
        // The sweeper may have moved on meanwhile; no span of this mutator's generation is swept
        // for a newer one before this mutator has moved too.
        core.heap.generation(span) == self.generation
    }

    fn charge(&self, bytes: usize) {
        self.core.charge(bytes);
    }
}
