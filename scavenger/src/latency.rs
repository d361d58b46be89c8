//! How long something took: a histogram by quarters of a power of two.
//!
//! A hundred and twenty-four counts of nanoseconds, 992 bytes, whatever is recorded: enough to
//! tell a call for a huge page (microseconds) from one that walked small pages (hundreds of them)
//! or was stopped (milliseconds), which is what one asks of a release, and where the hundredth of
//! a percent lies of what took thousandths of that. Each figure is right within a quarter.

use std::time::Duration;

/// Durations, counted by quarters of a power of two.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latencies {
    /// By bucket; the last has no end.
    counts: [u64; Self::BUCKETS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self::from([0; Self::BUCKETS])
    }
}

/// Counts by [`Latencies::bucket`], as somebody keeps them who cannot use [`Latencies::record`]:
/// many threads, say, that count together.
impl From<[u64; Latencies::BUCKETS]> for Latencies {
    fn from(counts: [u64; Self::BUCKETS]) -> Self {
        Self { counts }
    }
}

impl Latencies {
    /// How many counts there are.
    pub const BUCKETS: usize = 124;

    /// Which of the counts is a duration's. O(1).
    #[must_use]
    pub fn bucket(took: Duration) -> usize {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        match nanoseconds.checked_ilog2() {
            // The power, and the two bits below its own.
            Some(power) if power >= 2 => {
                let quarter = (nanoseconds >> (power - 2)) & 3;
                (4 * (power as usize - 1) + quarter as usize).min(Self::BUCKETS - 1)
            }
            _ => nanoseconds as usize,
        }
    }

    /// The first duration that is longer than all that a bucket counts.
    fn end(bucket: usize) -> Duration {
        let (power, quarter) = (bucket / 4 + 1, bucket as u64 % 4);
        Duration::from_nanos(match bucket {
            0..4 => quarter + 1,
            _ => (5 + quarter) << (power - 2),
        })
    }

    /// Counts a duration. O(1).
    pub fn record(&mut self, took: Duration) {
        self.counts[Self::bucket(took)] += 1;
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each quarter of a power of two that has a duration: the first that is longer than all it
    /// counts, and the count. In rising order; the last, from 3.8 s on, has no end and shows 4.3 s.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counts = self.counts.iter().enumerate();
        let ends = counts.map(|(bucket, &count)| (Self::end(bucket), count));
        ends.filter(|&(_, count)| count > 0)
    }

    /// A duration that the part `quantile` of all (0 to 1) stays below; zero if there were none.
    /// At most 1.25 times the true one, or one nanosecond more.
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
    fn quantiles_are_right_within_a_quarter() {
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
            let ours = ours.quantile(quantile).as_nanos() as f64;
            // The exact one has three digits, and nanoseconds are whole.
            let right = 0.99 * exact..=1.26 * exact + 1.0;
            assert!(right.contains(&ours), "{quantile}: {ours} for {exact}");
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
        let nanosecond = Duration::from_nanos(1);
        assert_eq!(buckets, [(nanosecond, 1), (2 * nanosecond, 1), (end, 1)]);
    }

    #[test]
    fn buckets_follow_each_other() {
        let mut last = Duration::ZERO;
        for bucket in 0..Latencies::BUCKETS {
            let end = Latencies::end(bucket);
            let longest = end - Duration::from_nanos(1);
            assert_eq!(Latencies::bucket(last), bucket);
            assert_eq!(Latencies::bucket(longest), bucket);
            last = end;
        }
        assert_eq!(Latencies::bucket(last), Latencies::BUCKETS - 1);
    }
}
