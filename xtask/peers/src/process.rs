//! What the system knows of this process: its memory, and how long its threads had to wait for a
//! processor.

use std::time::Duration;

/// Resident bytes: `VmRSS` and `VmHWM` of `/proc/self/status`.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// Now.
    pub now_bytes: u64,
    /// The most there ever were.
    pub peak_bytes: u64,
}

/// The resident memory of this process; `None` where the system does not tell.
pub fn resident() -> Option<Resident> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// How long the threads that live now have stood in line for a processor, all together; `None`
/// where the system does not tell.
///
/// It says how much of a latency is the machine's: others ran meanwhile, or threads of our own.
pub fn in_line() -> Option<Duration> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let stats = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    let waits: Vec<Duration> = stats.filter_map(|text| in_line_of(&text)).collect();
    (!waits.is_empty()).then(|| waits.iter().sum())
}

/// The second of a `schedstat`'s figures; the first is the time on a processor.
fn in_line_of(schedstat: &str) -> Option<Duration> {
    let ns = schedstat.split_whitespace().nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(ns))
}

fn parse(status: &str) -> Option<Resident> {
    let bytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    };
    Some(Resident {
        now_bytes: bytes("VmRSS:")?,
        peak_bytes: bytes("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_figure_of_a_schedstat_is_the_wait() {
        assert_eq!(in_line_of("700 42 9\n"), Some(Duration::from_nanos(42)));
        assert_eq!(in_line_of("700\n"), None);
    }

    #[test]
    fn both_lines_are_found() {
        let status = "Name:\tx\nVmHWM:\t     300 kB\nVmRSS:\t     200 kB\n";
        let resident = parse(status).unwrap();
        assert_eq!(resident.now_bytes, 200 << 10);
        assert_eq!(resident.peak_bytes, 300 << 10);
        assert!(parse("VmRSS: 200 kB\n").is_none());
    }
}
