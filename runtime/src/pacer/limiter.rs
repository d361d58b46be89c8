//! Whether collecting has taken too much of the processors for too long.
//!
//! A leaky bucket, as Go's `gcCPULimiter`: time that the collector takes fills it, time that the
//! program gets drains it, and it is full at one second of each processor. It fills only where the
//! collector takes more than half. So the collector may take everything for a moment, to keep a
//! memory limit through a peak, but over time no more than half. What a cycle takes too much when
//! the bucket is nearly full is not lost, as in Go, but runs into a second one of the same size,
//! which must drain first.
//!
//! Time in which nobody ran must drain nothing, or one mutator on many processors would be starved
//! unseen ([golang/go#52890](https://github.com/golang/go/issues/52890)). Idleness is not
//! measured here; the program's time is what its threads could have run at most.

/// Where the bucket is full, in seconds of each processor.
const CAPACITY_SECONDS: f64 = 1.0;

/// A stretch of time, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) wall: f64,
    /// Processor time of the collector, with assists.
    pub(super) collector_cpu: f64,
    pub(super) assist_cpu: f64,
    pub(super) processors: f64,
    pub(super) mutators: f64,
}

impl Window {
    fn mutator_cpu(&self) -> f64 {
        let by_processors = self.processors * self.wall - self.collector_cpu;
        let by_threads = self.mutators * self.wall - self.assist_cpu;
        by_processors.min(by_threads).max(0.0)
    }
}

/// The bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limiter {
    /// Processor seconds. Invariant: from 0 to twice the capacity.
    fill: f64,
}

impl Limiter {
    /// The bucket after `window`.
    pub(super) fn after(self, window: Window) -> Limiter {
        let capacity = CAPACITY_SECONDS * window.processors;
        let fill = self.fill + window.collector_cpu - window.mutator_cpu();
        Limiter {
            fill: fill.clamp(0.0, 2.0 * capacity),
        }
    }

    /// Whether nobody should assist, and the limit should slip.
    pub(super) fn is_full(self, processors: f64) -> bool {
        self.fill >= CAPACITY_SECONDS * processors
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    fn window(collector_cpu: f64, processors: f64, mutators: f64) -> Window {
        Window {
            wall: 1.0,
            collector_cpu,
            assist_cpu: 0.0,
            processors,
            mutators,
        }
    }

    #[test]
    fn half_is_the_border() {
        let limiter = (0..100).fold(Limiter::default(), |l, _| l.after(window(0.99, 2.0, 2.0)));
        assert!(!limiter.is_full(2.0));
        // Takes 1.1 of 2 and leaves 0.9: the bucket of 2 fills in ten seconds.
        let mut limiter = Limiter::default();
        for _ in 0..9 {
            limiter = limiter.after(window(1.1, 2.0, 2.0));
        }
        assert!(!limiter.is_full(2.0));
        limiter = limiter.after(window(1.15, 2.0, 2.0));
        assert!(limiter.is_full(2.0));
        assert!(!limiter.after(window(0.9, 2.0, 2.0)).is_full(2.0));
        // What ran over is drained before, but not more than a bucket of it.
        for _ in 0..100 {
            limiter = limiter.after(window(2.0, 2.0, 2.0));
        }
        limiter = limiter.after(window(0.1, 2.0, 2.0));
        assert!(limiter.is_full(2.0));
        assert!(!limiter.after(window(0.9, 2.0, 2.0)).is_full(2.0));
    }

    #[test]
    fn idle_processors_drain_nothing() {
        let mut limiter = Limiter::default();
        for _ in 0..16 {
            limiter = limiter.after(window(4.0, 16.0, 1.0));
        }
        assert!(limiter.is_full(16.0), "4 of 5 that run collect");
    }
}
