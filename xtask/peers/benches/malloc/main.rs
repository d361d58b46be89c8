//! Explicit free: alloc-core's allocator beside its peers.
//!
//! Each run is a process of its own, in which one allocator does what one row says, so that its
//! memory is all that the system counts for it. In a round every allocator takes its turn in every
//! row, another one first each time. A ratio is the median, over the rounds, of the ratio to the
//! allocator whose median is the lowest in that row, in the same round.
//!
//! ```text
//! malloc [--runs=N] [word...]   rounds, seven if not said; rows that have one of the words
//! malloc child ALLOCATOR ROW    one run; prints its figures
//! malloc hardened               what the checks of a hardened heap cost
//! ```

mod child;
mod hardened;
mod rows;

use peers::report::{finish_table, median};
use peers::rivals::{RIVALS, Rival};
use std::alloc::System;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

type Failure = Box<dyn std::error::Error>;

/// Rounds unless told otherwise.
const RUNS: usize = 7;

/// The figures of all runs, a list for each row, allocator and figure; in the order of the rounds.
type Figures = BTreeMap<(String, &'static str, String), Vec<f64>>;

/// Runs a row once, in a process of its own.
fn run(rival: &Rival, row: &str, figures: &mut Figures) -> Result<(), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["child", rival.name, row]);
    rival.prepare(&mut command);
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{row}, {}: {}", rival.name, output.status).into());
    }
    for line in String::from_utf8(output.stdout)?.lines() {
        let (name, figure) = line.split_once(' ').ok_or("a line without a figure")?;
        let key = (row.to_owned(), rival.name, name.to_owned());
        figures.entry(key).or_default().push(figure.parse()?);
    }
    Ok(())
}

/// A line of a table: the lowest median, and everyone's ratio to it.
fn line(
    table: &mut String,
    rivals: &[Rival],
    figures: &Figures,
    (row, name): (&str, &str),
    (what, unit): (&str, f64),
) {
    let of = |rival: &Rival| figures.get(&(row.to_owned(), rival.name, name.to_owned()));
    let middle = |rival: &Rival| of(rival).and_then(|figures| median(figures.clone()));
    let medians = rivals
        .iter()
        .filter_map(|rival| Some((rival, middle(rival)?)));
    let Some((best, lowest)) = medians.min_by(|a, b| a.1.total_cmp(&b.1)) else {
        return;
    };
    // Writing to a string cannot fail.
    let _ = write!(table, "| {what} | {:.1} |", lowest / unit);
    for rival in rivals {
        let ratios = of(rival).into_iter().flatten();
        let ratios = ratios.zip(of(best).into_iter().flatten());
        let ratio = median(ratios.map(|(one, best)| one / best).collect());
        let _ = match ratio {
            Some(ratio) => write!(table, " {ratio:.2} |"),
            None => write!(table, " – |"),
        };
    }
    table.push('\n');
}

fn head(table: &mut String, unit: &str, rivals: &[Rival]) {
    let names: Vec<_> = rivals.iter().map(|rival| rival.name).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(table, "| {unit} | least | {} |", names.join(" | "));
    let _ = writeln!(table, "|---|--:|{}", "--:|".repeat(rivals.len()));
}

fn tables(rows: &[(String, bool)], rivals: &[Rival], figures: &Figures) -> String {
    let mut table = String::new();
    head(&mut table, "processor time, ns", rivals);
    for (row, has_threads) in rows {
        line(&mut table, rivals, figures, (row, "cpu"), (row, 1.0));
        if *has_threads {
            let what = format!("{row}, by the wall");
            line(&mut table, rivals, figures, (row, "wall"), (&what, 1.0));
        }
    }
    table.push('\n');
    head(&mut table, "resident memory, MiB", rivals);
    let mib = f64::from(1 << 20);
    for (row, _) in rows {
        let what = format!("{row}: peak");
        line(&mut table, rivals, figures, (row, "peak"), (&what, mib));
        let what = format!("{row}: then");
        line(&mut table, rivals, figures, (row, "at-once"), (&what, mib));
        let what = format!("{row}: a second later");
        line(&mut table, rivals, figures, (row, "later"), (&what, mib));
    }
    table
}

fn harness(args: &[String]) -> Result<(), Failure> {
    let (flags, words): (Vec<&String>, Vec<&String>) =
        args.iter().partition(|arg| arg.starts_with("--"));
    let asked = flags.iter().find_map(|flag| flag.strip_prefix("--runs="));
    let runs = asked.map_or(Ok(RUNS), str::parse)?.max(1);
    let rows: Vec<_> = rows::rows::<System>()
        .into_iter()
        .map(|row| (row.name, row.has_threads))
        .filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(*word)))
        .collect();
    let mut rivals = Vec::new();
    for rival in RIVALS {
        match rival.missing() {
            Some(why) => println!("{why}"),
            None => rivals.push(rival),
        }
    }
    let mut figures = Figures::new();
    for round in 0..runs {
        for (row, _) in &rows {
            for turn in 0..rivals.len() {
                run(&rivals[(round + turn) % rivals.len()], row, &mut figures)?;
            }
        }
    }
    Ok(finish_table("malloc", &tables(&rows, &rivals, &figures))?)
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["child", rival, row] => child::child(rival, row),
        ["hardened"] => hardened::table(),
        _ => {
            harness(&args)?;
            if words.iter().all(|word| word.starts_with('-')) {
                hardened::table()?;
            }
            Ok(())
        }
    }
}
