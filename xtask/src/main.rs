//! The project's own tasks, one subcommand each: `cargo xtask help` lists them.
//!
//! A task is a thin layer over cargo: it fixes the flags that everybody must use alike, runs the
//! command where all can see its output, and adds the checks that cargo does not have (`tidy`,
//! `mutants`). So a person, a hook and CI run the same thing by the same name. Nothing here links
//! the library crates: xtask knows cargo and text, so that it builds while they do not.
//!
//! Only cargo is needed. Where git is there it says which files are the project's; where it is
//! not (an unpacked archive) every file outside the build folders is.

mod alone;
mod cargo;
mod ci;
mod coverage;
mod figures;
mod fuzz;
mod instructions;
mod loom;
mod miri;
mod mutants;
mod nightly;
mod orderings;
mod platforms;
mod sanitize;
mod short;
mod size_classes;
mod soak;
mod stress;
mod supply;
mod survivors;
mod tally;
mod tasks;
mod tidy;
mod valgrind;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// One subcommand each.
#[derive(Subcommand)]
enum Task {
    /// Build and run the demo; what follows is passed to it
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run every test, example and doctest of the workspace
    Test {
        /// Passed to `cargo test --workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Check the rules of the text: layout, lengths, confinement, comments, documents
    Tidy,
    /// Run the loom models of each crate, or of those named
    Loom { crates: Vec<String> },
    /// Plant each listed fault and demand that its test fails
    Mutants(mutants::Options),
    /// Weaken each memory ordering in turn and list those that no model notices
    Orderings(orderings::Options),
    /// Try what cargo-mutants makes of the algorithm crates, and list what no test notices
    Survivors(survivors::Options),
    /// Stress the allocator by millions of operations and the collector for minutes
    Stress(stress::Options),
    /// Run ring, graphs and programs together for minutes, under one limit, with faults
    Soak(soak::Options),
    /// Mutate programs for the oracles of allocator and heap, guided by coverage
    Fuzz(fuzz::Options),
    /// Run the library crates' tests under AddressSanitizer or ThreadSanitizer, by nightly Rust
    Sanitize(sanitize::Options),
    /// Check what comes from elsewhere and what others rest on: licenses, versions, interfaces
    Supply(supply::Options),
    /// Which lines of the libraries their tests run, and why the others are left out
    Coverage(coverage::Options),
    /// Count the instructions of the fast paths, and hold them against their budgets
    Instructions(instructions::Options),
    /// Run the library crates' tests, as far as they are small, under Miri, by nightly Rust
    Miri(miri::Options),
    /// Run the allocator's C interface under valgrind's memcheck
    Valgrind(valgrind::Options),
    /// Check the library crates for other platforms, and test what stands in for this one's calls
    Platforms(platforms::Options),
    /// Compute the table of size classes from the heap's layout, and write it or check it
    SizeClasses(size_classes::Options),
    /// Build the documentation, every warning an error
    Doc,
    /// Build and test each library crate alone, and check what it depends on
    Alone,
    /// Run every check that a change must pass
    Ci,
    /// Run the benches beside rivals, or the one named; or the same workloads on every peer
    Bench {
        #[command(flatten)]
        peers: tasks::Peers,
        name: Option<String>,
        /// Passed to the bench: mostly words that a row's name must have
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one task; the demo alone decides its own exit code.
fn run(task: Task) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let note = match task {
        Task::Demo { args } => return tasks::demo(&workspace, &args),
        Task::Test { args } => tasks::test(&workspace, &args)?,
        Task::Tidy => tidy::run(&workspace)?,
        Task::Loom { crates } => loom::run(&workspace, &crates)?,
        Task::Mutants(options) => mutants::run(&workspace, &options)?,
        Task::Orderings(options) => orderings::run(&workspace, &options)?,
        Task::Survivors(options) => survivors::run(&workspace, &options)?,
        Task::Stress(options) => stress::run(&workspace, &options)?,
        Task::Soak(options) => soak::run(&workspace, &options)?,
        Task::Fuzz(options) => fuzz::run(&workspace, &options)?,
        Task::Sanitize(options) => sanitize::run(&workspace, &options)?,
        Task::Supply(options) => supply::run(&workspace, &options)?,
        Task::Coverage(options) => coverage::run(&workspace, &options)?,
        Task::Instructions(options) => instructions::run(&workspace, &options)?,
        Task::Miri(options) => miri::run(&workspace, &options)?,
        Task::Valgrind(options) => valgrind::run(&workspace, &options)?,
        Task::Platforms(options) => platforms::run(&workspace, &options)?,
        Task::SizeClasses(options) => size_classes::run(&workspace, &options)?,
        Task::Doc => tasks::doc(&workspace)?,
        Task::Alone => alone::run(&workspace)?,
        Task::Ci => ci::run(&workspace)?,
        Task::Bench { peers, .. } if peers.is_asked() => tasks::peers(&workspace, &peers)?,
        Task::Bench { name, args, .. } => tasks::bench(&workspace, name.as_deref(), &args)?,
    };
    println!("ok: {note}");
    Ok(ExitCode::SUCCESS)
}
