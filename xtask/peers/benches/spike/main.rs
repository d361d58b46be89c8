//! How fast a spike's memory goes back, and what a load beside feels of it.
//!
//! 2.5 GiB of objects of 1 KiB; all but a fifth of them, scattered by the MiB, are dropped and
//! collected. Each run is a process of its own, and the kinds of runs take turns: the usual policy,
//! the usual policy with a limit near what lives, and a policy that keeps everything, which shows
//! what the load meets without a scavenger. With a load (`child.rs`) and without. Then the like
//! without a collector, beside rivals (`explicit.rs`).
//!
//! ```text
//! spike [--runs=N] [word...]     rounds, five if not said; only kinds with each word in the name
//! spike child HOW load|quiet     one run; prints its figures
//! ```

mod child;
mod explicit;
mod kind;

use child::{Failure, How};
use kind::Kind;
use peers::report::finish_table;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Rounds unless told otherwise.
const RUNS: usize = 5;

fn table(kinds: &[Kind]) -> String {
    let mut table = "\
| policy, load | full, MiB | end, MiB | to 1.2 × kept, s | to 1.2 × live, s | calls | longest, ms |
|---|--:|--:|--:|--:|--:|--:|
"
    .to_owned();
    for kind in kinds {
        let cells = [
            ("full-mib", 1.0),
            ("end-mib", 1.0),
            ("kept-ns", 1e9),
            ("live-ns", 1e9),
            ("calls", 1.0),
            ("step-max-ns", 1e6),
        ];
        let cells = cells.map(|(name, unit)| kind.cell(name, unit));
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {} | {} |", kind.name(), cells.join(" | "));
    }
    table.push_str(
        "
| load beside | p50 back, µs | p99.9 back, µs | p99.99 before, µs | p99.99 back, µs | \
         p99.99 after, µs | back / before, p99.99 | max back, µs |
|---|--:|--:|--:|--:|--:|--:|--:|
",
    );
    for kind in kinds.iter().filter(|kind| kind.load == "load") {
        let [p50, p999, before, back, after, max] = [
            "back-p50",
            "back-p99.9",
            "before-p99.99",
            "back-p99.99",
            "after-p99.99",
            "back-max",
        ]
        .map(|name| kind.cell(name, 1e3));
        let ratio = kind.ratio("back-p99.99", "before-p99.99");
        let cells = [p50, p999, before, back, after, ratio, max];
        let _ = writeln!(table, "| {} | {} |", kind.how, cells.join(" | "));
    }
    table
}

fn harness(args: &[String]) -> Result<(), Failure> {
    let (flags, words): (Vec<&String>, Vec<&String>) =
        args.iter().partition(|arg| arg.starts_with("--"));
    let asked = flags.iter().find_map(|flag| flag.strip_prefix("--runs="));
    let runs = asked.map_or(Ok(RUNS), str::parse)?.max(1);
    let mut kinds: Vec<Kind> = Vec::new();
    let policies = How::ALL.map(|(how, _)| how);
    for how in policies.into_iter().chain(explicit::ROWS) {
        for load in ["load", "quiet"] {
            kinds.push(Kind {
                how,
                load,
                figures: BTreeMap::new(),
            });
        }
    }
    kinds.retain(|kind| words.iter().all(|word| kind.name().contains(word.as_str())));
    // Without a load and without a scavenger nothing happens.
    kinds.retain(|kind| (kind.how, kind.load) != ("never", "quiet"));
    if kinds.is_empty() {
        return Ok(());
    }
    for run in 0..runs {
        let count = kinds.len();
        for turn in 0..count {
            kinds[(run + turn) % count].run()?;
        }
    }
    let (without, with): (Vec<Kind>, Vec<Kind>) = kinds
        .into_iter()
        .partition(|kind| explicit::ROWS.contains(&kind.how));
    let mut tables = Vec::new();
    if !with.is_empty() {
        tables.push(table(&with));
    }
    if !without.is_empty() {
        tables.push(explicit::table(&without));
    }
    Ok(finish_table("spike", &tables.join("\n"))?)
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((first, rest)) if first == "child" => {
            let [how, load] = rest else {
                return Err("`child` needs a policy, and `load` or `quiet`".into());
            };
            if explicit::ROWS.contains(&how.as_str()) {
                return explicit::run(how, load == "load");
            }
            let known = How::ALL.into_iter().find(|(name, _)| name == how);
            let (_, how) = known.ok_or_else(|| format!("there is no policy called {how}"))?;
            child::run(how, load == "load")
        }
        _ => harness(&args),
    }
}
