//! The allocator's C interface under memcheck, with the library that is shipped in its place.
//!
//! memcheck replaces a program's `malloc` by its own, and then runs none of ours; it is told not
//! to. Of what lies in our mapping it knows nothing by itself: all of it was mapped, so it may be
//! accessed, and is defined. So `alloc-core/capi/tests/family.c` tells it, by client requests, what
//! the program knows of its blocks: what they hold when they are new or about to be freed is
//! undefined, or, where the allocator has no business in them, may not be touched. Then a decision
//! by what somebody left in a slot, a byte that `calloc` left out, and an access to a free slot are
//! errors. Each run proves first that two such mistakes, made by the program, are reported.
//!
//! Programs that nobody changed run as well. In them memcheck sees accesses beyond the mapping and
//! decisions by what a stack or a register happened to hold; which block an address lies in it does
//! not know. They must say what they say without the library.
//!
//! Without valgrind or a C compiler the check says so and passes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, pass, shown};
use crate::short::SKIPPED;
use crate::workspace::Workspace;

/// The program in C.
const FAMILY: &str = "alloc-core/capi/tests/family.c";
/// How valgrind ends if memcheck has reported anything.
const REPORTED: i32 = 99;
/// memcheck, quiet but for errors, without a `malloc` of its own; nor does it have the C library
/// free what that has, which is not ours to judge.
const MEMCHECK: [&str; 6] = [
    "--tool=memcheck",
    "-q",
    "--leak-check=no",
    "--soname-synonyms=somalloc=nouserintercepts",
    "--run-libc-freeres=no",
    "--run-cxx-freeres=no",
];
/// What the program does, in which mode of the allocator.
const CLEAN: [(&str, &str); 3] = [
    ("content", "plain"),
    ("content", "hardened"),
    ("untouched", "plain"),
];
/// What the program must be reported for, in the plain mode.
const MISTAKES: [(&str, &str); 2] = [
    ("broken", "depends on uninitialised value"),
    ("trespass", "Invalid read"),
];
/// Threads that make strings, for an interpreter that asks `malloc` for each.
const PYTHON: &str = "
import threading
def work(n): parts[n] = len(str([str(i) * (i % 40) for i in range(n * 200)]))
parts = [None] * 4
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(parts)
";

/// How much to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds of the C program: in each, threads come, exchange blocks and go
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

/// Runs all of it; without the tools it says so, and that is all.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    for (tool, package) in [("valgrind", "valgrind"), ("cc", "gcc libc6-dev")] {
        if !is_there(tool) {
            return Ok(format!("{SKIPPED}no {tool}: apt-get install {package}"));
        }
    }
    let under = Under::build(workspace)?;
    for (what, report) in MISTAKES {
        under.must_report(what, report)?;
    }
    let rounds = options.rounds.max(1).to_string();
    for (what, mode) in CLEAN {
        let family = under.family.to_string_lossy();
        let said = under.clean(mode, &[&family, what, &rounds])?;
        print!("family {what}, {mode}: {said}");
    }
    let programs = under.programs(workspace)?;
    Ok(format!(
        "{} mistakes reported; {} runs of {rounds} rounds and {programs} programs without a report",
        MISTAKES.len(),
        CLEAN.len()
    ))
}

/// Whether a program can be started.
fn is_there(program: &str) -> bool {
    let probe = Command::new(program).arg("--version").output();
    probe.is_ok_and(|output| output.status.success())
}

/// What is run under memcheck, built.
struct Under {
    library: PathBuf,
    family: PathBuf,
    folder: PathBuf,
}

impl Under {
    /// Builds the library as it is shipped, with its lines, and the program.
    fn build(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("valgrind");
        pass(
            cargo(workspace)
                .args(["build", "-q", "--release", "-p", "alloc-core-capi"])
                .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
                .env("CARGO_TARGET_DIR", &folder),
        )?;
        let family = folder.join("family");
        pass(
            Command::new("cc")
                .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"])
                // So that its `madvise` is the library's.
                .args(["-pthread", "-rdynamic", "-o"])
                .arg(&family)
                .arg(workspace.root.join(FAMILY)),
        )?;
        Ok(Self {
            library: folder.join("release/libheapwright_malloc.so"),
            family,
            folder,
        })
    }

