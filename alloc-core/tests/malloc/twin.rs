//! The plain map that a heap of bytes is compared with, and random choices.

use alloc_core::PageSource;
use alloc_core::malloc::{ByteHeap, Magazines};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;

/// A sequence that is the same in each run (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// Which of an object's bytes are looked at: an interpreter looks at some.
const STEP: usize = if cfg!(miri) { 61 } else { 1 };

/// A layout, mostly small and of few kinds, sometimes large or strangely aligned.
pub(crate) fn random_layout(random: &mut Random) -> Layout {
    let (bytes, align) = match random.below(40) {
        0 => (random.below(100_000), 8),
        1 => (random.below(9000), 1 << random.below(16)),
        2..8 => (random.below(5000), 16),
        n => (n * 13, 8),
    };
    Layout::from_size_align(bytes, align).unwrap()
}

/// Something allocated, filled with a byte of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) address: NonNull<u8>,
    pub(crate) layout: Layout,
    fill: u8,
}

// SAFETY: whoever has the object may use its memory; no thread owns it.
unsafe impl Send for Object {}

impl Object {
    pub(crate) fn new(address: NonNull<u8>, layout: Layout, fill: u8) -> Self {
        let address_of = address.as_ptr().addr();
        assert!(address_of.is_multiple_of(layout.align()), "{layout:?}");
        // SAFETY: allocated by this layout, and nobody else's.
        unsafe { address.write_bytes(fill, layout.size()) };
        Object {
            address,
            layout,
            fill,
        }
    }

    /// Its first `bytes` bytes are what was written.
    pub(crate) fn check(&self, bytes: usize) {
        // SAFETY: written when it was made, and as long.
        let content = unsafe { std::slice::from_raw_parts(self.address.as_ptr(), bytes) };
        assert!(
            content.iter().step_by(STEP).all(|byte| *byte == self.fill),
            "{self:?} was overwritten"
        );
    }

    fn end(&self) -> usize {
        self.address.as_ptr().addr() + self.layout.size()
    }
}

/// What is allocated, by address.
#[derive(Default)]
pub(crate) struct Twin {
    objects: BTreeMap<usize, Object>,
    fills: u8,
}

impl Twin {
    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    fn insert(&mut self, address: NonNull<u8>, layout: Layout) {
        self.fills = self.fills.wrapping_add(1);
        let start = address.as_ptr().addr();
        if let Some((_, before)) = self.objects.range(..start).next_back() {
            assert!(before.end() <= start, "{layout:?} overlaps {before:?}");
        }
        if let Some((after, _)) = self.objects.range(start..).next() {
            assert!(
                start + layout.size().max(1) <= *after,
                "{layout:?} overlaps"
            );
        }
        let object = Object::new(address, layout, self.fills);
        self.objects.insert(start, object);
    }

    fn remove(&mut self, random: &mut Random) -> Object {
        let any = random.below(usize::MAX >> 12);
        let keys = self.objects.len();
        // By address, or nearly so: whole spans die together now and then.
        let at = if any.is_multiple_of(3) {
            0
        } else {
            any % keys.min(50)
        };
        let key = *self.objects.keys().nth(at).unwrap();
        let object = self.objects.remove(&key).unwrap();
        object.check(object.layout.size());
        object
    }

    pub(crate) fn alloc<S: PageSource>(
        &mut self,
        heap: &ByteHeap<S>,
        magazines: &mut Magazines,
        random: &mut Random,
    ) {
        let layout = random_layout(random);
        let address = heap.alloc(magazines, layout).unwrap();
        assert!(heap.usable_bytes(address) >= layout.size());
        self.insert(address, layout);
    }

    pub(crate) fn free<S: PageSource>(
        &mut self,
        heap: &ByteHeap<S>,
        magazines: &mut Magazines,
        random: &mut Random,
    ) {
        let object = self.remove(random);
        if random.below(4) == 0 {
            // SAFETY: it is in the map no more.
            unsafe { heap.free_unsized(magazines, object.address) };
        } else {
            // SAFETY: as above.
            unsafe { heap.free(magazines, object.address, object.layout) };
        }
    }

    pub(crate) fn realloc<S: PageSource>(
        &mut self,
        heap: &ByteHeap<S>,
        magazines: &mut Magazines,
        random: &mut Random,
    ) {
        let old = self.remove(random);
        let bytes = random_layout(random).size();
        let new = Layout::from_size_align(bytes, old.layout.align()).unwrap();
        // SAFETY: it is in the map no more by its old address.
        let moved = unsafe { heap.realloc(magazines, old.address, old.layout, new) }.unwrap();
        let kept = Object {
            address: moved,
            ..old
        };
        kept.check(bytes.min(old.layout.size()));
        self.insert(moved, new);
    }

    pub(crate) fn free_all<S: PageSource>(
        &mut self,
        heap: &ByteHeap<S>,
        magazines: &mut Magazines,
        random: &mut Random,
    ) {
        while !self.is_empty() {
            self.free(heap, magazines, random);
        }
    }
}
