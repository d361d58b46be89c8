//! The stress of the allocator, for millions of operations against its oracles; of stacks, for a
//! million random programs; and of the default collector, for minutes: every debug mode in turn,
//! with new seeds.
//!
//! The collector's test itself goes through the modes and prints a line before and after each
//! round; here is what it needs around it: a release build, the time, and the way back to a round
//! that failed. A heap that finds itself corrupt aborts its process, so the last line that begins a
//! round is the one to replay.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, pass, tee};
use crate::workspace::Workspace;

/// How long, and what.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Minutes to stress the collector for; 0 for not at all
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// This mode alone
    #[arg(long)]
    mode: Option<String>,
    /// The first round's seed; each round after it takes the next
    #[arg(long)]
    seed: Option<u64>,
    /// Operations on the allocator, before the collector; 0 for none. None with --mode
    #[arg(long, default_value_t = 10_000_000)]
    operations: u64,
    /// Programs on stacks, before the collector; 0 for none. None with --mode
    #[arg(long, default_value_t = 1_000_000)]
    programs: u64,
    /// The profile to build in: `test` is that of the tests, slower and built already
    #[arg(long, default_value = "release")]
    profile: String,
}

/// Stresses the allocator, then the collector.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    ensure!(options.minutes >= 0.0, "--minutes is below zero");
    let mut notes = Vec::new();
    if options.operations > 0 && options.mode.is_none() {
        notes.push(allocator(workspace, options)?);
    }
    if options.programs > 0 && options.mode.is_none() {
        notes.push(rounds(
            workspace,
            options,
            "stack",
            "programs::many_programs",
        )?);
    }
    if options.minutes > 0.0 {
        notes.push(rounds(workspace, options, "stress", "matrix")?);
    }
    ensure!(!notes.is_empty(), "nothing was asked for");
    Ok(notes.join("; "))
}

/// Runs random programs against the allocator's oracles. A round's seed is printed before it; the
/// last one printed is the one to replay.
fn allocator(workspace: &Workspace, options: &Options) -> Result<String> {
    let operations = options.operations.to_string();
    let mut command = cargo(workspace);
    command
        .args(["test", "--profile", &options.profile])
        .args(["-p", "alloc-core", "--test", "model"])
        .args(["--", "--ignored", "--exact", "millions", "--nocapture"])
        .env("HEAPWRIGHT_OPERATIONS", operations)
        .env_remove("HEAPWRIGHT_SEED");
    if let Some(seed) = options.seed {
        command.env("HEAPWRIGHT_SEED", seed.to_string());
    }
    let (mut seed, mut done) = (None, None);
    let start = Instant::now();
    let result = tee(&mut command, |line| {
        if let Some((_, of_round)) = line.split_once("model: begin round HEAPWRIGHT_SEED=") {
            seed = Some(of_round.trim().to_owned());
        } else if let Some((_, count)) = line.split_once("model: ok ") {
            done = Some(count.to_owned());
        }
    });
    let replay = seed.unwrap_or_else(|| "?".to_owned());
    result.with_context(|| {
        format!(
            "the allocator's stress failed; replay: \
             cargo xtask stress --minutes 0 --operations 1 --programs 0 --seed {replay}"
        )
    })?;
    let done = done.context("the allocator's stress ran nothing")?;
    Ok(format!("{done} in {:.0} s", start.elapsed().as_secs_f64()))
}

