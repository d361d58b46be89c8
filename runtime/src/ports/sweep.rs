//! The heap as the sweeper sees it: a span is swept by letting its marks become its allocation
//! bits, after the drop glue of its dead has run.

use crate::debug::Debug;
use crate::ports::source::AnySource;
use crate::raw::core::Core;
use crate::raw::object_type::ops;
use crate::raw::task::{Task, during};
use crate::sync::{AtomicUsize, Mutex, Ordering, lock};
use alloc_core::Burials;
use gc_sweep::{Claims, Glue, Reclaimed, SweepSpace};
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

    /// Runs the drop glue of a span's dead.
    ///
    /// # Safety
    ///
    /// The caller holds the claim on the span's sweep.
    unsafe fn drop_dead(&self, span: u32) {
        let Some(info) = self.core.heap.info(span) else {
            return;
        };
        let drop = ops(info).drop;
        let drop_one = |object| {
            // SAFETY: allocated, and unmarked after marking has ended: dead, and found so by this
            // claim alone.
            let dropping = AssertUnwindSafe(|| unsafe { drop(object) });
            if let Err(payload) = during(Task::DropGlue, || catch_unwind(dropping)) {
                self.core.note_drop_panic(payload);
            }
        };
        // SAFETY: the claim keeps the span's bits still.
        unsafe { self.core.heap.for_each_object(span, true, drop_one) };
    }
}

/// The places of the set bits.
fn ones(mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let rest = bits & bits.checked_sub(1)?;
        Some(std::mem::replace(&mut bits, rest).trailing_zeros())
    })
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

impl SweepPort<'_> {
    /// Frees those of the claimed spans that are empty, unless whoever sweeps wants to keep them;
    /// the bits of those freed.
    fn bury(&self, claims: &mut Claims<'_, Self>, empty: u64) -> u64 {
        let Some(burials) = self.burials.as_ref().filter(|_| empty != 0) else {
            return 0;
        };
        let mut burials = lock(burials);
        for claim in claims.split(empty) {
            let span = claim.span();
            claim.retire();
            // SAFETY: claimed, empty, and retired by the line above.
            unsafe { burials.add(span) };
        }
        empty
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

    fn publish_generation(&self, span: u32, generation: u32) {
        self.core.heap.publish_generation(span, generation);
    }

    fn spans(&self, from: u32, glue: Glue) -> u64 {
        self.core.heap.spans_by_drop(from, glue == Glue::With)
    }

    fn reclaim(&self, claims: &mut Claims<'_, Self>, tally: &mut Reclaimed) {
        let heap = &self.core.heap;
        let (first, spans) = (claims.first(), claims.spans());
        let with_glue = spans & heap.spans_by_drop(first, true);
        for place in ones(with_glue) {
            // SAFETY: one of the claims.
            unsafe { self.drop_dead(first + place) };
        }
        if self.core.debug.poison {
            ones(spans).for_each(|place| self.poison(first + place));
        }
        // SAFETY: claimed; owners gave their spans up before the sweep began, and own them again
        // only once they are swept; the dead were dropped above.
        let swept = unsafe { heap.sweep_among(first, spans) };
        // Relaxed, load and store: one thread sweeps through this port.
        let freed_bytes = self.freed_bytes.load(Ordering::Relaxed) + swept.freed_bytes;
        // Relaxed: as above.
        self.freed_bytes.store(freed_bytes, Ordering::Relaxed);
        tally.freed_objects += u64::from(swept.freed_objects);
        tally.freed_bytes += swept.freed_bytes;
        let freed = self.bury(claims, swept.empty);
        tally.spans_freed += freed.count_ones() as usize;
        claims.publish();
        if swept.freed_objects > 0 {
            ones(with_glue & !freed).for_each(|place| heap.offer(first + place));
        }
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
