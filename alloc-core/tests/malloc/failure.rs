//! A system that says no: each request for pages fails once, and nothing is lost by it.

use crate::check_empty;
use crate::twin::{Object, Random, random_layout};
use alloc_core::malloc::{ByteHeap, Magazines, Mode};
use alloc_core::{FakeSource, PAGE_BYTES};
use std::alloc::Layout;

/// A scenario with all kinds of requests; how many of them failed.
fn scenario(heap: &ByteHeap<FakeSource>) -> usize {
    let (mut magazines, mut random) = (Box::new(Magazines::new()), Random::new(3));
    let (mut objects, mut failures) = (Vec::new(), 0);
    for step in 0..400 {
        let layout = random_layout(&mut random);
        let result = match step % 3 {
            0 => heap.alloc_zeroed(&mut magazines, layout),
            1 => heap.alloc(&mut magazines, layout),
            _ => {
                let Some(old) = objects.pop() else { continue };
                let Object {
                    address,
                    layout: was,
                    ..
                } = old;
                let new = Layout::from_size_align(layout.size(), was.align()).unwrap();
                // SAFETY: taken from the list; if this fails it is put back.
                let moved = unsafe { heap.realloc(&mut magazines, address, was, new) };
                if moved.is_err() {
                    old.check(was.size());
                    objects.push(old);
                }
                moved.inspect(|moved| objects.push(Object::new(*moved, new, step as u8)))
            }
        };
        match result {
            Ok(address) if step % 3 != 2 => {
                objects.push(Object::new(address, layout, step as u8));
            }
            Ok(_) => {}
            Err(_) => failures += 1,
        }
    }
    for object in objects {
        object.check(object.layout.size());
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(&mut magazines, object.address, object.layout) };
    }
    magazines.flush(heap);
    check_empty(heap);
    failures
}

#[test]
fn each_call_of_the_source_fails_once() {
    let source = FakeSource::new();
    let heap = ByteHeap::new(source.clone(), 16 << 20, 16 << 20, Mode::Plain).unwrap();
    let setup = source.calls_total();
    assert_eq!(scenario(&heap), 0);
    let calls = source.calls_total();
    assert!(calls > setup + 20, "a scenario of {calls} calls is no test");
    for n in 0..calls {
        let source = FakeSource::new();
        source.fail_nth(n);
        match ByteHeap::new(source.clone(), 16 << 20, 16 << 20, Mode::Plain) {
            Err(_) => assert!(n < setup, "call {n} is no reservation"),
            Ok(heap) => {
                assert_eq!(scenario(&heap), 1, "call {n} failed, and only one request");
                assert_eq!(scenario(&heap), 0, "nothing was lost by call {n}");
            }
        }
    }
}

#[test]
fn an_exhausted_heap_is_usable_to_its_last_slot_and_again() {
    let heap = ByteHeap::new(FakeSource::new(), 4 << 20, 4 << 20, Mode::Plain).unwrap();
    heap.set_limit(16 * PAGE_BYTES);
    let mut magazines = Box::new(Magazines::new());
    let layout = Layout::from_size_align(128, 8).unwrap();
    for _ in 0..3 {
        let mut objects = Vec::new();
        while let Ok(object) = heap.alloc(&mut magazines, layout) {
            objects.push(object);
        }
        assert_eq!(objects.len(), 16 * PAGE_BYTES / 128);
        let huge = Layout::from_size_align(isize::MAX as usize - 64, 64).unwrap();
        assert!(heap.alloc(&mut magazines, huge).is_err());
        for object in objects {
            // SAFETY: allocated above, freed once.
            unsafe { heap.free(&mut magazines, object, layout) };
        }
        magazines.flush(&heap);
        check_empty(&heap);
    }
}
