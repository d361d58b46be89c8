//! Reasons for lines that no test runs, and the page that lists both.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::coverage::lines::Lines;
use crate::coverage::{PAGE, REASONS};
use crate::tidy::tokens::{functions, tokens};
use crate::tidy::tree::Tree;
use crate::workspace::{LIBRARIES, Workspace};

/// Lines that are not run for one reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    name: String,
    why: String,
    /// `FILE`, or `FILE FUNCTION`, which goes before.
    places: Vec<String>,
}

/// The file of reasons.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasons {
    #[serde(default)]
    group: Vec<Group>,
}

/// A function's lines that are not run.
pub(super) struct Missed<'a> {
    path: &'a str,
    function: &'a str,
    lines: &'a [usize],
}

/// What is not run: by group, and what is in none.
pub(super) struct Sorted<'a> {
    by_group: Vec<Vec<Missed<'a>>>,
    unexplained: Vec<Missed<'a>>,
}

impl Missed<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.path, self.function)
    }

    /// The lines' numbers, those in a row as a range.
    fn numbers(&self) -> String {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for &line in self.lines {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == line => *last = line,
                _ => ranges.push((line, line)),
            }
        }
        let shown = ranges.iter().map(|&(first, last)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}–{last}"),
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// Reads the groups.
pub(super) fn read_groups(text: &str) -> Result<Vec<Group>> {
    let reasons: Reasons = toml::from_str(text)?;
    Ok(reasons.group)
}

/// Puts each function's lines into the group that names it or, if none does, its file.
pub(super) fn sort<'a>(files: &'a [Lines], groups: &[Group]) -> Sorted<'a> {
    let mut sorted = Sorted {
        by_group: groups.iter().map(|_| Vec::new()).collect(),
        unexplained: Vec::new(),
    };
    let naming = |place: &str| {
        let has = |group: &Group| group.places.iter().any(|known| known == place);
        groups.iter().position(has)
    };
    for file in files {
        for (function, lines) in &file.missed {
            let missed = Missed {
                path: &file.path,
                function,
                lines,
            };
            match naming(&missed.name()).or_else(|| naming(&file.path)) {
                Some(group) => sorted.by_group[group].push(missed),
                None => sorted.unexplained.push(missed),
            }
        }
    }
    sorted
}

/// Fails where a line is not explained, or a reason is for a place that is gone or named twice.
pub(super) fn judge(tree: &Tree, groups: &[Group], sorted: &Sorted<'_>) -> Result<()> {
    let mut wrong: Vec<String> = sorted
        .unexplained
        .iter()
        .map(|missed| format!("no test runs {}: {}", missed.name(), missed.numbers()))
        .collect();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for group in groups {
        for place in &group.places {
            if !exists(tree, place) {
                wrong.push(format!("`{}` names what is gone: {place}", group.name));
            }
            if let Some(other) = seen.insert(place, &group.name) {
                wrong.push(format!("`{other}` and `{}` both name {place}", group.name));
            }
        }
    }
    ensure!(
        wrong.is_empty(),
        "{}\n(write a test, or a reason in {REASONS})",
        wrong.join("\n")
    );
    Ok(())
}

/// Whether a place's file is there, and its function in it.
fn exists(tree: &Tree, place: &str) -> bool {
    let (path, function) = place.split_once(' ').unwrap_or((place, ""));
    let mut library = tree.library();
    let Some((_, rust)) = library.find(|(file, _)| file.path == path) else {
        return false;
    };
    let functions = functions(&tokens(&rust.layers.code));
    function.is_empty() || functions.iter().any(|known| known.name == function)
}

/// One line a crate.
pub(super) fn crates(files: &[Lines]) -> String {
    let mut text = "| crate | lines with code | run | share |\n|---|---|---|---|\n".to_owned();
    for package in LIBRARIES {
        let own = files.iter().filter(|file| file.package() == package);
        let (total, run) = sums(own);
        text += &format!("| {package} | {total} | {run} | {} |\n", share(run, total));
    }
    text
}

fn sums<'a>(files: impl Iterator<Item = &'a Lines>) -> (usize, usize) {
    files.fold((0, 0), |(total, run), file| {
        (total + file.total, run + file.run())
    })
}

fn share(run: usize, total: usize) -> String {
    format!("{:.1} %", 100.0 * run as f64 / total.max(1) as f64)
}

/// All crates together, as the page says it and [`recorded`] reads it.
pub(super) fn total(files: &[Lines]) -> String {
    let (total, run) = sums(files.iter());
    format!("{run} of {total} lines ({})", share(run, total))
}

