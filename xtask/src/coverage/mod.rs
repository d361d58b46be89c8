//! Which lines of the library crates their tests run, and why the others are left out.
//!
//! The tests are built with the compiler's own instrumentation, which writes a profile when a
//! process ends; `llvm-profdata` and `llvm-cov`, a component of the toolchain, tell lines from it.
//! Lines that are compiled for tests only do not count, nor do those of models, which are another
//! build. A process that aborts, and a child of a fork that leaves without unwinding, writes no
//! profile: what only those run counts as not run, and needs a reason like any other.
//!
//! Reasons stand in `xtask/coverage.toml`, by function or by file; a line without one fails the
//! command. That a line has one and is run is no fault: what threads meet is left to chance.

mod lines;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo, read, tee};
use crate::tally::Tally;
use crate::tidy::tree::Tree;
use crate::workspace::{LIBRARIES, Workspace};

pub(crate) use page::recorded;

/// Where the reasons stand.
const REASONS: &str = "xtask/coverage.toml";
/// Where the lines are listed.
const PAGE: &str = "docs/coverage.md";
/// Test targets that say nothing here: models, what the compiler says of wrong programs, and what
/// is built for ThreadSanitizer alone.
const LEFT_OUT: [&str; 3] = ["loom", "tsan", "ui"];
/// What has the compiler count; atomically, or threads would lose counts to each other, and a line
/// whose count is the difference of two others would be taken for run, or for not run.
const FLAGS: &str = "-C instrument-coverage -C llvm-args=-instrprof-atomic-counter-update-all";
/// Profiles that processes of one program share; each adds to one that it has locked.
const PROFILES: u32 = 4;

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write docs/coverage.md
    #[arg(long)]
    write: bool,
    /// Judge what the last run has left, and run nothing
    #[arg(long)]
    again: bool,
}

/// Runs the tests and judges the lines; fails if a test does, or if a line is neither run nor
/// explained.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    let folder = workspace.target.join("coverage");
    let report = folder.join("report.lcov");
    if !options.again {
        let tools = tools(workspace)?;
        let tests = measure(workspace, &folder)?;
        export(&tools, &folder, &report, &tests)?;
    }
    let text = fs::read_to_string(&report)
        .with_context(|| format!("{}: nothing was measured yet", report.display()))?;
    let tree = Tree::read(workspace)?;
    let files = lines::of_report(&text, &workspace.root, &tree);
    ensure!(!files.is_empty(), "the report names no library file");
    let path = workspace.root.join(REASONS);
    let reasons = fs::read_to_string(&path).with_context(|| format!("cannot read {REASONS}"))?;
    let groups = page::read_groups(&reasons).with_context(|| format!("in {REASONS}"))?;
    let sorted = page::sort(&files, &groups);
    let text = page::page(&files, &groups, &sorted);
    println!("{}", page::crates(&files));
    page::judge(&tree, &groups, &sorted)?;
    if options.write {
        fs::write(workspace.root.join(PAGE), &text)?;
    }
    Ok(page::total(&files))
}

/// The folder with `llvm-profdata` and `llvm-cov`.
fn tools(workspace: &Workspace) -> Result<PathBuf> {
    let sysroot = rustc(workspace, &["--print", "sysroot"])?;
    let host = rustc(workspace, &["--print", "host-tuple"])?;
    let folder = Path::new(&sysroot)
        .join("lib/rustlib")
        .join(host)
        .join("bin");
    ensure!(
        folder.join("llvm-cov").is_file() && folder.join("llvm-profdata").is_file(),
        "coverage needs llvm-cov and llvm-profdata: rustup component add llvm-tools"
    );
    Ok(folder)
}

/// What the compiler answers, which cargo would use.
fn rustc(workspace: &Workspace, words: &[&str]) -> Result<String> {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.current_dir(&workspace.root).args(words);
    Ok(read(&mut command)?.trim().to_owned())
}

/// Builds the tests and runs them; their programs.
fn measure(workspace: &Workspace, folder: &Path) -> Result<Vec<String>> {
    let raw = folder.join("raw");
    if raw.exists() {
        fs::remove_dir_all(&raw)?;
    }
    let command = || -> Result<Command> {
        let mut command = cargo(workspace);
        command
            .arg("test")
            .env("RUSTFLAGS", FLAGS)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("CARGO_TARGET_DIR", folder)
            .arg("--lib");
        for package in LIBRARIES {
            command.args(["-p", package]);
        }
        for name in targets(workspace)? {
            command.args(["--test", &name]);
        }
        Ok(command)
    };
    let profiles = |folder: &str| raw.join(folder).join(format!("%{PROFILES}m.profraw"));
    // Build scripts and macros are instrumented too, and are not what is measured.
    let messages = read(
        command()?
            .args(["--no-run", "--message-format=json-render-diagnostics"])
            .env("LLVM_PROFILE_FILE", profiles("build")),
    )?;
    let tests: Vec<String> = messages.lines().filter_map(lines::program).collect();
    ensure!(!tests.is_empty(), "cargo names no test program");
    let mut tally = Tally::default();
    tee(
        command()?.env("LLVM_PROFILE_FILE", profiles("tests")),
        |line| tally.add(line),
    )?;
    println!("{} tests", tally.passed);
    Ok(tests)
}

/// The names of the crates' test targets, but for those that say nothing here.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for package in LIBRARIES {
        let folder = workspace.root.join(package).join("tests");
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let is_target =
                path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file();
            let name = path.file_stem().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            if is_target && !LEFT_OUT.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Merges the profiles and has the lines told.
fn export(tools: &Path, folder: &Path, report: &Path, tests: &[String]) -> Result<()> {
    let merged = folder.join("merged.profdata");
    read(
        Command::new(tools.join("llvm-profdata"))
            .args(["merge", "--sparse", "--output"])
            .arg(&merged)
            .arg(folder.join("raw/tests")),
    )?;
    // Program by program: of a function that two of them have compiled differently the tool would
    // keep one, whichever comes first, and drop what the other has run.
    let mut lines = String::new();
    for test in tests {
        let mut command = Command::new(tools.join("llvm-cov"));
        command
            .args(["export", "--format=lcov", "--skip-functions"])
            .arg("--instr-profile")
            .arg(&merged)
            .arg(test);
        lines += &read(&mut command)?;
    }
    fs::write(report, lines)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_programs_that_do_not_compile_are_left_out() {
        let found = targets(&Workspace::find().unwrap()).unwrap();
        let has = |name: &str| found.iter().any(|target| target == name);
        assert!(
            has("model") && has("programs") && has("policy"),
            "{found:?}"
        );
        assert!(!has("loom") && !has("ui"), "{found:?}");
    }
}
