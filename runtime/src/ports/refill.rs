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

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use crate::debug::Debug;
    use crate::pacer::Policy;
    use crate::ports::source::AnySource;
    use crate::raw::core::{Local, Settings};
    use crate::raw::fences::Fences;
    use crate::raw::info;
    use crate::raw::object_type::ObjectType;
    use crate::raw::phase::Phase;
    use alloc_core::{FakeSource, Heap, SizeClass, ThreadCache};
    use gc_mark::Visitor;
    use std::ptr::NonNull;

    /// 64 bytes, with drop glue or without.
    struct Block<const NEEDS_DROP: bool>;

    // SAFETY: no references; the glue does nothing.
    unsafe impl<const NEEDS_DROP: bool> ObjectType for Block<NEEDS_DROP> {
        const SIZE: usize = 64;
        const ALIGN: usize = 8;
        const NOSCAN: bool = true;
        const NEEDS_DROP: bool = NEEDS_DROP;

        unsafe fn trace<V: Visitor>(_object: NonNull<u8>, _visitor: &mut V) {}

        unsafe fn drop(_object: NonNull<u8>) {}
    }

    fn core() -> Core {
        let heap = Heap::new(AnySource::new(FakeSource::new()), 8 << 20, 8 << 20);
        let settings = Settings {
            policy: Policy::Off,
            hard_limit_bytes: None,
            is_beside: true,
            fences: Fences::Symmetric,
            debug: Debug::default(),
        };
        Core::new(heap.unwrap(), settings)
    }

    fn local(core: &Core) -> Local {
        Local {
            cache: ThreadCache::new(),
            log: Default::default(),
            generation: core.sweeper.generation(),
            weaks: Vec::new(),
            ephemerons: Vec::new(),
            taken_bytes: 0,
        }
    }

    /// Allocates one block; the span that it is in.
    fn alloc<const NEEDS_DROP: bool>(core: &Core, local: &mut Local) -> u32 {
        let class = SizeClass::of(64, 8);
        let info = info::<Block<NEEDS_DROP>>();
        // SAFETY: the kind's own size; the object has nothing to initialise.
        let object = unsafe { core.alloc_slow(local, info, class, 64) }.unwrap();
        (core.heap.granule_of(object.as_ptr().addr()) / 512) as u32
    }

    fn ready(core: &Core, local: &Local, span: u32) -> bool {
        let generation = local.generation;
        RefillPort { core, generation }.ready(span)
    }

    /// The acknowledgement of H5.
    fn rest(core: &Core, local: &mut Local) {
        core.acknowledge(local, Phase::Marking, Phase::Idle);
    }

    /// A cycle's end as two mutators see it: the generation has moved, the first has heard of it,
    /// the second has not, sweeping is closed. Neither takes a span of the other's generation.
    ///
    /// Kills: `ready-in-any-generation`, `refill-of-the-time-before`,
    /// `rest-in-the-old-generation`, `rest-keeps-its-spans`, `collector-keeps-the-generation`.
    #[test]
    fn spans_of_one_generation_at_a_time() {
        let core = core();
        let [mut first, mut second] = [local(&core), local(&core)];
        for local in [&mut first, &mut second] {
            local.cache.blacken(&core.heap);
        }
        let old = alloc::<false>(&core, &mut first);
        core.sweeper.advance();
        core.rest();
        rest(&core, &mut first);
        assert_eq!(first.generation, core.sweeper.generation());
        assert!(!first.cache.is_black());
        let new = alloc::<false>(&core, &mut first);
        assert_ne!(old, new, "the old span was given up, and is not swept yet");
        assert!(!ready(&core, &first, old), "sweeping is closed");
        // The second goes on in the generation before, and finds the first's new span on its way.
        core.flush(&mut first);
        assert!(ready(&core, &second, old) && !ready(&core, &second, new));
        for _ in 0..200 {
            let span = alloc::<false>(&core, &mut second);
            assert_eq!(core.heap.generation(span), second.generation);
        }
        rest(&core, &mut second);
        core.heap.rewind();
        core.sweeper.open(core.heap.spans_end());
        assert!(ready(&core, &second, old), "swept on the way");
        assert_eq!(core.heap.generation(old), second.generation);
        assert!(ready(&core, &second, new), "born swept");
    }

    /// A span that an allocation finds without a live object is its own, and not given back.
    ///
    /// Kills: `allocator-frees-empty-spans`.
    #[test]
    fn an_empty_span_is_kept_for_who_asked() {
        let core = core();
        let mut local = local(&core);
        let span = alloc::<false>(&core, &mut local);
        core.flush(&mut local);
        core.sweeper.begin(core.heap.spans_end());
        core.rest();
        rest(&core, &mut local);
        assert!(ready(&core, &local, span));
        assert!(core.heap.info(span).is_some(), "its pages have gone back");
        assert_eq!(core.account.live_bytes(), 0);
    }

    /// Spans whose sweep runs drop glue are swept by others.
    ///
    /// Kills: `refill-runs-drop-glue`.
    #[test]
    fn no_drop_glue_on_an_allocations_path() {
        let core = core();
        let mut local = local(&core);
        let span = alloc::<true>(&core, &mut local);
        core.flush(&mut local);
        core.sweeper.begin(core.heap.spans_end());
        core.rest();
        rest(&core, &mut local);
        assert!(!ready(&core, &local, span));
        core.finish_sweep();
        assert_eq!(core.heap.generation(span), 0, "empty, and gone");
    }
}
