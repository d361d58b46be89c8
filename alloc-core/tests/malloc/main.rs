//! The heap of bytes against a plain map of what is allocated: one thread and random operations,
//! many threads that free each other's objects, threads that come and go, and a system that says
//! no at the n-th request.

mod failure;
mod threads;
mod twin;

use alloc_core::malloc::{ByteHeap, Magazines, Mode};
use alloc_core::{FakeSource, Mmap, PAGE_BYTES, PageSource, Reach};
use std::alloc::Layout;
use std::time::{Duration, Instant};
use twin::{Random, Twin};

/// Everything is free and every magazine flushed: so no page is in use.
pub(crate) fn check_empty<S: PageSource>(heap: &ByteHeap<S>) {
    assert_eq!(heap.check_invariants(), 0);
    assert_eq!(heap.stats().in_use_bytes, 0);
}

/// Programs by chance, and operations of each.
const SEEDS: u64 = if cfg!(miri) { 1 } else { 4 };
const STEPS: usize = if cfg!(miri) { 50 } else { 20_000 };

fn random_operations(mode: Mode, seed: u64) {
    let source = FakeSource::new();
    let heap = ByteHeap::new(source, 64 << 20, 64 << 20, mode).unwrap();
    let mut magazines = [Box::new(Magazines::new()), Box::new(Magazines::new())];
    let (mut twin, mut random) = (Twin::default(), Random::new(seed));
    for step in 0..STEPS {
        // Long phases of growth and of shrinking, so that spans fill up and die.
        let grows = step / 2500 % 2 == 0;
        let magazines = &mut magazines[random.below(2)];
        match random.below(10) {
            _ if twin.is_empty() => twin.alloc(&heap, magazines, &mut random),
            0..5 if grows => twin.alloc(&heap, magazines, &mut random),
            0..3 => twin.alloc(&heap, magazines, &mut random),
            9 => twin.realloc(&heap, magazines, &mut random),
            _ => twin.free(&heap, magazines, &mut random),
        }
        if step % 500 == 0 {
            magazines.flush(&heap);
            assert!(heap.check_invariants() >= twin.len());
        }
        if step % 1700 == 0 {
            heap.release(usize::MAX, Reach::All);
        }
    }
    magazines.iter_mut().for_each(|each| each.flush(&heap));
    assert_eq!(
        heap.check_invariants(),
        twin.len(),
        "what is in use is what was not freed"
    );
    let [first, second] = &mut magazines;
    twin.free_all(&heap, first, &mut random);
    first.flush(&heap);
    second.flush(&heap);
    check_empty(&heap);
}

#[test]
fn random_operations_agree_with_a_map() {
    (1..=SEEDS).for_each(|seed| random_operations(Mode::Plain, seed));
}

#[test]
fn random_operations_agree_with_a_map_while_hardened() {
    (5..=6).for_each(|seed| random_operations(Mode::Hardened, seed));
}

#[test]
fn what_was_freed_last_is_handed_out_first() {
    let heap = ByteHeap::new(Mmap::new(), 64 << 20, 8 << 20, Mode::Plain).unwrap();
    let mut magazines = Box::new(Magazines::new());
    let layout = Layout::from_size_align(48, 8).unwrap();
    let objects = [(); 3].map(|()| heap.alloc(&mut magazines, layout).unwrap());
    // SAFETY: allocated above and not used.
    unsafe { heap.free(&mut magazines, objects[1], layout) };
    assert_eq!(heap.alloc(&mut magazines, layout).unwrap(), objects[1]);
}

#[test]
fn a_slot_that_was_freed_elsewhere_is_used_before_the_heap_grows() {
    let heap = ByteHeap::new(Mmap::new(), 64 << 20, 8 << 20, Mode::Plain).unwrap();
    let (mut owner, mut other) = (Box::new(Magazines::new()), Box::new(Magazines::new()));
    let layout = Layout::from_size_align(64, 8).unwrap();
    let mut objects: Vec<_> = (0..4000)
        .map(|_| heap.alloc(&mut owner, layout).unwrap())
        .collect();
    let before = heap.stats().in_use_bytes;
    for _ in 0..100 {
        for object in objects.drain(..2000) {
            // SAFETY: allocated below or above, and freed once.
            unsafe { heap.free(&mut other, object, layout) };
        }
        other.flush(&heap);
        objects.extend((0..2000).map(|_| heap.alloc(&mut owner, layout).unwrap()));
    }
    let after = heap.stats().in_use_bytes;
    assert!(
        after <= before + before / 4,
        "{before} bytes have become {after} with as many objects"
    );
}

