//! Where files may be: nothing strange at the top, and nothing that no crate compiles.

use std::collections::BTreeSet;

use crate::tidy::modules::reached;
use crate::tidy::tree::Tree;
use crate::tidy::{Found, note};

/// The top level holds exactly these.
const TOP: [&str; 18] = [
    ".cargo",
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "alloc-core",
    "docs",
    "fuzz",
    "gc-mark",
    "gc-sweep",
    "runtime",
    "scavenger",
    "xtask",
];

/// The top level holds what it should and nothing else.
pub(crate) fn top_level(tree: &Tree, found: &mut Found) {
    let top = |path: &String| path.split('/').next().unwrap_or_default().to_owned();
    let present: BTreeSet<String> = tree.paths.iter().map(top).collect();
    for name in TOP.iter().filter(|name| !present.contains(**name)) {
        note(found, name, 0, "missing at the top level");
    }
    for name in present.iter().filter(|name| !TOP.contains(&name.as_str())) {
        note(found, name, 0, "does not belong at the top level");
    }
}

/// Every file of a `src` folder, and of an example's folder, is declared by some `mod`.
pub(crate) fn unreachable(tree: &Tree, found: &mut Found) {
    let reached = reached(tree);
    for (file, _) in tree.rust() {
        let compiled = file.path.contains("/src/") || file.path.contains("/examples/");
        if compiled && !reached.contains_key(&file.path) {
            note(
                found,
                &file.path,
                1,
                "no crate compiles this file: declare it with `mod`",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    #[test]
    fn what_is_missing_and_what_is_strange_is_found() {
        let mut files: Vec<(String, &str)> = TOP
            .iter()
            .skip(1)
            .map(|name| (format!("{name}/a"), ""))
            .collect();
        files.push(("scripts/a.sh".to_owned(), ""));
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), *text))
            .collect();
        assert_eq!(places(top_level, &files), [".cargo:0", "scripts:0"]);
    }

    #[test]
    fn a_lost_file_is_found() {
        let files = [
            ("a/src/lib.rs", "mod b;"),
            ("a/src/b.rs", ""),
            ("a/src/c.rs", ""),
            ("a/examples/demo/main.rs", ""),
            ("a/examples/demo/lost.rs", ""),
            ("a/tests/ui/case.rs", ""),
        ];
        assert_eq!(
            places(unreachable, &files),
            ["a/src/c.rs:1", "a/examples/demo/lost.rs:1"]
        );
    }
}
