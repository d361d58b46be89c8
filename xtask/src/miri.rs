//! The library crates' tests under Miri, which runs them by the language's rules: who may use which
//! pointer, what is initialized, which accesses race, and what a weak memory may show a load.
//!
//! It runs thousands of times slower than the machine, so tests take smaller sizes (`cfg!(miri)`),
//! and those that are long by nature are left out, by name and with the reason. `runtime` has a
//! file of programs that are small by nature, with one of everything (`runtime/tests/small.rs`).
//!
//! The heap's mapping is Miri's own `mmap`, without the flag that reserves no memory, and of 96 MiB
//! at most (`alloc-core/src/os/mmap.rs`). `--cfg heapwright_portable` switches off advice,
//! `membarrier` and the processor's own instructions. Time is Miri's: so many instructions are a
//! second, a sleep ends at once, and a run is the same whatever else the machine does. Nothing
//! looks for leaks: tests leak descriptions of types, and the libraries what a panic was thrown
//! with.
//!
//! Where no address is made into a pointer, provenance is strict, and pointers obey stacked
//! borrows. `crossbeam-deque`, which the marker uses, does not obey them, nor keeps provenance; and
//! `runtime` names objects by exposed addresses. Those two run by tree borrows, with provenance
//! that may be exposed.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cargo::tee;
use crate::nightly::{self, LeftOut, TRIPLE, Table, What};
use crate::short::SKIPPED;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// What all are run with.
const FLAGS: &str = "-Zmiri-ignore-leaks";
/// Where addresses do not become pointers.
const STRICT: &str = "-Zmiri-strict-provenance";
/// Where a dependency needs it, or the design.
const EXPOSED: &str = "-Zmiri-permissive-provenance -Zmiri-tree-borrows";
/// The packages that are run so.
const WITH_EXPOSED: [&str; 2] = ["gc-mark", "runtime"];

/// What a run of all checks has time for: a package, and what follows it on the command line.
const QUICK: [(&str, &[&str]); 2] = [
    ("gc-sweep", &["--lib"]),
    ("runtime", &["--test", "small", "--", "on_the_fly"]),
];

/// What Miri cannot run, or not in minutes.
const LEFT_OUT: &[LeftOut] = &[
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
        what: What::Targets(&["global", "hardened"]),
        why: "processes of their own, which it has not",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Targets(&["page_conditions", "page_os", "page_ahead"]),
        why: "how the system gives and takes pages",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Targets(&["page_density", "page_failures", "page_heap", "page_refault"]),
        why: "books of pages, which hold numbers alone, and minutes of them",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Targets(&["pages", "model", "foreign", "manners", "tsan"]),
        why: "thousands of operations each; tests/heap and tests/malloc have few",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("page_bits::tests"),
        why: "arithmetic, and minutes of it",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("size_class::tests"),
        why: "arithmetic, and minutes of it",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("shape::tests"),
        why: "arithmetic, and minutes of it",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("classes::tests"),
        why: "arithmetic, and minutes of it",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("a_full_heap_says_so"),
        why: "fills a heap of thousands of objects",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("a_slot_that_was_freed_elsewhere"),
        why: "hundreds of thousands of objects",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("what_a_program_frees"),
        why: "hundreds of MiB",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("what_lives_on_is_kept"),
        why: "thousands of objects",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("the_bits_of_what_lives_on"),
        why: "tens of thousands of objects",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("the_tables_of_pages"),
        why: "tens of MiB, written and looked at",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("alignments_of_a_page"),
        why: "a hundred large objects",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("zeroed_memory_is_zero"),
        why: "looks at each byte of MiB",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("a_large_object_grows"),
        why: "looks at each byte of MiB",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("a_producer_and_a_consumer"),
        why: "hundreds of thousands of objects",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("failure::"),
        why: "a heap for each call that fails",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("random_programs_agree"),
        why: "walks over a whole heap, again and again",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("every_call"),
        why: "a heap for each call that fails",
    },
    LeftOut {
        package: "gc-mark",
        what: What::Tests("a_frequent_kind_gets"),
        why: "a share of a hundred thousand",
    },
    LeftOut {
        package: "gc-mark",
        what: What::Tests("a_budget_is_kept"),
        why: "more objects than a budget, for which graphs are too small here",
    },
    LeftOut {
        package: "gc-mark",
        what: What::Tests("lists_of_one_kind"),
        why: "a dozen ways to mark the same, each several times",
    },
    LeftOut {
        package: "gc-mark",
        what: What::Tests("more_kinds_than_open"),
        why: "a dozen ways to mark the same, each several times",
    },
    LeftOut {
        package: "gc-mark",
        what: What::Tests("random_graphs_of_several"),
        why: "a dozen ways to mark the same, each several times",
    },
    LeftOut {
        package: "gc-mark",
        what: What::Tests("wide_objects_in_parts"),
        why: "a dozen ways to mark the same, each several times",
    },
    LeftOut {
        package: "gc-mark",
        what: What::Tests("panics_in_"),
        why: "a round for each call that panics",
    },
    LeftOut {
        package: "scavenger",
        what: What::Targets(&["curves", "policy"]),
        why: "arithmetic: minutes of demand, simulated",
    },
    LeftOut {
        package: "scavenger",
        what: What::Target("cgroup"),
        why: "files, which it has not",
    },
    LeftOut {
        package: "scavenger",
        what: What::Tests("what_is_left_below_the_tail"),
        why: "a power of two to the bit, which it gives with an error on purpose",
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
    LeftOut {
        package: "runtime",
        what: What::Targets(&["escape", "pacing", "search"]),
        why: "safe code on one thread, and minutes of it",
    },
    LeftOut {
        package: "runtime",
        what: What::Targets(RUNTIME),
        why: "objects, threads or cycles by the hundred; tests/small has some of each",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("directed::arming"),
        why: "fifty attempts to meet at a place between two threads",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("directed::stacks"),
        why: "thousands of frames each",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("forgotten_readers_let"),
        why: "a quarter of a million readers",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("one_writes_or_many_read"),
        why: "tens of thousands of rounds",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("blocks_do_not_overlap"),
        why: "tens of thousands of rounds",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("escape::"),
        why: "safe code on one thread, and minutes of it",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("pacer::"),
        why: "arithmetic",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("pace::tests"),
        why: "arithmetic",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("logs_are_handed_over"),
        why: "logs of thousands",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("raw::log::tests"),
        why: "logs of thousands",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("one_of_two_sees_the_other"),
        why: "thousands of attempts to meet at a fence",
    },
];

