//! A real package graph on a garbage-collected heap, served while it changes.
//!
//! The 63,666 packages of Debian 12 and their 277,267 dependencies are loaded as objects that
//! point at each other both ways. Reader threads answer queries whose results are heap objects
//! too; a writer keeps replacing packages, so that garbage with cycles arises all the time. At
//! the end half of the packages are dropped and one sees the memory go back to the system. Every
//! answer is checked against a computation that uses no `Gc`; a difference is exit status 1.
//!
//! `data` reads archives, `query` draws questions, `oracle` (with `adjacency`) knows the right
//! answers; `graph`, `upload` and `queries` work on the heap; `serve` runs the threads;
//! `timeline`, `measure`, `report` and `page` count and show. `reader` tries `data` on strings of
//! bytes.

mod adjacency;
mod data;
mod graph;
mod measure;
mod oracle;
mod page;
mod queries;
mod query;
mod report;
mod serve;
mod timeline;
mod upload;

#[cfg(test)]
mod reader;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{Parser, ValueEnum};
use runtime::{NoGc, OnTheFly, Runtime, StopTheWorld};

use crate::measure::Outcome;

/// How long one watches the memory go back.
const WATCH_FOR: Duration = Duration::from_millis(2500);

/// Serves a package graph from a garbage-collected heap while a writer replaces packages.
#[derive(Parser)]
#[command(name = "demo")]
struct Cli {
    /// How long to serve, in seconds
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Reader threads [default: one for each processor, 8 at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    threads: Option<u64>,
    /// The collector
    #[arg(long, value_name = "NAME", value_enum, default_value_t = CollectorName::OnTheFly)]
    collector: CollectorName,
    /// Another archive: six columns separated by tabs, plain or gzip [default: Debian 12]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Where the page with the charts goes
    #[arg(long, value_name = "FILE", default_value = "target/demo.html")]
    html: PathBuf,
    /// Print one JSON document instead of the tables
    #[arg(long)]
    json: bool,
    /// No progress line
    #[arg(long)]
    quiet: bool,
    /// Where the random numbers start
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Stop serving when the heap has more MiB than this in use
    #[arg(long, value_name = "MIB", default_value_t = 4096,
          value_parser = clap::value_parser!(u64).range(64..=1 << 30))]
    heap_limit: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum CollectorName {
    /// Marked beside the threads, which never wait
    #[value(alias = "otf")]
    OnTheFly,
    /// All threads wait while the heap is marked and swept
    #[value(alias = "stw")]
    StopTheWorld,
    /// Nothing is ever reclaimed
    NoGc,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where this cannot be written, the exit status has to do.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo; whether all checks held.
fn run(cli: &Cli) -> Result<bool> {
    let archive = data::read(cli.data.as_deref())?;
    // Before the run and not after it, so that a mistyped path does not cost a run.
    write_page(&cli.html, "")?;
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    let mut options = serve::Options {
        duration: Duration::from_secs(cli.seconds),
        watch: WATCH_FOR,
        threads: cli.threads.map_or(processors, |n| n as usize),
        seed: cli.seed,
        heap_bytes_max: cli.heap_limit << 20,
        progress: !cli.quiet,
        collector: "OnTheFly",
        reclaims: true,
    };
    let outcome = match cli.collector {
        CollectorName::OnTheFly => {
            let heap = Runtime::<OnTheFly>::builder()
                .build()
                .context("cannot make a heap")?;
            serve::run(&heap, archive, &options)?
        }
        CollectorName::StopTheWorld => {
            options.collector = "StopTheWorld";
            let heap = Runtime::<StopTheWorld>::builder()
                .build()
                .context("cannot make a heap")?;
            serve::run(&heap, archive, &options)?
        }
        CollectorName::NoGc => {
            options.collector = "NoGc";
            options.reclaims = false;
            let heap = Runtime::<NoGc>::builder()
                .build()
                .context("cannot make a heap")?;
            serve::run(&heap, archive, &options)?
        }
    };
    show(cli, &outcome)?;
    Ok(outcome.good())
}

fn show(cli: &Cli, outcome: &Outcome) -> Result<()> {
    let page = page::html(outcome).map_err(|error| anyhow!("cannot draw the charts: {error}"))?;
    write_page(&cli.html, &page)?;
    let text = if cli.json {
        format!("{:#}\n", report::json(outcome))
    } else {
        format!("{}page: {}\n", report::text(outcome), cli.html.display())
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A reader such as `head` that has seen enough is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the result"),
    }
}

fn write_page(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("{}: cannot make the directory", directory.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("{}: cannot write the page", path.display()))
}
