//! The figures at the end of a run of all checks: how much was tried, as the steps' notes say it.

use std::process::Command;

use crate::coverage;
use crate::workspace::Workspace;

/// A figure: its name, the step whose note says it, and how it is read from there.
type Figure = (&'static str, &'static str, fn(&str) -> Option<String>);

/// Every figure that a step says; lines covered are recorded, not counted again.
const FIGURES: [Figure; 5] = [
    ("models", "loom", number),
    ("mutants killed", "mutants", |note| {
        Some(note.split_once(" mutants")?.0.to_owned())
    }),
    ("fuzz executions", "fuzz", number),
    ("stress operations", "stress", number),
    ("faults injected", "soak", faults),
];

/// What the soak calls the faults that it injects.
const FAULTS: [&str; 3] = ["commits_refused", "releases_refused", "handshakes_delayed"];

/// One line a figure, of the notes by step; a dash for what was not run.
pub(crate) fn lines(workspace: &Workspace, notes: &[(&str, &str)]) -> String {
    let mut text = format!("figures of {}\n", commit(workspace));
    for (name, step, read) in FIGURES {
        let note = notes.iter().find(|(own, _)| *own == step);
        let value = note.and_then(|(_, note)| read(note));
        text += &line(name, value.as_deref().unwrap_or("–"));
    }
    let recorded = coverage::recorded(workspace);
    let recorded = recorded.map(|lines| format!("{lines}, as docs/coverage.md records"));
    text + &line("lines covered", recorded.as_deref().unwrap_or("–"))
}

fn line(name: &str, value: &str) -> String {
    format!("{name:<18} {value}\n")
}

/// The number that a note begins with.
fn number(note: &str) -> Option<String> {
    let (number, _) = note.split_once(' ')?;
    let number: u64 = number.parse().ok()?;
    Some(number.to_string())
}

/// The sum of the soak's faults; each must be there.
fn faults(note: &str) -> Option<String> {
    let value = |name: &str| -> Option<u64> {
        let mut words = note.split_whitespace();
        let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
        value.parse().ok()
    };
    let sum = FAULTS
        .iter()
        .try_fold(0, |sum, name| Some(sum + value(name)?))?;
    Some(sum.to_string())
}

/// What was measured: the commit, and whether files differ from it.
fn commit(workspace: &Workspace) -> String {
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        let output = git.current_dir(&workspace.root).args(words).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["show", "--no-patch", "--format=%h of %cs"]);
    match (commit, git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit}, changed"),
        (None, _) => "no commit".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_notes() {
        let notes = [
            ("loom", "107 models in 70 s"),
            ("mutants", "675 of 676 mutants killed"),
            ("fuzz", "18593 programs on malloc and pages"),
            ("stress", "skipped: nothing"),
            (
                "soak",
                "messages=4 commits_refused=3 releases_refused=4 handshakes_delayed=50",
            ),
        ];
        let text = lines(&Workspace::find().unwrap(), &notes);
        let values: Vec<_> = text.lines().skip(1).map(|line| line[19..].trim()).collect();
        assert_eq!(values[..5], ["107", "675 of 676", "18593", "–", "57"]);
    }

    #[test]
    fn a_fault_that_is_not_said_is_no_figure() {
        assert_eq!(faults("commits_refused=3 handshakes_delayed=1"), None);
        assert_eq!(number("models"), None);
    }
}
