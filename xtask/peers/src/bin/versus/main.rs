//! `cargo xtask bench --peers`: the same workloads on this project and on what people use today.
//!
//! A table of systems ([`systems`]) says how each is found, built and started; another
//! ([`rows`]) what is run. Each run is a process. In a row the systems take turns, five rounds if
//! not told otherwise, each round beginning with another one; a ratio is the median of the rounds'
//! ratios, because clock and memory of a shared machine drift within minutes. All answers of a row
//! must be equal, or the command fails.
//!
//! ```text
//! versus [--workload W]... [--system S]... [--rounds N] [--quick]
//! ```
//!
//! What was found is printed, and left after each row, so that a run that is cut short has left
//! something: all tables in `target/peers/versus.md`, and in `target/peers/versus/` Markdown and
//! JSON a workload and charts a row. A quick run leaves its own in `versus-quick`.

mod archive;
mod chart;
mod figures;
mod growth;
mod output;
mod rows;
mod running;
mod systems;

use clap::Parser;
use figures::Found;
use rows::Row;
use running::{Run, run};
use std::collections::BTreeMap;
use systems::{Launch, SYSTEMS};

type Failure = Box<dyn std::error::Error>;

/// The same workloads on this project and on what people use today.
#[derive(Parser)]
struct Options {
    /// Only rows whose title begins so (`ring`, `alloc size=64`); may be repeated
    #[arg(long)]
    workload: Vec<String>,
    /// Only systems whose name begins so, and ours; may be repeated
    #[arg(long)]
    system: Vec<String>,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Tiny parameters and one round: does everything run and agree?
    #[arg(long)]
    quick: bool,
}

/// Finds and builds the systems that were asked for. What is missing is left out, with a line.
fn launches(options: &Options) -> Result<Vec<Launch>, Failure> {
    let is_wanted = |name: &str| {
        let asked = &options.system;
        asked.is_empty() || name == "ours" || asked.iter().any(|asked| name.starts_with(asked))
    };
    let mut launches = Vec::new();
    let mut built = systems::Built::default();
    for system in SYSTEMS.iter().filter(|system| is_wanted(system.name)) {
        match system.launch(&mut built)? {
            Ok(launch) => launches.push(launch),
            Err(how) => println!("{} is left out: {how}", system.name),
        }
    }
    Ok(launches)
}

/// All rounds of one row.
fn rounds(row: &Row, launches: &[Launch], rounds: usize) -> Result<Found, Failure> {
    let mut found = Found::new(row, rounds);
    let mut active: Vec<&Launch> = launches
        .iter()
        .filter(|launch| launch.system.takes_part(&row.workload))
        .collect();
    for round in 0..rounds {
        let mut gone = Vec::new();
        for turn in 0..active.len() {
            let launch = active[(round + turn) % active.len()];
            let name = launch.system.name;
            match run(launch, row)? {
                Run::Done(outcome) => {
                    println!(
                        "  {}, round {}: {name} {}",
                        row.title,
                        round + 1,
                        outcome.brief()
                    );
                    found.add(launch.system, outcome)?;
                }
                Run::Unknown => gone.push(name),
                Run::Failed(why) => {
                    println!("  {}: {name} failed: {why}", row.title);
                    found.failed(launch.system, &why);
                    gone.push(name);
                }
            }
        }
        active.retain(|launch| !gone.contains(&launch.system.name));
    }
    found.check_answers()?;
    Ok(found)
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let asked = &options.workload;
    let is_asked = |row: &Row| {
        asked
            .iter()
            .any(|asked| row.title.starts_with(asked.as_str()))
    };
    let wanted = |row: &Row| asked.is_empty() || is_asked(row);
    let mut rows: Vec<Row> = rows::rows(options.quick)
        .into_iter()
        .filter(wanted)
        .collect();
    rows = growth::that_fit(rows);
    if rows.is_empty() {
        return Err(format!(
            "there is no such workload, but {}",
            rows::WORKLOADS.join(", ")
        )
        .into());
    }
    archive::provide(&mut rows)?;
    let launches = launches(&options)?;
    let count = if options.quick {
        1
    } else {
        options.rounds.max(1)
    };
    let name = if options.quick {
        "versus-quick"
    } else {
        "versus"
    };
    let mut all = Vec::new();
    for row in &rows {
        all.push(rounds(row, &launches, count)?);
        output::write(name, &all)?;
        println!("\n{}\n{}\n", row.title, all[all.len() - 1].table());
    }
    let broken: BTreeMap<_, _> = all.iter().filter_map(Found::own_failure).collect();
    match broken.first_key_value() {
        Some((row, why)) => Err(format!("{row}: ours failed: {why}").into()),
        None => Ok(()),
    }
}