    /// A program under memcheck on the library.
    fn memcheck(&self, mode: &str, words: &[&str]) -> Command {
        let mut command = Command::new("valgrind");
        command
            .args(MEMCHECK)
            .arg(format!("--error-exitcode={REPORTED}"))
            .args(words)
            .env("LD_PRELOAD", &self.library)
            .env("HEAPWRIGHT_MALLOC", mode);
        settled(&mut command);
        command
    }

    /// Runs a program that must end well and without a report; returns what it said.
    fn clean(&self, mode: &str, words: &[&str]) -> Result<String> {
        let mut command = self.memcheck(mode, words);
        let (output, errors) = ran(&mut command)?;
        ensure!(
            output.status.success() && errors.is_empty(),
            "`{}` is not clean on {mode} ({}):\n{errors}",
            shown(&command),
            output.status
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Has the program make a mistake, of which memcheck must speak.
    fn must_report(&self, what: &str, report: &str) -> Result<()> {
        let mut command = self.memcheck("plain", &[&self.family.to_string_lossy(), what, "1"]);
        let (output, errors) = ran(&mut command)?;
        if output.status.code() != Some(REPORTED) || !errors.contains(report) {
            bail!(
                "memcheck did not report `{report}` of `family {what}` ({}):\n{errors}",
                output.status
            );
        }
        println!("family {what}: reported, {report}");
        Ok(())
    }

    /// Runs programs as they are installed, which must say what they say without; returns how many.
    fn programs(&self, workspace: &Workspace) -> Result<usize> {
        let text = self.folder.join("lines.txt");
        fs::write(&text, lines(20_000)).with_context(|| format!("writing {}", text.display()))?;
        let text = text.to_string_lossy();
        let sources = workspace.root.join("alloc-core/src");
        let sources = sources.to_string_lossy();
        let all: [&[&str]; 4] = [
            &["sort", "--parallel=4", "-S", "400K", &text],
            &["git", "hash-object", &text],
            &["git", "grep", "--no-index", "-c", "unsafe", "--", &sources],
            &["python3", "-S", "-c", PYTHON],
        ];
        let mut count = 0;
        for words in all {
            let shown = Path::new(words[0]).display();
            if !is_there(words[0]) {
                println!("{shown}: skipped, not installed");
                continue;
            }
            let mut without = Command::new(words[0]);
            let (expected, errors) = ran(settled(without.args(&words[1..])))?;
            ensure!(
                expected.status.success() && !expected.stdout.is_empty(),
                "{shown} fails by itself: {errors}"
            );
            let said = self.clean("plain", words)?;
            ensure!(
                said == String::from_utf8_lossy(&expected.stdout),
                "{shown} says something else on the library"
            );
            println!("{shown}: as without the library");
            count += 1;
        }
        Ok(count)
    }
}

/// Takes from the environment what would change what a program says or whom it asks for memory.
fn settled(command: &mut Command) -> &mut Command {
    command
        .env("LC_ALL", "C")
        .env("PYTHONHASHSEED", "1")
        .env("PYTHONMALLOC", "malloc")
        .env_remove("VALGRIND_OPTS")
}

/// Runs a command; with its output what it wrote to its standard error.
fn ran(command: &mut Command) -> Result<(Output, String)> {
    let output = command
        .output()
        .with_context(|| format!("starting {}", shown(command)))?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output, errors))
}

/// So many lines in no order.
fn lines(count: u64) -> String {
    let mut state = 1u64;
    let line = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(n);
        format!("{:x} {n}\n", state >> 20)
    };
    (0..count).map(line).collect()
}
