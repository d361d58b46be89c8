//! Which file declares which: the tree of `mod` items from each crate root.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::tokens::{Token, closing, is_test_cfg, tokens};
use crate::tidy::tree::Tree;

/// Folders of a package whose files are crate roots each, or folders with a `main.rs`.
const ROOT_FOLDERS: [&str; 4] = ["src/bin", "tests", "benches", "examples"];

/// A `mod name;`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Declared {
    /// The inline modules around it, then its name.
    path: Vec<String>,
    /// The file that a `#[path]` names.
    file: Option<String>,
    /// Whether it, or a module around it, stands under `#[cfg(test)]`.
    test: bool,
}

/// The files that are compiled for tests only, by their declaration.
pub(crate) fn test_files(tree: &Tree) -> BTreeSet<String> {
    let reached = reached(tree);
    reached
        .into_iter()
        .filter(|(_, test)| *test)
        .map(|(path, _)| path)
        .collect()
}

/// Every Rust file that some crate root reaches, and whether only under `#[cfg(test)]`.
pub(crate) fn reached(tree: &Tree) -> BTreeMap<String, bool> {
    let mut reached = BTreeMap::new();
    for (file, _) in tree.rust() {
        if is_root(&file.path) {
            visit(tree, &file.path, true, false, &mut reached);
        }
    }
    reached
}

/// Whether cargo takes the file for a crate of its own.
fn is_root(path: &str) -> bool {
    if path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path.ends_with("build.rs") {
        return true;
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = if name == "main.rs" {
        folder.rsplit_once('/').map_or("", |s| s.0)
    } else {
        folder
    };
    ROOT_FOLDERS.iter().any(|root| {
        // `src/b/tests/c.rs` is a module of `src/b/tests.rs`.
        let package = folder.strip_suffix(root);
        package.is_some_and(|p| p.is_empty() || p.ends_with('/') && !p.contains("src/"))
    })
}

/// Notes the file and what its `mod` items reach.
fn visit(tree: &Tree, path: &str, root: bool, test: bool, reached: &mut BTreeMap<String, bool>) {
    // A file may be reached twice; it is a test file only if every way says so.
    if reached.get(path).is_some_and(|&known| !known || test) {
        return;
    }
    reached.insert(path.to_owned(), test);
    let Some(file) = tree.file(path) else { return };
    let Some(rust) = &file.rust else { return };
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.trim_end_matches(".rs");
    let home = if root || name == "mod.rs" {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    for declared in declarations(&rust.layers.code, &file.text) {
        let test = test || declared.test;
        let candidates = match &declared.file {
            Some(file) => vec![format!("{folder}/{file}")],
            None => {
                let base = format!("{home}/{}", declared.path.join("/"));
                vec![format!("{base}.rs"), format!("{base}/mod.rs")]
            }
        };
        for candidate in candidates {
            if tree.file(&candidate).is_some() {
                visit(tree, &candidate, false, test, reached);
            }
        }
    }
}

/// The `mod name;` items of a file.
fn declarations(code: &str, text: &str) -> Vec<Declared> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    scan(&tokens, 0..tokens.len(), (&[], false), text, &mut found);
    found
}

/// Finds declarations among the tokens in `range`, inside the inline modules `around`.
fn scan(
    tokens: &[Token<'_>],
    range: std::ops::Range<usize>,
    around: (&[String], bool),
    text: &str,
    found: &mut Vec<Declared>,
) {
    let (outer, outer_test) = around;
    let (mut test, mut file) = (outer_test, None);
    let mut at = range.start;
    while at < range.end {
        match tokens[at].text {
            "#" if tokens.get(at + 1).is_some_and(|next| next.text == "[") => {
                let close = closing(tokens, at + 1);
                test |= is_test_cfg(&tokens[at + 1..close]);
                if tokens[at + 2].text == "path" {
                    file = literal(&text[tokens[at].at..tokens[close].at]);
                }
                at = close;
            }
            "mod"
                if tokens
                    .get(at + 2)
                    .is_some_and(|next| matches!(next.text, ";" | "{")) =>
            {
                let mut path = outer.to_vec();
                path.push(tokens[at + 1].text.to_owned());
                at += 2;
                if tokens[at].text == "{" {
                    let close = closing(tokens, at);
                    scan(tokens, at + 1..close, (&path, test), text, found);
                    at = close;
                } else {
                    found.push(Declared {
                        path,
                        file: file.take(),
                        test,
                    });
                }
                (test, file) = (outer_test, None);
            }
            ";" | "}" => (test, file) = (outer_test, None),
            _ => {}
        }
        at += 1;
    }
}

/// What stands between the first two double quotes.
fn literal(text: &str) -> Option<String> {
    text.split('"').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_what_cargo_takes_for_crates() {
        for path in [
            "a/src/lib.rs",
            "a/src/main.rs",
            "a/src/bin/b.rs",
            "a/tests/loom.rs",
            "a/examples/demo/main.rs",
            "a/benches/b.rs",
        ] {
            assert!(is_root(path), "{path}");
        }
        for path in [
            "a/src/b.rs",
            "a/examples/demo/view.rs",
            "a/tests/ui/b.rs",
            "a/src/mytests/b.rs",
            "a/src/b/tests/c.rs",
        ] {
            assert!(!is_root(path), "{path}");
        }
    }

    #[test]
    fn declarations_with_their_surroundings() {
        let code = "mod a;\nmod b { #[cfg(test)] mod c; mod d; }\n#[cfg(test)]\nfn x() {}\nmod e;\n\
            #[path = \"other.rs\"]\nmod f;\n";
        let layers = crate::tidy::lexer::Layers::of(code);
        let found: Vec<_> = declarations(&layers.code, code)
            .into_iter()
            .map(|declared| (declared.path.join("::"), declared.file, declared.test))
            .collect();
        let plain = |path: &str, test| (path.to_owned(), None, test);
        assert_eq!(
            found,
            [
                plain("a", false),
                plain("b::c", true),
                plain("b::d", false),
                plain("e", false),
                ("f".to_owned(), Some("other.rs".to_owned()), false)
            ]
        );
    }

    #[test]
    fn files_are_reached_through_files() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "mod b; mod c;"),
            ("a/src/b.rs", "#[cfg(test)] mod tests; mod d;"),
            ("a/src/b/tests.rs", "mod deeper;"),
            ("a/src/b/tests/deeper.rs", ""),
            ("a/src/b/d.rs", ""),
            ("a/src/c/mod.rs", "mod e;"),
            ("a/src/c/e.rs", ""),
            ("a/src/lost.rs", ""),
        ]);
        let reached = reached(&tree);
        assert_eq!(reached.len(), 7);
        assert!(!reached.contains_key("a/src/lost.rs"));
        let tests: Vec<_> = test_files(&tree).into_iter().collect();
        assert_eq!(tests, ["a/src/b/tests.rs", "a/src/b/tests/deeper.rs"]);
    }
}
