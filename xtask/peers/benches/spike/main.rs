//! How fast a spike's memory goes back, and what a load beside feels of it.
//!
//! 2.5 GiB of objects of 1 KiB; all but a fifth of them, scattered by the MiB, are dropped and
//! collected. Each run is a process of its own, and the kinds of runs take turns: the usual policy,
//! the usual policy with a limit near what lives, and a policy that keeps everything, which shows
//! what the load meets without a scavenger. With a load (`child.rs`) and without.
//!
//! ```text
//! spike [--runs=N] [word...]     rounds, five if not said; only kinds with each word in the name
//! spike child HOW load|quiet     one run; prints its figures
//! ```

mod child;

use child::{Failure, How};
use peers::report::{finish_table, median};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

/// Rounds unless told otherwise.
const RUNS: usize = 5;

/// A kind of run, and the figures of its runs by name.
struct Kind {
    how: &'static str,
    load: &'static str,
    figures: BTreeMap<String, Vec<f64>>,
}

impl Kind {
    fn name(&self) -> String {
        format!("{}, {}", self.how, self.load)
    }

    /// Runs once, in a process of its own.
    fn run(&mut self) -> Result<(), Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["child", self.how, self.load]);
        command.env_remove("HEAPWRIGHT_TRACE");
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{} ended with {}", self.name(), output.status).into());
        }
        let text = String::from_utf8(output.stdout)?;
        println!("{}: {}", self.name(), text.trim().replace('\n', ", "));
        for line in text.lines() {
            let (name, figure) = line.split_once(' ').ok_or("a line without a figure")?;
            let figures = self.figures.entry(name.to_owned()).or_default();
            figures.push(figure.parse()?);
        }
        Ok(())
    }

    /// The median of a figure, divided by `unit`; a dash if a run did not have it.
    fn cell(&self, name: &str, unit: f64) -> String {
        let figures = self.figures.get(name).cloned().unwrap_or_default();
        median(figures).map_or("–".to_owned(), |figure| format!("{:.2}", figure / unit))
    }

    /// The median of the runs' own ratios.
    fn ratio(&self, name: &str, beside: &str) -> String {
        let of = |name| self.figures.get(name).into_iter().flatten();
        let ratios = of(name).zip(of(beside)).map(|(a, b)| a / b);
        median(ratios.collect()).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
    }
}

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
    for (how, _) in How::ALL {
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
    Ok(finish_table("spike", &table(&kinds))?)
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((first, rest)) if first == "child" => {
            let [how, load] = rest else {
                return Err("`child` needs a policy, and `load` or `quiet`".into());
            };
            let known = How::ALL.into_iter().find(|(name, _)| name == how);
            let (_, how) = known.ok_or_else(|| format!("there is no policy called {how}"))?;
            child::run(how, load == "load")
        }
        _ => harness(&args),
    }
}
