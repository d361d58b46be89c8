//! What can be seen from outside of the process: memory that goes back, and the line a cycle.
//!
//! Mutants: `trace-line-unwritten` and `ahead-never-asked` are killed here.

use runtime::{Builder, FakeSource, Gc, Heap, Mutator, OnTheFly, Root, SourceCall};
use std::process::Command;

fn quiet() -> Heap {
    Heap::builder().gc_off().build().unwrap()
}

/// Allocates so many objects of 48 bytes and roots the last few.
fn fill(mutator: &mut Mutator, count: u64, kept: u64) -> Vec<Root<[u64; 6]>> {
    mutator.enter(|cx| {
        let objects = (0..count).map(|n| cx.alloc([n; 6]));
        let objects: Vec<Gc<'_, [u64; 6]>> = objects.collect();
        let first = (count - kept) as usize;
        objects[first..]
            .iter()
            .map(|object| cx.root(*object))
            .collect()
    })
}

/// A heap that grows beyond its small beginning gets memory behind its pages before it takes them.
#[test]
fn pages_have_memory_before_they_are_taken() {
    let source = FakeSource::new();
    let builder = Heap::builder().gc_off().reserve_bytes(1 << 30);
    let heap = builder.page_source(source.clone()).build().unwrap();
    let mut mutator = heap.mutator();
    while source.calls(SourceCall::Populate) < 3 {
        let stats = heap.stats();
        assert!(stats.heap_bytes < 1 << 29, "nobody asked for it: {stats:?}");
        fill(&mut mutator, 10_000, 0);
    }
}

/// What a collection frees goes back to the system when it is asked to, and all of it.
#[test]
fn free_memory_goes_back_to_the_system() {
    let source = FakeSource::new();
    let builder = Builder::new(OnTheFly::default()).gc_off();
    let heap = builder
        .reserve_bytes(64 << 20)
        .page_source(source)
        .build()
        .unwrap();
    let mut mutator = heap.mutator();
    let kept = fill(&mut mutator, 300_000, 1);
    mutator.collect().unwrap();
    let stats = heap.stats();
    assert_eq!(stats.heap_bytes, 8192, "one span is left");
    let free_bytes = stats.retained_bytes + stats.released_bytes;
    assert!(free_bytes > 300_000 * 48, "{free_bytes}");
    let released_bytes = heap.release_os_memory();
    let stats = heap.stats();
    // The background may have been first with a part of it.
    assert!(released_bytes <= stats.released_bytes && stats.released_bytes > 8 << 20);
    assert!(
        stats.retained_bytes < 4 << 20,
        "{} are kept",
        stats.retained_bytes
    );
    assert_eq!(stats.retained_bytes + stats.released_bytes, free_bytes);
    assert_eq!(heap.release_os_memory(), 0, "all that can go has gone");
    mutator.enter(|cx| assert_eq!(kept[0].get(cx)[5], 299_999));
    fill(&mut mutator, 300_000, 0);
    mutator.enter(|cx| assert_eq!(kept[0].get(cx)[5], 299_999));
}

/// Bytes of this process that are in memory.
#[cfg(target_os = "linux")]
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// The mapping that an address lies in, if any.
#[cfg(target_os = "linux")]
fn mapping_of(address: usize) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let contains = |line: &&str| {
        let range = line
            .split_whitespace()
            .next()
            .and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        range.is_some_and(|(from, to)| (number(from)..number(to)).contains(&address))
    };
    maps.lines().find(contains).map(str::to_owned)
}

/// Alone in its process (`what_the_system_sees` starts it), since other tests use memory too.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by `what_the_system_sees` in a process of its own"]
fn in_a_process_of_its_own() {
    const BYTES: usize = 200 << 20;
    let heap = quiet();
    let mut mutator = heap.mutator();
    let before = resident_bytes();
    let (root, address) = mutator.enter(|cx| {
        let parts = (0..BYTES >> 20).map(|_| cx.alloc_slice(vec![[1_u64; 1024]; 128]));
        let all = cx.alloc_slice(parts.collect::<Vec<_>>());
        (cx.root(all), Gc::address(all))
    });
    let full = resident_bytes();
    assert!(full - before >= BYTES, "{before} -> {full}");
    assert!(mapping_of(address).is_some());
    drop(root);
    mutator.collect().unwrap();
    heap.release_os_memory();
    let released = resident_bytes();
    assert!(
        released < before + BYTES / 4,
        "{before} -> {full} -> {released}"
    );
    drop((mutator, heap));
    assert_eq!(mapping_of(address), None, "the range goes with the heap");
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_system_sees() {
    let test = std::env::current_exe().unwrap();
    let arguments = ["--exact", "in_a_process_of_its_own", "--ignored"];
    let output = Command::new(test).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// The line a cycle, as the trace writes it, says what the statistics say.
#[test]
#[ignore = "run by `a_line_a_cycle_is_traced` with the trace on"]
fn traced() {
    let heap = quiet();
    let mut mutator = heap.mutator();
    let _kept = fill(&mut mutator, 100_000, 50_000);
    mutator.collect().unwrap();
    mutator.collect().unwrap();
}

#[test]
fn a_line_a_cycle_is_traced() {
    let test = std::env::current_exe().unwrap();
    for (wanted, count) in [("gc", 2), ("scav,gc", 2), ("scav", 0), ("", 0)] {
        let arguments = ["--exact", "traced", "--ignored", "--nocapture"];
        let mut command = Command::new(&test);
        let output = command
            .args(arguments)
            .env("HEAPWRIGHT_TRACE", wanted)
            .output()
            .unwrap();
        assert!(output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("gc "))
            .collect();
        assert_eq!(lines.len(), count, "HEAPWRIGHT_TRACE={wanted}: {said}");
        let (from, to) = ("4.6 MiB->2.3 MiB", "2.3 MiB->2.3 MiB");
        for (number, (line, bytes)) in (1..).zip(lines.iter().zip([from, to])) {
            assert!(
                line.starts_with(&format!("gc {number} explicit: {bytes}, goal no")),
                "{line}"
            );
            assert!(line.ends_with("50000 objects, 1 markers"), "{line}");
        }
    }
}
