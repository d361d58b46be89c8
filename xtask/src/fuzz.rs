//! Byte strings as programs, mutated by libFuzzer towards code that none has reached yet.
//!
//! The targets are in `fuzz/`, a workspace of its own: each is an oracle of alloc-core's tests, the
//! twin graph of runtime's, what holds of each expansion of the derive, or a plain twin of the
//! demo's reader, fed by a byte string. They are built with the compiler's own
//! instrumentation for coverage, which the stable toolchain has; libFuzzer comes with
//! `libfuzzer-sys`, as source in C++, so a C++ compiler must be there. No sanitizer is switched on:
//! the oracle is what finds mistakes, and runs several times as often without.
//!
//! What is new goes to the target folder; `--keep` adds to the repository's corpus what reaches
//! something that no file there does. The corpora run among those tests as well.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, pass, shown};
use crate::workspace::Workspace;

/// Each target's name.
const TARGETS: [&str; 5] = ["malloc", "pages", "heap", "derive", "data"];
/// The one platform that this is set up for.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// What makes the compiler count edges and comparisons for libFuzzer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";
/// Bytes of a program at most: longer ones are slow and say little more.
const LENGTH_MAX: usize = 600;

/// What to run, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Targets to run; all by default
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// The first mutation's seed; 0 takes one from the clock
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// Add what reaches something new to the corpus in the repository
    #[arg(long)]
    keep: bool,
    /// Run these inputs instead, and mutate nothing: what a failure has left, by its path
    #[arg(long, value_name = "FILE")]
    replay: Vec<PathBuf>,
}

/// Builds the targets and runs each; fails at the first that an oracle disagrees with.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    ensure!(options.seconds > 0, "--seconds must be above zero");
    let chosen = choose(&options.targets)?;
    let folder = workspace.target.join("fuzz");
    build(workspace, &folder)?;
    let mut executions = 0;
    for target in &chosen {
        let places = Places::of(workspace, &folder, target)?;
        if !options.replay.is_empty() {
            let absolute = options.replay.iter().map(fs::canonicalize);
            let inputs: Vec<_> = absolute
                .collect::<Result<_, _>>()
                .context("no such input")?;
            libfuzzer(&places, &inputs, &[])?;
            continue;
        }
        executions += fuzz(&places, options)?;
        if options.keep {
            let folders = [places.corpus.clone(), places.found.clone()];
            libfuzzer(&places, &folders, &["-merge=1".to_owned()])?;
        }
    }
    Ok(match options.replay.len() {
        0 => format!("{executions} programs on {}", chosen.join(" and ")),
        count => format!("{count} inputs replayed on {}", chosen.join(" and ")),
    })
}

/// The targets that are asked for.
fn choose(wanted: &[String]) -> Result<Vec<&'static str>> {
    for name in wanted {
        ensure!(
            TARGETS.contains(&name.as_str()),
            "there is no target {name}: {}",
            TARGETS.join(", ")
        );
    }
    let is_wanted = |target: &&str| wanted.is_empty() || wanted.iter().any(|name| name == target);
    Ok(TARGETS.into_iter().filter(is_wanted).collect())
}

/// Builds every target, instrumented, in a folder of their own.
fn build(workspace: &Workspace, folder: &Path) -> Result<()> {
    let mut command = cargo(workspace);
    command
        .current_dir(workspace.root.join("fuzz"))
        .env("RUSTFLAGS", COVERAGE)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", folder)
        // Named, or the flags would go to build scripts as well.
        .args(["build", "--release", "--target", TRIPLE]);
    pass(&mut command).context("the fuzz targets need x86-64 Linux and a C++ compiler (g++)")
}

/// Where one target's things are.
struct Places {
    program: PathBuf,
    /// In the repository.
    corpus: PathBuf,
    /// What earlier runs on this machine have found.
    found: PathBuf,
    /// Inputs that failed, and the directory to run in.
    failed: PathBuf,
}

impl Places {
    fn of(workspace: &Workspace, folder: &Path, target: &str) -> Result<Self> {
        let places = Self {
            program: folder.join(TRIPLE).join("release").join(target),
            corpus: workspace.root.join("fuzz/corpus").join(target),
            found: folder.join("corpus").join(target),
            failed: folder.join("failed").join(target),
        };
        for made in [&places.corpus, &places.found, &places.failed] {
            fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
        }
        Ok(places)
    }
}

/// Mutates for the given time; how many programs ran.
fn fuzz(places: &Places, options: &Options) -> Result<u64> {
    let flags = [
        format!("-max_total_time={}", options.seconds),
        format!("-max_len={LENGTH_MAX}"),
        format!("-seed={}", options.seed),
        "-print_final_stats=1".to_owned(),
    ];
    let said = libfuzzer(
        places,
        &[places.found.clone(), places.corpus.clone()],
        &flags,
    )?;
    let executions = executions(&said).context("libFuzzer did not say how many programs ran")?;
    println!("{}: {executions} programs", places.program.display());
    Ok(executions)
}

/// Runs a target; what it said, or how to replay the input that failed.
fn libfuzzer(places: &Places, inputs: &[PathBuf], flags: &[String]) -> Result<String> {
    let mut command = Command::new(&places.program);
    command
        .current_dir(&places.failed)
        .args(flags)
        .args(inputs)
        .env("RUST_BACKTRACE", "1");
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", places.program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        eprint!("{said}");
        let name = places.program.file_name().unwrap_or_default();
        bail!(
            "{} failed; replay: cargo xtask fuzz {} --replay {}/{}",
            shown(&command),
            name.display(),
            places.failed.display(),
            artifact(&said).unwrap_or("*")
        );
    }
    Ok(said)
}

/// The file that libFuzzer says it has written a failing input to.
fn artifact(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("Test unit written to ")?;
    let path = rest.lines().next()?;
    Some(path.trim_start_matches("./"))
}

/// How many programs ran, from libFuzzer's closing lines.
fn executions(said: &str) -> Option<u64> {
    let (_, rest) = said.rsplit_once("stat::number_of_executed_units:")?;
    rest.lines().next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_read() {
        let said = "Done 21 runs in 3 second(s)\n\
            stat::number_of_executed_units: 21\nstat::average_exec_per_sec:     7\n";
        assert_eq!(executions(said), Some(21));
        assert_eq!(executions("Done 21 runs"), None);
        let said = "artifact_prefix='./'; Test unit written to ./crash-0a1b\nBase64: AA==\n";
        assert_eq!(artifact(said), Some("crash-0a1b"));
    }

    #[test]
    fn each_target_has_a_program_and_a_corpus() {
        let root = Workspace::find().unwrap().root;
        for target in choose(&[]).unwrap() {
            assert!(
                root.join(format!("fuzz/fuzz_targets/{target}.rs"))
                    .is_file()
            );
            let corpus = root.join("fuzz/corpus").join(target);
            assert!(fs::read_dir(corpus).unwrap().count() > 10, "{target}");
        }
        assert!(choose(&["none".to_owned()]).is_err());
    }
}
