//! The heap as the marker sees it: marks are bits beside the heap, objects are addresses, kinds
//! are descriptions. In a round that resolves ephemerons it also looks up who waits for an object
//! that it marks; in others that is a test of a field beside the marks' address.

use crate::raw::core::Core;
use crate::raw::ephemerons::Waiting;
use crate::raw::object_type::{info_of, ops, prefetch};
use crate::stack::Cell;
use alloc_core::{Bits, GRANULE_BYTES};
use gc_mark::{Alone, Kind, Object, ObjectModel, Packet, Roots, Shared, Tracer, Visitor};
use std::sync::Arc;

/// The objects of one heap.
pub(crate) struct MarkModel {
    /// The heap's first address and its marks. Held here, because both are loaded anew at each
    /// edge: following the heap to them cost a tenth of the time on trees.
    base: usize,
    marks: Bits,
    /// The word of marks that the first address would have, were they counted from address zero.
    first_word: usize,
    /// What waits for objects to be marked, in a round that resolves ephemerons.
    pub(crate) waiting: Option<Arc<Waiting>>,
    /// Keeps the marks mapped.
    _core: Arc<Core>,
}

impl MarkModel {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        let base = core.heap.base().as_ptr().addr();
        assert_eq!(
            base % (64 * GRANULE_BYTES),
            0,
            "a heap begins where a word of marks does"
        );
        Self {
            base,
            first_word: base / (64 * GRANULE_BYTES),
            // SAFETY: the core, which maps them, lives as long as this model.
            marks: unsafe { core.heap.marks().view() },
            waiting: None,
            _core: core.clone(),
        }
    }

    #[inline(always)]
    fn granule(&self, object: Object) -> usize {
        object.0.wrapping_sub(self.base) / GRANULE_BYTES
    }

    /// The object has been claimed, or not.
    ///
    /// Asks first whether anything waits, which a processor foresees. A branch on the mark would
    /// be one on a line that is still to come; in a random graph it is often guessed wrong, and
    /// the misses behind it have to wait: marking took a third longer.
    #[inline(always)]
    fn claimed(&self, object: Object, won: bool) -> bool {
        if let Some(waiting) = &self.waiting
            && won
        {
            waiting.note(object, |object| self.marks.test(self.granule(object)));
        }
        won
    }

    /// Where a word of marks is that is counted from address zero.
    #[inline(always)]
    fn index_of(&self, word: usize) -> usize {
        word.wrapping_sub(self.first_word)
    }

    /// Objects with their marks in one word have been claimed.
    #[inline(always)]
    fn claimed_in_word(&self, word: usize, won: u64) {
        if self.waiting.is_some() {
            self.claimed_each(word, won);
        }
    }

    #[cold]
    #[inline(never)]
    fn claimed_each(&self, word: usize, won: u64) {
        for bit in (0..64).filter(|bit| won >> bit & 1 == 1) {
            self.claimed(Object((word * 64 + bit) * GRANULE_BYTES), true);
        }
    }

    /// The values that a packet's marks have released join the round.
    fn visit_released<V: Visitor>(&self, visitor: &mut V) {
        if let Some(waiting) = &self.waiting {
            waiting.visit_released(visitor);
        }
    }
}

// SAFETY:
// * Marks are set by `fetch_or` (or alone) and cleared by nobody until sweeping.
// * Scanning goes through `ObjectType`, whose implementers promise to report every reference, with
//   the kind that the object was allocated with: the safe layer derives both from one type, and
//   the raw layer demands it.
// * Nothing is freed and no kind changes while marking lasts: sweeping has ended before.
unsafe impl ObjectModel for MarkModel {
    #[inline(always)]
    fn claim(&self, object: Object) -> bool {
        // SAFETY: visitors are shown objects of this heap, whose granules have bits.
        let won = unsafe { self.marks.claim(self.granule(object)) };
        self.claimed(object, won)
    }

    #[inline(always)]
    fn claim_alone(&self, object: Object) -> bool {
        // SAFETY: as above; one worker marks, and the world is stopped.
        let won = unsafe { self.marks.claim_alone(self.granule(object)) };
        self.claimed(object, won)
    }

    /// Counted from address zero, which spares a subtraction at each edge.
    #[inline(always)]
    fn mark_of(&self, object: Object) -> usize {
        object.0 / GRANULE_BYTES
    }

