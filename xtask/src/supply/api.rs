//! The public interface of each library crate, beside what `docs/api` records of it.
//!
//! A change of an interface then is a change of a file, which a review sees, and which one makes on
//! purpose: `cargo xtask supply api --write`. The list is made by cargo-public-api, of rustdoc's
//! JSON, which nightly toolchains write alone and in a form that changes: each version of the tool
//! reads that of some months. Blanket implementations, auto traits and derives are left out.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo_of, read};
use crate::supply::Outcome;
use crate::workspace::{LIBRARIES, Workspace};

/// Where the records are.
const FOLDER: &str = "docs/api";
/// The toolchain that rustdoc is taken from.
const TOOLCHAIN: &str = "nightly";
/// What a message advises where the tool is missing or too old, or too new, for the toolchain.
const ADVICE: &str = "rustup toolchain install nightly --profile minimal; \
    cargo install cargo-public-api --locked";

pub(super) fn run(workspace: &Workspace, write: bool) -> Result<Outcome> {
    let Some(mut probe) = public_api(workspace) else {
        return Ok(Outcome::Skipped(format!("no nightly toolchain: {ADVICE}")));
    };
    let version = probe.arg("--version").output()?;
    if !version.status.success() {
        return Ok(Outcome::Skipped(format!("no cargo-public-api: {ADVICE}")));
    }
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let (mut items, mut wrong) = (0, Vec::new());
    for package in LIBRARIES {
        let mut command = public_api(workspace).context("the toolchain is gone")?;
        command
            .args(["-p", package, "-sss", "--color", "never"])
            .env("CARGO_TARGET_DIR", workspace.target.join("supply/api"));
        let found = read(&mut command).with_context(|| {
            format!("{version} and the toolchain must be of the same months: {ADVICE}")
        })?;
        ensure!(!found.trim().is_empty(), "{package} has no interface");
        items += found.lines().count();
        let place = format!("{FOLDER}/{package}.txt");
        let path = workspace.root.join(&place);
        if write {
            fs::create_dir_all(workspace.root.join(FOLDER))?;
            fs::write(&path, &found).with_context(|| format!("cannot write {place}"))?;
            continue;
        }
        let recorded = fs::read_to_string(&path).unwrap_or_default();
        wrong.extend(changes(&recorded, &found).map(|line| format!("{place}: {line}")));
    }
    ensure!(
        wrong.is_empty(),
        "{}\n(if that is meant: cargo xtask supply api --write; made by {version})",
        wrong.join("\n")
    );
    let verb = if write { "written" } else { "as recorded" };
    Ok(Outcome::Passed(format!("{items} public items {verb}")))
}

/// The tool, as the toolchain's cargo finds it.
fn public_api(workspace: &Workspace) -> Option<Command> {
    let mut command = cargo_of(workspace, TOOLCHAIN)?;
    command.arg("public-api");
    Some(command)
}

/// What is gone and what is new, one line each.
fn changes<'a>(recorded: &'a str, found: &'a str) -> impl Iterator<Item = String> + 'a {
    let before: BTreeSet<&str> = recorded.lines().collect();
    let after: BTreeSet<&str> = found.lines().collect();
    let gone: Vec<_> = before.difference(&after).copied().collect();
    let new: Vec<_> = after.difference(&before).copied().collect();
    let gone = gone.into_iter().map(|line| format!("- {line}"));
    gone.chain(new.into_iter().map(|line| format!("+ {line}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_side() {
        let found: Vec<_> = changes(
            "pub fn a::b()\npub fn a::c()",
            "pub fn a::c()\npub fn a::d()",
        )
        .collect();
        assert_eq!(found, ["- pub fn a::b()", "+ pub fn a::d()"]);
        assert_eq!(changes("pub fn a::b()\n", "pub fn a::b()").count(), 0);
    }
}
