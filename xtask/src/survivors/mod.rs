//! Mutants that cargo-mutants generates for the algorithm crates: each is noticed by a test, or has
//! a reason why none can.
//!
//! The listed mutants (`cargo xtask mutants`) are what somebody thought of; these are what nobody
//! did: every operator, condition and result of the code, replaced one at a time. Unit and
//! integration tests alone are asked, as they take a second; what is left for a model to see is a
//! survivor, too.
//!
//! Reasons stand in `xtask/survivors.toml`. A survivor without one fails the command, and so does
//! a reason for a mutant that is noticed or is no more.

mod mutant;
mod page;

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, read};
use crate::nightly::{LeftOut, Table, What};
use crate::short::SKIPPED;
use crate::tidy::tree::Tree;
use crate::workspace::Workspace;

use mutant::{Mutant, Record, Verdict};
use page::{Reason, Tried};

/// The crates that it is done for.
const CRATES: [&str; 3] = ["gc-sweep", "scavenger", "gc-mark"];
/// Where the reasons stand.
const REASONS: &str = "xtask/survivors.toml";
/// Where the survivors are listed.
const PAGE: &str = "docs/survivors.md";
/// Whose names of mutants the reasons use: another version may word them otherwise.
const VERSION: &str = "27.1.0";

/// What is not asked.
const LEFT_OUT: [LeftOut; 2] = [
    LeftOut {
        package: "",
        what: What::Target("loom"),
        why: "models, which are another build",
    },
    LeftOut {
        package: "",
        what: What::Target("ui"),
        why: "what a compiler says of wrong programs, which takes it long",
    },
];

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Crates whose mutants to run; all of them by default
    crates: Vec<String>,
    /// Only try those again that survived, and those that are new
    #[arg(long)]
    again: bool,
    /// And those that hung: on a busy machine what is only slow may seem to
    #[arg(long, requires = "again")]
    hung: bool,
    /// Judge what earlier runs have left, and try nothing
    #[arg(long, conflicts_with = "again")]
    recorded: bool,
    /// Only check that each survivor of the list is still a mutant
    #[arg(long, conflicts_with_all = ["again", "recorded", "write"])]
    check: bool,
    /// Write docs/survivors.md; needs all crates
    #[arg(long, conflicts_with = "crates")]
    write: bool,
    /// Mutants at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Runs the mutants and judges who survives; skipped where cargo-mutants is missing.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    for name in &options.crates {
        let why = "none of the crates that this is done for";
        ensure!(CRATES.contains(&name.as_str()), "{name} is {why}");
    }
    let is_wanted =
        |name: &&str| options.crates.is_empty() || options.crates.iter().any(|c| c == name);
    let crates: Vec<&str> = CRATES.into_iter().filter(is_wanted).collect();
    let mut reasons = reasons(workspace)?;
    reasons.retain(|reason| crates.iter().any(|name| reason.is_of(name)));
    if version(workspace).as_deref() != Some(VERSION) {
        return Ok(format!(
            "{SKIPPED}cargo install cargo-mutants@{VERSION} --locked"
        ));
    }
    let tree = Tree::read(workspace)?;
    let generated = generated(workspace, &tree, &crates)?;
    page::check(generated.iter().flatten(), &reasons)?;
    if options.check {
        let of = generated.iter().flatten().count();
        return Ok(format!("{} survivors among {of} mutants", reasons.len()));
    }
    let mut tried = Vec::new();
    for (name, mutants) in crates.iter().zip(&generated) {
        let record = try_all(workspace, name, mutants, options)?;
        for mutant in mutants {
            let verdict = record.get(&mutant.name);
            let verdict = *verdict.with_context(|| format!("not tried: {}", mutant.place))?;
            let mutant = mutant.clone();
            tried.push(Tried { mutant, verdict });
        }
    }
    let text = page::page(&crates, &tried, &reasons);
    println!("\n{text}");
    if options.write {
        fs::write(workspace.root.join(PAGE), &text)?;
    }
    page::judge(&tried, &reasons)?;
    Ok(page::total(&tried))
}

/// Reads the reasons, one a mutant.
fn reasons(workspace: &Workspace) -> Result<Vec<Reason>> {
    let path = workspace.root.join(REASONS);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {REASONS}"))?;
    page::read(&text).with_context(|| format!("in {REASONS}"))
}

