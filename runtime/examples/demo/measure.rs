//! What the demo measures: latencies, samples over time, the moments the table shows.
//!
//! A reader records into histograms of its own; the sampler takes them over every interval and
//! adds them to the totals, so that a reader never waits for more than that. Histograms keep
//! two significant digits, which is what a percentile of a short run is worth. Resident memory
//! is the kernel's figure (`VmRSS` in `/proc/self/status`) and absent where there is none.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::data::Archive;
use crate::query::Kind;

/// Latencies up to this are told apart; a longer one counts as this.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// Latencies in nanoseconds, a histogram a kind of query.
pub(crate) struct Latencies {
    kinds: Vec<Histogram<u64>>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let kinds = Kind::ALL.iter().map(|_| histogram()).collect();
        Latencies { kinds }
    }

    pub(crate) fn record(&mut self, kind: Kind, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.kinds[kind as usize].saturating_record(ns.max(1));
    }

    pub(crate) fn of(&self, kind: Kind) -> &Histogram<u64> {
        &self.kinds[kind as usize]
    }

    /// Empties `self` into `other`.
    fn pour(&mut self, other: &mut Latencies) {
        for (mine, theirs) in self.kinds.iter_mut().zip(&mut other.kinds) {
            if !mine.is_empty() {
                // All histograms have the same bounds, so nothing can fall outside.
                theirs.add(&*mine).unwrap_or_default();
                mine.reset();
            }
        }
    }

    /// All kinds in one.
    pub(crate) fn merged(&self) -> Histogram<u64> {
        let mut all = histogram();
        for kind in &self.kinds {
            all.add(kind).unwrap_or_default();
        }
        all
    }
}

fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, LATENCY_MAX_NS, 2) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("the bounds are constants that hdrhistogram accepts: {error}"),
    }
}

/// The latencies a reader has recorded since the sampler last came by.
pub(crate) struct Recorder(Mutex<Latencies>);

impl Recorder {
    pub(crate) fn new() -> Self {
        Recorder(Mutex::new(Latencies::new()))
    }

    pub(crate) fn record(&self, kind: Kind, latency: Duration) {
        self.lock().record(kind, latency);
    }

    /// Takes over what is there, into the interval's histograms.
    pub(crate) fn take(&self, interval: &mut Latencies) {
        self.lock().pour(interval);
    }

    fn lock(&self) -> MutexGuard<'_, Latencies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds an interval's latencies to the totals and summarizes them.
pub(crate) fn close_interval(interval: &mut Latencies, total: &mut Latencies) -> Interval {
    let all = interval.merged();
    interval.pour(total);
    Interval {
        answers: all.len(),
        p50_ns: all.value_at_quantile(0.5),
        p99_ns: all.value_at_quantile(0.99),
        max_ns: all.max(),
    }
}

/// The answers of one interval and how long they took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Interval {
    pub(crate) answers: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub(crate) max_ns: u64,
}

/// What the heap and the process hold.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) heap_bytes: u64,
    /// Free pages that the heap keeps.
    pub(crate) retained_bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) released_bytes: u64,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) cycles: u64,
}

/// One point of the timeline.
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) dropped: bool,
    pub(crate) memory: Memory,
    pub(crate) interval: Interval,
    pub(crate) replaced: u64,
}

/// A row of the table's part on memory.
pub(crate) struct Moment {
    pub(crate) name: &'static str,
    pub(crate) memory: Memory,
}

/// What the writer did.
#[derive(Clone, Copy, Default)]
pub(crate) struct Written {
    pub(crate) uploads: u64,
    pub(crate) replaced: u64,
    /// Of those, packages that were replaced together with a neighbor, so that the old objects
    /// point at each other and are garbage with a cycle.
    pub(crate) replaced_in_cycles: u64,
    pub(crate) serial_max: u64,
}

/// What the readers' answers came to when checked.
#[derive(Default)]
pub(crate) struct Checked {
    pub(crate) answers: u64,
    pub(crate) by_kind: [u64; 4],
    /// Those that had lived through the end of a marking or more when they were checked.
    pub(crate) outlived: u64,
    /// Objects in those answers.
    pub(crate) members: u64,
    pub(crate) mismatches: u64,
    /// The first few, in words.
    pub(crate) mismatch_texts: Vec<String>,
}

impl Checked {
    const TEXTS_MAX: usize = 10;

    pub(crate) fn mismatch(&mut self, text: String) {
        self.mismatches += 1;
        if self.mismatch_texts.len() < Self::TEXTS_MAX {
            self.mismatch_texts.push(text);
        }
    }

