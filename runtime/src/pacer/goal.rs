//! How large the heap may grow: by percent, by price, by limit.
//!
//! The formulas for percent and limit are Go's (`runtime/mgcpacer.go`), the one for the price is
//! MemBalancer's. Each stands alone; [`super::Pacer`] puts them together.

use super::Policy;

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

/// What a memory limit leaves for the heap, beside `overhead_bytes`.
///
/// A little less, by 3 percent and at least 1 MiB, as counting lags behind allocation; Go's
/// figures. Where the limit leaves less than that twice, that is the goal.
///
/// ```
/// assert_eq!(runtime::pacer::limit_goal_bytes(120 << 20, 20 << 20), 97 << 20);
/// assert_eq!(runtime::pacer::limit_goal_bytes(10 << 20, 20 << 20), 1 << 20);
/// ```
pub fn limit_goal_bytes(limit_bytes: usize, overhead_bytes: usize) -> usize {
    let goal = limit_bytes.saturating_sub(overhead_bytes);
    let headroom = (goal / 100 * 3).max(1 << 20);
    goal.saturating_sub(headroom).max(headroom)
}

/// How much may be allocated between two cycles where memory costs `cores_per_gib`, in bytes.
///
/// With live bytes L, allocation g (`rate`), mark speed s and price c, a headroom E costs L·g/(s·E)
/// cores to collect and c·E to hold. The sum is least at E = sqrt(L·g / (c·s)), where both
/// terms are equal.
///
/// ```
/// let gib = f64::from(1 << 30);
/// let headroom = runtime::pacer::price_headroom_bytes(1 << 30, gib, gib, 0.13);
/// assert_eq!(headroom >> 20, 2840); // 2.8 GiB, for 0.36 cores
/// ```
pub fn price_headroom_bytes(
    marked_bytes: usize,
    rate: f64,
    speed: f64,
    cores_per_gib: f64,
) -> usize {
    let price = cores_per_gib / f64::from(1 << 30);
    let headroom = (marked_bytes as f64 * rate / (price * speed)).sqrt();
    // Saturates; not a number is zero.
    headroom as usize
}

impl Policy {
    /// The goal for `live_bytes` of heap, by percent until the price can be reckoned with.
    ///
    /// `marked_bytes`, `rate` and `speed` are as in [`price_headroom_bytes`]; `rates` is `None`
    /// when nothing was measured yet.
    pub(super) fn goal_bytes(
        self,
        live_bytes: usize,
        marked_bytes: usize,
        rates: Option<(f64, f64)>,
    ) -> usize {
        match (self, rates) {
            (Policy::Off, _) => goal_bytes(live_bytes, None),
            (Policy::Percent(percent), _) => goal_bytes(live_bytes, Some(percent)),
            (Policy::Price { .. }, None) => goal_bytes(live_bytes, Some(100)),
            (Policy::Price { cores_per_gib }, Some((rate, speed))) => live_bytes
                .saturating_add(price_headroom_bytes(
                    marked_bytes,
                    rate,
                    speed,
                    cores_per_gib,
                ))
                .max(GOAL_BYTES_MIN),
        }
    }

    /// By how much a goal may be exceeded when a cycle finds more alive than was expected.
    pub(super) fn stretch(self) -> f64 {
        match self {
            Policy::Percent(percent) => 1.0 + f64::from(percent) / 100.0,
            Policy::Price { .. } | Policy::Off => 2.0,
        }
    }
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