#[test]
fn alignments_of_a_page_and_beyond_are_kept_and_cost_no_more_than_asked() {
    let heap = ByteHeap::new(Mmap::new(), 64 << 20, 8 << 20, Mode::Plain).unwrap();
    let mut magazines = Box::new(Magazines::new());
    for shift in 0..=22 {
        for bytes in [1, 24, 4000, 9000, 40_000] {
            let layout = Layout::from_size_align(bytes, 1 << shift).unwrap();
            let object = heap.alloc(&mut magazines, layout).unwrap();
            assert!(object.as_ptr().addr().is_multiple_of(layout.align()));
            assert!(heap.usable_bytes(object) >= bytes);
            if layout.align() > PAGE_BYTES {
                assert!(heap.usable_bytes(object) < bytes + PAGE_BYTES);
            }
            heap.check_invariants();
            // SAFETY: just allocated.
            unsafe { heap.free(&mut magazines, object, layout) };
        }
    }
    magazines.flush(&heap);
    check_empty(&heap);
}

#[test]
fn zeroed_memory_is_zero_whether_it_is_fresh_or_not() {
    let heap = ByteHeap::new(FakeSource::new(), 64 << 20, 8 << 20, Mode::Plain).unwrap();
    let mut magazines = Box::new(Magazines::new());
    for round in 0..3 {
        for bytes in [1, 100, 5000, 33_000, 1 << 20] {
            let layout = Layout::from_size_align(bytes, 8).unwrap();
            let object = heap.alloc_zeroed(&mut magazines, layout).unwrap();
            // SAFETY: allocated with as many bytes, and zeroed, which initializes it.
            let slice = unsafe { std::slice::from_raw_parts_mut(object.as_ptr(), bytes) };
            assert!(
                slice.iter().all(|byte| *byte == 0),
                "round {round}, {bytes} bytes"
            );
            slice.fill(0xFF);
            // SAFETY: just allocated.
            unsafe { heap.free(&mut magazines, object, layout) };
        }
        if round == 1 {
            heap.release(usize::MAX, Reach::All);
        }
    }
}

#[test]
fn an_object_stays_where_it_is_while_its_class_does() {
    let heap = ByteHeap::new(Mmap::new(), 64 << 20, 8 << 20, Mode::Hardened).unwrap();
    let mut magazines = Box::new(Magazines::new());
    let layout = |bytes| Layout::from_size_align(bytes, 8).unwrap();
    for (from, to, stays) in [
        (100, 112, true),
        (100, 97, true),
        (100, 96, false),
        (100, 113, false),
        (1 << 20, 900 << 10, true),
        (1 << 20, (1 << 20) + 1, true),
        (40_000, 20_000, false),
    ] {
        let object = heap.alloc(&mut magazines, layout(from)).unwrap();
        // SAFETY: allocated with more bytes.
        unsafe { object.write_bytes(7, 90) };
        // SAFETY: allocated by this layout; the old address is not used below unless it is the new.
        let moved = unsafe { heap.realloc(&mut magazines, object, layout(from), layout(to)) };
        let moved = moved.unwrap();
        assert_eq!(moved == object, stays, "{from} to {to}");
        // SAFETY: 90 bytes were written and kept.
        let kept = unsafe { std::slice::from_raw_parts(moved.as_ptr(), 90) };
        assert_eq!(kept, [7; 90]);
        heap.check_invariants();
        // SAFETY: allocated, and resized to this layout.
        unsafe { heap.free(&mut magazines, moved, layout(to)) };
    }
    magazines.flush(&heap);
    check_empty(&heap);
}

