//! The tables of the latency bench: medians over the runs with their spread, and ratios of what
//! was measured in the same round.

use super::{Outcome, recorder};
use crate::report::median;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The percentiles shown; the last is the maximum.
const PERCENTILES: [f64; 6] = [50.0, 90.0, 99.0, 99.9, 99.99, 100.0];

const LATENCY_HEAD: &str = "\
| what | p50, µs | p90 | p99 | p99.9 | p99.99 | max | p99.9 / Go | p99.99 / Go | max / Go |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

const FIGURES_HEAD: &str = "\
| what | wall, s | CPU, s | in line for a CPU, s | cycles | longest pause, ms | pauses, ms | longest wait, ms | \
assists' CPU, ms | peak, MiB | end, MiB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

/// The figures shown, by name, and what to divide them by.
const FIGURES: [(&str, f64); 10] = [
    ("wall_s", 1.0),
    ("cpu_s", 1.0),
    ("in_line_s", 1.0),
    ("cycles", 1.0),
    ("pause_max_ns", 1e6),
    ("pause_total_ns", 1e6),
    ("wait_max_ns", 1e6),
    ("assist_cpu_s", 1e-3),
    ("rss_peak_bytes", (1 << 20) as f64),
    ("rss_end_bytes", (1 << 20) as f64),
];

/// One round: the outcome of each system that ran, by its name.
type Round = BTreeMap<String, Outcome>;

/// The runs of one plan.
#[derive(Debug, Default)]
pub struct Rows {
    title: String,
    systems: Vec<String>,
    rounds: Vec<Round>,
}

/// Which of a run's histograms.
type Of = fn(&Outcome) -> &Histogram<u64>;

impl Rows {
    /// No runs yet, of the plan with this title and these systems.
    pub fn new(title: &str, systems: Vec<String>) -> Self {
        Self {
            title: title.to_owned(),
            systems,
            rounds: Vec::new(),
        }
    }

    /// Adds a round.
    ///
    /// # Errors
    ///
    /// If two systems have not found the same checksum: then they have not done the same, or one
    /// has lost a message.
    pub fn round(&mut self, round: Round) -> Result<(), String> {
        let mut sums = round.iter().map(|(name, outcome)| (name, outcome.checksum));
        if let Some((first, sum)) = sums.next()
            && let Some((other, found)) = sums.find(|&(_, found)| found != sum)
        {
            return Err(format!(
                "{}: {other} found the checksum {found:016x}, {first} {sum:016x}",
                self.title
            ));
        }
        self.rounds.push(round);
        Ok(())
    }

    fn outcomes(&self, system: &str) -> impl Iterator<Item = &Outcome> {
        self.rounds
            .iter()
            .filter_map(move |round| round.get(system))
    }

    /// Median of a figure over the runs, and its least and largest.
    fn cell(&self, system: &str, figure: impl Fn(&Outcome) -> Option<f64>) -> String {
        spread(self.outcomes(system).filter_map(figure).collect())
    }

    /// Median over the rounds of this system's figure by that of Go.
    fn beside_go(&self, system: &str, figure: impl Fn(&Outcome) -> f64) -> String {
        let ratio = |round: &Round| {
            let (ours, go) = (figure(round.get(system)?), figure(round.get("go")?));
            (go > 0.0).then(|| ours / go)
        };
        let ratios = self.rounds.iter().filter_map(ratio).collect();
        median(ratios).map_or("–".to_owned(), |ratio| format!("{ratio:.3}"))
    }

    fn latency_row(&self, system: &str, what: &str, of: Of) -> String {
        let at = |percentile: f64| {
            move |outcome: &Outcome| of(outcome).value_at_percentile(percentile) as f64 / 1e3
        };
        let mut row = format!("| {system}: {}{what} |", self.title);
        for percentile in PERCENTILES {
            let cell = self.cell(system, |outcome| Some(at(percentile)(outcome)));
            let _ = write!(row, " {cell} |");
        }
        for percentile in &PERCENTILES[3..] {
            let _ = write!(row, " {} |", self.beside_go(system, at(*percentile)));
        }
        row.push('\n');
        row
    }

    /// The rows of latencies, without a head.
    fn latency_rows(&self) -> String {
        let mut rows = String::new();
        for system in &self.systems {
            rows += &self.latency_row(system, "", |outcome| &outcome.latency);
        }
        let paced = |system: &String| self.outcomes(system).any(|run| !run.service.is_empty());
        for system in self.systems.iter().filter(|system| paced(system)) {
            rows += &self.latency_row(system, ", service", |outcome| &outcome.service);
        }
        rows
    }

    /// The rows of the other figures, without a head.
    fn figure_rows(&self) -> String {
        let mut rows = String::new();
        for system in &self.systems {
            let _ = write!(rows, "| {system}: {} |", self.title);
            for (name, unit) in FIGURES {
                let cell = self.cell(system, |outcome| Some(outcome.figure(name)? / unit));
                let _ = write!(rows, " {cell} |");
            }
            rows.push('\n');
        }
        rows
    }

