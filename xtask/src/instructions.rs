//! Instructions of the fast paths, counted by callgrind and held against recorded budgets.
//!
//! A bench on a shared machine cannot tell whether a path has become a few instructions longer;
//! a count can, exactly, while others work beside it. `xtask/fast-paths` has each path as a
//! function that runs it many times, built as a user's first build is: `--release`, with nothing
//! inlined across crates that does not ask for it. What that function takes, callees included, is
//! divided by its operations, and may be [`SLACK`] above its budget in `xtask/instructions.toml`.
//!
//! Without valgrind there is nothing to count with, and the check says so and passes: only the
//! toolchain is needed to work on the project.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, pass};
use crate::workspace::Workspace;

/// Where the budgets stand.
const BUDGETS: &str = "xtask/instructions.toml";
/// What the functions that are counted are called.
const PREFIX: &str = "path_";
/// A path may take so much of its budget more: what another linker or library changes.
const SLACK: f64 = 1.02;
/// A path that takes less than this of its budget should have a new one.
const LOOSE: f64 = 0.95;
/// The head of the file of budgets.
const HEAD: &str = "\
# Instructions an operation of the heap's fast paths may take, the loop around it included:
# `cargo xtask instructions` counts them, `cargo xtask instructions --write` writes this file.
";

/// What to do with the counts.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Make what is counted now the budget
    #[arg(long)]
    write: bool,
}

/// Instructions an operation, by the path's name.
type Counts = BTreeMap<String, f64>;

/// Counts, and compares or writes.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    let probe = Command::new("valgrind").arg("--version").output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return Ok("skipped, no valgrind: apt-get install valgrind".to_owned());
    }
    let counts = count(workspace)?;
    let path = workspace.root.join(BUDGETS);
    if options.write {
        let text = toml::to_string(&counts)?;
        fs::write(&path, format!("{HEAD}{text}")).with_context(|| format!("writing {BUDGETS}"))?;
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {BUDGETS}"))?;
    let budgets: Counts = toml::from_str(&text).with_context(|| BUDGETS.to_owned())?;
    judge(&counts, &budgets)
}

/// Runs the paths under callgrind.
fn count(workspace: &Workspace) -> Result<Counts> {
    pass(cargo(workspace).args(["build", "-q", "--release", "-p", "fast-paths"]))?;
    let folder = workspace.target.join("instructions");
    fs::create_dir_all(&folder).context("making the folder of counts")?;
    let profile = folder.join("callgrind.out");
    let ran = Command::new("valgrind")
        .args(["-q", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(workspace.target.join("release/fast-paths"))
        .output()
        .context("starting valgrind")?;
    if !ran.status.success() {
        bail!(
            "valgrind failed ({}): {}",
            ran.status,
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    let said = String::from_utf8_lossy(&ran.stdout);
    let operations = said
        .lines()
        .find_map(|line| line.strip_prefix("operations "))
        .context("fast-paths does not say how many operations it ran")?
        .parse()?;
    let annotated = Command::new("callgrind_annotate")
        .args(["--inclusive=yes", "--threshold=100"])
        .arg(&profile)
        .output()
        .context("starting callgrind_annotate")?;
    Ok(parse(
        &String::from_utf8_lossy(&annotated.stdout),
        operations,
    ))
}

/// Lines such as `2,700,029 ( 4.71%)  ???:fast_paths::path_cell_set [target/...]`.
fn parse(annotated: &str, operations: f64) -> Counts {
    let line = |line: &str| {
        let (count, rest) = line.trim().split_once(' ')?;
        let count: f64 = count.replace(',', "").parse().ok()?;
        let name = &rest[rest.find(PREFIX)? + PREFIX.len()..];
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        let each = (count / operations * 10.0).round() / 10.0;
        Some((name[..end].to_owned(), each))
    };
    annotated.lines().filter_map(line).collect()
}

/// Prints a row a path; an error names those above their budget, or without one, or gone.
fn judge(counts: &Counts, budgets: &Counts) -> Result<String> {
    let mut wrong = Vec::new();
    let mut loose = 0;
    println!("{:<28} {:>7} {:>7}", "path", "counted", "budget");
    for (name, each) in counts {
        let Some(budget) = budgets.get(name) else {
            wrong.push(format!("{name} has no budget"));
            continue;
        };
        println!("{name:<28} {each:>7.1} {budget:>7.1}");
        if *each > budget * SLACK {
            wrong.push(format!(
                "{name} takes {each:.1} instructions, not {budget:.1}"
            ));
        }
        loose += usize::from(*each < budget * LOOSE);
    }
    let gone = budgets.keys().filter(|name| !counts.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name} was not run")));
    if !wrong.is_empty() {
        bail!(
            "{}; if that is meant, `cargo xtask instructions --write`",
            wrong.join("; ")
        );
    }
    let mut note = format!("{} paths within their budgets", counts.len());
    if loose > 0 {
        note += &format!(", {loose} well below: renew them by --write");
    }
    Ok(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNOTATED: &str = "\
Ir                  file:function
19,717,967 (34.43%)  ???:fast_paths::path_root_and_drop [/target/release/fast-paths]
 2,700,029 ( 4.71%)  ???:fast_paths::path_enter [/target/release/fast-paths]
   300,000 ( 0.52%)  ???:alloc_core::central::Central::add [/target/release/fast-paths]
";

    fn counts(rows: &[(&str, f64)]) -> Counts {
        let rows = rows.iter().map(|(name, each)| ((*name).to_owned(), *each));
        rows.collect()
    }

    #[test]
    fn paths_are_found_by_their_names() {
        let expected = counts(&[("root_and_drop", 197.2), ("enter", 27.0)]);
        assert_eq!(parse(ANNOTATED, 100_000.0), expected);
    }

    #[test]
    fn more_than_the_budget_fails() {
        let budgets = counts(&[("set", 20.0)]);
        assert!(judge(&counts(&[("set", 20.3)]), &budgets).is_ok());
        let error = judge(&counts(&[("set", 20.5)]), &budgets).unwrap_err();
        assert!(error.to_string().contains("takes 20.5"), "{error}");
    }

    #[test]
    fn a_path_without_budget_or_a_budget_without_path_fails() {
        let (one, two) = (counts(&[("set", 1.0)]), counts(&[("get", 1.0)]));
        let error = judge(&one, &two).unwrap_err().to_string();
        assert!(error.contains("set has no budget"), "{error}");
        assert!(error.contains("get was not run"), "{error}");
    }

    #[test]
    fn less_than_the_budget_asks_for_a_new_one() {
        let note = judge(&counts(&[("set", 9.0)]), &counts(&[("set", 10.0)])).unwrap();
        assert!(note.contains("1 well below"), "{note}");
    }
}