/// Builds a test target of the runtime and runs one of its tests, which goes on by rounds; fails
/// with what replays the round that failed.
fn rounds(workspace: &Workspace, options: &Options, target: &str, name: &str) -> Result<String> {
    let profile = options.profile.as_str();
    let test = ["test", "--profile", profile, "-p", "runtime", "--test"];
    let test = [test.as_slice(), &[target]].concat();
    // Apart, so that the time is the stress's alone.
    pass(cargo(workspace).args(&test).arg("--no-run"))?;
    let mut command = cargo(workspace);
    command
        .args(test)
        .args(["--", "--ignored", "--exact", name, "--nocapture"])
        .env("HEAPWRIGHT_STRESS_MINUTES", options.minutes.to_string())
        .env("HEAPWRIGHT_STACK_PROGRAMS", options.programs.to_string())
        .env_remove("HEAPWRIGHT_STRESS_SECONDS")
        .env_remove("HEAPWRIGHT_STRESS_MODE");
    if let Some(mode) = &options.mode {
        command.env("HEAPWRIGHT_STRESS_MODE", mode);
    }
    if let Some(seed) = options.seed {
        command.env("HEAPWRIGHT_SEED", seed.to_string());
    }
    let start = Instant::now();
    let seen = watch(&mut command)?;
    let seconds = start.elapsed().as_secs_f64();
    match seen {
        Seen {
            ok: true, rounds, ..
        } => Ok(format!("{rounds} rounds of {target} in {seconds:.0} s")),
        Seen { begun, rounds, .. } => bail!("{}", blame(begun.as_deref(), rounds)),
    }
}

/// What the stress said.
#[derive(Default)]
struct Seen {
    ok: bool,
    rounds: usize,
    /// The mode and seed of the round that is running.
    begun: Option<String>,
}

impl Seen {
    fn line(&mut self, line: &str) {
        if let Some((_, round)) = line.split_once("stress: begin ") {
            self.begun = Some(round.to_owned());
        } else if line.contains("stress: ok ") {
            self.rounds += 1;
            self.begun = None;
        }
    }
}

/// Runs the test and remembers what it said of its rounds.
fn watch(command: &mut Command) -> Result<Seen> {
    let mut seen = Seen::default();
    seen.ok = watch_lines(command, |line| seen.line(line))?;
    Ok(seen)
}

/// Runs a test, passes on what it says on its error output, and shows each line to `line`; whether
/// it ended well.
pub(crate) fn watch_lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stderr.take().context("the output is not piped")?;
    for bytes in BufReader::new(output).split(b'\n') {
        let text = String::from_utf8_lossy(&bytes?).into_owned();
        eprintln!("{text}");
        line(&text);
    }
    Ok(child.wait()?.success())
}

/// What to say of a failure, and how to replay it.
fn blame(begun: Option<&str>, rounds: usize) -> String {
    let words = begun.map(|round| round.split_whitespace().collect::<Vec<_>>());
    let value = |name: &str| {
        let words = words.iter().flatten();
        words
            .filter_map(|word| word.strip_prefix(name))
            .next()
            .unwrap_or("?")
            .to_owned()
    };
    match begun {
        Some(round) if round.contains("mode=stack") => format!(
            "the stress failed after {rounds} batches; replay the programs from there: \
             cargo xtask stress --minutes 0 --operations 0 --programs 4000 --seed {}",
            value("seed=")
        ),
        Some(_) => format!(
            "the stress failed after {rounds} rounds; replay: \
             cargo xtask stress --mode {} --seed {}",
            value("mode="),
            value("seed=")
        ),
        None => format!("the stress failed outside of a round, after {rounds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_did_not_end_is_to_blame() {
        let mut seen = Seen::default();
        seen.line("stress: begin mode=plain seed=7");
        seen.line("stress: ok    mode=plain seed=7 cycles=2");
        assert_eq!((seen.rounds, seen.begun.as_deref()), (1, None));
        seen.line("test matrix ... stress: begin mode=all seed=8");
        seen.line("stress: CORRUPT mode=all seed=8: a node was freed");
        let blamed = blame(seen.begun.as_deref(), seen.rounds);
        assert!(blamed.contains("after 1 rounds"), "{blamed}");
        assert!(blamed.ends_with("--mode all --seed 8"), "{blamed}");
        let blamed = blame(Some("mode=stack seed=4001"), 1);
        assert!(blamed.ends_with("--programs 4000 --seed 4001"), "{blamed}");
    }
}
