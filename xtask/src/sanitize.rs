//! The library crates' tests under AddressSanitizer or ThreadSanitizer, on the nightly toolchain.
//!
//! **AddressSanitizer** sees what the type system does not promise: an access beyond a box, or to
//! one that was freed. The heap's own memory is one mapping, of which it knows nothing; there
//! poison, canaries and the oracles of the tests do its work. Leaks are not looked for: tests leak
//! descriptions of types on purpose, and a heap's memory is the system's. The standard library is
//! the toolchain's own, not instrumented.
//!
//! **ThreadSanitizer** sees two accesses to one place, one of them a write and one of them plain,
//! that no chain of atomics orders, inside the heap's mapping as well. It needs a standard library
//! that is instrumented too, so that one is built from source. It does not follow free-standing
//! fences: what rests on one looks like a race. Ours are a pair (`runtime/src/raw/fences.rs`), and
//! order stores before loads only, from which no other access draws an order; so they stay as they
//! are. `--cfg heapwright_tsan` switches off `membarrier` alone, whose fences nobody sees.
//!
//! Under ThreadSanitizer tests are optimized a little, or some would take many minutes.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cargo::tee;
use crate::nightly::{self, LeftOut, TRIPLE, Table, What};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// What says nothing under either of them.
const BOTH: [LeftOut; 5] = [
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
        why: "a compiler's analysis: safe code on one thread, and minutes of it",
    },
    LeftOut {
        package: "runtime",
        what: What::Target("search"),
        why: "a search among states of its own, which calls nothing of ours",
    },
    LeftOut {
        package: "runtime",
        what: What::Target("soak"),
        why: "bounds on resident memory, which need the allocator of the system",
    },
];

/// What says nothing under AddressSanitizer.
const ADDRESS: [LeftOut; 3] = [
    LeftOut {
        package: "alloc-core",
        what: What::Tests("summaries_are_kept_as_runs"),
        why: "arithmetic on one thread, and minutes of it",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("what_the_system_sees"),
        why: "resident memory, of which the tool keeps what was freed",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("an_idle_process"),
        why: "resident memory, of which the tool keeps what was freed",
    },
];

/// What says nothing under ThreadSanitizer.
const THREAD: [LeftOut; 10] = [
    LeftOut {
        package: "alloc-core",
        what: What::Tests("a_heap_that_is_dropped_gives_its_addresses"),
        why: "eight TiB of addresses, of which the tool leaves five",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("page_bits::tests"),
        why: "arithmetic on one thread, and minutes of it",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("failure::"),
        why: "one thread, and a heap for each call that fails",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Target("page_failures"),
        why: "one thread, and a heap for each call that fails",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Target("pages"),
        why: "twins on one thread, and minutes of it",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("what_the_system_sees"),
        why: "resident memory, of which the tool has its own share",
    },
    LeftOut {
        package: "runtime",
        what: What::Tests("an_idle_process"),
        why: "resident memory, of which the tool has its own share",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("a_new_thread_makes_magazines"),
        why: "threads in a forked child, which it does not support",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("a_child_of_a_threaded_parent"),
        why: "threads in a forked child, which it does not support",
    },
    LeftOut {
        package: "alloc-core",
        what: What::Tests("threads_come_and_go_and_allocate"),
        why: "threads in a forked child, which it does not support",
    },
];

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Packages to test; every library crate by default
    crates: Vec<String>,
    /// ThreadSanitizer in place of AddressSanitizer
    #[arg(long)]
    thread: bool,
    /// Words that the tests' names must have
    #[arg(last = true)]
    filters: Vec<String>,
}

/// Runs the tests; fails if one does, or if the sanitizer reports anything.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    if !nightly::is_there(workspace) {
        bail!("the sanitizers need a nightly toolchain: rustup toolchain install nightly");
    }
    if options.thread && !nightly::has("rust-src") {
        bail!(
            "ThreadSanitizer needs the standard library's source: \
             rustup component add rust-src --toolchain nightly"
        );
    }
    let (name, own) = match options.thread {
        false => ("AddressSanitizer", ADDRESS.as_slice()),
        true => ("ThreadSanitizer", THREAD.as_slice()),
    };
    let table = Table(BOTH.iter().chain(own).collect());
    let packages = nightly::packages(&options.crates);
    let mut tally = Tally::default();
    let start = Instant::now();
    for package in &packages {
        println!("== {package} under {name}");
        let mut command = instrumented(workspace, options.thread);
        command.args(table.arguments(workspace, package, &options.filters)?);
        tee(&mut command, |line| tally.add(line))
            .with_context(|| format!("{package} is not clean under {name}"))?;
    }
    println!("\n{}", table.text(&packages));
    Ok(format!(
        "{} tests of {} crates under {name} in {:.0} s",
        tally.passed,
        packages.len(),
        start.elapsed().as_secs_f64()
    ))
}

/// `cargo test` with instrumented code, up to the packages.
fn instrumented(workspace: &Workspace, thread: bool) -> Command {
    let mut command = nightly::cargo(workspace);
    command
        .args(["test", "--target", TRIPLE])
        .env("HEAPWRIGHT_SLOW", "1")
        .env("HEAPWRIGHT_STRESS_SECONDS", "10");
    if thread {
        command
            .arg("-Zbuild-std")
            .env("RUSTFLAGS", "-Zsanitizer=thread --cfg heapwright_tsan")
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
            .env("TSAN_OPTIONS", "halt_on_error=1")
            .env("CARGO_TARGET_DIR", workspace.target.join("sanitize-thread"));
    } else {
        command
            .env("RUSTFLAGS", "-Zsanitizer=address")
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .env("CARGO_TARGET_DIR", workspace.target.join("sanitize"));
    }
    command
}