/// The figure that the page records.
pub(crate) fn recorded(workspace: &Workspace) -> Option<String> {
    let page = fs::read_to_string(workspace.root.join(PAGE)).ok()?;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("Together: "))?;
    Some(line.trim_end_matches('.').to_owned())
}

/// The page of the documentation.
pub(super) fn page(files: &[Lines], groups: &[Group], sorted: &Sorted<'_>) -> String {
    let mut text = format!(
        "# Coverage\n\n\
         The lines of the libraries that their tests run, and those that they do not, with the \
         reason.\nWritten by `cargo xtask coverage --write`; the reasons are in \
         `{REASONS}`. Models are\nanother build and do not count; nor do processes that abort, nor \
         children of a fork, which write\nno profile. What threads meet by chance differs by some \
         lines from run to run.\n\n{}\nTogether: {}.\n",
        crates(files),
        total(files)
    );
    for (group, missed) in groups.iter().zip(&sorted.by_group) {
        if missed.is_empty() {
            continue;
        }
        let count: usize = missed.iter().map(|missed| missed.lines.len()).sum();
        text += &format!("\n## {}: {count} lines\n\n", group.name);
        text += &wrapped(&group.why);
        text += "\n| file | function | lines |\n|---|---|---|\n";
        for missed in missed {
            let function = match missed.function {
                "" => String::new(),
                name => format!("`{name}`"),
            };
            let Missed { path, .. } = missed;
            text += &format!("| `{path}` | {function} | {} |\n", missed.numbers());
        }
    }
    text
}

/// Prose in lines of at most a hundred columns.
fn wrapped(prose: &str) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for word in prose.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > 100 {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += length;
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: &str = "[[group]]\nname = 'aborts'\nwhy = 'no profile'\n\
        places = ['runtime/src/a.rs b', 'runtime/src/c.rs']\n";

    fn file(path: &str, missed: &[(&str, &[usize])]) -> Lines {
        let own = |&(name, lines): &(&str, &[usize])| (name.to_owned(), lines.to_vec());
        Lines {
            path: path.to_owned(),
            total: 10,
            missed: missed.iter().map(own).collect(),
        }
    }

    fn tree() -> Tree {
        Tree::of(&[
            ("runtime/src/a.rs", "fn b() {}\nfn d() {}\n"),
            ("runtime/src/c.rs", "fn e() {}\n"),
        ])
    }

    #[test]
    fn what_is_explained_passes_and_is_listed() {
        let groups = read_groups(REASON).unwrap();
        let files = [
            file("runtime/src/a.rs", &[("b", &[3, 4, 5, 9])]),
            file("runtime/src/c.rs", &[("e", &[1])]),
        ];
        let sorted = sort(&files, &groups);
        judge(&tree(), &groups, &sorted).unwrap();
        let page = page(&files, &groups, &sorted);
        assert!(
            page.contains("Together: 15 of 20 lines (75.0 %).\n"),
            "{page}"
        );
        assert!(
            page.contains("## aborts: 5 lines\n\nno profile\n"),
            "{page}"
        );
        assert!(
            page.contains("| `runtime/src/a.rs` | `b` | 3–5, 9 |"),
            "{page}"
        );
        assert!(page.contains("| runtime | 20 | 15 | 75.0 % |"), "{page}");
    }

    #[test]
    fn what_is_not_explained_fails_and_so_do_stale_reasons() {
        let error = |files: &[Lines], reasons: &str| {
            let groups = read_groups(reasons).unwrap();
            let sorted = sort(files, &groups);
            let judged = judge(&tree(), &groups, &sorted);
            judged.map_err(|error| error.to_string())
        };
        let files = [file("runtime/src/a.rs", &[("d", &[7])])];
        let said = error(&files, REASON).unwrap_err();
        assert!(
            said.contains("no test runs runtime/src/a.rs d: 7"),
            "{said}"
        );
        for (from, to, says) in [
            ("a.rs b", "a.rs gone", "`aborts` names what is gone"),
            ("c.rs", "gone.rs", "`aborts` names what is gone"),
            ("src/c.rs", "src/a.rs b", "both name runtime/src/a.rs b"),
        ] {
            let said = error(&[], &REASON.replace(from, to)).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
        error(&[], REASON).unwrap();
    }

    #[test]
    fn prose_is_wrapped() {
        let text = wrapped(&"word ".repeat(30));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }
}
