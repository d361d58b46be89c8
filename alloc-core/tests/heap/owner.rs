//! A heap's owner with the least that one must add: a generation, an account, and a sweep by hand.

use alloc_core::{
    FakeSource, Heap, Ops, PAGE_BYTES, Refill, ReserveError, SMALL_BYTES_MAX, SizeClass, Swept,
    ThreadCache, TypeInfo,
};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

pub(crate) const fn kind(size: usize, align: usize) -> TypeInfo {
    TypeInfo {
        name: || "kind",
        size,
        align,
        noscan: true,
        needs_drop: size.is_multiple_of(100),
        ops: Ops::NONE,
    }
}

/// Kinds with sizes that fill their class and that do not, aligned to more than a granule, with
/// one slot in several words and several in one, small and large; some with drop glue.
pub(crate) static KINDS: [TypeInfo; 12] = [
    kind(0, 1),
    kind(16, 8),
    kind(24, 8),
    kind(48, 16),
    kind(100, 4),
    kind(64, 64),
    kind(1000, 8),
    kind(5000, 8),
    kind(512, 512),
    kind(100, PAGE_BYTES),
    kind(SMALL_BYTES_MAX, 16),
    kind(SMALL_BYTES_MAX + 1, 4096),
];

/// Which of an object's bytes are looked at: an interpreter looks at some.
const STEP: usize = if cfg!(miri) { 61 } else { 1 };

/// Objects of dynamic size: one kind, many classes.
pub(crate) static DYNAMIC: TypeInfo = kind(0, 8);

/// A heap with the least that an owner must add: a generation and an account.
pub(crate) struct Owner {
    pub(crate) heap: Heap<FakeSource>,
    generation: AtomicU32,
    pub(crate) live_bytes: AtomicUsize,
}

// SAFETY: `ready` answers true for a swept span only; the generation moves in `begin_sweep`, which
// the tests call while nobody allocates.
unsafe impl Refill for Owner {
    fn generation(&self) -> u32 {
        self.generation.load(SeqCst)
    }

    fn ready(&self, span: u32) -> bool {
        self.heap.generation(span) == self.generation() || self.sweep(span, true).is_some()
    }

    fn charge(&self, bytes: usize) {
        self.live_bytes.fetch_add(bytes, SeqCst);
    }
}

impl Owner {
    pub(crate) fn new(source: FakeSource, bytes: usize) -> Result<Owner, ReserveError> {
        Ok(Owner {
            heap: Heap::new(source, bytes, bytes)?,
            generation: AtomicU32::new(2),
            live_bytes: AtomicUsize::new(0),
        })
    }

    pub(crate) fn alloc(
        &self,
        cache: &mut ThreadCache,
        info: &'static TypeInfo,
        size: usize,
    ) -> Option<Object> {
        let class = SizeClass::of(size, info.align);
        let address = match class {
            Some(class) => cache.alloc(&self.heap, self, info, class),
            None => self.heap.alloc_large(self, info, size, false),
        };
        let slot_bytes = match class {
            Some(class) => class.bytes(),
            None => size.next_multiple_of(PAGE_BYTES),
        };
        Some(Object {
            address: address.ok()?,
            size,
            slot_bytes,
            info,
            stamp: 0,
        })
    }

    pub(crate) fn flush(&self, cache: &mut ThreadCache) {
        self.live_bytes.fetch_sub(cache.flush(&self.heap), SeqCst);
    }

    /// Makes every span unswept; every cache has been flushed.
    pub(crate) fn begin_sweep(&self) {
        self.heap.rewind();
        self.generation.fetch_add(2, SeqCst);
    }

    /// Sweeps a span if this thread wins it.
    pub(crate) fn sweep(&self, span: u32, keep_empty: bool) -> Option<Swept> {
        let swept = self.generation();
        if !self.heap.exchange_generation(span, swept - 2, swept - 1) {
            return None;
        }
        // SAFETY: claimed by the exchange; marking is over, and nobody owns an unswept span.
        let outcome = unsafe { self.heap.sweep(span) };
        self.live_bytes.fetch_sub(outcome.freed_bytes, SeqCst);
        if outcome.empty != 0 && !keep_empty {
            self.heap.publish_generation(span, 0);
            // SAFETY: claimed, empty and retired.
            unsafe { self.heap.burials().add(span) };
        } else {
            self.heap.publish_generation(span, swept);
            self.heap.offer(span);
        }
        Some(outcome)
    }

    pub(crate) fn sweep_all(&self) -> u32 {
        let (mut from, mut freed) = (0, 0);
        while let Some(span) = self.heap.next_span(from, self.heap.spans_end()) {
            freed += self
                .sweep(span, false)
                .map_or(0, |swept| swept.freed_objects);
            from = span + 1;
        }
        freed
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) address: NonNull<u8>,
    pub(crate) size: usize,
    pub(crate) slot_bytes: usize,
    pub(crate) info: &'static TypeInfo,
    stamp: u8,
}

// SAFETY: the memory is the heap's; the tests hand an object from thread to thread whole.
unsafe impl Send for Object {}

impl Object {
    pub(crate) fn start(&self) -> usize {
        self.address.as_ptr().addr()
    }

    /// Fills the object with its stamp.
    pub(crate) fn write(&mut self, stamp: u8) {
        self.stamp = stamp;
        // SAFETY: the object is this test's, and that long.
        unsafe { self.address.as_ptr().write_bytes(stamp, self.size) };
    }

    pub(crate) fn check(&self) {
        // SAFETY: written by `write`, and nobody writes it now.
        let bytes = unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.size) };
        assert!(
            bytes.iter().step_by(STEP).all(|byte| *byte == self.stamp),
            "{self:?} was overwritten"
        );
    }
}
