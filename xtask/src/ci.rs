//! Every check that a change must pass, in one run, with a table at its end.
//!
//! A failure does not stop the run: one run shows all that is wrong. After the table stand the
//! figures: how much was tried. Checks that take minutes are run for seconds; what they need beyond
//! cargo may be missing, and then they are skipped, and say so.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{
    alone, figures, instructions, loom, miri, mutants, platforms, short, size_classes, tasks, tidy,
    valgrind,
};

/// A step's name and what it runs.
type Step = (&'static str, fn(&Workspace) -> Result<String>);

/// The steps, the quick ones first.
const STEPS: &[Step] = &[
    ("format", tasks::format),
    ("tidy", tidy::run),
    ("size-classes", |workspace| {
        size_classes::run(workspace, &short::options(&["--check"])?)
    }),
    ("clippy", tasks::clippy),
    ("doc", tasks::doc),
    ("supply", short::supply),
    ("survivors", short::survivors),
    ("platforms", |workspace| {
        platforms::run(workspace, &short::options(&["--check"])?)
    }),
    ("instructions", |workspace| {
        instructions::run(workspace, &short::options(&[])?)
    }),
    ("valgrind", |workspace| {
        valgrind::run(workspace, &short::options(&["--rounds", "2"])?)
    }),
    ("miri", |workspace| {
        miri::run(workspace, &short::options(&["--quick"])?)
    }),
    ("stress", short::stress),
    ("soak", short::soak),
    ("sanitize", short::sanitize),
    ("fuzz", short::fuzz),
    ("alone", alone::run),
    ("loom", |workspace| loom::run(workspace, &[])),
    ("mutants", |workspace| {
        mutants::run(workspace, &mutants::Options::default())
    }),
];

/// How one step ended.
struct Outcome {
    name: &'static str,
    ok: bool,
    seconds: f64,
    note: String,
}

/// Runs every step and prints the table; fails if a step did.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let outcomes: Vec<Outcome> = STEPS.iter().map(|step| attempt(workspace, step)).collect();
    println!("\n{}", table(&outcomes));
    let notes: Vec<_> = outcomes
        .iter()
        .map(|step| (step.name, step.note.as_str()))
        .collect();
    println!("\n{}", figures::lines(workspace, &notes));
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|step| !step.ok)
        .map(|step| step.name)
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(format!("all {} checks", outcomes.len()))
}

/// Runs one step and times it.
fn attempt(workspace: &Workspace, (name, step): &Step) -> Outcome {
    println!("\n==== {name}");
    let start = Instant::now();
    let result = step(workspace);
    let seconds = start.elapsed().as_secs_f64();
    let (ok, note) = match result {
        Ok(note) => (true, note),
        Err(error) => (false, format!("{error:#}")),
    };
    if !ok {
        eprintln!("xtask: {name}: {note}");
    }
    Outcome {
        name,
        ok,
        seconds,
        note,
    }
}

/// One line a step: name, verdict, seconds, note.
fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("{:<12} {:<7} {:>7}  note\n", "check", "verdict", "seconds");
    for step in outcomes {
        let verdict = match step.ok {
            true if step.note.starts_with(short::SKIPPED) => "skipped",
            true => "ok",
            false => "FAILED",
        };
        text += &format!(
            "{:<12} {:<7} {:>7.1}  {}\n",
            step.name, verdict, step.seconds, step.note
        );
    }
    let seconds: f64 = outcomes.iter().map(|step| step.seconds).sum();
    text + &format!("{:<12} {:<7} {seconds:>7.1}", "together", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_tells_ok_from_failed() {
        let outcome = |name, ok, note: &str| Outcome {
            name,
            ok,
            seconds: 1.5,
            note: note.into(),
        };
        let table = table(&[
            outcome("tidy", true, "40 files"),
            outcome("loom", false, "lost"),
            outcome("fuzz", true, "skipped: g++"),
        ]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[1], "tidy         ok          1.5  40 files");
        assert_eq!(lines[2], "loom         FAILED      1.5  lost");
        assert_eq!(lines[3], "fuzz         skipped     1.5  skipped: g++");
        assert_eq!(lines[4], "together                 4.5");
    }
}
