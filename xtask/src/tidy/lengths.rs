//! How long a file, a function and a line may be.
//!
//! The limits are where a reader loses sight, not where to aim: a file does best below
//! [`FILE_AIM`] lines, a function on one screen.

use crate::tidy::tokens::{self, tokens};
use crate::tidy::tree::{SourceFile, Tree};
use crate::tidy::{Found, note};

/// Lines of a Rust file, at most.
const FILE_MAX: usize = 500;

/// Lines of a Rust file to aim at.
const FILE_AIM: usize = 400;

/// Lines of a function, from `fn` to its brace, at most.
const FUNCTION_MAX: usize = 70;

/// Columns of a line, at most.
const LINE_MAX: usize = 100;

/// No Rust file is too long.
pub(crate) fn files(tree: &Tree, found: &mut Found) {
    for (file, _) in tree.rust() {
        let lines = file.text.lines().count();
        if lines > FILE_MAX {
            let advice = "split it by concept, and aim at";
            let message = format!("{lines} lines, {FILE_MAX} at most: {advice} {FILE_AIM}");
            note(found, &file.path, FILE_MAX + 1, message);
        }
    }
}

/// No function is too long.
pub(crate) fn functions(tree: &Tree, found: &mut Found) {
    for (file, rust) in tree.rust() {
        for function in tokens::functions(&tokens(&rust.layers.code)) {
            let lines = function.lines.len();
            if lines > FUNCTION_MAX {
                let advice = "keep its branches and move the leaves out";
                let message = format!(
                    "`{}` has {lines} lines, {FUNCTION_MAX} at most: {advice}",
                    function.name
                );
                note(found, &file.path, function.lines.start, message);
            }
        }
    }
}

/// No line is too long, addresses, tables and literal data excepted.
pub(crate) fn lines(tree: &Tree, found: &mut Found) {
    for file in &tree.files {
        if !["rs", "toml", "md"]
            .iter()
            .any(|extension| file.has_extension(extension))
        {
            continue;
        }
        let literals: Vec<&str> = match &file.rust {
            Some(rust) => rust.layers.literals.lines().collect(),
            None => Vec::new(),
        };
        for (index, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            let literal = literals.get(index).copied().unwrap_or_default();
            if columns > LINE_MAX && !may_be_long(file, line, literal) {
                let message = format!("{columns} columns, {LINE_MAX} at most");
                note(found, &file.path, index + 1, message);
            }
        }
    }
}

/// Whether the line is of a kind that cannot be broken.
fn may_be_long(file: &SourceFile, line: &str, literal: &str) -> bool {
    let bare = line
        .trim_start()
        .trim_start_matches(['/', '!'])
        .trim_start();
    let is_table = bare.starts_with('|');
    let is_address = line.contains("http://") || line.contains("https://");
    // A string that crosses the limit; in TOML, any line with one.
    let is_data = if file.has_extension("toml") {
        !bare.starts_with('#') && line.contains(['"', '\''])
    } else {
        literal
            .chars()
            .nth(LINE_MAX - 1)
            .is_some_and(|_| !literal.trim().is_empty())
            && literal.chars().skip(LINE_MAX - 1).any(|c| c != ' ')
    };
    is_table || is_address || is_data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    #[test]
    fn a_long_file_is_found() {
        let long = "//\n".repeat(FILE_MAX + 1);
        let found = places(
            files,
            &[("a.rs", &long), ("b.rs", &long[3..]), ("c.md", &long)],
        );
        assert_eq!(found, ["a.rs:501"]);
    }

    #[test]
    fn a_long_function_is_found() {
        let function =
            |lines: usize| format!("//! Head.\nfn a() {{\n{}}}\n", "b();\n".repeat(lines - 2));
        let (long, short) = (function(FUNCTION_MAX + 1), function(FUNCTION_MAX));
        assert_eq!(
            places(functions, &[("a.rs", &long), ("b.rs", &short)]),
            ["a.rs:2"]
        );
    }

    #[test]
    fn long_lines_are_found_and_exceptions_are_not() {
        let wide = "x".repeat(LINE_MAX + 1);
        let files = [
            ("code.rs", format!("fn {wide}() {{}}")),
            ("comment.rs", format!("// {wide}")),
            ("prose.md", wide.clone()),
            ("comment.toml", format!("# \"{wide}\"")),
            ("fits.rs", wide[1..].to_owned()),
            ("umlauts.md", "ü".repeat(LINE_MAX)),
            ("string.rs", format!("const A: &str = \"{wide}\";")),
            ("table.md", format!("| {wide} |")),
            ("table.rs", format!("//! | {wide} |")),
            ("link.md", format!("<https://{wide}>")),
            ("data.toml", format!("find = \"{wide}\"")),
            ("other.txt", wide.clone()),
        ];
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let expected = ["code.rs:1", "comment.rs:1", "prose.md:1", "comment.toml:1"];
        assert_eq!(places(lines, &files), expected);
    }
}
