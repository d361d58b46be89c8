//! One run: a process, its lines, and what the system says it used.

use crate::Failure;
use crate::rows::Row;
use crate::systems::Launch;
use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};
use wait4::Wait4;

/// The exit code of a program that does not know a workload.
const UNKNOWN: i32 = 3;

/// A run that takes longer is ended, in seconds.
const SECONDS_MAX: &str = "600";

/// Variables that would change what a system does by default.
const VARIABLES: [&str; 14] = [
    "GC_INITIAL_HEAP_SIZE",
    "GC_MARKERS",
    "GC_MAXIMUM_HEAP_SIZE",
    "GC_NPROCS",
    "GODEBUG",
    "GOGC",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "HEAPWRIGHT_MALLOC",
    "HEAPWRIGHT_TRACE",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LD_PRELOAD",
    "MALLOC_CONF",
];

/// How a run ended.
pub(crate) enum Run {
    /// With an outcome.
    Done(Outcome),
    /// The program does not know the workload.
    Unknown,
    /// With this.
    Failed(String),
}

/// What a run printed, and what it used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// The workload's answer; the machine's floor has none.
    pub(crate) answer: Option<u64>,
    /// Figures by name.
    pub(crate) figures: BTreeMap<String, f64>,
    /// Latencies in nanoseconds and how often each occurred.
    pub(crate) latencies: BTreeMap<u64, u64>,
    /// Figures that are printed once a collection.
    pub(crate) repeated: BTreeMap<String, Vec<f64>>,
}

impl Outcome {
    fn parse(text: &str) -> Result<Self, Failure> {
        let mut outcome = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["answer", answer] => outcome.answer = Some(answer.parse()?),
                ["latency_ns", ns, count] => {
                    *outcome.latencies.entry(ns.parse()?).or_default() += count.parse::<u64>()?;
                }
                ["rss", at_ms, bytes] => {
                    let name = format!("rss_{at_ms}_bytes");
                    outcome.figures.insert(name, bytes.parse()?);
                }
                [name @ ("collect_ns" | "collect_cpu_ns"), ns] => {
                    let all = outcome.repeated.entry((*name).to_owned()).or_default();
                    all.push(ns.parse()?);
                }
                [name, figure] => {
                    outcome.figures.insert((*name).to_owned(), figure.parse()?);
                }
                _ => return Err(format!("`{line}` is no line of a name and a figure").into()),
            }
        }
        outcome.sum_up();
        Ok(outcome)
    }

    /// The latency below which this share of the operations stayed.
    fn percentile(&self, share: f64) -> Option<f64> {
        let count: u64 = self.latencies.values().sum();
        let rank = (share * count as f64).ceil() as u64;
        let mut before = 0;
        self.latencies.iter().find_map(|(ns, count)| {
            before += count;
            (before >= rank).then_some(*ns as f64)
        })
    }

    /// Adds what follows from the lines.
    fn sum_up(&mut self) {
        let shares = [
            ("p50_ns", 0.5),
            ("p90_ns", 0.9),
            ("p99_ns", 0.99),
            ("p99.9_ns", 0.999),
            ("p99.99_ns", 0.9999),
            ("max_ns", 1.0),
        ];
        for (name, share) in shares {
            if let Some(ns) = self.percentile(share) {
                self.figures.insert(name.to_owned(), ns);
            }
        }
        for (name, all) in &self.repeated {
            if let Some(middle) = peers::report::median(all.clone()) {
                self.figures.insert(name.clone(), middle);
            }
        }
    }

    /// For a line while the run goes on.
    pub(crate) fn brief(&self) -> String {
        let of = |name: &str| self.figures.get(name).copied();
        let part = |name: &str, unit: f64, suffix: &str| {
            of(name).map(|figure| format!(" {:.2}{suffix}", figure / unit))
        };
        let parts = [
            part("cpu_ns", 1e9, " s CPU"),
            part("wall_ns", 1e9, " s"),
            part("peak_bytes", f64::from(1 << 20), " MiB"),
            part("p99.9_ns", 1e3, " µs p99.9"),
            part("collect_cpu_ns", 1e6, " ms a collection"),
        ];
        parts.into_iter().flatten().collect()
    }
}

/// Runs a row once.
pub(crate) fn run(launch: &Launch, row: &Row) -> Result<Run, Failure> {
    let mut command = Command::new("timeout");
    command.arg(SECONDS_MAX).arg(&launch.program);
    command
        .args(launch.before(row))
        .arg(&row.workload)
        .args(&row.args)
        .args(launch.system.args);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.envs(launch.variables());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let complaint = std::thread::spawn(move || read(stderr));
    let text = read(stdout);
    let used = child.wait4()?;
    let complaint = complaint.join().unwrap_or_default();
    if used.status.code() == Some(UNKNOWN) {
        return Ok(Run::Unknown);
    }
    if !used.status.success() {
        let line = complaint.lines().find(|line| !line.trim().is_empty());
        let why = line.map_or_else(|| used.status.to_string(), str::to_owned);
        return Ok(Run::Failed(why.chars().take(120).collect()));
    }
    let parsed = Outcome::parse(&text);
    let mut outcome = parsed.map_err(|error| format!("{}: {error}", launch.system.name))?;
    let usage = used.rusage;
    let mut add = |name: &str, figure| outcome.figures.insert(name.to_owned(), figure);
    add(
        "process_cpu_ns",
        (usage.utime + usage.stime).as_nanos() as f64,
    );
    add("peak_bytes", usage.maxrss as f64);
    Ok(Run::Done(outcome))
}

/// All that comes; what cannot be read is left out, and missed by whoever parses it.
fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_figures() {
        let text = "answer 7\ncpu_ns 5\nlatency_ns 10 98\nlatency_ns 500 2\nrss 100 4096\n\
                    collect_ns 3\ncollect_ns 9\ncollect_ns 4\n";
        let outcome = Outcome::parse(text).unwrap();
        assert_eq!(outcome.answer, Some(7));
        for (name, figure) in [
            ("cpu_ns", 5.0),
            ("p50_ns", 10.0),
            ("p99_ns", 500.0),
            ("max_ns", 500.0),
            ("rss_100_bytes", 4096.0),
            ("collect_ns", 4.0),
        ] {
            assert_eq!(outcome.figures.get(name), Some(&figure), "{name}");
        }
        assert!(Outcome::parse("a line without a figure").is_err());
    }
}
