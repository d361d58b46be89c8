//! Reasons for mutants that no test notices, and the page that lists them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::survivors::REASONS;
use crate::survivors::mutant::{Mutant, Verdict};

/// A mutant that was tried.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) mutant: Mutant,
    pub(super) verdict: Verdict,
}

/// Why no test notices a mutant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// Its name: see [`Mutant`].
    pub(super) mutant: String,
    why: String,
}

/// The file of reasons.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasons {
    #[serde(default)]
    survivor: Vec<Reason>,
}

impl Reason {
    /// Whether its mutant is one of that crate.
    pub(super) fn is_of(&self, package: &str) -> bool {
        is_of(&self.mutant, package)
    }
}

fn is_of(mutant: &str, package: &str) -> bool {
    let rest = mutant.strip_prefix(package);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Reads the reasons: each mutant has one.
pub(super) fn read(text: &str) -> Result<Vec<Reason>> {
    let reasons: Reasons = toml::from_str(text)?;
    let mut names = BTreeSet::new();
    for Reason { mutant, why, .. } in &reasons.survivor {
        ensure!(names.insert(mutant), "{mutant} has two reasons");
        ensure!(!why.trim().is_empty(), "{mutant} has an empty reason");
    }
    Ok(reasons.survivor)
}

/// Fails where a reason is for what is no mutant (any more).
pub(super) fn check<'a>(
    generated: impl Iterator<Item = &'a Mutant>,
    reasons: &[Reason],
) -> Result<()> {
    let names: BTreeSet<&str> = generated.map(|m| m.name.as_str()).collect();
    let gone = reasons.iter().map(|reason| reason.mutant.as_str());
    let gone: Vec<&str> = gone.filter(|name| !names.contains(name)).collect();
    ensure!(
        gone.is_empty(),
        "explained, and no mutant: {}\n({REASONS} has the reasons)",
        gone.join("\nexplained, and no mutant: ")
    );
    Ok(())
}

/// Fails where a mutant survives unexplained, or is noticed and has a reason.
pub(super) fn judge(tried: &[Tried], reasons: &[Reason]) -> Result<()> {
    let reasons: BTreeSet<&str> = reasons.iter().map(|r| r.mutant.as_str()).collect();
    let mut wrong = Vec::new();
    for Tried { mutant, verdict } in tried {
        let Mutant { name, place } = mutant;
        match (verdict, reasons.contains(name.as_str())) {
            (Verdict::Missed, false) => wrong.push(format!("survives: {place}")),
            (Verdict::Caught | Verdict::Timeout | Verdict::Unviable, true) => {
                wrong.push(format!("explained, and does not survive: {name}"));
            }
            _ => {}
        }
    }
    ensure!(
        wrong.is_empty(),
        "{}\n(write a test, or a reason in {REASONS})",
        wrong.join("\n")
    );
    Ok(())
}

/// How many there are of a verdict.
fn count<'a>(tried: impl Iterator<Item = &'a Tried>, verdict: Verdict) -> usize {
    tried.filter(|tried| tried.verdict == verdict).count()
}

/// All crates together.
pub(super) fn total(tried: &[Tried]) -> String {
    let count = |verdict| count(tried.iter(), verdict);
    let (unviable, missed) = (count(Verdict::Unviable), count(Verdict::Missed));
    let compiled = tried.len() - unviable;
    let noticed = compiled - missed;
    format!("{noticed} of {compiled} generated mutants are noticed, the rest explained")
}

