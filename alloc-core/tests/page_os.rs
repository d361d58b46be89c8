//! A heap's pages over the operating system: what a release does to residency, and whether pages
//! stay whole while several threads allocate and one releases.
#![cfg(not(heapwright_loom))]

use std::sync::atomic::{AtomicBool, Ordering};

use alloc_core::{Mmap, PAGE_BYTES, PageHeap, PageRun, Reach};

const MIB: usize = 1 << 20;

/// Shows a run that the test owns as words.
fn with_words<R>(heap: &PageHeap<Mmap>, run: PageRun, look: impl FnOnce(&mut [u64]) -> R) -> R {
    let words = heap.address(run).cast::<u64>();
    // SAFETY: the tests look only at runs that they own, one thread a run. A page is aligned for
    // words, and its memory is zero or was written.
    look(unsafe { std::slice::from_raw_parts_mut(words.as_ptr(), run.bytes() / 8) })
}

/// Overwrites a run, word by word from a seed.
fn write(heap: &PageHeap<Mmap>, run: PageRun, seed: u64) {
    with_words(heap, run, |words| {
        for (at, word) in words.iter_mut().enumerate() {
            *word = seed ^ at as u64;
        }
    });
}

/// Whether a run holds what was written from that seed.
fn is_whole(heap: &PageHeap<Mmap>, run: PageRun, seed: u64) -> bool {
    with_words(heap, run, |words| {
        let mut words = words.iter().enumerate();
        words.all(|(at, word)| *word == seed ^ at as u64)
    })
}

