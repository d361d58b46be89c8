//! When to collect: pure arithmetic over byte counts.
//!
//! As in Go, a percentage says how much may be allocated on top of what survived before the next
//! cycle begins, and a small heap is left alone. The world is stopped for marking, so the trigger
//! is the goal itself: nothing is allocated between the two.

/// The least goal at 100 percent, scaled with the percentage (Go's figure).
pub const GOAL_BYTES_MIN: usize = 4 << 20;

/// The heap size at which the next cycle begins, when `live_bytes` have survived the last one.
///
/// `percent` 100 lets the heap double; `None` switches collections by size off, which is a goal
/// that is never reached.
///
/// ```
/// assert_eq!(runtime::pacer::goal_bytes(100 << 20, Some(100)), 200 << 20);
/// assert_eq!(runtime::pacer::goal_bytes(0, Some(50)), 2 << 20);
/// assert_eq!(runtime::pacer::goal_bytes(7, None), usize::MAX);
/// ```
pub fn goal_bytes(live_bytes: usize, percent: Option<u32>) -> usize {
    let Some(percent) = percent else {
        return usize::MAX;
    };
    let share = |bytes: usize| {
        let share = bytes as u128 * u128::from(percent) / 100;
        usize::try_from(share).unwrap_or(usize::MAX)
    };
    live_bytes
        .saturating_add(share(live_bytes))
        .max(share(GOAL_BYTES_MIN))
}

/// What `goal_bytes` of slots will take in pages, judged by what `live_bytes` of slots take now.
///
/// A heap without a goal may collect at any time, and is expected to stay as it is.
pub fn goal_pages_bytes(goal_bytes: usize, live_bytes: usize, in_use_bytes: usize) -> usize {
    if goal_bytes == usize::MAX {
        return in_use_bytes;
    }
    if live_bytes == 0 {
        return goal_bytes;
    }
    // A heap full of holes grows into them first.
    let pages = goal_bytes as u128 * in_use_bytes as u128 / live_bytes as u128;
    usize::try_from(pages)
        .unwrap_or(usize::MAX)
        .min(goal_bytes.saturating_add(in_use_bytes))
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    #[test]
    fn extremes_saturate() {
        assert_eq!(goal_bytes(usize::MAX, Some(100)), usize::MAX);
        assert_eq!(goal_bytes(usize::MAX / 2, Some(u32::MAX)), usize::MAX);
        assert_eq!(goal_bytes(0, Some(0)), 0);
    }

    /// A heap that keeps `live` bytes and allocates steadily collects at the rate that the
    /// percentage promises.
    #[test]
    fn a_steady_heap_pays_the_promised_price() {
        for (percent, cost) in [(50, 2.0), (100, 1.0), (400, 0.25)] {
            let live = 64 << 20;
            let (mut heap, mut goal) = (live, goal_bytes(live, Some(percent)));
            let (mut allocated, mut marked) = (0usize, 0usize);
            for _ in 0..200_000 {
                heap += 64 << 10;
                allocated += 64 << 10;
                if heap >= goal {
                    marked += live;
                    heap = live;
                    goal = goal_bytes(live, Some(percent));
                }
            }
            let measured = marked as f64 / allocated as f64;
            assert!(
                (measured / cost - 1.0).abs() < 0.05,
                "{percent} %: {measured}"
            );
        }
    }
}
