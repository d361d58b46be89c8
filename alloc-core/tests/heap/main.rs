//! The heap of spans against a plain map of what was allocated: random programs of allocation,
//! flushing, marking and sweeping, in which every answer of the heap is compared with the map's.
#![cfg(not(heapwright_loom))]

mod black;
mod owner;
mod twin;

use alloc_core::{FakeSource, Reach, SizeClass, ThreadCache, TypeInfo};
use owner::{DYNAMIC, KINDS, Object, Owner, kind};
use twin::{Random, Twin, random_kind};

/// So much smaller are large heaps under Miri, and so much less is done in them.
const HEAP_SHRINK: usize = if cfg!(miri) { 8 } else { 1 };
const SHRINK: usize = if cfg!(miri) { 60 } else { 1 };

#[test]
fn random_programs_agree_with_a_map() {
    for seed in 1..=if cfg!(miri) { 1 } else { 4 } {
        let random = &mut Random(seed);
        let owner = Owner::new(FakeSource::new(), (32 << 20) / HEAP_SHRINK).unwrap();
        let mut caches = [ThreadCache::new(), ThreadCache::new()];
        let mut twin = Twin::default();
        for round in 0..if cfg!(miri) { 4 } else { 12 } {
            for n in 0..600 / SHRINK {
                let (info, size) = random_kind(random);
                let cache = &mut caches[random.below(2)];
                let mut object = owner.alloc(cache, info, size).expect("the heap has room");
                object.write(n as u8);
                twin.insert(object);
                if random.below(200) == 0 {
                    owner.flush(cache);
                }
            }
            caches.iter_mut().for_each(|cache| owner.flush(cache));
            // What allocation did not come by is swept now.
            owner.sweep_all();
            twin.check(&owner, random);
            let dead = twin.mark_some(&owner, random, [90, 50, 10, 0][round % 4]);
            owner.begin_sweep();
            if round % 2 == 0 {
                assert_eq!(owner.sweep_all(), dead, "what died is freed, exactly");
                twin.check(&owner, random);
            }
        }
        owner.sweep_all();
        twin.check(&owner, random);
        twin.mark_some(&owner, random, 0);
        owner.begin_sweep();
        owner.sweep_all();
        twin.check(&owner, random);
        let counts = owner.heap.pages().counts();
        assert_eq!(
            owner.heap.next_span(0, owner.heap.spans_end()),
            None,
            "{counts:?}"
        );
    }
}

#[test]
fn marks_that_were_cleared_never_were() {
    let random = &mut Random(7);
    let owner = Owner::new(FakeSource::new(), 8 << 20).unwrap();
    let (mut cache, mut twin) = (ThreadCache::new(), Twin::default());
    for _ in 0..300 / SHRINK {
        let (info, size) = random_kind(random);
        twin.insert(owner.alloc(&mut cache, info, size).unwrap());
    }
    twin.0.values_mut().for_each(|object| object.write(3));
    owner.flush(&mut cache);
    for object in twin.0.values() {
        // SAFETY: an object's granule.
        unsafe {
            owner
                .heap
                .marks()
                .claim(owner.heap.granule_of(object.start()))
        };
    }
    // SAFETY: nobody marks or sweeps.
    unsafe { owner.heap.clear_marks() };
    let dead = twin.mark_some(&owner, random, 50);
    owner.begin_sweep();
    assert_eq!(
        owner.sweep_all(),
        dead,
        "the cleared marks keep nothing alive"
    );
    twin.check(&owner, random);
}

/// A cache keeps an entry a kind, in a table that grows and in which kinds collide.
#[test]
fn a_cache_serves_hundreds_of_kinds() {
    let random = &mut Random(13);
    let owner = Owner::new(FakeSource::new(), 16 << 20).unwrap();
    let (mut cache, mut twin) = (ThreadCache::new(), Twin::default());
    let kinds: Vec<&'static TypeInfo> = (0..600 / SHRINK)
        .map(|n| &*Box::leak(Box::new(kind(16 + n % 50, 8))))
        .collect();
    for _ in 0..3 {
        for info in &kinds {
            let mut object = owner.alloc(&mut cache, info, info.size).unwrap();
            object.write(1);
            twin.insert(object);
        }
    }
    assert_eq!(
        owner.heap.spans_of(kinds[7]).len(),
        1,
        "one span serves three objects"
    );
    owner.flush(&mut cache);
    twin.check(&owner, random);
}

#[test]
fn a_slot_that_is_given_back_is_free_after_the_flush() {
    for info in [&KINDS[1], &KINDS[11]] {
        let owner = Owner::new(FakeSource::new(), 8 << 20).unwrap();
        let mut cache = ThreadCache::new();
        let kept = owner.alloc(&mut cache, info, info.size).unwrap();
        let object = owner.alloc(&mut cache, info, info.size).unwrap();
        // SAFETY: just allocated, nobody else knows of it, and no flush or cycle since.
        unsafe { owner.heap.unallocate(object.address) };
        owner.flush(&mut cache);
        // SAFETY: nobody allocates.
        let found = unsafe { owner.heap.object_containing(object.start()) };
        assert!(found.is_none(), "{found:?}");
        // SAFETY: as above.
        let found = unsafe { owner.heap.object_containing(kept.start()) };
        assert!(found.is_some_and(|found| found.start == kept.address));
        if SizeClass::of(info.size, info.align).is_some() {
            let again = owner.alloc(&mut cache, info, info.size).unwrap();
            assert_eq!(
                again.address, object.address,
                "the lowest free slot is taken"
            );
        }
    }
}

