//! Generated mutants, as cargo-mutants lists them, and what became of them, as it writes it down.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::tidy::tree::Tree;

/// A generated mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutant {
    /// What stays when lines are added elsewhere: its file, what is replaced in which function
    /// and, if several in the file are alike in all this, which of them.
    pub(super) name: String,
    /// What cargo-mutants calls it now: `FILE:LINE:COLUMN: TEXT`.
    pub(super) place: String,
}

/// What became of a mutant.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum Verdict {
    /// A test failed.
    #[serde(rename = "CaughtMutant")]
    Caught,
    /// A test did not end.
    Timeout,
    /// It does not compile.
    Unviable,
    /// No test noticed.
    #[serde(rename = "MissedMutant")]
    Missed,
}

/// Verdicts by name: those of a run, and of later ones that tried some again.
pub(super) type Record = BTreeMap<String, Verdict>;

/// A mutant as cargo-mutants writes it.
#[derive(Deserialize)]
struct Raw {
    name: String,
    file: String,
    span: Span,
}

#[derive(Deserialize)]
struct Span {
    start: Position,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    line: usize,
    column: usize,
}

/// The file of outcomes; the first is that of the code as it is.
#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: serde_json::Value,
}

#[derive(Deserialize)]
enum Scenario {
    Baseline,
    Mutant(Raw),
}

/// The mutants of a list, in the order of the text; those of tests are left out.
pub(super) fn listed(text: &str, tree: &Tree) -> Result<Vec<Mutant>> {
    let mut raw: Vec<Raw> = serde_json::from_str(text).context("cargo-mutants' list")?;
    raw.sort_by(|one, other| {
        let key = |raw: &Raw| (raw.file.clone(), raw.span.start, raw.name.clone());
        key(one).cmp(&key(other))
    });
    let is_test = |raw: &Raw| {
        let rust = tree.file(&raw.file).and_then(|file| file.rust.as_ref());
        rust.is_some_and(|rust| rust.is_test(raw.span.start.line))
    };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let own = raw.into_iter().filter(|raw| !is_test(raw));
    let named = own.map(|raw| {
        let text = raw.name.splitn(4, ':').nth(3).unwrap_or(&raw.name);
        let name = format!("{}:{text}", raw.file);
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        let name = match *count {
            1 => name,
            count => format!("{name} #{count}"),
        };
        let place = raw.name;
        Mutant { name, place }
    });
    Ok(named.collect())
}

/// Adds what became of those of the mutants that a file of outcomes has.
pub(super) fn add(text: &str, mutants: &[Mutant], record: &mut Record) -> Result<()> {
    let all: Outcomes = serde_json::from_str(text).context("cargo-mutants' outcomes")?;
    for outcome in all.outcomes {
        let Scenario::Mutant(raw) = outcome.scenario else {
            continue;
        };
        let verdict = Verdict::deserialize(outcome.summary)
            .with_context(|| format!("what became of {}", raw.name))?;
        if let Some(mutant) = mutants.iter().find(|mutant| mutant.place == raw.name) {
            record.insert(mutant.name.clone(), verdict);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(line: usize, column: usize, text: &str) -> String {
        format!(
            r#"{{"name": "a/src/b.rs:{line}:{column}: {text}", "file": "a/src/b.rs",
                "span": {{"start": {{"line": {line}, "column": {column}}}}}}}"#
        )
    }

    fn mutants(raw: &[String]) -> Vec<Mutant> {
        let text = "fn c() {}\nfn d() {}\n#[cfg(test)]\nmod tests {\n    fn e() {}\n}\n";
        let tree = Tree::of(&[("a/src/b.rs", text)]);
        listed(&format!("[{}]", raw.join(",")), &tree).unwrap()
    }

    #[test]
    fn names_have_no_lines_and_those_alike_are_counted_in_the_order_of_the_text() {
        let found = mutants(&[
            raw(2, 9, "replace + with -"),
            raw(2, 30, "replace Claims<'s, S>::d -> a::B with ()"),
            raw(1, 3, "replace + with -"),
            raw(5, 3, "replace of a test"),
            raw(2, 10, "replace + with -"),
        ]);
        let names: Vec<_> = found.iter().map(|mutant| mutant.name.as_str()).collect();
        let expected = [
            "a/src/b.rs: replace + with -",
            "a/src/b.rs: replace + with - #2",
            "a/src/b.rs: replace + with - #3",
            "a/src/b.rs: replace Claims<'s, S>::d -> a::B with ()",
        ];
        assert_eq!(names, expected);
        assert_eq!(found[1].place, "a/src/b.rs:2:9: replace + with -");
    }

    #[test]
    fn later_outcomes_replace_earlier_ones_and_the_baseline_has_none() {
        let generated = mutants(&[raw(1, 1, "first"), raw(2, 1, "second")]);
        let outcome = |line, text, summary: &str| {
            let mutant = raw(line, 1, text);
            format!(r#"{{"scenario": {{"Mutant": {mutant}}}, "summary": "{summary}"}}"#)
        };
        let run = |outcomes: &[String]| {
            let baseline = r#"{"scenario": "Baseline", "summary": "Success"}"#;
            format!(r#"{{"outcomes": [{baseline}, {}]}}"#, outcomes.join(","))
        };
        let mut record = Record::new();
        let first = run(&[
            outcome(2, "second", "MissedMutant"),
            outcome(1, "first", "Timeout"),
            outcome(5, "of a test", "MissedMutant"),
        ]);
        add(&first, &generated, &mut record).unwrap();
        let second = run(&[outcome(2, "second", "CaughtMutant")]);
        add(&second, &generated, &mut record).unwrap();
        let expected = [("first", Verdict::Timeout), ("second", Verdict::Caught)];
        let expected = expected.map(|(name, verdict)| (format!("a/src/b.rs: {name}"), verdict));
        assert_eq!(record, Record::from(expected));

        let unknown = first.replace("Timeout", "Bored");
        let error = add(&unknown, &generated, &mut record).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("what became of a/src/b.rs:1:1: first"),
            "{error}"
        );
    }
}
