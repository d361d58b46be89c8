//! Counts what a test harness ran, from its closing lines.

/// Sums over the closing lines of all the test binaries of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were left out by `#[ignore]`.
    pub(crate) ignored: u64,
}

impl Tally {
    /// Adds `line` if it is a closing line: `test result: ok. 3 passed; 0 failed; …`.
    pub(crate) fn add(&mut self, line: &str) {
        // The harness may be cut off in mid-line by output of the tests: look anywhere in it.
        let Some((_, rest)) = line.split_once("test result: ") else {
            return;
        };
        let Some((_, counts)) = rest.split_once(". ") else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// The sums over a whole output.
    pub(crate) fn of(output: &str) -> Self {
        let mut tally = Self::default();
        output.lines().for_each(|line| tally.add(line));
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_binaries() {
        let output = "running 2 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; \
            finished in 0.00s\n\n\
            test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(
            Tally::of(output),
            Tally {
                passed: 5,
                failed: 1,
                ignored: 1
            }
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(Tally::of("3 passed\ntest result: \n"), Tally::default());
    }
}
