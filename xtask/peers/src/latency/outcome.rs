//! What a run found, and the lines in which it says so.
//!
//! ```text
//! checksum 00000000deadbeef
//! figure cycles 7
//! latency 1023 42        a value in nanoseconds, and how often it was met
//! service 511 42
//! ```

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Latencies are kept to three digits, up to a minute.
const SECONDS_MAX: u64 = 60;
const DIGITS: u8 = 3;

/// An empty histogram of nanoseconds, of the extent and grain that all runs use.
///
/// # Panics
///
/// Never: the bounds are constants that the histogram accepts.
pub fn recorder() -> Histogram<u64> {
    Histogram::new_with_bounds(1, SECONDS_MAX * 1_000_000_000, DIGITS)
        .unwrap_or_else(|error| unreachable!("constant bounds: {error:?}"))
}

/// One run's result.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// From the time at which a message was due until it was done. At full speed: from the end of
    /// the one before.
    pub latency: Histogram<u64>,
    /// From the time at which its work began. Empty at full speed, where it is the same.
    pub service: Histogram<u64>,
    /// Of all messages that were replaced, and of those that remained.
    pub checksum: u64,
    /// Everything else by its name; units last.
    pub figures: BTreeMap<String, f64>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            latency: recorder(),
            service: recorder(),
            checksum: 0,
            figures: BTreeMap::new(),
        }
    }
}

impl Outcome {
    /// The outcome as text.
    pub fn text(&self) -> String {
        // Writing to a string cannot fail.
        let mut text = format!("checksum {:016x}\n", self.checksum);
        for (name, figure) in &self.figures {
            let _ = writeln!(text, "figure {name} {figure}");
        }
        for (kind, histogram) in [("latency", &self.latency), ("service", &self.service)] {
            for step in histogram.iter_recorded() {
                let (value, count) = (step.value_iterated_to(), step.count_since_last_iteration());
                let _ = writeln!(text, "{kind} {value} {count}");
            }
        }
        text
    }

    /// Reads what [`Self::text`] or a program of another language wrote.
    ///
    /// # Errors
    ///
    /// The first line that is none of the four forms, or what is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut outcome = Self::default();
        let mut summed = false;
        for line in text.lines() {
            let wrong = || format!("a run printed `{line}`, which is none of the agreed forms");
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["checksum", sum] => {
                    outcome.checksum = u64::from_str_radix(sum, 16).map_err(|_| wrong())?;
                    summed = true;
                }
                ["figure", name, figure] => {
                    let figure = figure.parse().map_err(|_| wrong())?;
                    outcome.figures.insert((*name).to_owned(), figure);
                }
                [kind @ ("latency" | "service"), value, count] => {
                    let value: u64 = value.parse().map_err(|_| wrong())?;
                    let count: u64 = count.parse().map_err(|_| wrong())?;
                    let histogram = match *kind {
                        "latency" => &mut outcome.latency,
                        _ => &mut outcome.service,
                    };
                    histogram.saturating_record_n(value, count);
                }
                _ => return Err(wrong()),
            }
        }
        match (summed, outcome.latency.is_empty()) {
            (false, _) => Err("a run printed no checksum".to_owned()),
            (true, true) => Err("a run printed no latencies".to_owned()),
            (true, false) => Ok(outcome),
        }
    }

    /// The figure of this name.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_survives_its_text() {
        let mut outcome = Outcome {
            checksum: 0xfeed_0000_0000_0001,
            ..Outcome::default()
        };
        outcome.figures.insert("cpu_s".to_owned(), 1.25);
        for value in [3, 5_000, 5_000, 70_000_123] {
            outcome.latency.saturating_record(value);
        }
        outcome.service.saturating_record(17);
        let read = Outcome::parse(&outcome.text()).unwrap();
        assert_eq!(read.checksum, outcome.checksum);
        assert_eq!(read.figures, outcome.figures);
        assert_eq!(read.latency, outcome.latency);
        assert_eq!(read.service, outcome.service);
    }

    #[test]
    fn what_is_missing_or_strange_is_said() {
        assert!(
            Outcome::parse("latency 1 1\n")
                .unwrap_err()
                .contains("checksum")
        );
        assert!(
            Outcome::parse("checksum 1\n")
                .unwrap_err()
                .contains("latencies")
        );
        let error = Outcome::parse("checksum 1\nlatency 1 x\n").unwrap_err();
        assert!(error.contains("latency 1 x"), "{error}");
        assert!(Outcome::parse("panic: out of memory\n").is_err());
    }
}
