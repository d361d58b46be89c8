//! The stress of the default collector, for minutes: every debug mode in turn, with new seeds. Or
//! that of stacks, for so many programs.
//!
//! The test itself goes through the modes and prints a line before and after each round; here is
//! what it needs around it: a release build, the time, and the way back to a round that failed.
//! A heap that finds itself corrupt aborts its process, so the last line that begins a round is
//! the one to replay.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, pass};
use crate::workspace::Workspace;

/// How long, and what.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Minutes to go on for
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// This mode alone
    #[arg(long)]
    mode: Option<String>,
    /// The first round's seed; each round after it takes the next
    #[arg(long)]
    seed: Option<u64>,
    /// So many programs on stacks, by chance, instead of rounds of minutes
    #[arg(long, conflicts_with_all = ["minutes", "mode"])]
    programs: Option<u64>,
}

/// Builds the stress and runs it; fails with what replays the round that failed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    ensure!(options.minutes > 0.0, "--minutes must be above zero");
    let (target, name) = match options.programs {
        Some(_) => ("stack", "programs::many_programs"),
        None => ("stress", "matrix"),
    };
    let test = ["test", "--release", "-p", "runtime", "--test", target];
    // Apart, so that the time is the stress's alone.
    pass(cargo(workspace).args(test).arg("--no-run"))?;
    let mut command = cargo(workspace);
    command
        .args(test)
        .args(["--", "--ignored", "--exact", name, "--nocapture"])
        .env("HEAPWRIGHT_STRESS_MINUTES", options.minutes.to_string())
        .env_remove("HEAPWRIGHT_STRESS_SECONDS")
        .env_remove("HEAPWRIGHT_STRESS_MODE");
    if let Some(mode) = &options.mode {
        command.env("HEAPWRIGHT_STRESS_MODE", mode);
    }
    if let Some(seed) = options.seed {
        command.env("HEAPWRIGHT_SEED", seed.to_string());
    }
    if let Some(programs) = options.programs {
        command.env("HEAPWRIGHT_STACK_PROGRAMS", programs.to_string());
    }
    let start = Instant::now();
    let seen = watch(&mut command)?;
    let seconds = start.elapsed().as_secs_f64();
    match seen {
        Seen {
            ok: true, rounds, ..
        } => Ok(format!("{rounds} rounds in {seconds:.0} s")),
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

/// Runs the test and passes on what it says on its error output, where its lines are.
fn watch(command: &mut Command) -> Result<Seen> {
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stderr.take().context("the output is not piped")?;
    let mut seen = Seen::default();
    for bytes in BufReader::new(output).split(b'\n') {
        let text = String::from_utf8_lossy(&bytes?).into_owned();
        eprintln!("{text}");
        seen.line(&text);
    }
    seen.ok = child.wait()?.success();
    Ok(seen)
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
             cargo xtask stress --programs 4000 --seed {}",
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
