//! The soak: everything that uses the collected heap together, for as long as one likes, under one
//! limit, with refused page requests and late handshakes (`runtime/tests/soak.rs`).
//!
//! The test judges itself; here is a release build, the time, and what it said at its end. A heap
//! that finds itself corrupt aborts the process, so a soak that said nothing has failed.

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo, pass};
use crate::stress::watch_lines;
use crate::workspace::Workspace;

/// How long, and with which programs.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Minutes to soak for
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// The seed of the programs; from the clock by default
    #[arg(long)]
    seed: Option<u64>,
    /// The profile to build in: `test` is that of the tests, slower and built already
    #[arg(long, default_value = "release")]
    profile: String,
}

/// Runs the soak; what its books said.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    ensure!(options.minutes > 0.0, "--minutes must be above zero");
    let profile = options.profile.as_str();
    let test = [
        "test",
        "--profile",
        profile,
        "-p",
        "runtime",
        "--test",
        "soak",
    ];
    // Apart, so that the time is the soak's alone.
    pass(cargo(workspace).args(test).arg("--no-run"))?;
    let mut command = cargo(workspace);
    command
        .args(test)
        .args(["--", "--exact", "books_balance_and_nothing_grows"])
        .arg("--nocapture")
        .env("HEAPWRIGHT_SOAK_MINUTES", options.minutes.to_string())
        .env_remove("HEAPWRIGHT_SEED");
    if let Some(seed) = options.seed {
        command.env("HEAPWRIGHT_SEED", seed.to_string());
    }
    let mut said = Said::default();
    let ok = watch_lines(&mut command, |line| said.line(line))?;
    let seed = said.seed.unwrap_or_else(|| "?".to_owned());
    ensure!(
        ok,
        "the soak failed; the same programs: cargo xtask soak --minutes {} --seed {seed}",
        options.minutes
    );
    said.totals.context("the soak did not say what it came to")
}

/// What the soak said.
#[derive(Default)]
struct Said {
    seed: Option<String>,
    totals: Option<String>,
}

impl Said {
    fn line(&mut self, line: &str) {
        if let Some((_, begun)) = line.split_once("soak: begin HEAPWRIGHT_SEED=") {
            self.seed = begun.split_whitespace().next().map(str::to_owned);
        } else if let Some((_, totals)) = line.split_once("soak: ok ") {
            self.totals = Some(totals.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_totals_are_read() {
        let mut said = Said::default();
        said.line("test books ... soak: begin HEAPWRIGHT_SEED=7 seconds=60");
        assert_eq!(
            (said.seed.as_deref(), said.totals.as_deref()),
            (Some("7"), None)
        );
        said.line("soak: ok messages=64 cycles=3");
        assert_eq!(said.totals.as_deref(), Some("messages=64 cycles=3"));
    }
}
