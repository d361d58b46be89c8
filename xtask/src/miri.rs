//! The library crates' tests under Miri, which runs them by the language's rules: who may use which
//! pointer, what is initialized, which accesses race, and what a weak memory may show a load.
//!
//! It runs thousands of times slower than the machine, so tests take smaller sizes (`cfg!(miri)`),
//! and those that are long by nature are left out, by name and with the reason. It knows no
//! `madvise` and no reservation without memory behind it, so the heap's own mapping is beyond it,
//! and with it most of `alloc-core` and all of `runtime`. `--cfg heapwright_portable` switches off
//! the processor's own instructions.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::cargo::tee;
use crate::nightly::{self, LeftOut, TRIPLE, Table, What};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// The crates whose tests need no mapping, or of which some do not.
const PACKAGES: [&str; 4] = ["gc-sweep", "scavenger", "gc-mark", "alloc-core"];

/// What Miri cannot run, or not in minutes.
const LEFT_OUT: [LeftOut; 9] = [
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
        package: "alloc-core",
        what: What::Target("*"),
        why: "a mapping, or tens of MiB in its place",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("page_bits::tests"),
        why: "arithmetic, and minutes of it for others",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("malloc::large::tests"),
        why: "a mapping",
    },
    LeftOut {
        package: "scavenger",
        what: What::Target("curves"),
        why: "arithmetic: minutes of demand, simulated",
    },
    LeftOut {
        package: "scavenger",
        what: What::Target("policy"),
        why: "arithmetic: minutes of demand, simulated",
    },
    LeftOut {
        package: "scavenger",
        what: What::Tests("quantiles_are_right"),
        why: "arithmetic: a hundred thousand calls",
    },
    LeftOut {
        package: "scavenger",
        what: What::Tests("after_a_drop_all_above_the_goal"),
        why: "a minute by the clock, which is too short there",
    },
];

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Packages to test; all that Miri can run by default
    crates: Vec<String>,
    /// Words that the tests' names must have
    #[arg(last = true)]
    filters: Vec<String>,
}

/// Runs the tests; without the component it says so, and that is all.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    if !nightly::is_there(workspace) || !nightly::has("miri") {
        return Ok("skipped, no Miri: rustup toolchain install nightly -c miri,rust-src".into());
    }
    let packages = match options.crates.is_empty() {
        true => PACKAGES.map(str::to_owned).to_vec(),
        false => options.crates.clone(),
    };
    let table = Table(LEFT_OUT.iter().collect());
    let mut tally = Tally::default();
    let start = Instant::now();
    for package in &packages {
        println!("== {package} under Miri");
        let mut command = nightly::cargo(workspace);
        command
            .args(["miri", "test", "--target", TRIPLE])
            .args(table.arguments(workspace, package, &options.filters)?)
            .env("RUSTFLAGS", "--cfg heapwright_portable")
            // The tests read variables, and clocks that have to agree with their sleeps.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            .env("CARGO_TARGET_DIR", workspace.target.join("miri"));
        tee(&mut command, |line| tally.add(line))
            .with_context(|| format!("{package} is not clean under Miri"))?;
    }
    println!("\n{}", table.text(&packages));
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!(
        "{} tests of {} crates under Miri in {seconds:.0} s",
        tally.passed,
        packages.len()
    ))
}
