//! What an act costs: time by the wall, and processor time of all threads of the process.
//!
//! The heap sweeps on a thread of its own, so the wall alone would show less work than is done,
//! and the caller's own processor time as well.

use cpu_time::ProcessTime;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

/// Time by both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// By the wall.
    pub wall: Duration,
    /// Of processors, user and system, all threads of the process together.
    pub cpu: Duration,
}

/// Runs `act` and returns its cost.
pub fn cost<R>(act: impl FnOnce() -> R) -> (R, Cost) {
    let (cpu, wall) = (ProcessTime::now(), Instant::now());
    let result = act();
    let cost = Cost {
        wall: wall.elapsed(),
        cpu: cpu.elapsed(),
    };
    (result, cost)
}

impl Cost {
    /// Nanoseconds a piece, by the wall and of processors, if `pieces` were done.
    pub fn each(self, pieces: usize) -> Each {
        let each = |time: Duration| time.as_nanos() as f64 / pieces as f64;
        Each {
            wall: each(self.wall),
            cpu: each(self.cpu),
        }
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
        }
    }
}

impl Sub for Cost {
    type Output = Cost;

    /// What remains; nothing, where the clocks' grain makes it less.
    fn sub(self, other: Cost) -> Cost {
        Cost {
            wall: self.wall.saturating_sub(other.wall),
            cpu: self.cpu.saturating_sub(other.cpu),
        }
    }
}

/// Nanoseconds a piece.
#[derive(Clone, Copy, Debug)]
pub struct Each {
    /// By the wall.
    pub wall: f64,
    /// Of processors.
    pub cpu: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_counts_other_threads_and_not_sleep() {
        let spin = || {
            let begun = ProcessTime::now();
            while begun.elapsed() < Duration::from_millis(20) {
                std::hint::spin_loop();
            }
        };
        let (_, spun) = cost(|| std::thread::scope(|scope| drop(scope.spawn(spin))));
        assert!(spun.cpu >= Duration::from_millis(20), "{spun:?}");
        let (_, slept) = cost(|| std::thread::sleep(Duration::from_millis(20)));
        assert!(slept.wall >= Duration::from_millis(20), "{slept:?}");
    }
}