/// Cargo-mutants: its first word is cargo's own name for it.
fn command(workspace: &Workspace) -> Command {
    let mut command = cargo(workspace);
    // A target folder of ours would be shared by the copies, and hold their builds.
    command.arg("mutants").env_remove("CARGO_TARGET_DIR");
    command
}

/// The version that is installed, if any is.
fn version(workspace: &Workspace) -> Option<String> {
    let mut asked = command(workspace);
    let output = asked.arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.trim().strip_prefix("cargo-mutants ")?;
    output.status.success().then(|| version.to_owned())
}

/// What cargo-mutants would make of the crates as they are.
fn generated(workspace: &Workspace, tree: &Tree, crates: &[&str]) -> Result<Vec<Vec<Mutant>>> {
    let of = |name: &&str| {
        let text = read(command(workspace).args(["--list", "--json", "--package", name]))?;
        mutant::listed(&text, tree)
    };
    crates.iter().map(of).collect()
}

/// Has a crate's mutants tried, or those that have not been noticed yet; all verdicts.
fn try_all(
    workspace: &Workspace,
    name: &str,
    mutants: &[Mutant],
    options: &Options,
) -> Result<Record> {
    let folder = workspace.target.join("survivors").join(name);
    let path = folder.join("record.json");
    let mut record = Record::new();
    if options.again || options.recorded {
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("{name} was not tried yet"))?;
        record = serde_json::from_str(&text)?;
    }
    let is_open = |mutant: &&Mutant| match record.get(&mutant.name) {
        Some(Verdict::Caught | Verdict::Unviable) => false,
        Some(Verdict::Timeout) => options.hung,
        Some(Verdict::Missed) | None => true,
    };
    let open: Vec<&Mutant> = mutants.iter().filter(is_open).collect();
    if open.is_empty() || options.recorded {
        return Ok(record);
    }
    fs::create_dir_all(&folder)?;
    let mut command = command(workspace);
    command
        .args(["--package", name, "--jobs", &options.jobs.to_string()])
        .arg("--output")
        .arg(&folder)
        .arg("--cargo-test-arg=--lib")
        // Nobody looks at a mutant with a debugger, and this halves the time to build it.
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    for target in Table(LEFT_OUT.iter().collect()).targets(workspace, name)? {
        command.arg(format!("--cargo-test-arg=--test={target}"));
    }
    if options.again {
        command.args(
            open.iter()
                .map(|mutant| format!("--re={}", exactly(&mutant.place))),
        );
    }
    let status = command.status().context("cannot start cargo-mutants")?;
    // 2 and 3: some survive, some hang. That is judged elsewhere.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        bail!("cargo-mutants failed on {name} ({status})");
    }
    let outcomes = fs::read_to_string(folder.join("mutants.out/outcomes.json"))?;
    mutant::add(&outcomes, mutants, &mut record)?;
    record.retain(|name, _| mutants.iter().any(|mutant| mutant.name == *name));
    fs::write(&path, serde_json::to_string_pretty(&record)?)?;
    Ok(record)
}

/// A regular expression that only `text` matches.
fn exactly(text: &str) -> String {
    // Not all punctuation: `\<` is the beginning of a word.
    const SIGNS: &str = r"\.+*?()|[]{}^$#&-~";
    let mut pattern = "^".to_owned();
    for char in text.chars() {
        if SIGNS.contains(char) {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern + "$"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_known_crates() {
        let workspace = Workspace::find().unwrap();
        for reason in reasons(&workspace).unwrap() {
            assert!(CRATES.iter().any(|name| reason.is_of(name)), "{reason:?}");
        }
    }

    #[test]
    fn a_pattern_takes_no_sign_for_anything_else() {
        let place = "a/b-c.rs:1:2: replace * with | in D<'_, S>::e";
        let pattern = exactly(place);
        assert_eq!(pattern.replace('\\', ""), format!("^{place}$"));
        assert!(pattern.contains(r"\* with \| in D<'_, S>"), "{pattern}");
    }

    #[test]
    fn models_are_not_asked() {
        let workspace = Workspace::find().unwrap();
        let table = Table(LEFT_OUT.iter().collect());
        let targets = table.targets(&workspace, "gc-mark").unwrap();
        assert!(targets.contains(&"model".to_owned()), "{targets:?}");
        assert!(!targets.iter().any(|name| name == "loom" || name == "ui"));
    }
}
