//! From arguments to printed lines.

use super::trees::Trees;
use super::{Alloc, Failure, Params, Unknown, alloc, ring, trees};
use crate::process::resident;
use cpu_time::ProcessTime;
use hdrhistogram::Histogram;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The exit code of a program that does not know the workload.
const UNKNOWN: u8 = 3;

/// A system with programs for all workloads that every system can run.
pub trait System: Sized + Sync {
    /// Starts it, with whatever of the parameters is meant for it.
    ///
    /// # Errors
    ///
    /// The system's.
    fn start(params: &Params) -> Result<Self, Failure>;

    /// What its collector has used since the start, if it has one.
    fn used(&self) -> Option<Used> {
        None
    }

    /// Workloads that are the system's own affair.
    ///
    /// # Errors
    ///
    /// [`Unknown`] if there is none of this name.
    fn other(&self, params: &Params) -> Result<Lines, Failure> {
        Err(Unknown(params.workload.clone()).into())
    }
}

/// What a collector has used.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Its own count of its collections.
    pub collections: u64,
    /// Its processor time, as far as it is known: that of its threads, and of stopped worlds.
    pub cpu: Duration,
}

/// What a run prints.
#[derive(Debug, Default)]
pub struct Lines(String);

impl Lines {
    /// Adds a line.
    pub fn add(&mut self, name: &str, value: impl Display) {
        self.0 += &format!("{name} {value}\n");
    }

    /// Adds a histogram, a line a value that occurred.
    pub fn add_latency(&mut self, latency: &Histogram<u64>) {
        for value in latency.iter_recorded() {
            let ns = value.value_iterated_to();
            self.0 += &format!("latency_ns {ns} {}\n", value.count_since_last_iteration());
        }
    }
}

/// Both clocks, running, and what the collector had used before.
pub(super) struct Clocks<U> {
    used: U,
    before: Option<Used>,
    wall: Instant,
    cpu: ProcessTime,
}

impl<U: Fn() -> Option<Used>> Clocks<U> {
    /// Starts them; `used` says what the collector has used.
    pub(super) fn start(used: U) -> Self {
        Self {
            before: used(),
            used,
            wall: Instant::now(),
            cpu: ProcessTime::now(),
        }
    }

    /// The lines that every workload prints, once the measured part is over.
    pub(super) fn stop(self, answer: u64) -> Lines {
        let mut lines = self.stop_unanswered();
        lines.add("answer", answer);
        lines
    }

    /// The same while the answer is still being added up.
    pub(super) fn stop_unanswered(self) -> Lines {
        let (wall, cpu) = (self.wall.elapsed(), self.cpu.elapsed());
        let mut lines = Lines::default();
        lines.add("wall_ns", wall.as_nanos());
        lines.add("cpu_ns", cpu.as_nanos());
        if let Some(resident) = resident() {
            lines.add("rss_end_bytes", resident.now_bytes);
        }
        if let (Some(before), Some(now)) = (self.before, (self.used)()) {
            lines.add("collections", now.collections - before.collections);
            lines.add("collector_cpu_ns", (now.cpu - before.cpu).as_nanos());
        }
        lines
    }
}

/// Runs the workload of `params` on `S`.
///
/// # Errors
///
/// The system's; [`Unknown`] if it has no program for the workload.
pub fn run<S>(params: &Params) -> Result<Lines, Failure>
where
    S: System + Trees + Alloc + ring::Messages,
{
    let system = S::start(params)?;
    match params.workload.as_str() {
        "trees" => trees::run(&system, params),
        "alloc" => alloc::run(&system, params),
        "ring" | "limit" => ring::run(&system, params),
        "spike" => ring::spike(&system, params),
        _ => system.other(params),
    }
}

/// A program's `main`: parses its arguments, and prints the lines that `choose` finds.
pub fn main(choose: impl FnOnce(&Params) -> Result<Lines, Failure>) -> ExitCode {
    match Params::parse(std::env::args().skip(1)).and_then(|params| choose(&params)) {
        Ok(lines) => {
            print!("{}", lines.0);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            let code = if failure.is::<Unknown>() { UNKNOWN } else { 1 };
            ExitCode::from(code)
        }
    }
}
