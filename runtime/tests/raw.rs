//! The raw layer, as the author of a VM uses it: objects whose layout is known when the program
//! runs, stacks of the VM's own, addresses into objects, and objects that are scanned in parts.
//!
//! Mutants: `slot-start-rounded-wrong`, `extra-roots-skipped` and `parts-cut-short` are killed
//! here.

mod common;
#[path = "raw/shaped.rs"]
mod shaped;

use common::Random;
use runtime::raw::{self, Inside, OBLET_BYTES, ObjectType, RootSource};
use runtime::{Builder, CollectError, Gc, Heap, Kind, Object, OnTheFly};
use shaped::{HEADER_WORDS, PART_REFERENCES, PARTS_TRACED, Shaped, count, kind, make, words};
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The stack of a VM: addresses of objects, from outside of the heap.
#[derive(Default)]
struct Stack(Mutex<Vec<Object>>);

// SAFETY: reports all that it holds, all of one kind.
unsafe impl RootSource for Stack {
    fn report_roots(&self, report: &mut dyn FnMut(Object, Kind)) {
        let objects = self.0.lock().unwrap().clone();
        objects
            .into_iter()
            .for_each(|object| report(object, kind()));
    }
}

fn heap(markers: usize) -> Heap {
    let builder = Builder::new(OnTheFly::with_markers(markers));
    builder.gc_off().build().unwrap()
}

