//! The tasks that are one cargo command with the flags that the project agreed on.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo::{cargo, pass, tee};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Builds and runs the demo, and hands on its exit code.
pub(crate) fn demo(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let status = cargo(workspace)
        .args([
            "run",
            "--release",
            "-p",
            "runtime",
            "--example",
            "demo",
            "--",
        ])
        .args(args)
        .status()
        .context("cannot start cargo")?;
    // No code: a signal ended it.
    let code = status
        .code()
        .map_or(1, |code| u8::try_from(code).unwrap_or(1));
    Ok(ExitCode::from(code))
}

/// Runs every test of the workspace: unit, integration, doc; examples are built.
pub(crate) fn test(workspace: &Workspace, args: &[String]) -> Result<String> {
    let mut tally = Tally::default();
    let mut command = cargo(workspace);
    command.args(["test", "--workspace"]).args(args);
    tee(&mut command, |line| tally.add(line))?;
    Ok(format!("{} tests", tally.passed))
}

/// Builds the documentation of every package, every warning an error.
pub(crate) fn doc(workspace: &Workspace) -> Result<String> {
    let mut command = cargo(workspace);
    command
        .env("RUSTDOCFLAGS", "-D warnings")
        .args(["doc", "--workspace", "--no-deps"]);
    pass(&mut command)?;
    Ok("no warning".to_owned())
}

/// Checks that rustfmt would change nothing.
pub(crate) fn format(workspace: &Workspace) -> Result<String> {
    pass(cargo(workspace).args(["fmt", "--all", "--check"]))?;
    Ok("formatted".to_owned())
}

/// Runs clippy over every target, every warning an error.
pub(crate) fn clippy(workspace: &Workspace) -> Result<String> {
    let mut command = cargo(workspace);
    command.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    pass(&mut command)?;
    Ok("no warning".to_owned())
}

/// Runs the benches beside rivals, or the one named with these arguments.
pub(crate) fn bench(workspace: &Workspace, name: Option<&str>, args: &[String]) -> Result<String> {
    let mut command = cargo(workspace);
    command.args(["bench", "-p", "peers"]);
    if let Some(name) = name {
        command.args(["--bench", name]);
    }
    command.arg("--").args(args);
    pass(&mut command)?;
    Ok("benches ran".to_owned())
}

/// Which peers to run beside this project, and on what.
#[derive(Args)]
pub(crate) struct Peers {
    /// The same workloads on this project and on what people use today
    #[arg(long)]
    peers: bool,
    /// Only rows whose title begins so (`ring`, `alloc size=64`); may be repeated
    #[arg(long, requires = "peers")]
    workload: Vec<String>,
    /// Only systems whose name begins so, and ours; may be repeated
    #[arg(long, requires = "peers")]
    system: Vec<String>,
    /// Rounds; 5 if not set
    #[arg(long, requires = "peers")]
    rounds: Option<usize>,
    /// Tiny parameters and one round
    #[arg(long, requires = "peers")]
    quick: bool,
}

impl Peers {
    /// Whether they are wanted instead of the benches.
    pub(crate) fn is_asked(&self) -> bool {
        self.peers
    }

    /// The arguments of the program that runs them.
    fn words(&self) -> Vec<String> {
        let repeated = |flag: &str, values: &[String]| {
            let pairs = values.iter().map(|value| [flag.to_owned(), value.clone()]);
            pairs.flatten().collect::<Vec<_>>()
        };
        let mut words = repeated("--workload", &self.workload);
        words.extend(repeated("--system", &self.system));
        words.extend(self.rounds.map(|rounds| format!("--rounds={rounds}")));
        words.extend(self.quick.then(|| "--quick".to_owned()));
        words
    }
}

/// Runs the same workloads on this project and on every peer that is installed.
pub(crate) fn peers(workspace: &Workspace, peers: &Peers) -> Result<String> {
    let mut command = cargo(workspace);
    command.args(["run", "--quiet", "-p", "peers", "--bin", "versus", "--"]);
    pass(command.args(peers.words()))?;
    Ok("all answers agree: target/peers/versus.md".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_passed_on() {
        let peers = Peers {
            peers: true,
            workload: vec!["trees".to_owned(), "ring".to_owned()],
            system: Vec::new(),
            rounds: Some(3),
            quick: true,
        };
        let words = [
            "--workload",
            "trees",
            "--workload",
            "ring",
            "--rounds=3",
            "--quick",
        ];
        assert_eq!(peers.words(), words);
    }
}
