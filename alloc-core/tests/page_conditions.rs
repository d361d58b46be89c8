//! A heap on a system that is unkind: one that refuses advice, memory that is locked, huge pages
//! everywhere or nowhere, and few addresses. What is in use keeps its content, the accounts stay
//! exact, what cannot be given back is counted as refused, and what fails is a value.
//!
//! Such conditions hold for a process, so each test runs in a process of its own: this program
//! again, for one test that is ignored otherwise. The system is the real one; where it does not let
//! a condition be made, the test says so. Huge pages *always* are made by advice for the whole
//! range, which is what that setting means for a mapping; a machine's own setting is not touched.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(heapwright_loom)))]

use alloc_core::malloc::{ByteHeap, Magazines, Mode};
use alloc_core::{Mmap, MmapRegion, PAGE_BYTES, PageHeap, PageRun, PageSource, Reach, SourceError};
use std::alloc::Layout;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::ptr::NonNull;

const MIB: usize = 1 << 20;
const PHYSICAL_BYTES: usize = 4096;

/// Runs one of the ignored tests below in a process of its own.
fn alone(test: &str) {
    let this = std::env::current_exe().expect("this program has a path");
    let output = Command::new(this)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .args(["--test-threads", "1"])
        .output()
        .expect("this program can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("1 passed"), "{said}");
    let skipped = said.lines().filter(|line| line.contains("skipped"));
    skipped.for_each(|line| println!("{line}"));
}

/// Shows a run that the test owns as words.
#[allow(clippy::mut_from_ref, reason = "the test owns the pages, not the heap")]
fn words<S: PageSource>(heap: &PageHeap<S>, run: PageRun) -> &mut [u64] {
    let first = heap.address(run).cast::<u64>();
    // SAFETY: the tests look only at runs that they own, one at a time, on one thread. A page is
    // aligned for words, and its memory is zero or was written.
    unsafe { std::slice::from_raw_parts_mut(first.as_ptr(), run.bytes() / 8) }
}

/// How many bytes of a run are in memory, by the kernel's page map.
fn resident_bytes<S: PageSource>(heap: &PageHeap<S>, run: PageRun) -> usize {
    let first = heap.address(run).addr().get() / PHYSICAL_BYTES;
    let mut entries = vec![0_u8; run.bytes() / PHYSICAL_BYTES * 8];
    let map = File::open("/proc/self/pagemap").expect("one's own page map can be opened");
    map.read_exact_at(&mut entries, first as u64 * 8)
        .expect("the mapping has an entry for each page");
    let present = entries.chunks(8).filter(|entry| entry[7] & 0x80 != 0);
    present.count() * PHYSICAL_BYTES
}

/// Bytes of this process that are in huge pages.
fn huge_bytes() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("one's own memory");
    let line = rollup
        .lines()
        .find(|line| line.starts_with("AnonHugePages"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.expect("the kernel counts huge pages") << 10
}

/// A heap of 24 MiB that is all in use but for every other page, and each page's number in it.
fn every_other_page<S: PageSource>(source: S) -> (PageHeap<S>, PageRun) {
    let heap = PageHeap::new(source, 24 * MIB, 24 * MIB, |_| 0).expect("24 MiB");
    let all = heap.alloc((24 * MIB / PAGE_BYTES) as u32).expect("all");
    for (at, word) in words(&heap, all).iter_mut().enumerate() {
        *word = at as u64;
    }
    for start in (0..all.count).step_by(2) {
        // SAFETY: the test owns the page and uses it no more.
        unsafe { heap.free(PageRun { start, count: 1 }) };
    }
    (heap, all)
}

/// The pages that are in use are as they were, the others can be had again, zero where it is said.
fn check<S: PageSource>(heap: &PageHeap<S>, all: PageRun) {
    heap.check_invariants();
    let words_a_page = PAGE_BYTES / 8;
    for start in (1..all.count).step_by(2) {
        let first = start as usize * words_a_page;
        let mut page = words(heap, PageRun { start, count: 1 }).iter().zip(first..);
        assert!(page.all(|(word, at)| *word == at as u64), "page {start}");
    }
    for _ in 0..all.count / 2 {
        let taken = heap.take(1).expect("a page that was freed");
        let is_zero = words(heap, taken.run).iter().all(|word| *word == 0);
        assert!(is_zero || !taken.is_zero(), "{taken:?} is not zero");
    }
    assert_eq!(heap.stats().in_use_bytes, all.bytes());
    heap.check_invariants();
}

/// From now on the kernel refuses this process every `madvise`.
fn refuse_advice() {
    let rule = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    // The system call's number, compared; an error for this one, permission for all others.
    let mut rules = [
        rule(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        rule(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_madvise as u32,
        ),
        rule(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        rule(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: rules.len() as u16,
        filter: rules.as_mut_ptr(),
    };
    // SAFETY: a flag of this process.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(done, 0, "any process may give up privileges");
    let filter = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program and its rules are alive during the call, which copies them.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, filter, &raw const program) };
    assert_eq!(done, 0, "any process may forbid itself something");
}

#[test]
#[ignore = "run by another, in a process of its own"]
fn advice_refused() {
    refuse_advice();
    let (heap, all) = every_other_page(Mmap::new());
    for reach in [Reach::Whole, Reach::Sparse, Reach::All] {
        assert_eq!(heap.release(usize::MAX, reach), 0, "{reach:?}");
    }
    let stats = heap.stats();
    assert!(stats.releases_refused > 0, "{stats:?}");
    assert_eq!((stats.releases, stats.released_bytes), (0, 0));
    assert_eq!(stats.retained_bytes, all.bytes() / 2);
    assert_eq!(resident_bytes(&heap, all), all.bytes());
    check(&heap, all);

    let bytes = ByteHeap::new(Mmap::new(), 64 * MIB, 64 * MIB, Mode::Hardened).expect("64 MiB");
    let mut magazines = Magazines::new();
    let layout = Layout::new::<[u8; 3 * MIB]>();
    for _ in 0..50 {
        let object = bytes.alloc_zeroed(&mut magazines, layout).expect("3 MiB");
        // SAFETY: just allocated, as long, and zeroed, which initializes it.
        let content = unsafe { std::slice::from_raw_parts_mut(object.as_ptr(), 3 * MIB) };
        assert!(content.iter().all(|byte| *byte == 0));
        content.fill(1);
        // SAFETY: just allocated, and not used below.
        unsafe { bytes.free(&mut magazines, object, layout) };
    }
    magazines.flush(&bytes);
    assert_eq!(bytes.check_invariants(), 0);
}

#[test]
fn a_system_that_refuses_advice_costs_memory_and_nothing_else() {
    alone("advice_refused");
}

/// Whether the kernel counts memory of this process as locked.
fn is_any_locked() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("one's own state");
    let line = status.lines().find(|line| line.starts_with("VmLck:"));
    line.is_some_and(|line| !line.ends_with(" 0 kB"))
}

#[test]
#[ignore = "run by another, in a process of its own"]
fn locked() {
    let (heap, all) = every_other_page(Mmap::new());
    // As much as a process may lock without privileges.
    let locked = PageRun {
        start: 0,
        count: (4 * MIB / PAGE_BYTES) as u32,
    };
    let at = heap.address(locked).as_ptr();
    // SAFETY: a part of the heap's mapping; locking changes no content.
    let done = unsafe { libc::mlock(at.cast(), locked.bytes()) };
    // A sanitizer says yes and does nothing.
    if done != 0 || !is_any_locked() {
        println!(
            "skipped: this process may not lock {} bytes",
            locked.bytes()
        );
        return;
    }
    heap.release(usize::MAX, Reach::All);
    let stats = heap.stats();
    assert!(stats.releases_refused > 0, "{stats:?}");
    assert_eq!(resident_bytes(&heap, locked), locked.bytes());
    assert!(
        stats.retained_bytes >= locked.bytes() / 2,
        "it is still ours"
    );
    // SAFETY: as above.
    assert_eq!(unsafe { libc::munlock(at.cast(), locked.bytes()) }, 0);
    while heap.release(usize::MAX, Reach::All) > 0 {}
    assert_eq!(heap.stats().retained_bytes, 0, "now it goes");
    assert_eq!(resident_bytes(&heap, all), all.bytes() / 2);
    check(&heap, all);
}

#[test]
fn locked_memory_stays_until_it_is_unlocked() {
    alone("locked");
}

#[test]
#[ignore = "run by another, in a process of its own"]
fn never_huge() {
    // SAFETY: a flag of this process.
    let done = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    assert_eq!(done, 0, "any process may go without huge pages");
    let (heap, all) = every_other_page(Mmap::new());
    assert_eq!(huge_bytes(), 0);
    while heap.release(usize::MAX, Reach::All) > 0 {}
    assert_eq!(heap.stats().retained_bytes, 0);
    assert_eq!(resident_bytes(&heap, all), all.bytes() / 2);
    check(&heap, all);
}

#[test]
fn a_system_without_huge_pages_gets_all_back() {
    alone("never_huge");
}

/// Memory whose every page may be huge from the beginning.
struct AlwaysHuge(Mmap);

// SAFETY: `Mmap`'s promises; the advice before changes no content.
unsafe impl PageSource for AlwaysHuge {
    type Region = MmapRegion;

    fn reserve(&self, bytes: usize) -> Result<MmapRegion, SourceError> {
        let region = self.0.reserve(bytes)?;
        self.0.advise_huge(&region, 0, bytes)?;
        Ok(region)
    }

    fn base(&self, region: &MmapRegion) -> NonNull<u8> {
        self.0.base(region)
    }

    fn commit(&self, region: &MmapRegion, at: usize, bytes: usize) -> Result<(), SourceError> {
        self.0.commit(region, at, bytes)
    }

    unsafe fn release(
        &self,
        region: &MmapRegion,
        at: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        // SAFETY: this function's own preconditions.
        unsafe { self.0.release(region, at, bytes) }
    }

    fn advise_huge(&self, region: &MmapRegion, at: usize, bytes: usize) -> Result<(), SourceError> {
        self.0.advise_huge(region, at, bytes)
    }

    fn advise_small(
        &self,
        region: &MmapRegion,
        at: usize,
        bytes: usize,
    ) -> Result<(), SourceError> {
        self.0.advise_small(region, at, bytes)
    }
}

#[test]
#[ignore = "run by another, in a process of its own"]
fn always_huge() {
    let (heap, all) = every_other_page(AlwaysHuge(Mmap::new()));
    if huge_bytes() < all.bytes() / 2 {
        println!("skipped: the system gave no huge pages");
    }
    while heap.release(usize::MAX, Reach::All) > 0 {}
    assert_eq!(heap.stats().retained_bytes, 0);
    assert_eq!(resident_bytes(&heap, all), all.bytes() / 2);
    check(&heap, all);
}

#[test]
fn a_system_with_huge_pages_everywhere_gets_all_back() {
    alone("always_huge");
}

#[test]
#[ignore = "run by another, in a process of its own"]
fn few_addresses() {
    let status = std::fs::read_to_string("/proc/self/statm").expect("one's own memory");
    let pages = status
        .split(' ')
        .next()
        .and_then(|pages| pages.parse::<u64>().ok());
    let most = pages.expect("a number") * PHYSICAL_BYTES as u64 + 200 * MIB as u64;
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: a valid limit, which is copied.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(done, 0, "any process may limit itself");

    let error = PageHeap::new(Mmap::new(), 1 << 40, 512 * MIB, |_| 0).map(|_| ());
    let error = error
        .expect_err("more than there are addresses")
        .to_string();
    assert!(error.contains("reserve"), "{error}");

    let bytes = ByteHeap::new(Mmap::new(), 1 << 40, 16 * MIB, Mode::Plain);
    let bytes = bytes.expect("a part of what was asked for");
    let mut magazines = Magazines::new();
    let layout = Layout::new::<[u8; MIB]>();
    let mut objects = Vec::new();
    let error = loop {
        match bytes.alloc(&mut magazines, layout) {
            Ok(object) => objects.push(object),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("are free in the heap's range"), "{error}");
    assert!(objects.len() >= 15, "{} MiB of 200", objects.len());
    for object in objects {
        // SAFETY: allocated above, freed once.
        unsafe { bytes.free(&mut magazines, object, layout) };
    }
    assert_eq!(bytes.check_invariants(), 0);
}

#[test]
fn a_process_with_few_addresses_gets_a_smaller_heap() {
    alone("few_addresses");
}