/// Runs `act` inside.
fn within<R>(mutator: &mut runtime::Mutator, act: impl FnOnce(&Inside<'_, OnTheFly>) -> R) -> R {
    // SAFETY: dropped at this function's end, and made in no other closure.
    let inside = unsafe { raw::enter(mutator) };
    act(&inside)
}

#[test]
fn stacks_of_the_vm_keep_objects_alive() {
    let heap = heap(1);
    let mut mutator = heap.mutator();
    let drops = count();
    let (one, other) = (Arc::new(Stack::default()), Arc::new(Stack::default()));
    within(&mut mutator, |inside| {
        inside.add_root_source(one.clone());
        inside.add_root_source(other.clone());
        for n in 0..100 {
            let leaf = make(inside, &[], 1, n, drops);
            let pair = make(inside, &[None, Some(leaf)], 2, n, drops);
            let stack = if n % 2 == 0 { &one } else { &other };
            stack.0.lock().unwrap().push(raw::object_at(pair));
            make(inside, &[Some(pair), Some(leaf)], 0, n, drops);
        }
    });
    assert_eq!(mutator.collect().unwrap().objects_marked, 200);
    assert_eq!(drops.load(Ordering::Relaxed), 100);
    one.0.lock().unwrap().truncate(10);
    assert_eq!(mutator.collect().unwrap().objects_marked, 120);
    assert_eq!(drops.load(Ordering::Relaxed), 180);
    within(&mut mutator, |_| {
        for (n, object) in other.0.lock().unwrap().iter().enumerate() {
            let object = NonNull::new(std::ptr::with_exposed_provenance_mut(object.0)).unwrap();
            // SAFETY: rooted, and nobody writes it.
            let content = unsafe { words(object) };
            assert_eq!(content[HEADER_WORDS + 2..], [2 * n + 1; 2]);
            let leaf = NonNull::new(std::ptr::with_exposed_provenance_mut(content[4])).unwrap();
            // SAFETY: reachable from what is rooted.
            assert_eq!(unsafe { words(leaf) }[HEADER_WORDS], 2 * n + 1);
        }
    });
    drop((heap, mutator));
    assert_eq!(drops.load(Ordering::Relaxed), 300, "at the heap's end");
}

/// Objects of all sizes, linked at random, against the same graph as numbers.
#[test]
fn shapes_are_read_from_the_objects() {
    let heap = heap(1);
    let mut mutator = heap.mutator();
    let (drops, stack) = (count(), Arc::new(Stack::default()));
    let mut random = Random::new(common::seed());
    const COUNT: usize = 2_000;
    let mut edges: Vec<Vec<usize>> = Vec::new();
    let objects: Vec<Object> = within(&mut mutator, |inside| {
        inside.add_root_source(stack.clone());
        let mut objects: Vec<NonNull<u8>> = Vec::new();
        for n in 0..COUNT {
            let len = if n == 0 { 0 } else { random.below(4) };
            let to: Vec<usize> = (0..len).map(|_| random.below(n)).collect();
            let references: Vec<_> = to.iter().map(|index| Some(objects[*index])).collect();
            let plain = if n % 100 == 0 {
                5_000
            } else {
                random.below(60)
            };
            objects.push(make(inside, &references, plain, n, drops));
            edges.push(to);
        }
        objects.into_iter().map(raw::object_at).collect()
    });
    let roots: Vec<usize> = (0..40).map(|_| random.below(COUNT)).collect();
    for kept in (0..=roots.len()).rev().step_by(8) {
        *stack.0.lock().unwrap() = roots[..kept].iter().map(|root| objects[*root]).collect();
        let mut living: BTreeSet<usize> = BTreeSet::new();
        let mut open: Vec<usize> = roots[..kept].to_vec();
        while let Some(index) = open.pop() {
            if living.insert(index) {
                open.extend(&edges[index]);
            }
        }
        assert_eq!(mutator.collect().unwrap().objects_marked, living.len());
        assert_eq!(drops.load(Ordering::Relaxed), COUNT - living.len());
        for index in living {
            let at = NonNull::new(std::ptr::with_exposed_provenance_mut(objects[index].0));
            // SAFETY: it is alive, and nobody writes it.
            let plain = &unsafe { words(at.unwrap()) }[HEADER_WORDS + edges[index].len()..];
            assert!(plain.iter().all(|word| *word == index), "object {index}");
        }
    }
    assert_eq!(heap.stats().live_bytes, 0);
}

#[test]
fn addresses_into_objects_lead_to_them() {
    let heap = heap(1);
    let mut mutator = heap.mutator();
    let drops = count();
    let sizes = [0, 1, 5, 12, 13, 60, 500, 2_000, 4_093, 4_094, 5_000, 50_000];
    let (objects, gone) = within(&mut mutator, |inside| {
        let stack = Arc::new(Stack::default());
        inside.add_root_source(stack.clone());
        let make_all = || sizes.map(|plain| make(inside, &[], plain, 7, drops));
        let (objects, gone) = (make_all(), make_all());
        let kept = objects.iter().map(|object| raw::object_at(*object));
        stack.0.lock().unwrap().extend(kept);
        let address = |object: NonNull<u8>| object.as_ptr().addr();
        (objects.map(address), gone.map(address))
    });
    mutator.collect().unwrap();
    within(&mut mutator, |inside| {
        // SAFETY: the only mutator, after `collect`.
        let find = |address: usize| unsafe { inside.object_containing(address) };
        for (plain, object) in sizes.into_iter().zip(objects) {
            let bytes = (HEADER_WORDS + plain) * size_of::<usize>();
            for offset in [0, 1, 7, bytes / 2, bytes - 1] {
                let found = find(object + offset).expect("an object");
                assert_eq!(
                    found.start.as_ptr().addr(),
                    object,
                    "{bytes} bytes, +{offset}"
                );
                assert!(found.slot_bytes >= bytes && found.slot_bytes < bytes + bytes / 4 + 8_192);
                assert_eq!((found.info.name)(), Shaped::name());
            }
            let end = find(object).map_or(0, |found| object + found.slot_bytes);
            let beyond = find(end).is_none_or(|found| found.start.as_ptr().addr() == end);
            assert!(beyond, "one past the end is another object or none");
        }
        for object in gone {
            assert!(
                find(object).is_none() && find(object + 8).is_none(),
                "it was freed"
            );
        }
        let nothing = [
            0,
            8,
            usize::MAX,
            std::ptr::from_ref(&drops).addr(),
            objects[0] | 1 << 62,
        ];
        assert!(nothing.into_iter().all(|address| find(address).is_none()));
    });
}

/// A range of words, some of them addresses into objects: what they lead to is kept.
#[test]
fn a_range_of_words_is_scanned_conservatively() {
    let heap = heap(1);
    let mut mutator = heap.mutator();
    let (drops, stack) = (count(), Arc::new(Stack::default()));
    let mut random = Random::new(common::seed());
    let machine_stack: Vec<usize> = within(&mut mutator, |inside| {
        inside.add_root_source(stack.clone());
        let objects: Vec<NonNull<u8>> = (0..1_000)
            .map(|n| make(inside, &[], n % 50, n, drops))
            .collect();
        stack
            .0
            .lock()
            .unwrap()
            .extend(objects.iter().map(|object| raw::object_at(*object)));
        // Every tenth object, at the start or inside, between numbers that mean nothing.
        let tenth = objects
            .iter()
            .step_by(10)
            .map(|object| object.as_ptr().addr() + random.below(24));
        tenth
            .flat_map(|address| [address, 12_345, address >> 3])
            .collect()
    });
    mutator.collect().unwrap();
    let found: BTreeSet<Object> = within(&mut mutator, |inside| {
        // SAFETY: the only mutator, after `collect`.
        let find = |address: &usize| unsafe { inside.object_containing(*address) };
        let found = machine_stack.iter().filter_map(find);
        found.map(|found| raw::object_at(found.start)).collect()
    });
    assert_eq!(found.len(), 100);
    *stack.0.lock().unwrap() = found.into_iter().collect();
    assert_eq!(mutator.collect().unwrap().objects_marked, 100);
    assert_eq!(drops.load(Ordering::Relaxed), 900);
}

/// An object of more than 128 KiB is scanned in parts, by one marker or many, and no reference of
/// it is missed: neither in the middle nor at the parts' ends.
#[test]
fn large_objects_are_scanned_in_parts() {
    for markers in [1, 4] {
        let heap = heap(markers);
        let mut mutator = heap.mutator();
        let (drops, stack) = (count(), Arc::new(Stack::default()));
        const CHILDREN: usize = 5 * PART_REFERENCES + 17;
        within(&mut mutator, |inside| {
            inside.add_root_source(stack.clone());
            for n in 0..20 {
                let child = |_| Some(make(inside, &[], 0, n, drops));
                let children: Vec<_> = (0..CHILDREN).map(child).collect();
                let large = make(inside, &children, 100_000, n, drops);
                stack.0.lock().unwrap().push(raw::object_at(large));
            }
        });
        let before = PARTS_TRACED.load(Ordering::Relaxed);
        let cycle = mutator.collect().unwrap();
        assert_eq!(
            (cycle.objects_marked, cycle.markers),
            (20 * (CHILDREN + 1), markers.min(2))
        );
        assert_eq!(PARTS_TRACED.load(Ordering::Relaxed) - before, 20 * 6);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        stack.0.lock().unwrap().clear();
        mutator.collect().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 20 * (CHILDREN + 1));
    }
}