/// Whether a run is zero.
fn is_zero(heap: &PageHeap<Mmap>, run: PageRun) -> bool {
    with_words(heap, run, |words| words.iter().all(|word| *word == 0))
}

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod residency {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    /// The processor's page on x86-64.
    const PHYSICAL_BYTES: usize = 4096;

    /// How many bytes of a run are in memory. The kernel's page map has a word a physical page,
    /// whose top bit says so; it may be read for one's own process.
    fn resident_bytes(heap: &PageHeap<Mmap>, run: PageRun) -> usize {
        let first = heap.address(run).addr().get() / PHYSICAL_BYTES;
        let mut words = vec![0_u8; run.bytes() / PHYSICAL_BYTES * 8];
        let map = File::open("/proc/self/pagemap").expect("one's own page map can be opened");
        map.read_exact_at(&mut words, first as u64 * 8)
            .expect("the mapping has an entry for each page");
        let present = words.chunks(8).filter(|word| word[7] & 0x80 != 0).count();
        present * PHYSICAL_BYTES
    }

    #[test]
    fn a_release_gives_small_pages_back_and_they_come_as_zeros() {
        let heap = PageHeap::new(Mmap::new(), 64 * MIB, 64 * MIB, |_| 0).expect("64 MiB");
        let run = heap.alloc(1024).expect("8 MiB");
        assert_eq!(resident_bytes(&heap, run), 0, "nothing was touched");
        write(&heap, run, 1);
        assert_eq!(resident_bytes(&heap, run), run.bytes());

        // Every other page is freed; the others keep their content and their memory.
        let page = |start| PageRun { start, count: 1 };
        for start in (0..run.count).step_by(2) {
            // SAFETY: the test owns the page and uses it no more.
            unsafe { heap.free(page(start)) };
        }
        assert_eq!(heap.release(usize::MAX, Reach::Whole), run.bytes() / 2);
        assert_eq!(resident_bytes(&heap, run), run.bytes() / 2);
        let words_a_page = PAGE_BYTES as u64 / 8;
        for start in (1..run.count).step_by(2) {
            let first = u64::from(start) * words_a_page;
            let kept = with_words(&heap, page(start), |words| {
                let mut words = words.iter().zip(first..);
                words.all(|(word, at)| *word == 1 ^ at)
            });
            assert!(kept, "page {start} lost its content");
        }
        for start in (0..run.count).step_by(2) {
            let taken = heap.take(1).expect("the pages that were released");
            assert_eq!((taken.run, taken.is_zero()), (page(start), true));
            assert!(is_zero(&heap, taken.run));
        }
        heap.check_invariants();
    }

    #[test]
    fn a_release_gives_whole_huge_pages_back() {
        let heap = PageHeap::new(Mmap::new(), 64 * MIB, 64 * MIB, |_| 0).expect("64 MiB");
        let run = heap.alloc((32 * MIB / PAGE_BYTES) as u32).expect("32 MiB");
        write(&heap, run, 2);
        // The last 8 MiB but for their first page: three and a bit huge pages.
        let (from, used) = ((24 * MIB / PAGE_BYTES) as u32, 1);
        let end = PageRun {
            start: from + used,
            count: run.end() - from - used,
        };
        // SAFETY: the test owns the pages and uses them no more.
        unsafe { heap.free(end) };
        let before = resident_bytes(&heap, run);
        let released = heap.release(usize::MAX, Reach::Whole);
        let without_huge_pages = heap.stats().retained_bytes == 0;
        let expected = if without_huge_pages {
            end.bytes()
        } else {
            6 * MIB
        };
        assert_eq!(released, expected);
        assert_eq!(before - resident_bytes(&heap, run), expected);
        let kept = PageRun {
            count: from + used,
            ..run
        };
        assert!(is_whole(&heap, kept, 2));
        heap.check_invariants();
    }

    /// Bytes in huge pages, and whether small ones are advised, over the mappings that a run
    /// touches: what the kernel says in `smaps`.
    fn huge_bytes(heap: &PageHeap<Mmap>, run: PageRun) -> (usize, bool) {
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("one's own mappings");
        let from = heap.address(run).addr().get();
        let (mut touches, mut huge, mut small) = (false, 0, false);
        for line in smaps.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            let bounds = first.split_once('-').and_then(|(start, end)| {
                let parse = |word| usize::from_str_radix(word, 16).ok();
                parse(start).zip(parse(end))
            });
            if let Some((start, end)) = bounds {
                touches = start < from + run.bytes() && from < end;
            } else if touches && first == "AnonHugePages:" {
                let kib: usize = words
                    .next()
                    .and_then(|word| word.parse().ok())
                    .expect("KiB");
                huge += kib << 10;
            } else if touches && first == "VmFlags:" {
                small |= words.any(|flag| flag == "nh");
            }
        }
        (huge, small)
    }

    #[test]
    fn sparse_huge_pages_break_give_their_free_pages_back_and_mend() {
        let heap = PageHeap::new(Mmap::new(), 64 * MIB, 64 * MIB, |_| 0).expect("64 MiB");
        let run = heap.alloc((32 * MIB / PAGE_BYTES) as u32).expect("32 MiB");
        write(&heap, run, 4);
        let upper = PageRun {
            start: run.count / 2,
            count: run.count / 2,
        };
        if huge_bytes(&heap, upper) != (upper.bytes(), false) {
            println!("skipped: the system gave no huge pages");
            return;
        }
        // One page of eight stays in use.
        let page = |start| PageRun { start, count: 1 };
        for start in (upper.start..upper.end()).filter(|start| start % 8 != 3) {
            // SAFETY: the test owns the page and uses it no more.
            unsafe { heap.free(page(start)) };
        }
        assert_eq!(heap.release(usize::MAX, Reach::Whole), 0);
        assert_eq!(huge_bytes(&heap, upper), (upper.bytes(), false));
        assert_eq!(
            heap.release(usize::MAX, Reach::Sparse),
            upper.bytes() / 8 * 7
        );
        assert_eq!(resident_bytes(&heap, upper), upper.bytes() / 8);
        assert_eq!(huge_bytes(&heap, upper), (0, true));
        for start in (upper.start + 3..upper.end()).step_by(8) {
            let first = u64::from(start) * (PAGE_BYTES as u64 / 8);
            let kept = with_words(&heap, page(start), |words| {
                words.iter().zip(first..).all(|(word, at)| *word == 4 ^ at)
            });
            assert!(kept, "page {start} lost its content");
            // SAFETY: as above.
            unsafe { heap.free(page(start)) };
        }
        assert_eq!(heap.release(usize::MAX, Reach::Whole), upper.bytes() / 8);
        assert_eq!(resident_bytes(&heap, upper), 0);
        let again = heap.alloc(upper.count).expect("as much as was freed");
        assert_eq!(again, upper);
        write(&heap, again, 5);
        assert_eq!(huge_bytes(&heap, upper), (upper.bytes(), false), "mended");
        heap.check_invariants();
    }

    #[test]
    fn a_heap_that_is_dropped_gives_its_addresses_back() {
        // Sixteen of these at once do not fit into the addresses that a process has.
        for _ in 0..16 {
            let heap = PageHeap::new(Mmap::new(), 8 << 40, 8 << 40, |bytes| bytes / 64);
            let heap = heap.expect("eight TiB of addresses");
            let run = heap.alloc(1).expect("one page of them");
            write(&heap, run, 3);
        }
    }
}

