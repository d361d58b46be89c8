//! How long the calls of the heap took: a histogram by powers of two.
//!
//! Thirty-two counts of nanoseconds, 256 bytes, whatever is recorded: enough to tell a call for a
//! huge page (microseconds) from one that walked small pages (hundreds of them) or was stopped
//! (milliseconds), which is what one asks of a release. Each figure is right within a factor of
//! two.

use std::time::Duration;

const BUCKETS: usize = 32;

/// Durations, counted by their power of two.
///
/// ```
/// use std::time::Duration;
/// use scavenger::Latencies;
///
/// let mut calls = Latencies::default();
/// for microseconds in [3, 3, 3, 900] {
///     calls.record(Duration::from_micros(microseconds));
/// }
/// assert_eq!(calls.total(), 4);
/// assert!(calls.quantile(0.5) >= Duration::from_micros(3));
/// assert!(calls.quantile(0.5) < Duration::from_micros(6));
/// assert!(calls.quantile(1.0) >= Duration::from_micros(900));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Bucket `i` counts from 2^i ns (0 for the first) up to, not including, 2^(i + 1); the last
    /// has no end.
    counts: [u64; BUCKETS],
}

impl Latencies {
    /// Counts a duration. O(1).
    pub fn record(&mut self, took: Duration) {
        let power = took.as_nanos().checked_ilog2().unwrap_or(0) as usize;
        self.counts[power.min(BUCKETS - 1)] += 1;
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each power of two that has a duration: the first that is longer than all it counts, and the
    /// count. In rising order; the last power, from 2.1 s on, has no end and shows 4.3 s.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counts = self.counts.iter().enumerate();
        let ends = counts.map(|(power, &count)| (Duration::from_nanos(2 << power), count));
        ends.filter(|&(_, count)| count > 0)
    }

    /// A duration that the part `quantile` of all (0 to 1) stays below; zero if there were none.
    /// At most twice the true one.
    ///
    /// # Panics
    ///
    /// If `quantile` is not from 0 to 1.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        assert!(
            (0.0..=1.0).contains(&quantile),
            "a quantile is from 0 to 1, not {quantile}"
        );
        let rank = ((quantile * self.total() as f64).ceil() as u64).max(1);
        let mut below = 0;
        let mut found = self.buckets().filter(|&(_, count)| {
            below += count;
            below >= rank
        });
        found.next().map_or(Duration::ZERO, |(end, _)| end)
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    /// Against a histogram with three digits, over eight decades.
    #[test]
    fn quantiles_are_right_within_a_factor_of_two() {
        let mut exact = hdrhistogram::Histogram::<u64>::new(3).unwrap();
        let mut ours = Latencies::default();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..100_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let nanoseconds = 10_f64.powf((random >> 11) as f64 / (1_u64 << 53) as f64 * 8.0);
            exact.record(nanoseconds as u64).unwrap();
            ours.record(Duration::from_nanos(nanoseconds as u64));
        }
        assert_eq!(ours.total(), 100_000);
        for quantile in [0.01, 0.5, 0.9, 0.999, 1.0] {
            let exact = exact.value_at_quantile(quantile) as f64;
            let ratio = ours.quantile(quantile).as_nanos() as f64 / exact;
            assert!((0.99..=2.01).contains(&ratio), "{quantile}: {ratio}");
        }
    }

    #[test]
    fn the_ends_are_kept() {
        let mut calls = Latencies::default();
        assert_eq!(calls.quantile(0.5), Duration::ZERO);
        calls.record(Duration::ZERO);
        calls.record(Duration::from_nanos(1));
        calls.record(Duration::MAX);
        let buckets: Vec<_> = calls.buckets().collect();
        let end = Duration::from_nanos(1 << 32);
        assert_eq!(buckets, [(Duration::from_nanos(2), 2), (end, 1)]);
    }
}
