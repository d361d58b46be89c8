//! What a soak is judged by: samples of what it holds while it runs, and the books at its end.

use crate::source::Faults;
use crate::work::Counts;
use runtime::Heap;
use std::sync::atomic::Ordering;

/// Bytes that a heap with random programs of its own may hold.
const PROGRAM_LIMIT_BYTES: usize = 24 << 20;
/// Bytes beside the heaps' pages: metadata, logs, stacks, the twins, and what the system's
/// allocator keeps of all that.
const OVERHEAD_BYTES: usize = 96 << 20;
/// The last third may hold so much of what the first held, in percent, and so many bytes more, half
/// of the limit: hoards fall where they like, and settings change.
const GROWTH_PERCENT: usize = 120;
const GROWTH_BYTES: usize = 32 << 20;

/// What the process and the heap held at one moment, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    resident: usize,
    heap: usize,
}

impl Sample {
    pub(crate) fn take(heap: &Heap) -> Self {
        Self {
            resident: resident_bytes(),
            heap: heap.stats().heap_bytes,
        }
    }
}

/// Bytes of memory behind this process, by the kernel's books.
pub(crate) fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text.split_whitespace().nth(1).expect("a second field");
    pages.parse::<usize>().expect("a number") * 4096
}

/// Mean of what was resident, and the least that the heap held, whose peaks say nothing.
fn figures(samples: &[Sample]) -> [(&'static str, usize); 2] {
    let resident: usize = samples.iter().map(|sample| sample.resident).sum();
    let heap = samples.iter().map(|sample| sample.heap).min();
    [
        ("resident", resident / samples.len()),
        ("heap", heap.unwrap_or(0)),
    ]
}

/// Bounded at each moment, and no growth from the first third to the last, after a quarter
/// to get warm; what was seen.
pub(crate) fn check_samples(samples: &[Sample], before: usize, limit_bytes: usize) -> String {
    assert!(samples.len() >= 9, "{} samples", samples.len());
    let resident_max = samples.iter().map(|sample| sample.resident).max();
    let resident_max = resident_max.unwrap_or(0);
    let bound = before + limit_bytes + PROGRAM_LIMIT_BYTES + OVERHEAD_BYTES;
    assert!(
        resident_max <= bound,
        "{resident_max} bytes resident, above {bound}"
    );
    let heap_max = samples.iter().map(|sample| sample.heap).max().unwrap_or(0);
    assert!(heap_max <= limit_bytes, "{heap_max} bytes in the heap");
    // Until the first hoards have come, the heap is smaller than it will be.
    let warm = &samples[samples.len() / 4..];
    let third = warm.len() / 3;
    let (first, last) = (&warm[..third], &warm[warm.len() - third..]);
    let mut said = format!("resident_max_mib={} of {}", resident_max >> 20, bound >> 20);
    for ((name, first), (_, last)) in figures(first).into_iter().zip(figures(last)) {
        assert!(
            last <= first * GROWTH_PERCENT / 100 + GROWTH_BYTES,
            "{name} grew from {first} to {last} bytes"
        );
        said += &format!(" {name}_mib={}->{}", first >> 20, last >> 20);
    }
    said
}

/// Every root is gone: each byte is accounted for. Says the totals.
pub(crate) fn check_books(heap: &Heap, counts: &Counts, faults: &Faults) -> String {
    faults.is_healed.store(true, Ordering::Relaxed);
    heap.collect().expect("no trace panics");
    let stats = heap.stats();
    assert_eq!((stats.roots, stats.mutators, stats.live_bytes), (0, 0, 0));
    assert_eq!((stats.drop_panics, stats.trace_panics), (0, 0));
    assert_eq!(stats.external_bytes, 0);
    let objects: usize = heap.census().iter().map(|kind| kind.objects).sum();
    assert_eq!(objects, 0, "{:?}", heap.census());
    let load = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::Relaxed);
    let (made, dropped) = (load(&counts.made), load(&counts.dropped));
    assert_eq!(made, dropped, "made and dropped");
    heap.release_os_memory();
    let after = heap.stats();
    assert_eq!(after.heap_bytes, 0, "pages that hold spans");
    assert_eq!(after.retained_bytes, 0, "free pages that were not released");
    let (commits, releases) = (
        faults.commits.load(Ordering::Relaxed),
        faults.releases.load(Ordering::Relaxed),
    );
    assert!(commits > 0, "no commit was refused");
    let refused = counts.refused.load(Ordering::Relaxed);
    assert!(refused > 0, "no allocation failed");
    assert!(stats.cycles > 2, "{} cycles", stats.cycles);
    format!(
        "cycles={} allocated_mib={} objects={made} commits_refused={commits} \
         releases_refused={releases} allocations_refused={refused} handshakes_delayed={}",
        stats.cycles,
        stats.allocated_bytes >> 20,
        // Each cycle has five at least.
        5 * stats.cycles,
    )
}