    #[inline(always)]
    fn marks(&self, word: usize) -> u64 {
        // SAFETY: visitors are shown objects of this heap, whose granules have bits.
        unsafe { self.marks.glance(self.index_of(word)) }
    }

    #[inline(always)]
    fn claim_marks(&self, word: usize, bits: u64) -> u64 {
        // SAFETY: as in `marks`.
        let lost = unsafe { self.marks.claim_in_word(self.index_of(word), bits) };
        self.claimed_in_word(word, bits & !lost);
        lost
    }

    #[inline(always)]
    fn claim_marks_alone(&self, word: usize, bits: u64) -> u64 {
        // SAFETY: as in `marks`; one worker marks, and the world is stopped. So what `marks` has
        // told is what there is, and nothing is lost.
        unsafe { self.marks.claim_in_word_alone(self.index_of(word), bits) };
        self.claimed_in_word(word, bits);
        0
    }

    #[inline(always)]
    fn prefetch(&self, object: Object) {
        prefetch(object);
    }

    fn scan_alone(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Alone>) {
        let scan = ops(info_of(packet.kind())).scan_alone;
        // SAFETY: marked objects of that kind, live until sweeping begins.
        unsafe { scan(packet, tracer) };
        self.visit_released(tracer);
    }

    fn scan_shared(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Shared>) {
        let scan = ops(info_of(packet.kind())).scan_shared;
        // SAFETY: as in `scan_alone`.
        unsafe { scan(packet, tracer) };
        self.visit_released(tracer);
    }

    fn scan_part_alone(
        &self,
        object: Object,
        kind: Kind,
        part: usize,
        tracer: &mut Tracer<'_, Self, Alone>,
    ) {
        let scan = ops(info_of(kind)).part_alone;
        // SAFETY: as in `scan_alone`; the part is one of those that the scan deferred.
        unsafe { scan(object, part, tracer) };
        self.visit_released(tracer);
    }

    fn scan_part_shared(
        &self,
        object: Object,
        kind: Kind,
        part: usize,
        tracer: &mut Tracer<'_, Self, Shared>,
    ) {
        let scan = ops(info_of(kind)).part_shared;
        // SAFETY: as in `scan_part_alone`.
        unsafe { scan(object, part, tracer) };
        self.visit_released(tracer);
    }
}

/// The roots of a world: the handle table, the frames of stacks, and what the embedder's own tables
/// hold. Handles and stacks that are made later are not among them.
pub(crate) struct WorldRoots<'a> {
    core: &'a Core,
    table_jobs: usize,
    stacks: Vec<Arc<Cell>>,
    /// The cycle that marks beside the mutators; none in a stopped world.
    cycle: Option<u64>,
}

impl<'a> WorldRoots<'a> {
    /// In a stopped world.
    pub(crate) fn new(core: &'a Core) -> Self {
        Self::list(core, None)
    }

    /// Beside mutators, which have all acknowledged H3 of this cycle.
    pub(crate) fn beside(core: &'a Core, cycle: u64) -> Self {
        Self::list(core, Some(cycle))
    }

    fn list(core: &'a Core, cycle: Option<u64>) -> Self {
        Self {
            core,
            table_jobs: core.roots.jobs(),
            stacks: core.stacks.snapshot(),
            cycle,
        }
    }
}

// SAFETY: the handle table's jobs, then one job that reports the extra roots, then one a stack: all
// of them. What a stack's fiber scans itself it logs.
unsafe impl Roots for WorldRoots<'_> {
    fn jobs(&self) -> usize {
        self.table_jobs + 1 + self.stacks.len()
    }

    fn scan<V: Visitor>(&self, job: usize, visitor: &mut V) {
        let Some(job) = job.checked_sub(self.table_jobs) else {
            return self.core.roots.scan(job, visitor);
        };
        let mut report = |object, kind| visitor.visit(object, kind);
        let Some(stack) = job.checked_sub(1).and_then(|job| self.stacks.get(job)) else {
            return self.core.scan_extra_roots(&mut report);
        };
        match self.cycle {
            Some(cycle) => stack.mark(cycle, &mut report),
            None => {
                stack.visit_stopped(&mut report);
                stack.shrink();
            }
        }
    }
}
