//! The library crates' tests under AddressSanitizer, on the nightly toolchain.
//!
//! The compiler's instrumentation sees what the type system does not promise: an access beyond a
//! box, or to one that was freed. The heap's own memory is one mapping, of which the sanitizer
//! knows nothing; there poison, canaries and the oracles of the tests do its work. Leaks are not
//! looked for: tests leak descriptions of types on purpose, and a heap's memory is the system's.
//!
//! The standard library is the toolchain's own, not instrumented, so nothing but the toolchain is
//! needed. ThreadSanitizer would need one that is, built from source, and reports free-standing
//! fences, of which there are some, as races: the models stand in for it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::tee;
use crate::tally::Tally;
use crate::workspace::{LIBRARIES, Workspace};

/// The one platform that this is set up for: named, or build scripts would be instrumented too.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Tests that look at the memory of the process, of which the sanitizer keeps what was freed.
const SKIPPED: [&str; 2] = ["what_the_system_sees", "an_idle_process"];
/// Test targets that say nothing here: models, and what another compiler says of wrong programs.
const LEFT_OUT: [&str; 2] = ["loom", "ui"];

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Packages to test; every library crate by default
    crates: Vec<String>,
    /// Words that the tests' names must have
    #[arg(last = true)]
    filters: Vec<String>,
}

/// Runs the tests; fails if one does, or if the sanitizer reports anything.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    let probe = nightly(workspace).arg("--version").output();
    if !probe.is_ok_and(|output| output.status.success()) {
        bail!("the sanitizers need a nightly toolchain: rustup toolchain install nightly");
    }
    let mut tally = Tally::default();
    let chosen = match options.crates.is_empty() {
        true => LIBRARIES.map(str::to_owned).to_vec(),
        false => options.crates.clone(),
    };
    for package in &chosen {
        println!("== {package} under AddressSanitizer");
        let mut command = nightly(workspace);
        command
            .args(["test", "-p", package, "--target", TRIPLE])
            .arg("--lib")
            .args(
                targets(workspace, package)?
                    .iter()
                    .flat_map(|name| ["--test", name]),
            )
            .arg("--")
            .args(&options.filters)
            .args(SKIPPED.iter().flat_map(|name| ["--skip", name]))
            .env("RUSTFLAGS", "-Zsanitizer=address")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .env("CARGO_TARGET_DIR", workspace.target.join("sanitize"));
        tee(&mut command, |line| tally.add(line))
            .with_context(|| format!("{package} is not clean under AddressSanitizer"))?;
    }
    Ok(format!(
        "{} tests of {} crates under AddressSanitizer",
        tally.passed,
        chosen.len()
    ))
}

/// The package's test targets, but for those that say nothing here.
fn targets(workspace: &Workspace, package: &str) -> Result<Vec<String>> {
    let folder = workspace.root.join(package).join("tests");
    let mut names = Vec::new();
    let entries = fs::read_dir(&folder);
    for entry in entries.with_context(|| format!("no tests in {}", folder.display()))? {
        let path = entry?.path();
        let is_target =
            path.extension().is_some_and(|end| end == "rs") || { path.join("main.rs").is_file() };
        let name = path.file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        if is_target && !LEFT_OUT.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Cargo of the nightly toolchain. Through rustup: what started us is a toolchain's own program,
/// which knows of no other.
fn nightly(workspace: &Workspace) -> Command {
    let mut command = Command::new("rustup");
    command
        .current_dir(&workspace.root)
        .args(["run", "nightly", "cargo"]);
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_programs_that_do_not_compile_are_left_out() {
        let workspace = Workspace::find().unwrap();
        let found = targets(&workspace, "alloc-core").unwrap();
        let has = |name: &str| found.iter().any(|target| target == name);
        assert!(has("model") && has("global") && !has("loom"), "{found:?}");
        let found = targets(&workspace, "gc-mark").unwrap();
        assert!(!found.iter().any(|target| target == "ui"), "{found:?}");
        assert!(targets(&workspace, "no-such-package").is_err());
    }
}