    pub(crate) fn add(&mut self, other: Checked) {
        self.answers += other.answers;
        self.members += other.members;
        self.outlived += other.outlived;
        for (mine, theirs) in self.by_kind.iter_mut().zip(other.by_kind) {
            *mine += theirs;
        }
        self.mismatches += other.mismatches;
        let room = Self::TEXTS_MAX - self.mismatch_texts.len();
        self.mismatch_texts
            .extend(other.mismatch_texts.into_iter().take(room));
    }
}

/// The archive, its packages forgotten.
pub(crate) struct About {
    pub(crate) source: String,
    pub(crate) packages: usize,
    pub(crate) edges: usize,
    pub(crate) unknown_edges: usize,
    pub(crate) unknown_first: Option<String>,
    pub(crate) repeated_edges: usize,
    /// Components of several packages, and the packages in them.
    pub(crate) cyclic: (usize, usize),
}

impl About {
    pub(crate) fn new(archive: Archive, cyclic: (usize, usize)) -> Self {
        About {
            packages: archive.packages.len(),
            edges: archive.edges(),
            source: archive.source,
            unknown_edges: archive.unknown_edges,
            unknown_first: archive.unknown_first,
            repeated_edges: archive.repeated_edges,
            cyclic,
        }
    }
}

/// Everything a run came to; the table, the JSON and the page are made of it.
pub(crate) struct Outcome {
    pub(crate) collector: &'static str,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    pub(crate) about: About,
    pub(crate) load: Duration,
    pub(crate) served: Duration,
    /// Why serving ended before its time.
    pub(crate) stopped: Option<String>,
    pub(crate) latencies: Latencies,
    pub(crate) checked: Checked,
    /// Answers of the half that was kept, checked after the other half was dropped.
    pub(crate) checked_after: Checked,
    pub(crate) written: Written,
    /// Weak references to replaced packages, and how many of those are still there at the end.
    pub(crate) watched: u64,
    pub(crate) watched_alive: u64,
    /// Whether the collector promises that none of them is.
    pub(crate) reclaims: bool,
    /// What the collector took from mutators, each time and at the most; the longest stop of the
    /// world.
    pub(crate) waits: runtime::scavenge::Latencies,
    pub(crate) longest_wait: Duration,
    pub(crate) longest_pause: Duration,
    /// What `release_os_memory` gave back at the very end, after the background scavenger.
    pub(crate) released_at_end_bytes: u64,
    pub(crate) moments: Vec<Moment>,
    pub(crate) samples: Vec<Sample>,
}

impl Outcome {
    /// Whether every check held.
    pub(crate) fn good(&self) -> bool {
        self.checked.mismatches == 0
            && self.checked_after.mismatches == 0
            && (self.watched_alive == 0 || !self.reclaims)
    }

    /// The memory at the last moment, with the counts of the whole run.
    pub(crate) fn last(&self) -> Memory {
        self.moments.last().map(|m| m.memory).unwrap_or_default()
    }

    pub(crate) fn moment(&self, name: &str) -> Option<&Memory> {
        self.moments
            .iter()
            .find(|m| m.name == name)
            .map(|m| &m.memory)
    }

    /// The most the heap had in use, and the most the process had resident.
    pub(crate) fn peaks(&self) -> (u64, Option<u64>) {
        let memories = || {
            let samples = self.samples.iter().map(|s| &s.memory);
            samples.chain(self.moments.iter().map(|m| &m.memory))
        };
        let heap = memories().map(|m| m.heap_bytes).max().unwrap_or(0);
        (heap, memories().filter_map(|m| m.rss_bytes).max())
    }
}

/// The process's resident bytes, where the kernel tells.
pub(crate) fn rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Bytes in words: `17.2 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    let (mut value, mut unit) = (n as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" {
        format!("{n} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Nanoseconds in words: `3.1 µs`.
pub(crate) fn nanos(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

pub(crate) fn duration(d: Duration) -> String {
    nanos(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_quantities() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(nanos(3_100), "3.1 µs");
        assert_eq!(nanos(2_000_000_000), "2.00 s");
    }

    #[test]
    fn intervals_add_up_to_the_total() {
        let recorder = Recorder::new();
        let (mut interval, mut total) = (Latencies::new(), Latencies::new());
        for round in 1..=3_u64 {
            for i in 0..100 {
                recorder.record(Kind::Path, Duration::from_nanos(round * 1_000 + i));
            }
            recorder.take(&mut interval);
            let summary = close_interval(&mut interval, &mut total);
            assert_eq!(summary.answers, 100);
            assert!(
                summary.p50_ns.abs_diff(round * 1_000 + 50) <= 30,
                "{}",
                summary.p50_ns
            );
        }
        assert_eq!(total.of(Kind::Path).len(), 300);
        assert_eq!(total.of(Kind::Cycle).len(), 0);
        assert_eq!(total.merged().len(), 300);
    }
}
