//! The heap as the sweeper sees it: a span is swept by letting its marks become its allocation
//! bits, after the drop glue of its dead has run.

use crate::debug::Debug;
use crate::ports::source::AnySource;
use crate::raw::core::Core;
use crate::raw::object_type::ops;
use crate::raw::task::{Task, during};
use crate::sync::{AtomicUsize, Mutex, Ordering, lock};
use alloc_core::Burials;
use gc_sweep::{Claim, Reclaimed, SweepSpace};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

/// The spans of one heap, for one sweeping thread.
///
/// What sweeping frees is accounted for once a visit, not once a span: one write of the shared
/// count, and pages that go back as runs of neighbors.
pub(crate) struct SweepPort<'a> {
    core: &'a Core,
    /// Bytes of slots that came free and have not been discharged.
    freed_bytes: AtomicUsize,
    /// Where empty spans go; `None` for an allocator, which sweeps in order to use the span, empty
    /// or not. The lock is there because the port is shared by its type, and never contended.
    burials: Option<Mutex<Burials<'a, AnySource>>>,
}

impl<'a> SweepPort<'a> {
    /// For whoever sweeps to free memory.
    pub(crate) fn freeing(core: &'a Core) -> Self {
        let burials = Some(Mutex::new(core.heap.burials()));
        Self {
            burials,
            ..Self::keeping(core)
        }
    }

    /// For an allocator.
    pub(crate) fn keeping(core: &'a Core) -> Self {
        Self {
            core,
            freed_bytes: AtomicUsize::new(0),
            burials: None,
        }
    }
}

impl SweepPort<'_> {
    /// Overwrites the dead objects of a claimed span, before their slots are free.
    fn poison(&self, span: u32) {
        let heap = &self.core.heap;
        let slot_bytes = heap.slot_bytes(span);
        let poison_one = |object: NonNull<u8>| {
            // SAFETY: the whole slot of an object that is dead and dropped, which nobody else may
            // touch until this claim ends.
            unsafe { object.write_bytes(Debug::POISON, slot_bytes) }
        };
        // SAFETY: the claim keeps the span's bits still.
        unsafe { heap.for_each_object(span, true, poison_one) };
    }
}

// SAFETY:
// * The words are `alloc_core`'s, with the orders that its `span.rs` documents: as demanded.
// * Spans are born with the sweeper's generation (`RefillPort`), which moves while nobody
//   allocates.
// * `reclaim` drops and frees what is allocated and not marked, which is dead once marking ended.
unsafe impl SweepSpace for SweepPort<'_> {
    fn generation(&self, span: u32) -> u32 {
        self.core.heap.generation(span)
    }

    fn exchange_generation(&self, span: u32, current: u32, new: u32) -> bool {
        self.core.heap.exchange_generation(span, current, new)
    }

    fn publish_generation(&self, span: u32, generation: u32) {
        self.core.heap.publish_generation(span, generation);
    }

    fn next_span(&self, from: u32, end: u32) -> Option<u32> {
        self.core.heap.next_span(from, end)
    }

    fn needs_drop(&self, span: u32) -> bool {
        self.core
            .heap
            .info(span)
            .is_some_and(|info| info.needs_drop)
    }

    fn reclaim(&self, claim: Claim<'_, Self>, tally: &mut Reclaimed) {
        let heap = &self.core.heap;
        let span = claim.span();
        let info = heap.info(span);
        let needs_drop = info.is_some_and(|info| info.needs_drop);
        if let Some(info) = info.filter(|info| info.needs_drop) {
            let drop = ops(info).drop;
            let drop_one = |object| {
                // SAFETY: allocated, and unmarked after marking has ended: dead, and found so by
                // this claim alone.
                let dropping = AssertUnwindSafe(|| unsafe { drop(object) });
                if let Err(payload) = during(Task::DropGlue, || catch_unwind(dropping)) {
                    self.core.note_drop_panic(payload);
                }
            };
            // SAFETY: the claim keeps the span's bits still.
            unsafe { heap.for_each_object(span, true, drop_one) };
        }
        if self.core.debug.poison {
            self.poison(span);
        }
        // SAFETY: claimed; owners gave their spans up before the sweep began, and own them again
        // only once they are swept; the dead were dropped above.
        let swept = unsafe { heap.sweep(span) };
        // Relaxed, load and store: one thread sweeps through this port.
        let freed_bytes = self.freed_bytes.load(Ordering::Relaxed) + swept.freed_bytes;
        // Relaxed: as above.
        self.freed_bytes.store(freed_bytes, Ordering::Relaxed);
        let burials = self.burials.as_ref().filter(|_| swept.span_empty);
        if let Some(burials) = burials {
            claim.retire();
            // SAFETY: claimed, empty, and retired by the line above.
            unsafe { lock(burials).add(span) };
        } else {
            claim.publish();
            if needs_drop && swept.freed_objects > 0 {
                heap.offer(span);
            }
        }
        tally.freed_objects += u64::from(swept.freed_objects);
        tally.freed_bytes += swept.freed_bytes;
        tally.spans_freed += usize::from(burials.is_some());
    }

    fn settle(&self) {
        // Relaxed: one thread sweeps through this port.
        self.core
            .discharge(self.freed_bytes.swap(0, Ordering::Relaxed));
        if let Some(burials) = &self.burials {
            lock(burials).flush();
        }
    }
}