#[test]
fn the_metadata_is_zero_and_writable() {
    let heap = PageHeap::new(Mmap::new(), 16 * MIB, 4 * MIB, |bytes| bytes / 64).expect("16 MiB");
    assert_eq!(heap.metadata_bytes(), heap.heap_bytes() / 64);
    heap.advise_metadata(0, heap.metadata_bytes());
    let (base, bytes) = (heap.metadata_base().as_ptr(), heap.metadata_bytes());
    // SAFETY: the whole metadata, which nobody else uses and which is committed.
    let metadata = unsafe { std::slice::from_raw_parts_mut(base, bytes) };
    assert!(metadata.iter().all(|byte| *byte == 0));
    metadata.fill(1);
}

/// Three threads allocate, check and free; a fourth releases all it can, all the time.
#[test]
fn pages_stay_whole_while_another_thread_releases() {
    let heap = PageHeap::new(Mmap::new(), 24 * MIB, 24 * MIB, |_| 0).expect("24 MiB");
    let done = AtomicBool::new(false);
    let released = std::thread::scope(|scope| {
        let releaser = scope.spawn(|| {
            let mut released = 0;
            while !done.load(Ordering::Relaxed) {
                released += heap.release(3 * MIB, Reach::All);
            }
            released
        });
        let allocators = [1_u64, 2, 3].map(|thread| {
            let heap = &heap;
            scope.spawn(move || {
                let mut owned: Vec<(PageRun, u64)> = Vec::new();
                for step in 0..400_u64 {
                    let seed = thread << 48 | step << 16;
                    let count = 1 + (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as u32;
                    if let Ok(taken) = heap.take(count) {
                        assert!(!taken.is_zero() || is_zero(heap, taken.run));
                        write(heap, taken.run, seed);
                        owned.push((taken.run, seed));
                    }
                    if owned.len() > 20 {
                        let (run, seed) = owned.swap_remove(step as usize % owned.len());
                        assert!(is_whole(heap, run, seed), "{run:?} of thread {thread}");
                        // SAFETY: the thread owns the run and uses it no more.
                        unsafe { heap.free(run) };
                    }
                }
                for (run, seed) in owned {
                    assert!(is_whole(heap, run, seed), "{run:?} of thread {thread}");
                    // SAFETY: as above.
                    unsafe { heap.free(run) };
                }
            })
        });
        let failed = allocators.map(|allocator| allocator.join().is_err());
        done.store(true, Ordering::Relaxed);
        assert_eq!(failed, [false; 3]);
        releaser
            .join()
            .expect("the releaser has nothing to fail at")
    });
    heap.check_invariants();
    assert_eq!(heap.stats().in_use_bytes, 0);
    if cfg!(target_os = "linux") {
        assert!(released > 0, "the releaser got nothing");
    }
}
