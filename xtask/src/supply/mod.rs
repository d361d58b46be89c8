//! What comes from elsewhere, and what others rest on: licenses and duplicates of the packages that
//! are linked, dependencies that nothing uses, the oldest compiler and the oldest and newest
//! versions that are promised, and the public interface of each library crate, as recorded.
//!
//! Each part needs something that may not be there: another toolchain, a tool, the registry. What
//! is missing is said, with the command that installs it, and the part is skipped; a part that runs
//! must pass. Advisories are not looked for: their database is fetched by git when it is wanted,
//! `cargo deny check advisories`, and says something new each day about a tree that stays the same.

mod api;
mod compiler;
mod license;
mod policy;
mod unused;
mod versions;

use anyhow::{Result, ensure};

use crate::workspace::Workspace;

/// What to check.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Parts to check; all by default
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Record the public interfaces in docs/api, in place of checking them
    #[arg(long)]
    write: bool,
}

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Licenses, duplicates and sources of all packages
    Policy,
    /// Dependencies of the library crates that they do not use
    Unused,
    /// The library crates under the oldest compiler that they promise
    Compiler,
    /// The public interfaces beside their record
    Api,
    /// The library crates with the oldest versions that they promise
    Minimal,
    /// The library crates with the newest versions there are
    Latest,
}

/// Every part; those that need no registry first.
const ALL: [Part; 6] = [
    Part::Policy,
    Part::Unused,
    Part::Compiler,
    Part::Api,
    Part::Minimal,
    Part::Latest,
];

/// How a part ended that did not fail.
enum Outcome {
    /// What it says.
    Passed(String),
    /// What was missing, and how to install it.
    Skipped(String),
}

/// Checks each part; fails if one does, or if nothing at all could be checked.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    let chosen = match options.parts.as_slice() {
        [] => &ALL,
        parts => parts,
    };
    check(workspace, chosen, options.write)
}

/// The parts that need no registry, nor longer than the rest of a run of all checks.
pub(crate) fn quick(workspace: &Workspace) -> Result<String> {
    let chosen = [Part::Policy, Part::Unused, Part::Compiler, Part::Api];
    check(workspace, &chosen, false)
}

fn check(workspace: &Workspace, parts: &[Part], write: bool) -> Result<String> {
    let (mut passed, mut skipped) = (Vec::new(), Vec::new());
    for part in parts {
        let name = format!("{part:?}").to_lowercase();
        println!("== {name}");
        let outcome = match part {
            Part::Policy => policy::run(workspace)?,
            Part::Unused => unused::run(workspace)?,
            Part::Compiler => compiler::run(workspace)?,
            Part::Api => api::run(workspace, write)?,
            Part::Minimal => versions::minimal(workspace)?,
            Part::Latest => versions::latest(workspace)?,
        };
        match outcome {
            Outcome::Passed(note) => passed.push(note),
            Outcome::Skipped(why) => {
                println!("skipped: {why}");
                skipped.push(name);
            }
        }
    }
    ensure!(!passed.is_empty(), "nothing could be checked");
    if !skipped.is_empty() {
        passed.push(format!("skipped: {}", skipped.join(", ")));
    }
    Ok(passed.join("; "))
}