    /// Both tables of several plans.
    pub fn tables(plans: &[Self]) -> String {
        let latencies: String = plans.iter().map(Self::latency_rows).collect();
        let figures: String = plans.iter().map(Self::figure_rows).collect();
        format!("{LATENCY_HEAD}{latencies}\n{FIGURES_HEAD}{figures}")
    }

    /// A file name and the text for each system: all its runs' latencies as one distribution, in
    /// the form that HdrHistogram's plotter reads (values in µs).
    pub fn distributions(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for system in &self.systems {
            for (kind, of) in [
                ("latency", (|outcome| &outcome.latency) as Of),
                ("service", |outcome| &outcome.service),
            ] {
                let mut all = recorder();
                for outcome in self.outcomes(system) {
                    // Of the same bounds: both were made by `recorder`.
                    let _ = all.add(of(outcome));
                }
                if !all.is_empty() {
                    let name = format!("{system}, {}, {kind}.hgrm", self.title);
                    files.push((name.replace(", ", "-").replace([' ', '/'], "-"), hgrm(&all)));
                }
            }
        }
        files
    }
}

/// `median (least to largest)`, or a dash for nothing.
fn spread(figures: Vec<f64>) -> String {
    let least = figures.iter().copied().reduce(f64::min);
    let largest = figures.iter().copied().reduce(f64::max);
    match (median(figures), least, largest) {
        (Some(median), Some(least), Some(largest)) if least < largest => {
            format!("{} ({} to {})", short(median), short(least), short(largest))
        }
        (Some(median), ..) => short(median),
        _ => "–".to_owned(),
    }
}

/// Three digits or so.
fn short(figure: f64) -> String {
    match figure {
        figure if figure >= 100.0 || figure == 0.0 => format!("{figure:.0}"),
        figure if figure >= 10.0 => format!("{figure:.1}"),
        figure => format!("{figure:.2}"),
    }
}

fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>12} {:>16}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut count = 0;
    for step in histogram.iter_quantiles(5) {
        count += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64 / 1e3, step.quantile());
        let _ = write!(text, "{value:>12.3} {quantile:>14.12} {count:>12}");
        if quantile < 1.0 {
            let _ = write!(text, " {:>16.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n#[Max     = {:>12.3}, Total count    \
         = {:>12}]",
        histogram.mean() / 1e3,
        histogram.stdev() / 1e3,
        histogram.max() as f64 / 1e3,
        histogram.len()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(checksum: u64, latency_ns: u64) -> Outcome {
        let mut outcome = Outcome {
            checksum,
            ..Outcome::default()
        };
        outcome.latency.saturating_record_n(latency_ns, 10);
        outcome.figures.insert("cycles".to_owned(), 4.0);
        outcome
    }

    fn round(ours: Outcome, go: Outcome) -> Round {
        BTreeMap::from([("ours".to_owned(), ours), ("go".to_owned(), go)])
    }

    fn rows() -> Rows {
        Rows::new("1 thread", vec!["ours".to_owned(), "go".to_owned()])
    }

    #[test]
    fn different_checksums_are_an_error() {
        let error = rows().round(round(outcome(1, 1), outcome(2, 1)));
        assert!(error.unwrap_err().contains("0000000000000002"));
    }

    #[test]
    fn rows_show_medians_spread_and_the_median_ratio() {
        let mut rows = rows();
        for (ours, go) in [(1_000, 1_000), (4_000, 1_000), (2_000, 1_000)] {
            rows.round(round(outcome(1, ours), outcome(1, go))).unwrap();
        }
        let table = rows.latency_rows();
        let cell = "2.00 (1.00 to 4.00)";
        assert!(
            table.starts_with(&format!("| ours: 1 thread | {cell} | {cell} |")),
            "{table}"
        );
        assert_eq!(
            table.lines().count(),
            2,
            "no run has service times: {table}"
        );
        let ratio = table.lines().next().unwrap().split(" | ").nth(7).unwrap();
        let ratio: f64 = ratio.parse().unwrap();
        assert!((1.99..2.01).contains(&ratio), "{ratio}");
        assert!(rows.figure_rows().contains("| – | – | – | 4.00 | – |"));
    }

    #[test]
    fn a_missing_rival_leaves_dashes() {
        let mut rows = Rows::new("1 thread", vec!["ours".to_owned()]);
        rows.round(BTreeMap::from([("ours".to_owned(), outcome(1, 1))]))
            .unwrap();
        assert!(rows.latency_rows().ends_with("| – | – | – |\n"));
    }

    #[test]
    fn distributions_count_every_run() {
        let mut rows = rows();
        for _ in 0..2 {
            rows.round(round(outcome(1, 1_000), outcome(1, 9_000)))
                .unwrap();
        }
        let files = rows.distributions();
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].0, "ours-1-thread-latency.hgrm");
        assert!(
            files[0].1.contains("Total count    =           20"),
            "{}",
            files[0].1
        );
    }
}
