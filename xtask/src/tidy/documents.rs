//! The documents agree with the tree: the map of the house, and the decisions.

use std::collections::BTreeMap;

use crate::tidy::tree::{SourceFile, Tree};
use crate::tidy::{Found, note};
use crate::workspace::LIBRARIES;

/// The map of the house.
const MAP: &str = "ARCHITECTURE.md";

/// The traits through which the crates meet.
const PORTS: [&str; 7] = [
    "PageSource",
    "Refill",
    "ObjectModel",
    "Roots",
    "SweepSpace",
    "PageHeap",
    "Collector",
];

/// Where decisions are recorded.
const DECISIONS: &str = "docs/adr/";

/// The map names each crate and each port, and every file that it names is there.
pub(crate) fn architecture(tree: &Tree, found: &mut Found) {
    let Some(map) = tree.file(MAP) else {
        note(found, MAP, 0, "missing: the map of the house");
        return;
    };
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let words: Vec<&str> = map.text.split(|c: char| !is_word(c)).collect();
    for name in LIBRARIES
        .iter()
        .chain(&PORTS)
        .filter(|name| !words.contains(name))
    {
        note(found, MAP, 0, format!("does not name `{name}`"));
    }
    for (line, path) in quoted_paths(&map.text) {
        let tail = format!("/{path}");
        if !tree
            .paths
            .iter()
            .any(|known| *known == path || known.ends_with(&tail))
        {
            note(found, MAP, line, format!("there is no file `{path}`"));
        }
    }
}

/// The line and text of each path to a Rust file that stands in backticks.
fn quoted_paths(text: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        let quoted = line.split('`').skip(1).step_by(2);
        let is_path = |part: &&str| part.ends_with(".rs") && !part.contains([' ', '*', '{']);
        paths.extend(
            quoted
                .filter(is_path)
                .map(|path| (index + 1, path.to_owned())),
        );
    }
    paths
}

/// Each decision is called `NNNN-title.md`, and no number is given twice.
pub(crate) fn adr_names(tree: &Tree, found: &mut Found) {
    let mut numbers = BTreeMap::new();
    for (name, file) in decisions(tree) {
        let Some(number) = number(name) else {
            note(
                found,
                &file.path,
                0,
                "name it `NNNN-title.md`, lower case with hyphens",
            );
            continue;
        };
        if let Some(other) = numbers.insert(number, name) {
            note(
                found,
                &file.path,
                0,
                format!("{number} is taken by {other}"),
            );
        }
    }
}

/// Each decision has a line that begins with `Status:` and goes on.
pub(crate) fn adr_status(tree: &Tree, found: &mut Found) {
    for (_, file) in decisions(tree) {
        let has_status = file.text.lines().any(|line| {
            let bare = line.trim_start_matches(['*', '-', '_', '#', ' ']);
            bare.strip_prefix("Status:")
                .is_some_and(|rest| rest.contains(char::is_alphabetic))
        });
        if !has_status {
            note(
                found,
                &file.path,
                1,
                "no line says `Status: proposed`, `accepted` or the like",
            );
        }
    }
}

/// The decisions by their file names; an index of them is none.
fn decisions(tree: &Tree) -> impl Iterator<Item = (&str, &SourceFile)> {
    tree.files.iter().filter_map(|file| {
        let name = file.path.strip_prefix(DECISIONS)?;
        (name != "README.md").then_some((name, file))
    })
}

/// The number of a decision whose file name is in order.
fn number(name: &str) -> Option<&str> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let is_number = number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit());
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (is_number && !title.is_empty() && title.bytes().all(allowed)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    #[test]
    fn the_map_names_crates_ports_and_real_files() {
        let whole = format!(
            "{} `{}` see `a/src/b.rs`, `b.rs`.\n",
            LIBRARIES.join(", "),
            PORTS.join("` `")
        );
        assert!(places(architecture, &[(MAP, &whole), ("a/src/b.rs", "")]).is_empty());
        assert_eq!(
            places(architecture, &[(MAP, &whole)]),
            ["ARCHITECTURE.md:1"; 2]
        );
        let partial = whole
            .replace("Refill", "refilling")
            .replace("gc-sweep", "gc-sweeper");
        let found = places(architecture, &[(MAP, &partial), ("a/src/b.rs", "")]);
        assert_eq!(found, ["ARCHITECTURE.md:0"; 2]);
        assert_eq!(places(architecture, &[]), ["ARCHITECTURE.md:0"]);
    }

    #[test]
    fn decisions_are_numbered_once() {
        let files = [
            ("docs/adr/0001-typed-spans.md", ""),
            ("docs/adr/0001-other.md", ""),
            ("docs/adr/2-short.md", ""),
            ("docs/adr/0003-Capital.md", ""),
            ("docs/adr/README.md", ""),
            ("docs/other.md", ""),
        ];
        let expected = ["0001-other.md", "2-short.md", "0003-Capital.md"];
        assert_eq!(
            places(adr_names, &files),
            expected.map(|name| format!("docs/adr/{name}:0"))
        );
    }

    #[test]
    fn decisions_have_a_status() {
        let files = [
            ("docs/adr/0001-a.md", "# A\n\n**Status:** accepted\n"),
            ("docs/adr/0002-b.md", "Status: accepted, 2025\n"),
            ("docs/adr/0003-c.md", "# C\n\nThe status is good.\n"),
            ("docs/adr/0004-d.md", "Status:\n"),
        ];
        let expected = ["docs/adr/0003-c.md:1", "docs/adr/0004-d.md:1"];
        assert_eq!(places(adr_status, &files), expected);
    }
}