/// The same of the safe layer's slices.
#[test]
fn long_slices_are_scanned_in_parts() {
    for len in [
        OBLET_BYTES / 8 - 1,
        OBLET_BYTES / 8,
        OBLET_BYTES / 8 + 1,
        100_001,
    ] {
        let mut mutator = heap(1).mutator();
        let root = mutator.enter(|cx| {
            let numbers: Vec<Gc<'_, [usize; 1]>> = (0..len).map(|n| cx.alloc([n])).collect();
            cx.root(cx.alloc_slice(numbers))
        });
        assert_eq!(mutator.collect().unwrap().objects_marked, len + 1);
        mutator.enter(|cx| {
            assert!(
                root.get(cx)
                    .iter()
                    .enumerate()
                    .all(|(n, number)| **number == [n])
            );
        });
    }
}

#[test]
fn a_slot_that_is_given_back_was_never_there() {
    let heap = heap(1);
    let mut mutator = heap.mutator();
    let drops = count();
    within(&mut mutator, |inside| {
        for plain in [0, 10, 5_000] {
            let bytes = (HEADER_WORDS + plain) * size_of::<usize>();
            for _ in 0..300 {
                // SAFETY: given back at once.
                let object = unsafe { inside.alloc(raw::info::<Shaped>(), bytes) }.unwrap();
                // SAFETY: just allocated, known to nobody.
                unsafe { inside.unallocate(object) };
            }
            make(inside, &[], plain, 0, drops);
        }
    });
    mutator.collect().unwrap();
    assert_eq!(
        (drops.load(Ordering::Relaxed), heap.stats().live_bytes),
        (3, 0)
    );
}

/// A source of roots that panics is like a `trace` that does.
#[test]
fn a_source_of_roots_panics() {
    struct Broken(AtomicUsize);
    // SAFETY: it has no roots.
    unsafe impl RootSource for Broken {
        fn report_roots(&self, _: &mut dyn FnMut(Object, Kind)) {
            assert_ne!(
                self.0.fetch_add(1, Ordering::Relaxed),
                0,
                "planned, in a source"
            );
        }
    }
    let heap = heap(1);
    let mut mutator = heap.mutator();
    let drops = count();
    within(&mut mutator, |inside| {
        inside.add_root_source(Arc::new(Broken(AtomicUsize::new(0))));
        make(inside, &[], 0, 0, drops);
    });
    let failed = mutator.collect().unwrap_err();
    assert!(
        matches!(failed, CollectError::TracePanicked { .. }),
        "{failed}"
    );
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    mutator.collect().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}