/// What of `runtime` is too long.
const RUNTIME: &[&str] = &[
    "alone",
    "beside",
    "between",
    "cleanups",
    "death",
    "debug",
    "ephemerons",
    "failure",
    "finalizers",
    "heap_programs",
    "idle",
    "known_bugs",
    "lifetimes",
    "local",
    "manners",
    "memory",
    "panics",
    "programs",
    "raw",
    "scavenge",
    "sentences",
    "soak",
    "soundness",
    "stack",
    "stats",
    "stress",
];

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Packages to test; every library crate by default
    crates: Vec<String>,
    /// A handful of tests, for a run of all checks
    #[arg(long)]
    quick: bool,
    /// Words that the tests' names must have
    #[arg(last = true)]
    filters: Vec<String>,
}

/// Runs the tests; without the component it says so, and that is all.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    if !nightly::is_there(workspace) || !nightly::has("miri") {
        return Ok(format!(
            "{SKIPPED}rustup toolchain install nightly -c miri,rust-src"
        ));
    }
    let (mut tally, start) = (Tally::default(), Instant::now());
    let packages = if options.quick {
        for (package, words) in QUICK {
            let mut command = interpreted(workspace, package);
            test(command.args(words), package, &mut tally)?;
        }
        QUICK.map(|(package, _)| package.to_owned()).to_vec()
    } else {
        whole(workspace, options, &mut tally)?
    };
    Ok(format!(
        "{} tests of {} crates under Miri in {:.0} s",
        tally.passed,
        packages.len(),
        start.elapsed().as_secs_f64()
    ))
}

/// Everything that is not left out; returns the packages.
fn whole(workspace: &Workspace, options: &Options, tally: &mut Tally) -> Result<Vec<String>> {
    let packages = nightly::packages(&options.crates);
    let table = Table(LEFT_OUT.iter().collect());
    for package in &packages {
        println!("== {package} under Miri");
        // The packages' names come with the arguments.
        let arguments = table.arguments(workspace, package, &options.filters)?;
        let mut command = interpreted(workspace, package);
        test(command.args(&arguments[2..]), package, tally)?;
    }
    println!("\n{}", table.text(&packages));
    Ok(packages)
}

/// `cargo miri test` of a package, up to what it is to run.
fn interpreted(workspace: &Workspace, package: &str) -> Command {
    let provenance = match WITH_EXPOSED.contains(&package) {
        true => EXPOSED,
        false => STRICT,
    };
    let mut command = nightly::cargo(workspace);
    command
        .args(["miri", "test", "--target", TRIPLE, "-p", package])
        .env("RUSTFLAGS", "--cfg heapwright_portable")
        .env("MIRIFLAGS", format!("{FLAGS} {provenance}"))
        .env("CARGO_TARGET_DIR", workspace.target.join("miri"));
    command
}

/// Runs it, and counts.
fn test(command: &mut Command, package: &str, tally: &mut Tally) -> Result<()> {
    tee(command, |line| tally.add(line))
        .with_context(|| format!("{package} is not clean under Miri"))
}
