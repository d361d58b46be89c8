//! One line a cycle on standard error, when `HEAPWRIGHT_TRACE` names `gc`; and one when a cycle has
//! waited for a mutator for 10 ms, and for twice as long, and so on. One line for each batch of
//! memory that goes back to the operating system, or is refused, when it names `scav`.
//!
//! ```text
//! gc 7 goal: 41.2 MiB->20.1 MiB, goal 40.2 MiB, no pause, mark 2.113 ms of 2.2 ms, 2 waves, ...
//! gc waits for mutator "interpreter", 12 ms so far: its closure has not ended
//! scav whole: 12.0 MiB in 0.034 ms, in use 20.1 MiB, retained 4.0 MiB, released 41.2 MiB, ...
//! ```

use crate::stats::{CycleStats, Reason};
use alloc_core::{PageStats, Reach, Release};
use std::sync::OnceLock;
use std::time::Duration;

/// What `HEAPWRIGHT_TRACE` names.
struct Wanted {
    gc: bool,
    scav: bool,
}

fn wanted() -> &'static Wanted {
    static WANTED: OnceLock<Wanted> = OnceLock::new();
    WANTED.get_or_init(|| {
        let value = std::env::var("HEAPWRIGHT_TRACE").unwrap_or_default();
        let names = |name| value.split(',').any(|word| word.trim() == name);
        Wanted {
            gc: names("gc"),
            scav: names("scav"),
        }
    })
}

fn mib(bytes: usize) -> String {
    if bytes == usize::MAX {
        return "no".to_owned();
    }
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The line of one cycle.
pub(crate) fn format(cycle: &CycleStats, goal_bytes: usize) -> String {
    let why = match cycle.why {
        Reason::Explicit => "explicit",
        Reason::Goal => "goal",
        Reason::Idle => "idle",
    };
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
pub(crate) fn late(mutator: &str, wait: Duration) {
    if wanted().gc {
        let ms = ms(wait);
        eprintln!("gc waits for mutator {mutator:?}, {ms:.0} ms so far: its closure has not ended");
    }
}

/// Writes the line of one cycle, if anyone wants it.
pub(crate) fn cycle(cycle: &CycleStats, goal_bytes: usize) {
    if wanted().gc {
        eprintln!("{}", format(cycle, goal_bytes));
    }
}

/// The line of one batch that went back, or was refused.
fn format_release(release: &Release, reach: Reach, took: Duration, pages: &PageStats) -> String {
    let reach = match reach {
        Reach::Whole => "whole",
        Reach::Sparse => "sparse",
        Reach::All => "all",
    };
    let bytes = |bytes: u64| mib(usize::try_from(bytes).unwrap_or(usize::MAX));
    let refused = release
        .refused
        .map_or(String::new(), |error| format!(", then refused: {error}"));
    format!(
        "scav {reach}: {} in {:.3} ms, in use {}, retained {}, released {}, refaulted {}{refused}",
        mib(release.bytes),
        ms(took),
        mib(pages.in_use_bytes),
        mib(pages.retained_bytes),
        mib(pages.released_bytes),
        bytes(pages.refaulted_bytes),
    )
}

/// Writes the line of one batch, if anyone wants it and there was one.
pub(crate) fn release(
    release: &Release,
    reach: Reach,
    took: Duration,
    pages: impl FnOnce() -> PageStats,
) {
    if wanted().scav && (release.bytes > 0 || release.refused.is_some()) {
        eprintln!("{}", format_release(release, reach, took, &pages()));
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use alloc_core::{SourceCall, SourceError};

    #[test]
    fn a_line_says_what_went_back_and_what_was_refused() {
        let pages = PageStats {
            in_use_bytes: 3 << 20,
            retained_bytes: 2 << 20,
            released_bytes: 1 << 20,
            refaulted_bytes: 1 << 19,
            ..PageStats::default()
        };
        let mut release = Release {
            bytes: 12 << 20,
            refused: None,
        };
        let took = Duration::from_micros(34);
        let line = format_release(&release, Reach::Whole, took, &pages);
        let counts = "in use 3.0 MiB, retained 2.0 MiB, released 1.0 MiB, refaulted 0.5 MiB";
        assert_eq!(line, format!("scav whole: 12.0 MiB in 0.034 ms, {counts}"));
        release.refused = Some(SourceError::new(SourceCall::Release, 8192, None));
        let line = format_release(&release, Reach::Sparse, took, &pages);
        let refused = "then refused: could not release 8192 bytes: the page source refused";
        assert_eq!(
            line,
            format!("scav sparse: 12.0 MiB in 0.034 ms, {counts}, {refused}")
        );
    }

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
        for (why, word) in [(Reason::Explicit, "explicit"), (Reason::Idle, "idle")] {
            let line = format(&CycleStats { why, ..cycle }, usize::MAX);
            assert!(line.starts_with(&format!("gc 7 {word}: ")), "{line}");
        }
    }
}
