//! Each Rust file opens with what it holds.

use crate::tidy::tokens::{closing, tokens};
use crate::tidy::tree::Tree;
use crate::tidy::{Found, note};

/// A `//!` comment, or a README as documentation, stands before everything but attributes.
pub(crate) fn check(tree: &Tree, found: &mut Found) {
    for (file, rust) in tree.rust() {
        let doc = file
            .text
            .lines()
            .position(|line| line.starts_with("//!") && line.len() > 4);
        let doc = doc.map_or(usize::MAX, |index| index + 1);
        let included = file
            .text
            .lines()
            .any(|line| line.starts_with("#![doc = include_str!("));
        if !included && doc > first_code(&rust.layers.code) {
            note(
                found,
                &file.path,
                1,
                "open the file with `//!`: what it holds, how, why so, where it stops",
            );
        }
    }
}

/// The line of the first token that is no part of an inner attribute.
fn first_code(code: &str) -> usize {
    let tokens = tokens(code);
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text);
    let mut at = 0;
    while text(at) == "#" && text(at + 1) == "!" && text(at + 2) == "[" {
        at = closing(&tokens, at + 2) + 1;
    }
    tokens.get(at).map_or(usize::MAX - 1, |token| token.line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    #[test]
    fn a_file_without_a_head_is_found() {
        let found = places(
            check,
            &[
                ("a/src/good.rs", "//! What it holds.\nfn a() {}\n"),
                (
                    "a/src/attribute.rs",
                    "#![cfg(test)]\n#![allow(\n  dead_code\n)]\n//! It.\nfn a() {}",
                ),
                (
                    "a/src/readme.rs",
                    "#![doc = include_str!(\"../README.md\")]\nmod a;\n",
                ),
                ("a/src/none.rs", "// A plain comment.\nfn a() {}\n"),
                ("a/src/late.rs", "use a::b;\n//! Late.\n"),
                ("a/src/hollow.rs", "//!\nfn a() {}\n"),
                ("a/src/empty.rs", ""),
            ],
        );
        let expected = ["none", "late", "hollow", "empty"].map(|name| format!("a/src/{name}.rs:1"));
        assert_eq!(found, expected);
    }
}
