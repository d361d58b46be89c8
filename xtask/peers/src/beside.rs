//! The table of the cost bench: an operation beside what a program has otherwise, and beside
//! itself while collections run.

use crate::report::median;
use std::fmt::Write as _;

/// The table's head. Times are nanoseconds of the calling thread's processor time.
const HEAD: &str = "\
| what | ns | least to largest | beside | its ns | ours / its | collecting, ns | by the wall | \
collecting / quiet | neighbor, ns | collecting / neighbor |
|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|
";

/// One round's figures, in nanoseconds an operation.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// While no collection runs.
    pub quiet: f64,
    /// Of what it stands beside.
    pub rival: Option<f64>,
    /// While another thread collects all the time.
    pub collecting: f64,
    /// The same by the wall.
    pub collecting_wall: f64,
    /// While another thread reads memory of its own all the time, and none collects: what two
    /// processors that share a core, or a cache, take from each other in any case.
    pub neighbor: f64,
}

/// One operation's rounds.
#[derive(Debug)]
pub struct Row {
    what: String,
    beside: &'static str,
    rounds: Vec<Round>,
}

impl Row {
    /// No rounds yet of the operation `what`; `beside` names what it is compared to.
    pub fn new(what: String, beside: &'static str) -> Self {
        Self {
            what,
            beside,
            rounds: Vec::new(),
        }
    }

    /// Adds a round.
    pub fn round(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// The median over the rounds.
    fn cell(&self, figure: impl Fn(&Round) -> Option<f64>) -> String {
        median(self.rounds.iter().filter_map(figure).collect())
            .map_or("–".to_owned(), |median| format!("{median:.2}"))
    }

    /// The row as a line of the table.
    pub fn line(&self) -> String {
        let quiet = |one: &Round| one.quiet;
        let least = self.rounds.iter().map(quiet).fold(f64::INFINITY, f64::min);
        let largest = self.rounds.iter().map(quiet).fold(0.0, f64::max);
        let mut line = format!(
            "| {} | {} | {least:.2} to {largest:.2} | {} |",
            self.what,
            self.cell(|one| Some(one.quiet)),
            self.beside
        );
        for cell in [
            self.cell(|one| one.rival),
            self.cell(|one| Some(one.quiet / one.rival?)),
            self.cell(|one| Some(one.collecting)),
            self.cell(|one| Some(one.collecting_wall)),
            self.cell(|one| Some(one.collecting / one.quiet)),
            self.cell(|one| Some(one.neighbor)),
            self.cell(|one| Some(one.collecting / one.neighbor)),
        ] {
            // Writing to a string cannot fail.
            let _ = write!(line, " {cell} |");
        }
        line
    }
}

/// All rows under their head.
pub fn table(rows: &[Row]) -> String {
    let lines: Vec<String> = rows.iter().map(Row::line).collect();
    format!("{HEAD}{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_one_round_and_then_medians() {
        let mut row = Row::new("x".to_owned(), "y");
        for (quiet, rival) in [(2.0, 1.0), (8.0, 2.0), (9.0, 1.0)] {
            row.round(Round {
                quiet,
                rival: Some(rival),
                collecting: quiet * 3.0,
                collecting_wall: 40.0,
                neighbor: quiet * 1.5,
            });
        }
        // Ratios 2, 4 and 9.
        assert_eq!(
            row.line(),
            "| x | 8.00 | 2.00 to 9.00 | y | 1.00 | 4.00 | 24.00 | 40.00 | 3.00 | 12.00 | 2.00 |"
        );
        assert_eq!(table(&[row]).lines().count(), 3);
    }

    #[test]
    fn no_rival_leaves_dashes() {
        let mut row = Row::new("x".to_owned(), "–");
        row.round(Round {
            quiet: 1.0,
            rival: None,
            collecting: 2.0,
            collecting_wall: 3.0,
            neighbor: 1.0,
        });
        assert_eq!(
            row.line(),
            "| x | 1.00 | 1.00 to 1.00 | – | – | – | 2.00 | 3.00 | 2.00 | 1.00 | 2.00 |"
        );
    }
}
