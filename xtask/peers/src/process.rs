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

/// Processor time of those threads of this process that live now and whose name begins so; none
/// where the system does not tell.
pub fn cpu_of_threads(name: &str) -> Duration {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return Duration::ZERO;
    };
    let cpu = |thread: std::io::Result<std::fs::DirEntry>| {
        let folder = thread.ok()?.path();
        let comm = std::fs::read_to_string(folder.join("comm")).ok()?;
        let stat = comm.starts_with(name).then(|| folder.join("schedstat"))?;
        let text = std::fs::read_to_string(stat).ok()?;
        let ns = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(ns))
    };
    threads.filter_map(cpu).sum()
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
    fn time_is_of_the_threads_that_have_the_name() {
        let named = std::thread::Builder::new().name("counted-thread".to_owned());
        let (tell, told) = std::sync::mpsc::channel();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let work = move || {
            let sum = (0..10_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
            tell.send(sum).expect("somebody waits");
            wait.recv()
        };
        let thread = named.spawn(work).expect("a thread");
        told.recv().expect("the sum");
        assert_eq!(cpu_of_threads("of-nobody"), Duration::ZERO);
        if in_line().is_some() {
            assert!(cpu_of_threads("counted-t") > Duration::ZERO);
        }
        go_on.send(()).expect("it waits");
        thread.join().expect("no panic").expect("told");
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