/// The page of the documentation.
pub(super) fn page(crates: &[&str], tried: &[Tried], reasons: &[Reason]) -> String {
    let whys = reasons.iter().map(|r| (r.mutant.as_str(), r.why.as_str()));
    let whys: BTreeMap<&str, &str> = whys.collect();
    let mut text = format!(
        "# Survivors\n\n\
         What cargo-mutants makes of the algorithm crates, one operator, condition or result at \
         a time,\nand what unit and integration tests make of that:\n{}.\n\
         Written by `cargo xtask survivors --write`; the reasons are in `{REASONS}`, and what\n\
         is not generated in `.cargo/mutants.toml`. A test that does not end has noticed.\n\n\
         | crate | generated | caught | hang | do not compile | survive |\n\
         |---|---|---|---|---|---|\n",
        total(tried)
    );
    for package in crates {
        let own = || {
            tried
                .iter()
                .filter(|tried| is_of(&tried.mutant.name, package))
        };
        let count = |verdict| count(own(), verdict);
        text += &format!(
            "| {package} | {} | {} | {} | {} | {} |\n",
            own().count(),
            count(Verdict::Caught),
            count(Verdict::Timeout),
            count(Verdict::Unviable),
            count(Verdict::Missed),
        );
    }
    text += "\n| survivor | why |\n|---|---|\n";
    for tried in tried.iter().filter(|t| t.verdict == Verdict::Missed) {
        let name = &tried.mutant.name;
        let why = whys.get(name.as_str()).unwrap_or(&"**none**");
        text += &format!("| `{}` | {why} |\n", name.replace('|', "\\|"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &str, verdict: Verdict) -> Tried {
        let place = name.replace("rs:", "rs:7:1:");
        let name = name.to_owned();
        let mutant = Mutant { name, place };
        Tried { mutant, verdict }
    }

    fn reasons(names: &[&str]) -> Vec<Reason> {
        let text = |name| format!("[[survivor]]\nmutant = '{name}'\nwhy = 'slower'\n");
        read(&names.iter().map(text).collect::<String>()).unwrap()
    }

    #[test]
    fn a_survivor_has_a_reason_and_nobody_else_has_one() {
        let all = [
            tried("a/b.rs: one", Verdict::Missed),
            tried("a/b.rs: two", Verdict::Caught),
            tried("a/b.rs: three", Verdict::Timeout),
            tried("a/b.rs: four", Verdict::Unviable),
        ];
        judge(&all, &reasons(&["a/b.rs: one"])).unwrap();
        let error = |names: &[&str]| judge(&all, &reasons(names)).unwrap_err().to_string();
        assert!(error(&[]).contains("survives: a/b.rs:7:1: one"));
        for other in ["a/b.rs: two", "a/b.rs: three", "a/b.rs: four"] {
            let said = error(&["a/b.rs: one", other]);
            let says = format!("explained, and does not survive: {other}");
            assert!(said.contains(&says), "{said}");
        }
    }

    #[test]
    fn a_reason_is_for_a_mutant_and_is_the_only_one() {
        let generated = [tried("a/b.rs: one", Verdict::Missed).mutant];
        check(generated.iter(), &reasons(&["a/b.rs: one"])).unwrap();
        let error = check(generated.iter(), &reasons(&["a/b.rs: gone"]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("and no mutant: a/b.rs: gone"), "{error}");
        let one = "[[survivor]]\nmutant = 'a'\nwhy = 'b'\n";
        let error = read(&one.repeat(2)).unwrap_err().to_string();
        assert!(error.contains("a has two reasons"), "{error}");
        read(&one.replace("'b'", "' '")).unwrap_err();
        read(&one.replace("why", "because")).unwrap_err();
    }

    #[test]
    fn the_page_counts_by_crate_and_lists_survivors() {
        let all = [
            tried("a/b.rs: replace | with & in c", Verdict::Missed),
            tried("a-b/c.rs: two", Verdict::Caught),
            tried("a-b/c.rs: three", Verdict::Unviable),
        ];
        let reasons = reasons(&["a/b.rs: replace | with & in c"]);
        let page = page(&["a", "a-b"], &all, &reasons);
        for line in [
            "1 of 2 generated mutants are noticed, the rest explained.",
            "| a | 1 | 0 | 0 | 0 | 1 |",
            "| a-b | 2 | 1 | 0 | 1 | 0 |",
            "| `a/b.rs: replace \\| with & in c` | slower |",
        ] {
            assert!(page.lines().any(|own| own == line), "{line} in {page}");
        }
    }
}
