//! When surplus goes back: it decays, byte by byte from the moment it is seen.
//!
//! Whether a free page should be kept is ski rental: it costs memory by the second to keep it,
//! and once, in processor time, to release it and fault it in again. Who waits until keeping
//! has cost as much as returning pays at most twice what an oracle would. With a vCPU priced like
//! 7 to 8 GiB that wait is about 0.8 s for whole 2 MiB pages (0.39 µs for each 4 KiB of them,
//! there and back) and about 5 s for 4 KiB pages (2.3 µs each).
//!
//! Instead of a deadline for each page there is an *allowance*: the surplus that may still be
//! kept. It halves every half-life, grows by what is newly surplus, and never exceeds the
//! surplus. What exceeds the allowance is due. So release is smooth, a burst that ends gives back
//! most of it in two or three half-lives, and one that returns at once finds most of it there.
//! A byte is kept for 1.44 half-lives in the mean, which for the default of one second lies
//! between the two waits above, near that of whole pages. jemalloc decays likewise, over 10 s;
//! mimalloc's 10 to 100 ms is below break-even.
//!
//! An exponential never ends, so an allowance below [`TAIL_BYTES`] is none: all is due then.
//!
//! Pure arithmetic; time is an argument, in any epoch.

use std::time::Duration;

/// An allowance below this is not worth another wake-up.
const TAIL_BYTES: f64 = 65_536.0;

/// The allowance, as a function of the surplus seen over time.
#[derive(Clone, Debug)]
pub struct Decay {
    half_life: Duration,
    /// Surplus that may still be kept, in bytes. Invariant: at most `surplus_bytes`.
    allowance_bytes: f64,
    /// The surplus at the last look, less what was released since.
    surplus_bytes: usize,
    /// The last look.
    seen_at: Duration,
}

impl Decay {
    /// A heap without surplus. A half-life of zero makes all surplus due at once.
    pub fn new(half_life: Duration) -> Decay {
        Decay {
            half_life,
            allowance_bytes: 0.0,
            surplus_bytes: 0,
            seen_at: Duration::ZERO,
        }
    }

    /// Takes note of the surplus at `now`; returns how much of it is due.
    ///
    /// A clock that goes backwards counts as standing.
    pub fn observe(&mut self, now: Duration, surplus_bytes: usize) -> usize {
        let elapsed = now.saturating_sub(self.seen_at);
        let fresh_bytes = surplus_bytes.saturating_sub(self.surplus_bytes);
        let kept = self.allowance_bytes * self.remaining(elapsed);
        // The tail is cut off what has decayed only: fresh surplus is given its time.
        let kept = if kept < TAIL_BYTES { 0.0 } else { kept };
        self.allowance_bytes = (kept + fresh_bytes as f64).min(surplus_bytes as f64);
        if self.half_life.is_zero() {
            self.allowance_bytes = 0.0;
        }
        self.surplus_bytes = surplus_bytes;
        self.seen_at = self.seen_at.max(now);
        surplus_bytes - (self.allowance_bytes as usize).min(surplus_bytes)
    }

    /// Takes note that `bytes` of the surplus went back.
    pub fn released(&mut self, bytes: usize) {
        self.surplus_bytes = self.surplus_bytes.saturating_sub(bytes);
        self.allowance_bytes = self.allowance_bytes.min(self.surplus_bytes as f64);
    }

    /// How long after the last look `due_bytes` will be due, or all if that is less.
    pub fn time_until_due(&self, due_bytes: usize) -> Duration {
        let target = self.surplus_bytes.saturating_sub(due_bytes) as f64;
        // Just below the tail, lest rounding leaves the allowance just above it.
        let target = target.max(TAIL_BYTES * 0.99);
        if self.allowance_bytes <= target {
            return Duration::ZERO;
        }
        let half_lives = (self.allowance_bytes / target).log2();
        self.half_life.mul_f64(half_lives)
    }

    /// The part of an allowance that is left after `elapsed`.
    fn remaining(&self, elapsed: Duration) -> f64 {
        if self.half_life.is_zero() {
            return 0.0;
        }
        (-elapsed.as_secs_f64() / self.half_life.as_secs_f64()).exp2()
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn half_is_due_after_each_half_life_whoever_looks_how_often() {
        for looks in [1, 7, 1_000] {
            let mut decay = Decay::new(seconds(1.0));
            assert_eq!(
                decay.observe(seconds(5.0), 64 * MIB),
                0,
                "fresh surplus is not due"
            );
            let mut due = 0;
            for look in 1..=looks {
                due = decay.observe(seconds(5.0 + f64::from(look) / f64::from(looks)), 64 * MIB);
            }
            assert!(due.abs_diff(32 * MIB) < 64, "{due} after {looks} looks");
        }
    }

    #[test]
    fn what_is_left_below_the_tail_is_due_at_once() {
        let tail = TAIL_BYTES as usize;
        for (surplus, due) in [(2 * tail, tail), (2 * tail - 2, 2 * tail - 2)] {
            let mut decay = Decay::new(seconds(1.0));
            assert_eq!(decay.observe(seconds(0.0), surplus), 0);
            assert_eq!(decay.observe(seconds(1.0), surplus), due);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_counts_no_time_twice() {
        let mut decay = Decay::new(seconds(1.0));
        decay.observe(seconds(10.0), 64 * MIB);
        assert_eq!(
            decay.observe(seconds(4.0), 64 * MIB),
            0,
            "no time has passed"
        );
        assert_eq!(decay.observe(seconds(10.0), 64 * MIB), 0, "nor now");
        let due = decay.observe(seconds(11.0), 64 * MIB);
        assert!(due.abs_diff(32 * MIB) < 64, "one second: {due}");
    }

    #[test]
    fn fresh_surplus_has_its_own_time_and_demand_takes_what_is_kept() {
        let mut decay = Decay::new(seconds(1.0));
        decay.observe(seconds(0.0), 64 * MIB);
        let due = decay.observe(seconds(1.0), 96 * MIB);
        assert!(
            due.abs_diff(32 * MIB) < 64,
            "half of the old, none of the new: {due}"
        );
        assert_eq!(
            decay.observe(seconds(1.0), 10 * MIB),
            0,
            "the program took the rest back"
        );
    }

    #[test]
    fn the_foretold_time_is_when_it_is_due_and_the_tail_ends() {
        let mut decay = Decay::new(seconds(1.0));
        let (mut now, mut surplus) = (Duration::ZERO, 9 * MIB + 5);
        decay.observe(now, surplus);
        let mut wakes = 0;
        while surplus > 0 {
            let wait = decay.time_until_due(2 * MIB) + Duration::from_micros(1);
            now += wait;
            let due = decay.observe(now, surplus);
            assert!(
                due >= 2 * MIB || due == surplus,
                "{due} of {surplus} after {wait:?}"
            );
            decay.released(due);
            surplus -= due;
            wakes += 1;
        }
        assert!(wakes <= 5, "{wakes} wake-ups for 9 MiB in pieces of 2 MiB");
        assert!(now < seconds(12.0), "it took {now:?}");
    }
}