#[test]
fn what_a_program_frees_goes_back_to_the_system_by_and_by() {
    let heap = ByteHeap::new(Mmap::new(), 1 << 30, 8 << 20, Mode::Plain).unwrap();
    let mut magazines = Box::new(Magazines::new());
    let layout = Layout::from_size_align(1 << 20, 8).unwrap();
    let objects: Vec<_> = (0..300)
        .map(|_| heap.alloc(&mut magazines, layout).unwrap())
        .collect();
    for object in objects {
        // SAFETY: allocated above.
        unsafe { heap.free(&mut magazines, object, layout) };
    }
    let kept = heap.stats().retained_bytes;
    assert!(kept > 128 << 20, "half may be wanted again soon");
    // It goes on with less, for half a second or so.
    let since = Instant::now();
    while heap.stats().retained_bytes > 48 << 20 && since.elapsed() < Duration::from_secs(10) {
        let object = heap.alloc(&mut magazines, layout).unwrap();
        // SAFETY: just allocated.
        unsafe { heap.free(&mut magazines, object, layout) };
    }
    let stats = heap.stats();
    assert_eq!(stats.in_use_bytes, 0);
    assert!(
        stats.retained_bytes <= 48 << 20,
        "{} MiB are kept of nothing",
        stats.retained_bytes >> 20
    );
}

/// Nine of ten objects are freed at random; a pass comes by and by.
#[test]
fn what_lives_on_is_kept_when_its_neighbors_pages_are_discarded() {
    // Each discard shows: the source overwrites what it is told to discard.
    let heap = ByteHeap::new(FakeSource::new(), 64 << 20, 8 << 20, Mode::Plain).unwrap();
    let (mut magazines, mut random) = (Box::new(Magazines::new()), Random::new(11));
    let mut objects: Vec<_> = (0..6000)
        .map(|_| {
            let layout = Layout::from_size_align(16 + random.below(8000), 8).unwrap();
            let object = heap.alloc(&mut magazines, layout).unwrap();
            let byte = 1 + random.below(255) as u8;
            // SAFETY: just allocated, so long.
            unsafe { object.write_bytes(byte, layout.size()) };
            (object, layout, byte)
        })
        .collect();
    while objects.len() > 600 {
        let (object, layout, _) = objects.swap_remove(random.below(objects.len()));
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(&mut magazines, object, layout) };
    }
    magazines.flush(&heap);
    let since = Instant::now();
    let layout = Layout::new::<u64>();
    // Calls enough for a pass over all spans, once it has begun.
    let mut calls = 0;
    while calls < 40_000 && since.elapsed() < Duration::from_secs(10) {
        calls += usize::from(heap.discarded_bytes() > 0);
        let object = heap.alloc(&mut magazines, layout).unwrap();
        // SAFETY: just allocated.
        unsafe { heap.free(&mut magazines, object, layout) };
    }
    assert!(heap.discarded_bytes() >= 1 << 20, "no pass came by");
    heap.check_invariants();
    for (object, layout, byte) in objects {
        // SAFETY: written in full above, and alive.
        let kept = unsafe { std::slice::from_raw_parts(object.as_ptr(), layout.size()) };
        assert!(
            kept.iter().all(|kept| *kept == byte),
            "{object:?} has lost something"
        );
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(&mut magazines, object, layout) };
    }
    magazines.flush(&heap);
    check_empty(&heap);
}

/// Stretches of a heap are freed and go back to the system, with the bits that stand for them.
#[test]
fn the_bits_of_what_lives_on_are_kept_when_pages_go_back() {
    let heap = ByteHeap::new(Mmap::small_pages(), 64 << 20, 8 << 20, Mode::Plain).unwrap();
    let mut magazines = Box::new(Magazines::new());
    let layout = Layout::from_size_align(1000, 8).unwrap();
    let objects: Vec<_> = (0..50_000)
        .map(|_| heap.alloc(&mut magazines, layout).unwrap())
        .collect();
    let lives = |n: usize| n % 4300 < 700;
    for (_, object) in objects.iter().enumerate().filter(|(n, _)| !lives(*n)) {
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(&mut magazines, *object, layout) };
    }
    magazines.flush(&heap);
    assert!(heap.release(usize::MAX, Reach::All) > 16 << 20);
    let living = (0..objects.len()).filter(|n| lives(*n)).count();
    assert_eq!(heap.check_invariants(), living);
    for (_, object) in objects.iter().enumerate().filter(|(n, _)| lives(*n)) {
        // SAFETY: as above.
        unsafe { heap.free(&mut magazines, *object, layout) };
    }
    magazines.flush(&heap);
    check_empty(&heap);
}

