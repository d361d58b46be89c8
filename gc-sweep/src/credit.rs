//! Proportional sweeping: how much of the sweep an allocation owes.
//!
//! A sweep has to end before the next cycle starts. If it is left to chance, the cycle's start
//! has to do the rest at once. So the rest is spread over the bytes that will be allocated until
//! then: with `n` spans unswept and `r` bytes to go until the trigger, each byte owes `n / r`
//! spans. That is Go's formula (`gcPaceSweeper` in `mgcpacer.go`; there in pages), and Go's
//! margin: the debt is paid up [`MARGIN_BYTES`] before the trigger, because allocators take
//! memory in steps and book it late.
//!
//! Pure arithmetic. Who counts the bytes and the spans, and who sweeps, are the caller's affair;
//! a good caller books allocation by the batch, not by the object.

/// The debt is due so many bytes before the trigger.
const MARGIN_BYTES: u64 = 1 << 20;

/// The shortest runway that is reckoned with: one page. It bounds what one byte can owe when the
/// trigger is near or already passed.
const RUNWAY_MIN_BYTES: u64 = 8 << 10;

/// What allocation owes to one sweep: fixed when the sweep begins or the trigger moves.
///
/// ```
/// // 1,000 spans unswept, 5 MiB until the next cycle: due within 4 MiB.
/// let debt = gc_sweep::Debt::new(1_000, 5 << 20);
/// assert_eq!(debt.owed(0), 0);
/// assert_eq!(debt.owed(2 << 20), 500);
/// assert_eq!(debt.owed(4 << 20), 1_000);
/// // 2 MiB were allocated and 400 spans swept since, by anyone.
/// assert_eq!(debt.due(2 << 20, 400), 100);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    spans_left: u64,
    runway_bytes: u64,
}

impl Debt {
    /// `spans_left` are unswept now, and the next cycle starts when `bytes_until_trigger` more
    /// have been allocated.
    pub fn new(spans_left: u64, bytes_until_trigger: u64) -> Debt {
        let runway_bytes = bytes_until_trigger
            .saturating_sub(MARGIN_BYTES)
            .max(RUNWAY_MIN_BYTES);
        Debt {
            spans_left,
            runway_bytes,
        }
    }

    /// The spans that must have been swept, by anyone, once `allocated_bytes` were allocated
    /// since the debt was fixed: rounded up, never more than there are.
    pub fn owed(&self, allocated_bytes: u64) -> u64 {
        if allocated_bytes >= self.runway_bytes {
            return self.spans_left;
        }
        // 128 bits: a product of two 64-bit numbers fits. The quotient is at most `spans_left`,
        // as the fraction is below one; so it fits in 64.
        let product = u128::from(self.spans_left) * u128::from(allocated_bytes);
        product.div_ceil(u128::from(self.runway_bytes)) as u64
    }

    /// The spans that an allocator sweeps now, when `swept_spans` were swept since the debt was
    /// fixed and its allocation brings the bytes since to `allocated_bytes`.
    pub fn due(&self, allocated_bytes: u64, swept_spans: u64) -> u64 {
        self.owed(allocated_bytes).saturating_sub(swept_spans)
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    /// Allocates in steps of `step_bytes`, sweeping what is due before each; returns the spans
    /// swept when the trigger is reached and the most that one step had to sweep.
    fn run(spans: u64, bytes_until_trigger: u64, step_bytes: u64) -> (u64, u64) {
        let debt = Debt::new(spans, bytes_until_trigger);
        let (mut allocated, mut swept, mut most) = (0, 0, 0);
        while allocated < bytes_until_trigger {
            allocated += step_bytes;
            let due = debt.due(allocated, swept);
            swept += due;
            most = most.max(due);
        }
        (swept, most)
    }

    #[test]
    fn all_is_swept_before_the_trigger_and_evenly() {
        for spans in [1, 7, 1_000, 1_000_000] {
            for runway in [
                2 << 20,
                64 << 20,
                if cfg!(miri) { 8 << 20 } else { 1 << 30 },
            ] {
                let (swept, most) = run(spans, runway, 64 << 10);
                assert_eq!(swept, spans);
                let even = spans.div_ceil((runway - MARGIN_BYTES) / (64 << 10));
                assert!(
                    most <= even + 1,
                    "{spans} spans over {runway}: {most} in one step"
                );
            }
        }
    }

    #[test]
    fn the_debt_is_due_a_margin_before_the_trigger() {
        let debt = Debt::new(1_000, 5 << 20);
        assert_eq!(debt.owed(2 << 20), 500);
        assert_eq!(debt.owed(4 << 20), 1_000);
    }

    #[test]
    fn no_runway_makes_all_due_within_a_page() {
        let debt = Debt::new(100, 0);
        assert_eq!(debt.owed(RUNWAY_MIN_BYTES), 100);
        assert_eq!(debt.owed(RUNWAY_MIN_BYTES / 2), 50);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let debt = Debt::new(u64::MAX, u64::MAX);
        assert_eq!(debt.owed(u64::MAX), u64::MAX);
        assert!(debt.owed(u64::MAX / 2) <= u64::MAX / 2 + (1 << 21));
        assert_eq!(Debt::default().owed(u64::MAX), 0, "no debt owes nothing");
        assert_eq!(Debt::new(5, 1 << 30).due(1 << 30, 9), 0, "overpaid");
    }
}
