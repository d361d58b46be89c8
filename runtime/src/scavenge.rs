//! How a heap gives memory back: what can be set, and what can be seen.
//!
//! A thread of its own asks a [`Policy`] when to release what, and does it; the default is a
//! [`Pacer`] with its usual [`Config`]. The heap tells it at the end of each cycle what the next
//! one will need.
//!
//! ```
//! use runtime::{Heap, scavenge::{Config, Pacer}};
//! use std::time::Duration;
//!
//! let config = Config { half_life: Duration::from_secs(10), ..Config::default() };
//! let heap = Heap::builder().scavenge_by(Pacer::new(config)).build()?;
//! assert_eq!(heap.stats().scavenge.refaulted_bytes, 0);
//! # Ok::<(), runtime::ReserveError>(())
//! ```

use alloc_core::PageStats;

pub use scavenger::{
    Action, Config, Goal, Latencies, Outcome, Pacer, Policy, Statistics, Surplus, Usage,
};

/// What giving memory back has come to. Bytes are of pages, since the heap was built.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ScavengeStats {
    /// Bytes given back, by the heap's thread or by
    /// [`release_os_memory`](crate::Runtime::release_os_memory), each time counted.
    pub released_total_bytes: u64,
    /// Of these, bytes that the heap has taken again, at the price of a fault.
    pub refaulted_bytes: u64,
    /// Calls of the operating system that took memory back.
    pub releases: u64,
    /// Such calls that it refused. Nothing is lost then: the heap keeps the memory for itself.
    pub releases_refused: u64,
    /// Huge pages that were broken to give back the free part of them.
    pub huge_pages_broken: u64,
    /// Of these, huge pages that were given back as a whole later.
    pub huge_pages_mended: u64,
    /// The longest run of free pages.
    pub free_run_max_bytes: usize,
    /// The part of the free pages that lies outside of that run, from 0 to 1.
    pub fragmentation: f64,
    /// What the heap's own thread has done; `None` if it has none.
    pub worker: Option<Statistics>,
}

impl ScavengeStats {
    pub(crate) fn new(pages: &PageStats, worker: Option<Statistics>) -> Self {
        Self {
            released_total_bytes: pages.released_total_bytes,
            refaulted_bytes: pages.refaulted_bytes,
            releases: pages.releases,
            releases_refused: pages.releases_refused,
            huge_pages_broken: pages.blocks_broken,
            huge_pages_mended: pages.blocks_mended,
            free_run_max_bytes: pages.free_run_max_bytes,
            fragmentation: pages.fragmentation(),
            worker,
        }
    }
}

/// So many percent of the lowest memory limit that this process's control groups set.
pub(crate) fn cgroup_limit_bytes(percent: u32) -> Option<usize> {
    assert!(
        (1..=100).contains(&percent),
        "a heap's part of a control group's limit is from 1 to 100 percent, not {percent}"
    );
    scavenger::cgroup::limit_bytes().map(|bytes| part_of(bytes, percent))
}

fn part_of(bytes: usize, percent: u32) -> usize {
    (bytes as u128 * u128::from(percent) / 100) as usize
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_limit_neither_overflows_nor_rounds_to_nothing() {
        assert_eq!(part_of(200 << 20, 75), 150 << 20);
        assert_eq!(part_of(usize::MAX, 100), usize::MAX);
        assert_eq!(part_of(99, 50), 49);
    }

    #[test]
    #[should_panic(expected = "from 1 to 100 percent, not 0")]
    fn no_part_at_all_is_misuse() {
        cgroup_limit_bytes(0);
    }
}
