//! What became of each mutant: as a table on the terminal, and as a page of the documentation.

use std::fmt;

use crate::mutants::list::Mutant;

/// What became of one mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its test failed, this way.
    Killed(String),
    /// Its test passed.
    Survived,
    /// The changed source does not compile; here is the log.
    NotBuilt(String),
    /// Its test does not pass on the untouched source, so its failure would say nothing.
    NoBaseline(String),
}

/// One mutant's line of the report.
pub(crate) struct Line<'a> {
    pub(crate) mutant: &'a Mutant,
    pub(crate) verdict: Verdict,
    pub(crate) seconds: f64,
}

impl Verdict {
    /// Whether the test did its work.
    pub(crate) fn is_killed(&self) -> bool {
        matches!(self, Self::Killed(_))
    }

    /// The verdict alone.
    fn word(&self) -> &'static str {
        match self {
            Self::Killed(_) => "killed",
            Self::Survived => "SURVIVED",
            Self::NotBuilt(_) => "NOT BUILT",
            Self::NoBaseline(_) => "NO BASELINE",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Survived => write!(f, "{}: its test passes", self.word()),
            Self::Killed(how) => write!(f, "{}: its test {how}", self.word()),
            Self::NotBuilt(log) => write!(f, "{}: see {log}", self.word()),
            Self::NoBaseline(fault) => {
                write!(f, "{}: on untouched source its test {fault}", self.word())
            }
        }
    }
}

/// Prints which mutants there are.
pub(crate) fn list(mutants: &[Mutant]) {
    for mutant in mutants {
        println!(
            "{}/{} by {}: {}",
            mutant.package,
            mutant.name,
            mutant.exam(),
            mutant.breaks
        );
    }
}

/// The table for the terminal.
pub(crate) fn table(lines: &[Line<'_>]) -> String {
    let longest = |length: fn(&Line<'_>) -> usize| lines.iter().map(length).max().unwrap_or(0);
    let name = longest(|line| line.mutant.name.len()).max("mutant".len());
    let package = longest(|line| line.mutant.package.len()).max("crate".len());
    let mut text = format!(
        "{:<name$}  {:<package$}  {:<11}  {:>7}  what breaks\n",
        "mutant", "crate", "verdict", "seconds"
    );
    for Line {
        mutant,
        verdict,
        seconds,
    } in lines
    {
        text += &format!(
            "{:<name$}  {:<package$}  {:<11}  {seconds:>7.1}  {}\n",
            mutant.name,
            mutant.package,
            verdict.word(),
            mutant.breaks
        );
    }
    text
}

/// The page for the documentation. Without times, so that it changes only when a verdict does.
pub(crate) fn markdown(lines: &[Line<'_>]) -> String {
    let killed = lines.iter().filter(|line| line.verdict.is_killed()).count();
    let mut text = format!(
        "# Mutants\n\n\
         Known faults that were planted in the source, each with the test that must fail. Written \
         by\n`cargo xtask mutants --write`; the lists are in `xtask/mutants/`.\n\n\
         {killed} of {} are killed.\n\n\
         | crate | mutant | file | caught by | verdict | what breaks |\n\
         |---|---|---|---|---|---|\n",
        lines.len()
    );
    for Line {
        mutant, verdict, ..
    } in lines
    {
        text += &format!(
            "| {} | {} | `{}` | `{}`: `{}` | {} | {} |\n",
            mutant.package,
            mutant.name,
            mutant.file,
            mutant.test,
            mutant.filter,
            verdict.word(),
            mutant.breaks.replace('|', "\\|")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_show_each_verdict() {
        let list = "[[mutant]]\nname = 'relaxed-claim'\nfile = 'a.rs'\nfind = 'x'\n\
            replace = 'y'\nkind = 'loom'\npackage = 'gc-sweep'\ntest = 'loom'\n\
            filter = 'claim'\nbreaks = 'a | b'\n";
        let mutants = crate::mutants::list::parse(list).unwrap();
        let line = |verdict| Line {
            mutant: &mutants[0],
            verdict,
            seconds: 2.25,
        };
        let lines = [
            line(Verdict::Killed("fails".into())),
            line(Verdict::Survived),
        ];
        let table = table(&lines);
        assert!(
            table.contains("relaxed-claim  gc-sweep  killed           2.2  a | b"),
            "{table}"
        );
        assert!(
            table.contains("relaxed-claim  gc-sweep  SURVIVED"),
            "{table}"
        );
        let page = markdown(&lines);
        assert!(page.contains("1 of 2 are killed."), "{page}");
        assert!(
            page.contains("| `loom`: `claim` | killed | a \\| b |"),
            "{page}"
        );
    }
}