/// The script of the exhaustion tests: how many allocations failed, and what there is.
fn script(owner: &Owner) -> (usize, Twin) {
    let random = &mut Random(11);
    let (mut cache, mut twin, mut failed) = (ThreadCache::new(), Twin::default(), 0);
    for round in 0..3 {
        for _ in 0..120 {
            let (info, size) = random_kind(random);
            match owner.alloc(&mut cache, info, size) {
                Some(mut object) => {
                    object.write(round);
                    twin.insert(object);
                }
                None => failed += 1,
            }
        }
        owner.flush(&mut cache);
        owner.sweep_all();
        twin.check(owner, random);
        twin.mark_some(owner, random, 40);
        owner.begin_sweep();
        owner.sweep_all();
        owner
            .heap
            .pages()
            .release(1 << 20, alloc_core::Reach::Whole);
    }
    twin.check(owner, random);
    (failed, twin)
}

#[test]
fn every_call_of_the_source_may_fail_once() {
    let source = FakeSource::new();
    let owner = Owner::new(source.clone(), 8 << 20).unwrap();
    let (failed, whole) = script(&owner);
    assert_eq!(failed, 0);
    let calls = source.calls_total();
    assert!(calls > 10, "the script calls the source {calls} times only");
    let mut failures = 0;
    for n in 0..calls {
        let source = FakeSource::new();
        source.fail_nth(n);
        let Ok(owner) = Owner::new(source, 8 << 20) else {
            failures += 1;
            continue;
        };
        let (failed, twin) = script(&owner);
        assert!(
            failed <= 1,
            "call {n} failed once, allocation {failed} times"
        );
        failures += failed;
        assert!(failed == 1 || twin.0.len() == whole.0.len());
    }
    assert!(failures > 1, "no failure of the source was ever seen");
}

#[test]
fn a_full_heap_says_so_and_goes_on_once_something_died() {
    let owner = Owner::new(FakeSource::new(), 4 << 20).unwrap();
    let random = &mut Random(5);
    let (mut cache, mut twin) = (ThreadCache::new(), Twin::default());
    let mut fullest = 0;
    for _ in 0..4 {
        while let Some(mut object) = owner.alloc(&mut cache, &KINDS[6], KINDS[6].size) {
            object.write(9);
            twin.insert(object);
        }
        assert!(
            owner.alloc(&mut cache, &KINDS[6], 1000).is_none(),
            "still full"
        );
        owner.flush(&mut cache);
        owner.sweep_all();
        twin.check(&owner, random);
        assert!(
            fullest == 0 || fullest == twin.0.len(),
            "every slot is found again"
        );
        fullest = twin.0.len();
        twin.mark_some(&owner, random, 60);
        owner.begin_sweep();
    }
    assert!(
        fullest * KINDS[6].size > 3 << 20,
        "{fullest} objects filled 4 MiB"
    );
}

/// The bits and lines of free pages go back with the pages, and those of their neighbors stay.
#[test]
fn the_tables_of_pages_that_go_back_go_with_them() {
    let source = FakeSource::new();
    let owner = Owner::new(source.clone(), 64 << 20).unwrap();
    let random = &mut Random(11);
    let (mut cache, mut twin) = (ThreadCache::new(), Twin::default());
    for _ in 0..3 {
        let before = source.discarded_bytes();
        while owner.heap.pages().stats().in_use_bytes < 48 << 20 {
            let mut object = owner.alloc(&mut cache, &DYNAMIC, 24_000).unwrap();
            object.write(7);
            twin.insert(object);
        }
        owner.flush(&mut cache);
        let first = twin.0.values().next().unwrap().start();
        // A run of 9 MiB in which all die, and one in which all live, by turns.
        twin.mark_where(&owner, |object| {
            (object.start() - first) / (9 << 20) % 2 == 1
        });
        owner.begin_sweep();
        owner.sweep_all();
        let released_bytes = owner.heap.pages().release(usize::MAX, Reach::All);
        assert!(released_bytes > 16 << 20);
        // Three tables of a 128th each, of which the ends of a block's parts stay.
        let discarded_bytes = source.discarded_bytes() - before;
        assert!(
            discarded_bytes > released_bytes / 128 * 3 / 2,
            "{discarded_bytes}"
        );
        twin.check(&owner, random);
        owner.heap.check_invariants();
    }
}

#[test]
fn four_threads_allocate_while_two_sweep_and_one_gives_back() {
    let owner = &Owner::new(FakeSource::new(), (64 << 20) / HEAP_SHRINK).unwrap();
    let random = &mut Random(3);
    let mut twin = Twin::default();
    for round in 0..if cfg!(miri) { 2 } else { 6u8 } {
        let objects: Vec<Object> = std::thread::scope(|scope| {
            let allocators = [1, 2, 3, 4].map(|seed| {
                scope.spawn(move || {
                    let random = &mut Random(seed + 10 * u64::from(round));
                    let mut cache = ThreadCache::new();
                    let mut objects = Vec::new();
                    for _ in 0..1500 / SHRINK {
                        let (info, size) = random_kind(random);
                        let mut object = owner.alloc(&mut cache, info, size).unwrap();
                        object.write(seed as u8 + round);
                        objects.push(object);
                    }
                    objects.iter().for_each(Object::check);
                    owner.flush(&mut cache);
                    objects
                })
            });
            let sweepers = [(); 2].map(|()| scope.spawn(|| owner.sweep_all()));
            let giver = scope.spawn(|| {
                for _ in 0..4 {
                    owner.heap.pages().release(usize::MAX, Reach::All);
                    std::thread::yield_now();
                }
            });
            giver.join().unwrap();
            for sweeper in sweepers {
                sweeper.join().unwrap();
            }
            allocators
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        objects.into_iter().for_each(|object| twin.insert(object));
        owner.sweep_all();
        twin.check(owner, random);
        twin.mark_some(owner, random, 30);
        owner.begin_sweep();
    }
}
