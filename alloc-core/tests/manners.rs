//! Small things: what errors say and lead to, what a source need not provide, what starts empty,
//! and the entry points of those who do not know a layout.

#![cfg(not(heapwright_loom))]

use alloc_core::malloc::{ByteHeap, Hardened, Heapwright, Magazines, Mode};
use alloc_core::{
    Exhausted, FakeRegion, FakeSource, Heap, NoRefill, Ops, PAGE_BYTES, PageHeap, PageSource,
    Refill, SourceCall, SourceError, ThreadCache, TypeInfo,
};
use std::alloc::{GlobalAlloc, Layout};
use std::error::Error;
use std::ptr::NonNull;
use std::time::Duration;

/// A source that provides what it must and no more.
struct Plain(FakeSource);

// SAFETY: all is done by the fake; what is not said here is provided, and does nothing.
unsafe impl PageSource for Plain {
    type Region = FakeRegion;

    fn reserve(&self, bytes: usize) -> Result<FakeRegion, SourceError> {
        self.0.reserve(bytes)
    }

    fn base(&self, region: &FakeRegion) -> NonNull<u8> {
        self.0.base(region)
    }

    fn commit(&self, region: &FakeRegion, at: usize, bytes: usize) -> Result<(), SourceError> {
        self.0.commit(region, at, bytes)
    }

    unsafe fn release(
        &self,
        region: &FakeRegion,
        at: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        // SAFETY: this function's own preconditions.
        unsafe { self.0.release(region, at, bytes) }
    }

    fn advise_huge(&self, region: &FakeRegion, at: usize, bytes: usize) -> Result<(), SourceError> {
        self.0.advise_huge(region, at, bytes)
    }
}

#[test]
fn a_source_need_not_know_hints() {
    let source = Plain(FakeSource::new());
    let region = source.reserve(4 << 20).expect("it does not fail");
    assert_eq!(source.populate(&region, 0, PAGE_BYTES), Ok(()));
    assert_eq!(source.advise_small(&region, 0, PAGE_BYTES), Ok(()));
    // SAFETY: nothing is committed, and nobody relies on it.
    unsafe { source.discard(&region, 0, PAGE_BYTES) };
    assert_eq!(source.discard_granule_bytes(), PAGE_BYTES);
    assert_eq!(source.release_granule_bytes(), PAGE_BYTES);
    let heap = PageHeap::new(source, 4 << 20, 4 << 20, |_| 0).expect("a range of addresses");
    assert!(heap.alloc(1).is_ok());
}

#[test]
fn errors_lead_to_what_the_source_said() {
    for (call, word) in [
        (SourceCall::Reserve, "reserve"),
        (SourceCall::Commit, "commit"),
        (SourceCall::Release, "release"),
        (SourceCall::AdviseHuge, "advise huge pages for"),
        (SourceCall::AdviseSmall, "advise small pages for"),
        (SourceCall::Populate, "put memory behind"),
    ] {
        let error = SourceError::new(call, 4096, Some(12));
        assert_eq!(
            (error.call(), error.bytes(), error.os_code()),
            (call, 4096, Some(12))
        );
        assert!(
            error
                .to_string()
                .contains(&format!("could not {word} 4096 bytes")),
            "{error}"
        );
        let exhausted = Exhausted::Source(error);
        let source = exhausted.source().expect("the source's error");
        assert_eq!(source.to_string(), error.to_string());
    }
    let heap = PageHeap::new(FakeSource::new(), 4 << 20, 4 << 20, |_| 0).unwrap();
    let full = heap.alloc(1 << 20).expect_err("it is not so large");
    assert!(full.source().is_none(), "nobody else was asked");
    let source = FakeSource::new();
    source.fail_from(SourceCall::Reserve, 0);
    let refused = PageHeap::new(source, 4 << 20, 4 << 20, |_| 0)
        .err()
        .unwrap();
    assert_eq!(
        refused.source().unwrap().to_string(),
        refused.cause().to_string()
    );
    assert_eq!(refused.heap_bytes(), 4 << 20);
}

static WORD: TypeInfo = TypeInfo {
    name: || "word",
    size: 8,
    align: 8,
    noscan: true,
    needs_drop: false,
    ops: Ops::NONE,
};

#[test]
fn caches_and_magazines_start_empty() {
    assert_eq!(format!("{WORD:?}"), "TypeInfo(word, 8 B)");
    assert!(NoRefill.ready(0), "nothing has to be swept");
    NoRefill.charge(8);
    let heap = Heap::new(FakeSource::new(), 4 << 20, 4 << 20).expect("a range of addresses");
    let mut cache = ThreadCache::default();
    assert_eq!(
        cache.flush(&heap),
        0,
        "what was never taken is not given back"
    );
    let heap = ByteHeap::new(FakeSource::new(), 64 << 20, 64 << 20, Mode::Plain).unwrap();
    Magazines::default().flush(&heap);
    assert_eq!(
        heap.stats().in_use_bytes,
        0,
        "nothing was taken to be given back"
    );
}

/// As C does it: nobody says what the layout was.
#[test]
fn objects_whose_layout_nobody_knows_grow_and_are_freed() {
    for bytes in [0, 1, 16, 100, 5_000, 40_000, 3 << 20] {
        let layout = Layout::from_size_align(bytes, 16).unwrap();
        // SAFETY: sizes of zero have addresses of their own here.
        let object = NonNull::new(unsafe { Heapwright.alloc(layout) }).expect("memory");
        assert!(Heapwright::usable_bytes(object) >= bytes);
        // SAFETY: as many bytes as were asked for.
        unsafe { object.write_bytes(7, bytes) };
        // SAFETY: an object of this allocator.
        let moved = unsafe { Heapwright::realloc_unsized(object, 2 * bytes + 1) };
        let moved = NonNull::new(moved).expect("memory");
        assert!(Heapwright::usable_bytes(moved) > 2 * bytes);
        for at in 0..bytes {
            // SAFETY: within the object.
            let byte = unsafe { moved.add(at) };
            // SAFETY: initialised, for it was copied from the old one.
            assert_eq!(unsafe { byte.read() }, 7, "byte {at} of {bytes}");
        }
        // SAFETY: an object of this allocator.
        let refused = unsafe { Heapwright::realloc_unsized(moved, usize::MAX) };
        assert!(refused.is_null(), "no layout is so large");
        // SAFETY: it was not moved.
        unsafe { Heapwright::free_unsized(moved) };
    }
    let mut looks = 0;
    while Heapwright::tend(Duration::from_millis(1)) {
        looks += 1;
        assert!(looks < 10_000, "it does not come to an end");
    }
    // SAFETY: null is freed as by C's `free`.
    unsafe { Heapwright.dealloc(std::ptr::null_mut(), Layout::new::<u64>()) };
    // SAFETY: as above.
    let none = unsafe { Heapwright.realloc(std::ptr::null_mut(), Layout::new::<u64>(), 8) };
    assert!(none.is_null());
    // SAFETY: as above.
    let none = unsafe { Hardened.realloc(std::ptr::null_mut(), Layout::new::<u64>(), 8) };
    assert!(none.is_null());
}
