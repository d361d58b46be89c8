//! The table: a row a bench, medians over the rounds, and ratios of what was measured in the same
//! round.
//!
//! A bench prints its own rows at its end and leaves them under `target/peers/`; the program
//! `summary` prints the rows of all benches as one table.

use crate::cost::Each;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

/// Which clock a row's ratios are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Processor time of all threads: where one thread works, or others work behind it.
    Cpu,
    /// The wall: where several threads work so that it ends sooner.
    Wall,
}

/// One round's figures.
#[derive(Clone, Copy, Debug)]
struct Round {
    ours: Each,
    rival: Option<Each>,
    limit: Option<Each>,
}

#[derive(Debug)]
struct Row {
    what: String,
    basis: Basis,
    rounds: Vec<Round>,
}

/// The rows of one bench, as far as it has come.
#[derive(Debug)]
pub struct Report {
    bench: &'static str,
    rows: Vec<Row>,
}

/// The table's head.
pub const HEAD: &str = "\
| what | ours, ns | by the wall | mimalloc, ns | limit, ns | ours / mimalloc | ours / limit |
|---|--:|--:|--:|--:|--:|--:|";

/// The median; nothing of nothing.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures.len().checked_sub(1)? / 2, figures.len() / 2);
    Some((figures[low] + figures[high]) / 2.0)
}

impl Round {
    fn of(self, basis: Basis, each: Each) -> f64 {
        match basis {
            Basis::Cpu => each.cpu,
            Basis::Wall => each.wall,
        }
    }
}

impl Row {
    /// Median over the rounds of what `figure` finds in each.
    fn median(&self, figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        median(self.rounds.iter().filter_map(figure).collect())
    }

    fn line(&self) -> String {
        let basis = self.basis;
        let time = |each: Option<Each>, round: &Round| each.map(|each| round.of(basis, each));
        let ours = |round: &Round| round.of(basis, round.ours);
        let cells = [
            self.median(|round| Some(ours(round))),
            self.median(|round| Some(round.ours.wall)),
            self.median(|round| time(round.rival, round)),
            self.median(|round| time(round.limit, round)),
            self.median(|round| Some(ours(round) / time(round.rival, round)?)),
            self.median(|round| Some(ours(round) / time(round.limit, round)?)),
        ];
        let mut line = format!("| {} |", self.what);
        for cell in cells {
            let text = cell.map_or("–".to_owned(), |cell| format!("{cell:.2}"));
            // Writing to a string cannot fail.
            let _ = write!(line, " {text} |");
        }
        line
    }
}

impl Report {
    /// An empty report of the bench with this name.
    pub fn new(bench: &'static str) -> Self {
        Self {
            bench,
            rows: Vec::new(),
        }
    }

    /// Adds a round to the row `what`. A row's first round warms up and is forgotten as soon as
    /// there is a second.
    pub fn round(
        &mut self,
        what: &str,
        basis: Basis,
        ours: Each,
        rival: Option<Each>,
        limit: Option<Each>,
    ) {
        let round = Round { ours, rival, limit };
        match self.rows.iter_mut().find(|row| row.what == what) {
            Some(row) => row.rounds.push(round),
            None => self.rows.push(Row {
                what: what.to_owned(),
                basis,
                rounds: vec![round],
            }),
        }
    }

    fn lines(&mut self) -> String {
        let mut lines = String::new();
        for row in &mut self.rows {
            if row.rounds.len() > 1 {
                row.rounds.remove(0);
            }
            lines.push_str(&row.line());
            lines.push('\n');
        }
        lines
    }

    /// Prints the table and leaves it for `summary`.
    ///
    /// # Errors
    ///
    /// If the folder `target/peers` cannot be written to.
    pub fn finish(mut self) -> io::Result<()> {
        let lines = self.lines();
        println!("\n{HEAD}\n{lines}");
        fs::create_dir_all(folder())?;
        fs::write(file(self.bench), lines)
    }
}

/// Prints a table with a head of its own, and leaves it for `summary`.
///
/// # Errors
///
/// If the folder `target/peers` cannot be written to.
pub fn finish_table(bench: &str, table: &str) -> io::Result<()> {
    println!("\n{table}");
    fs::create_dir_all(folder())?;
    fs::write(file(bench), table)
}

/// Where benches leave what they found: `target/peers` of the workspace.
pub fn folder() -> PathBuf {
    // This package lies two folders below the workspace.
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers"))
}

fn file(bench: &str) -> PathBuf {
    folder().join(format!("{bench}.rows"))
}

/// The rows that the last run of a bench has left.
///
/// # Errors
///
/// If there are none.
pub fn rows_of(bench: &str) -> io::Result<String> {
    fs::read_to_string(file(bench))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(ns: f64) -> Each {
        Each {
            wall: ns * 2.0,
            cpu: ns,
        }
    }

    #[test]
    fn a_row_shows_medians_and_the_median_ratio_without_the_first_round() {
        let mut report = Report::new("test");
        for (ours, limit) in [(99.0, 1.0), (2.0, 1.0), (8.0, 2.0), (9.0, 1.0)] {
            report.round("x", Basis::Cpu, each(ours), None, Some(each(limit)));
        }
        // Ratios 2, 4 and 9: their median is not the ratio of the medians.
        assert_eq!(
            report.lines(),
            "| x | 8.00 | 16.00 | – | 1.00 | – | 4.00 |\n"
        );
    }

    #[test]
    fn the_basis_chooses_the_clock() {
        let mut report = Report::new("test");
        let cpu_only = Each {
            wall: 5.0,
            cpu: 1.0,
        };
        report.round("x", Basis::Wall, each(4.0), Some(cpu_only), None);
        assert_eq!(
            report.lines(),
            "| x | 8.00 | 8.00 | 5.00 | – | 1.60 | – |\n"
        );
    }

    #[test]
    fn medians_of_few_figures() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![3.0, 1.0, 7.0]), Some(3.0));
    }
}
