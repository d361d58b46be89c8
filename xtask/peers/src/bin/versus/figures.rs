//! What a row has found: each system's figures, a list a round, and what is made of them.

use crate::Failure;
use crate::rows::Row;
use crate::running::Outcome;
use crate::systems::System;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use peers::report::median;
use std::collections::BTreeMap;

/// A column of the tables.
struct Column {
    head: &'static str,
    figure: &'static str,
    unit: f64,
    show: Show,
}

#[derive(Clone, Copy, PartialEq)]
enum Show {
    /// The median.
    Median,
    /// The median, the least and the most.
    Spread,
    /// The median of the rounds' ratios to ours.
    Ratio,
}

const MIB: f64 = (1_u32 << 20) as f64;

const fn column(head: &'static str, figure: &'static str, unit: f64, show: Show) -> Column {
    Column {
        head,
        figure,
        unit,
        show,
    }
}

/// In this order; a column that no system fills is left out.
const COLUMNS: [Column; 28] = [
    column("CPU, s", "cpu_ns", 1e9, Show::Spread),
    column("× ours", "cpu_ns", 1.0, Show::Ratio),
    column("wall, s", "wall_ns", 1e9, Show::Spread),
    column("× ours", "wall_ns", 1.0, Show::Ratio),
    column("collector's CPU, s", "collector_cpu_ns", 1e9, Show::Median),
    column("whole CPU, s", "process_cpu_ns", 1e9, Show::Median),
    column("CPU an operation, ns", "each_cpu_ns", 1.0, Show::Median),
    column("wall an operation, ns", "each_wall_ns", 1.0, Show::Median),
    column("million a second", "a_second", 1e6, Show::Median),
    column("CPU an object, ns", "mark_cpu_ns", 1.0, Show::Spread),
    column("× ours", "mark_cpu_ns", 1.0, Show::Ratio),
    column("wall an object, ns", "mark_ns", 1.0, Show::Spread),
    column("× ours", "mark_ns", 1.0, Show::Ratio),
    column("p50, µs", "p50_ns", 1e3, Show::Median),
    column("p99, µs", "p99_ns", 1e3, Show::Median),
    column("p99.9, µs", "p99.9_ns", 1e3, Show::Median),
    column("p99.99, µs", "p99.99_ns", 1e3, Show::Median),
    column("max, µs", "max_ns", 1e3, Show::Spread),
    column("MiB at 0.1 s", "rss_100_bytes", MIB, Show::Median),
    column("0.25 s", "rss_250_bytes", MIB, Show::Median),
    column("0.5 s", "rss_500_bytes", MIB, Show::Median),
    column("1 s", "rss_1000_bytes", MIB, Show::Median),
    column("2 s", "rss_2000_bytes", MIB, Show::Median),
    column("5 s", "rss_5000_bytes", MIB, Show::Median),
    column("10 s", "rss_10000_bytes", MIB, Show::Median),
    column("peak, MiB", "peak_bytes", MIB, Show::Spread),
    column("end, MiB", "rss_end_bytes", MIB, Show::Median),
    column("collections", "collections", 1.0, Show::Median),
];

/// A row's figures.
pub(crate) struct Found {
    pub(crate) row: Row,
    pub(crate) rounds: usize,
    /// In the order of the table of systems.
    pub(crate) systems: Vec<Figures>,
}

/// One system's figures in a row.
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    is_ours: bool,
    pub(crate) outcomes: Vec<Outcome>,
    /// Why it has no more.
    pub(crate) failure: Option<String>,
}

impl Figures {
    /// A figure of each round.
    pub(crate) fn all(&self, figure: &str) -> Vec<f64> {
        let figures = self.outcomes.iter().map(|outcome| &outcome.figures);
        figures
            .filter_map(|figures| figures.get(figure).copied())
            .collect()
    }

    /// The median over the rounds.
    pub(crate) fn median(&self, figure: &str) -> Option<f64> {
        median(self.all(figure))
    }

    fn ratio(&self, ours: &Figures, figure: &str) -> Option<f64> {
        let rounds = self.all(figure).into_iter().zip(ours.all(figure));
        median(rounds.map(|(theirs, ours)| theirs / ours).collect())
    }
}

impl Found {
    /// Nothing yet.
    pub(crate) fn new(row: &Row, rounds: usize) -> Self {
        Self {
            row: row.clone(),
            rounds,
            systems: Vec::new(),
        }
    }

    fn of(&mut self, system: &System) -> &mut Figures {
        let known = self
            .systems
            .iter()
            .position(|known| known.name == system.name);
        let at = known.unwrap_or_else(|| {
            self.systems.push(Figures {
                name: system.name,
                is_ours: system.is_ours(),
                outcomes: Vec::new(),
                failure: None,
            });
            self.systems.len() - 1
        });
        &mut self.systems[at]
    }

    /// Adds a round of a system.
    pub(crate) fn add(&mut self, system: &System, mut outcome: Outcome) -> Result<(), Failure> {
        let figures = &mut outcome.figures;
        if let Some(operations) = self.row.operations {
            for (name, each) in [("cpu_ns", "each_cpu_ns"), ("wall_ns", "each_wall_ns")] {
                let whole = figures.get(name).ok_or("a run has printed no times")?;
                let figure = whole / operations;
                figures.insert(each.to_owned(), figure);
            }
            let each_ns = figures.get("each_wall_ns").copied();
            figures.extend(each_ns.map(|ns| ("a_second".to_owned(), 1e9 / ns)));
        }
        self.of(system).outcomes.push(outcome);
        Ok(())
    }

