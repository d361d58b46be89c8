//! Other platforms: the library crates checked for each whose target is installed, and the tests on
//! this one with what is peculiar to it switched off.
//!
//! A check shows that the code compiles there, warnings being errors, and no more. What would run
//! there in place of Linux's own calls and the processor's own instructions does run here, under
//! `--cfg heapwright_portable`: full fences for `membarrier`, no advice on memory (nothing is
//! released, no page is huge), releases by 64 KiB, no prefetch, no `popcnt`, and wall time for the
//! processor's.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cargo::{cargo, pass, tee};
use crate::nightly::{LeftOut, TRIPLE, Table, What};
use crate::tally::Tally;
use crate::workspace::{LIBRARIES, Workspace};

/// What is checked: each stands for a kind of system, and one for another processor.
const TRIPLES: [&str; 3] = [
    "aarch64-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
];

/// The crates in which the cfg changes anything.
const WITH_FALLBACKS: [&str; 2] = ["alloc-core", "runtime"];

/// Tests of what the fallbacks are without, and those that the fallbacks do not touch.
const LEFT_OUT: [LeftOut; 14] = [
    LeftOut {
        package: "",
        what: What::Target("loom"),
        why: "models, which are built for loom",
    },
    LeftOut {
        package: "",
        what: What::Target("ui"),
        why: "what a compiler says of wrong programs",
    },
    LeftOut {
        package: "runtime",
        what: What::Target("escape"),
        why: "a compiler's analysis, which asks nothing of a platform",
    },
    LeftOut {
        package: "runtime",
        what: What::Target("search"),
        why: "a search among states of its own, which calls nothing of ours",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("memory_goes_back_to_the_system"),
        why: "nothing is given back to the system",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("a_thread_who_stays_within"),
        why: "nothing is given back to the system",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("the_bits_of_what_lives_on_are_kept"),
        why: "nothing is given back to the system",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("what_a_program_frees_goes_back"),
        why: "nothing is given back to the system",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Target("page_conditions"),
        why: "how the system gives and takes pages",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("residency::"),
        why: "nothing is given back to the system",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("pages_stay_whole_while_another"),
        why: "nothing is given back to the system",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("what_the_system_sees"),
        why: "nothing is given back to the system",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("an_idle_process"),
        why: "nothing is given back to the system",
    },
    LeftOut {
        package: "runtime",
        what: What::Target("soak"),
        why: "nothing is given back to the system",
    },
];

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Check the other platforms alone, and run no test
    #[arg(long)]
    check: bool,
    /// Words that the tests' names must have
    #[arg(last = true)]
    filters: Vec<String>,
}

/// Checks and tests; a target that is not installed is skipped, and said.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    let installed = installed();
    let mut checked = Vec::new();
    for triple in TRIPLES {
        if installed.iter().any(|name| name == triple) {
            println!("== check for {triple}");
            check(workspace, triple)?;
            checked.push(triple);
        } else {
            println!("== skipped: no {triple}; rustup target add {triple}");
        }
    }
    let mut note = format!("checked for {} of {} others", checked.len(), TRIPLES.len());
    if !options.check {
        note = format!("{note}; {}", fallbacks(workspace, &options.filters)?);
    }
    Ok(note)
}

/// The targets that the toolchain has; none if there is no rustup to ask.
fn installed() -> Vec<String> {
    let listed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    let text = listed.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// `cargo check` of the library crates for one target.
fn check(workspace: &Workspace, triple: &str) -> Result<()> {
    let mut command = cargo(workspace);
    command
        .args(["check", "--target", triple])
        .args(LIBRARIES.iter().flat_map(|name| ["-p", name]))
        .env("RUSTFLAGS", "-D warnings")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", workspace.target.join("platforms"));
    pass(&mut command).with_context(|| format!("the libraries do not compile for {triple}"))
}

/// The tests with the fallbacks in place of what this platform has.
fn fallbacks(workspace: &Workspace, filters: &[String]) -> Result<String> {
    let table = Table(LEFT_OUT.iter().collect());
    let mut tally = Tally::default();
    let start = Instant::now();
    for package in WITH_FALLBACKS {
        println!("== {package} with the fallbacks");
        let mut command = cargo(workspace);
        command
            .args(["test", "--target", TRIPLE])
            .args(table.arguments(workspace, package, filters)?)
            .env("RUSTFLAGS", "--cfg heapwright_portable")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("CARGO_TARGET_DIR", workspace.target.join("platforms"));
        tee(&mut command, |line| tally.add(line))
            .with_context(|| format!("{package} fails with the fallbacks"))?;
    }
    println!("\n{}", table.text(&WITH_FALLBACKS.map(str::to_owned)));
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!(
        "{} tests with the fallbacks in {seconds:.0} s",
        tally.passed
    ))
}
