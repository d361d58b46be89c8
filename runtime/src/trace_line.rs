//! One line a cycle on standard error, when `HEAPWRIGHT_TRACE` names `gc`; and one when a cycle has
//! waited for a mutator for 10 ms, and for twice as long, and so on.
//!
//! ```text
//! gc 7 goal: 41.2 MiB->20.1 MiB, goal 40.2 MiB, no pause, mark 2.113 ms of 2.2 ms, 2 waves, ...
//! gc waits for mutator "interpreter", 12 ms so far: its closure has not ended
//! ```

use crate::stats::{CycleStats, Reason};
use std::sync::OnceLock;

fn wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| {
        let value = std::env::var("HEAPWRIGHT_TRACE").unwrap_or_default();
        value.split(',').any(|word| word.trim() == "gc")
    })
}

fn mib(bytes: usize) -> String {
    if bytes == usize::MAX {
        return "no".to_owned();
    }
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The line of one cycle.
pub(crate) fn format(cycle: &CycleStats, goal_bytes: usize) -> String {
    let why = match cycle.why {
        Reason::Explicit => "explicit",
        Reason::Goal => "goal",
    };
    let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let how = if cycle.waves == 0 {
        format!(
            "pause {:.3} ms (stop {:.3} ms)",
            ms(cycle.pause),
            ms(cycle.stop)
        )
    } else {
        let (mark, beside) = (ms(cycle.mark), ms(cycle.beside));
        format!(
            "no pause, mark {mark:.3} ms of {beside:.3} ms, {} waves",
            cycle.waves
        )
    };
    format!(
        "gc {} {why}: {}->{}, goal {}, {how}, {} objects, {} markers",
        cycle.number,
        mib(cycle.before_bytes),
        mib(cycle.live_bytes),
        mib(goal_bytes),
        cycle.objects_marked,
        cycle.markers,
    )
}

/// Writes that a cycle waits for a mutator's closure to end, if anyone wants it.
pub(crate) fn late(mutator: &str, wait: std::time::Duration) {
    if wanted() {
        let ms = wait.as_secs_f64() * 1e3;
        eprintln!("gc waits for mutator {mutator:?}, {ms:.0} ms so far: its closure has not ended");
    }
}

/// Writes the line of one cycle, if anyone wants it.
pub(crate) fn cycle(cycle: &CycleStats, goal_bytes: usize) {
    if wanted() {
        eprintln!("{}", format(cycle, goal_bytes));
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_says_what_happened() {
        let cycle = CycleStats {
            number: 7,
            why: Reason::Goal,
            stop: Duration::from_micros(21),
            pause: Duration::from_micros(2113),
            objects_marked: 412_345,
            markers: 2,
            before_bytes: 2 << 20,
            live_bytes: 1 << 20,
            ..CycleStats::default()
        };
        let line = format(&cycle, usize::MAX);
        assert!(
            line.starts_with("gc 7 goal: 2.0 MiB->1.0 MiB, goal no, pause 2.113 ms"),
            "{line}"
        );
        assert!(
            line.ends_with("(stop 0.021 ms), 412345 objects, 2 markers"),
            "{line}"
        );
    }
}