/// What an object grows by counts towards the limit, and what is refused leaves it as it was.
#[test]
fn a_large_object_does_not_grow_beyond_the_limit() {
    let heap = ByteHeap::new(FakeSource::new(), 8 << 20, 8 << 20, Mode::Plain).unwrap();
    let mut magazines = Box::new(Magazines::new());
    let [was, wanted] = [64, 68].map(|pages| {
        let layout = Layout::from_size_align(pages * PAGE_BYTES, 8);
        layout.unwrap()
    });
    let object = heap.alloc(&mut magazines, was).unwrap();
    let limit_bytes = heap.stats().in_use_bytes + 3 * PAGE_BYTES;
    heap.set_limit(limit_bytes);
    // SAFETY: it is resized from the size that it has.
    let resized = unsafe { heap.realloc(&mut magazines, object, was, wanted) };
    assert!(resized.is_err(), "one page above the limit");
    assert!(heap.stats().in_use_bytes <= limit_bytes);
    assert_eq!(heap.usable_bytes(object), was.size());
    // SAFETY: it has that size still; freed once.
    unsafe { heap.free(&mut magazines, object, was) };
    magazines.flush(&heap);
    check_empty(&heap);
}

#[test]
fn a_large_object_grows_where_it_is_if_it_can() {
    let heap = ByteHeap::new(FakeSource::new(), 64 << 20, 8 << 20, Mode::Plain).unwrap();
    let mut magazines = Box::new(Magazines::new());
    let layout = |bytes| Layout::from_size_align(bytes, 8).unwrap();
    let resize = |magazines: &mut Magazines, object, from, to| {
        // SAFETY: each object below is resized from the size that it has, and used by its new
        // address.
        unsafe { heap.realloc(magazines, object, layout(from), layout(to)) }.unwrap()
    };
    let sizes = [100 << 10, 200 << 10, 5 << 20, 9 << 20, 20 << 20];
    let object = heap.alloc(&mut magazines, layout(sizes[0])).unwrap();
    for step in sizes.windows(2) {
        let moved = resize(&mut magazines, object, step[0], step[1]);
        assert_eq!(moved, object, "nothing is behind it, and the heap can grow");
        // SAFETY: it is so long now.
        unsafe { moved.write_bytes(3, step[1]) };
        heap.check_invariants();
    }
    let shorter = resize(&mut magazines, object, 20 << 20, 1 << 20);
    let neighbor = heap.alloc(&mut magazines, layout(64 << 10)).unwrap();
    // SAFETY: just allocated.
    unsafe { neighbor.write_bytes(5, 64 << 10) };
    let moved = resize(&mut magazines, shorter, 1 << 20, 2 << 20);
    assert_ne!(moved, shorter, "a neighbor is in the way");
    heap.check_invariants();
    // SAFETY: the first MiB was written and kept.
    let kept = unsafe { std::slice::from_raw_parts(moved.as_ptr(), 1 << 20) };
    assert!(kept.iter().all(|byte| *byte == 3));
    // SAFETY: allocated and resized above, freed once.
    unsafe { heap.free(&mut magazines, moved, layout(2 << 20)) };
    // SAFETY: as above.
    unsafe { heap.free(&mut magazines, neighbor, layout(64 << 10)) };
    magazines.flush(&heap);
    check_empty(&heap);
}

#[test]
#[should_panic(expected = "magazines were used with two heaps")]
fn magazines_of_another_heap_are_refused() {
    let heaps = [(); 2].map(|()| ByteHeap::new(Mmap::new(), 64 << 20, 8 << 20, Mode::Plain));
    let [first, second] = heaps.map(Result::unwrap);
    let mut magazines = Box::new(Magazines::new());
    let layout = Layout::new::<u64>();
    first.alloc(&mut magazines, layout).unwrap();
    let _ = second.alloc(&mut magazines, layout);
}
