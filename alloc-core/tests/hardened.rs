//! A program whose allocator is [`Hardened`]: it works, and each kind of misuse ends it with a line
//! that names the kind. The crimes are committed by this binary, started again.
#![cfg(all(unix, not(heapwright_loom)))]

use alloc_core::malloc::Hardened;
use std::alloc::{GlobalAlloc, Layout, alloc, dealloc};
use std::collections::HashMap;
use std::hint::black_box;
use std::process::Command;
use std::thread;

#[global_allocator]
static ALLOCATOR: Hardened = Hardened;

const CRIME: &str = "HEAPWRIGHT_TEST_CRIME";

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).unwrap()
}

fn make(bytes: usize) -> *mut u8 {
    // SAFETY: the size is not zero.
    let object = unsafe { alloc(layout(bytes)) };
    assert!(!object.is_null());
    black_box(object)
}

fn free(object: *mut u8, bytes: usize) {
    // SAFETY: not kept, where a crime is committed: the allocator finds out, which is the test.
    unsafe { dealloc(object, layout(bytes)) }
}

/// Frees enough of the same size for magazines to be flushed.
fn many(bytes: usize) {
    let objects: Vec<_> = (0..1000).map(|_| make(bytes)).collect();
    objects.into_iter().for_each(|object| free(object, bytes));
}

fn commit(crime: &str) {
    let object = make(100);
    match crime {
        "twice at once" => [object, object].map(|object| free(object, 100)),
        "twice, much later" => {
            let objects: Vec<_> = (0..5000).map(|_| make(100)).collect();
            objects.into_iter().for_each(|object| free(object, 100));
            [object, object].map(|object| {
                free(object, 100);
                many(48);
            })
        }
        "twice, by another thread" => {
            free(object, 100);
            let address = object.addr();
            let other = move || free(object.with_addr(address), 100);
            // SAFETY: as if the pointer were `Send`; the crime needs no more.
            let other: Box<dyn FnOnce()> = Box::new(other);
            [run_elsewhere(other), ()]
        }
        "a large one twice" => {
            let large = make(1 << 20);
            [large, large].map(|large| free(large, 1 << 20))
        }
        "of the stack" => [free(black_box(&mut [0u64; 4]).as_mut_ptr().cast(), 32), ()],
        "of a static" => [free((&raw const ALLOCATOR).cast_mut().cast(), 8), ()],
        "an inside" => [free(object.wrapping_add(16), 100), ()],
        "as less" => [free(object, 20), ()],
        "a large one as less" => [free(make(1 << 20), 1 << 19), ()],
        "written after" => {
            free(object, 100);
            // SAFETY: not kept: that is the crime; the page is mapped.
            unsafe { object.wrapping_add(60).write(1) };
            let objects: Vec<_> = (0..100).map(|_| make(100)).collect();
            [free(objects[0], 100), ()]
        }
        other => panic!("no crime is called {other}"),
    };
}

struct Carried(Box<dyn FnOnce()>);

// SAFETY: what is carried holds a pointer into the heap, which any thread may free.
unsafe impl Send for Carried {}

fn run_elsewhere(act: Box<dyn FnOnce()>) {
    let carried = Carried(act);
    let run = move || {
        let carried = carried;
        (carried.0)();
    };
    thread::spawn(run).join().unwrap();
}

/// The other half of the next test; nothing by itself.
#[test]
fn a_crime_is_committed_if_asked_for() {
    if let Ok(crime) = std::env::var(CRIME) {
        commit(&crime);
    }
}

#[test]
fn each_misuse_is_named() {
    for (crime, name) in [
        ("twice at once", "double free at"),
        ("twice, much later", "double free at"),
        ("twice, by another thread", "double free at"),
        ("a large one twice", "double free or foreign pointer at"),
        ("of the stack", "foreign pointer at"),
        ("of a static", "foreign pointer at"),
        ("an inside", "interior pointer at"),
        ("as less", "wrong layout at"),
        ("a large one as less", "wrong layout at"),
        ("written after", "write after free at"),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_crime_is_committed_if_asked_for",
                "--nocapture",
            ])
            .env(CRIME, crime)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{crime} went unnoticed");
        assert!(
            text.contains(&format!("heapwright: {name}")),
            "{crime} is not named: {text}"
        );
    }
}

#[test]
fn honest_programs_work() {
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            thread::spawn(move || {
                let mut map = HashMap::new();
                for n in 0..3000 {
                    map.insert(n % 501, vec![seed; n % 700]);
                }
                map
            })
        })
        .collect();
    for map in threads {
        let map = map.join().unwrap();
        assert!(map.values().all(|values| values.len() < 700));
    }
}

#[test]
fn freed_memory_is_overwritten() {
    for bytes in [16, 100, 30_000] {
        let object = make(bytes);
        // SAFETY: just allocated.
        unsafe { object.write_bytes(1, bytes) };
        free(object, bytes);
        // SAFETY: not kept: nobody may read it. The page is mapped, and this thread's magazine
        // keeps the slot as it is.
        let read = unsafe { object.wrapping_add(bytes / 2).read_volatile() };
        assert_eq!(read, 0xDE);
    }
    // SAFETY: the size is not zero.
    let zeroed = unsafe { ALLOCATOR.alloc_zeroed(layout(100)) };
    // SAFETY: just allocated and zeroed.
    assert_eq!(unsafe { zeroed.cast::<[u8; 100]>().read() }, [0; 100]);
    free(zeroed, 100);
}