    /// Notes that a system could not run the row.
    pub(crate) fn failed(&mut self, system: &System, why: &str) {
        self.of(system).failure = Some(why.to_owned());
    }

    /// All answers are equal; then what is an object's share of a collection is worked out, from
    /// the number of objects that ours says are reached.
    pub(crate) fn check_answers(&mut self) -> Result<(), Failure> {
        let mut answers: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for figures in &self.systems {
            for answer in figures.outcomes.iter().filter_map(|outcome| outcome.answer) {
                let names = answers.entry(answer).or_default();
                if !names.contains(&figures.name) {
                    names.push(figures.name);
                }
            }
        }
        if answers.len() > 1 {
            return Err(format!("{}: answers differ: {answers:?}", self.row.title).into());
        }
        let reached = self
            .systems
            .iter()
            .find_map(|figures| figures.median("reached"));
        for outcome in self
            .systems
            .iter_mut()
            .flat_map(|figures| &mut figures.outcomes)
        {
            let Some(objects) = outcome.figures.get("reached").copied().or(reached) else {
                continue;
            };
            for (name, each) in [("collect_ns", "mark_ns"), ("collect_cpu_ns", "mark_cpu_ns")] {
                if let Some(ns) = outcome.figures.get(name).copied() {
                    outcome.figures.insert(each.to_owned(), ns / objects);
                }
            }
        }
        let place = |name| {
            crate::systems::SYSTEMS
                .iter()
                .position(|system| system.name == name)
        };
        self.systems.sort_by_key(|figures| place(figures.name));
        Ok(())
    }

    /// The row and why one of ours has failed in it.
    pub(crate) fn own_failure(&self) -> Option<(&str, &str)> {
        let ours = self.systems.iter().filter(|figures| figures.is_ours);
        let mut failures = ours.filter_map(|figures| figures.failure.as_deref());
        Some((&self.row.title, failures.next()?))
    }

    /// The row as a Markdown table.
    pub(crate) fn table(&self) -> String {
        let is_filled = |column: &&Column| {
            let mut systems = self.systems.iter();
            systems.any(|figures| {
                figures
                    .median(column.figure)
                    .is_some_and(|figure| figure > 0.0)
            })
        };
        let columns: Vec<&Column> = COLUMNS.iter().filter(is_filled).collect();
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN);
        let heads = columns.iter().map(|column| column.head);
        table.set_header(["system"].into_iter().chain(heads));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let ours = self.systems.first().filter(|figures| figures.is_ours);
        for figures in &self.systems {
            if let Some(why) = &figures.failure {
                table.add_row([format!("{} failed: {why}", figures.name)]);
                continue;
            }
            let cells = columns.iter().map(|column| column.cell(figures, ours));
            table.add_row([figures.name.to_owned()].into_iter().chain(cells));
        }
        table.to_string()
    }
}

impl Column {
    fn cell(&self, figures: &Figures, ours: Option<&Figures>) -> String {
        let none = || "–".to_owned();
        let all = figures.all(self.figure);
        let Some(middle) = median(all.clone()) else {
            return none();
        };
        let plain = |figure: f64| digits(figure / self.unit);
        match self.show {
            Show::Median => plain(middle),
            Show::Ratio => ours
                .and_then(|ours| figures.ratio(ours, self.figure))
                .map_or_else(none, |ratio| format!("{ratio:.2}")),
            Show::Spread if all.len() < 2 => plain(middle),
            Show::Spread => {
                let least = all.iter().copied().fold(f64::INFINITY, f64::min);
                let most = all.iter().copied().fold(0.0, f64::max);
                format!("{} ({}..{})", plain(middle), plain(least), plain(most))
            }
        }
    }
}

/// Three digits that count.
fn digits(figure: f64) -> String {
    let decimals = match figure.abs() {
        x if x >= 100.0 || x == 0.0 => 0,
        x if x >= 10.0 => 1,
        x if x >= 1.0 => 2,
        _ => 3,
    };
    format!("{figure:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::SYSTEMS;

    fn outcome(answer: u64, cpu_ns: f64) -> Outcome {
        let figures = [("cpu_ns", cpu_ns), ("wall_ns", cpu_ns)];
        Outcome {
            answer: Some(answer),
            figures: figures.map(|(name, ns)| (name.to_owned(), ns)).into(),
            ..Outcome::default()
        }
    }

    fn found(answers: [u64; 2]) -> Found {
        let row = &crate::rows::rows(true)[0];
        let mut found = Found::new(row, 2);
        for (ours, theirs) in [(1e9, 3e9), (2e9, 10e9), (4e9, 8e9)] {
            found.add(&SYSTEMS[0], outcome(answers[0], ours)).unwrap();
            found.add(&SYSTEMS[1], outcome(answers[1], theirs)).unwrap();
        }
        found
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        let mut found = found([7, 7]);
        found.check_answers().unwrap();
        let table = found.table();
        // 3, 5 and 2.
        assert!(table.contains("8.00 (3.00..10.0)"), "{table}");
        assert!(table.contains(" 3.00 "), "{table}");
        assert!(table.contains("2.00 (1.00..4.00)"), "{table}");
    }

    #[test]
    fn differing_answers_fail() {
        let error = found([7, 8]).check_answers().unwrap_err().to_string();
        assert!(error.contains("ours-stopping"), "{error}");
    }
}
