//! What every workload prints: clocks, resident memory, the histogram of latencies.

use crate::{binding, world};
use std::time::Instant;

/// Processor time of the process, in nanoseconds.
pub(crate) fn cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a `timespec` of ours, and the clock is one of the system's.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "the clock of the process cannot be read");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Resident memory of the process.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib << 10)
}

/// Processor time of the collector's threads. What a mutator sweeps where it allocates is not in
/// it.
fn collector_cpu_ns() -> u64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    let cpu = |thread: std::io::Result<std::fs::DirEntry>| {
        let folder = thread.ok()?.path();
        let comm = std::fs::read_to_string(folder.join("comm")).ok()?;
        let stat = std::fs::read_to_string(folder.join("schedstat")).ok()?;
        let ns: u64 = stat.split_whitespace().next()?.parse().ok()?;
        comm.starts_with(binding::WORKER).then_some(ns)
    };
    threads.filter_map(cpu).sum()
}

/// What the clocks said when the measured part began.
pub(crate) struct Watch {
    pub(crate) wall: Instant,
    cpu_ns: u64,
    collections: u64,
    collector_cpu_ns: u64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self {
            collections: world::collections(),
            collector_cpu_ns: collector_cpu_ns(),
            cpu_ns: cpu_ns(),
            wall: Instant::now(),
        }
    }

    /// Prints the figures of the measured part, then the answer.
    pub(crate) fn stop(self, answer: impl FnOnce() -> u64) {
        let (wall, cpu_ns) = (self.wall.elapsed(), cpu_ns() - self.cpu_ns);
        println!("rss_end_bytes {}", resident_bytes());
        println!("wall_ns {}", wall.as_nanos());
        println!("cpu_ns {cpu_ns}");
        println!("collections {}", world::collections() - self.collections);
        let collector_cpu_ns = collector_cpu_ns() - self.collector_cpu_ns;
        println!("collector_cpu_ns {collector_cpu_ns}");
        println!("answer {}", answer());
    }
}

/// Counts in buckets of 1/128 of their value, exact below 256 ns.
pub(crate) struct Histogram(Vec<u64>);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self(vec![0; 58 * 128])
    }

    pub(crate) fn record(&mut self, ns: u64) {
        let shift = (64 - ns.leading_zeros() as usize).saturating_sub(8);
        self.0[(shift << 7) + (ns >> shift) as usize] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(&other.0) {
            *mine += others;
        }
    }

    /// Prints each bucket's largest value and its count.
    pub(crate) fn print(&self) {
        for (at, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let shift = (at >> 7).saturating_sub(1);
            let value = ((at as u64 - ((shift as u64) << 7) + 1) << shift) - 1;
            println!("latency_ns {value} {count}");
        }
    }
}
