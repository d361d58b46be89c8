//! That ThreadSanitizer sees a race in the heap's own mapping: a run in which it reports nothing is
//! worth something only then. Built for `cargo xtask sanitize --thread` alone.
#![cfg(heapwright_tsan)]

use alloc_core::{Mmap, PageHeap};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

#[test]
fn a_race_in_the_heaps_memory_is_reported() {
    let own = std::env::current_exe().expect("this test");
    let output = Command::new(own)
        .args(["--exact", "--ignored", "--nocapture", "a_race"])
        .output()
        .expect("a second process");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("ThreadSanitizer: data race"), "{said}");
}

#[test]
#[ignore = "run by another, in a process of its own, and has to fail"]
fn a_race() {
    static IS_WRITTEN: AtomicBool = AtomicBool::new(false);
    let heap = PageHeap::new(Mmap::new(), 64 << 20, 4 << 20, |_| 0).expect("64 MiB");
    let run = heap.alloc(1).expect("a page");
    let address = heap.address(run).as_ptr().expose_provenance();
    let word = move || std::ptr::with_exposed_provenance_mut::<u64>(address);
    let reader = thread::spawn(move || {
        while !IS_WRITTEN.load(Relaxed) {
            thread::yield_now();
        }
        // SAFETY: the page is ours; that nothing orders the read behind the write is the test.
        unsafe { word().read() }
    });
    let writer = thread::spawn(move || {
        // SAFETY: as above.
        unsafe { word().write(7) };
        IS_WRITTEN.store(true, Relaxed);
        // Alive while the other reads: the tool remembers who wrote.
        thread::sleep(Duration::from_millis(50));
    });
    writer.join().expect("it writes");
    assert!(reader.join().is_ok());
}
