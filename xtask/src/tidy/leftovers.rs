//! What does not belong in a finished text: notes to oneself, and paths of one's own machine.

use crate::tidy::tokens::tokens;
use crate::tidy::tree::Tree;
use crate::tidy::{Found, note};

/// Macros that mark unfinished code.
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Words that mark unfinished work.
const WORDS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Where people's files are; in two parts, so that this file does not hold what it forbids.
const FOLDERS: [(&str, &str); 4] = [
    ("/", "home/"),
    ("/", "root/"),
    ("/", "work/"),
    ("/", "Users/"),
];

/// No macro and no word is left that says that work is left.
pub(crate) fn words(tree: &Tree, found: &mut Found) {
    for (file, rust) in tree.rust() {
        for pair in tokens(&rust.layers.code).windows(2) {
            if MACROS.contains(&pair[0].text) && pair[1].text == "!" {
                note(
                    found,
                    &file.path,
                    pair[0].line,
                    format!("`{}!` is left", pair[0].text),
                );
            }
        }
        find_words(&file.path, &rust.layers.comments, found);
    }
    for file in tree
        .files
        .iter()
        .filter(|file| file.has_extension("md") || file.has_extension("toml"))
    {
        find_words(&file.path, &file.text, found);
    }
}

/// Finds the words, unless in backticks: there they are spoken of, not meant.
fn find_words(path: &str, text: &str, found: &mut Found) {
    for (index, line) in text.lines().enumerate() {
        let outside = line.split('`').step_by(2);
        let words = outside.flat_map(|part| part.split(|c: char| !c.is_alphanumeric()));
        for word in words.filter(|word| WORDS.contains(word)) {
            let message = format!("{word} is left: do it, drop it, or file it");
            note(found, path, index + 1, message);
        }
    }
}

/// No text names a folder of somebody's machine.
pub(crate) fn machine_paths(tree: &Tree, found: &mut Found) {
    for file in &tree.files {
        for (index, line) in file.text.lines().enumerate() {
            for (slash, name) in FOLDERS {
                let folder = format!("{slash}{name}");
                if line
                    .match_indices(&folder)
                    .any(|(at, _)| is_absolute(&line[..at]))
                {
                    let message = format!("a path of one machine: {folder}…");
                    note(found, &file.path, index + 1, message);
                }
            }
        }
    }
}

/// Whether a slash after `before` begins a path, and does not go on in one.
fn is_absolute(before: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '}' | '*');
    !before.ends_with(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    #[test]
    fn leftovers_are_found() {
        let left = WORDS[0];
        let comment = format!("// {left}: later\n");
        let prose = format!("one\n{left} two\n");
        let files = [
            ("macro.rs", "fn a() {\n    todo!()\n}"),
            ("comment.rs", comment.as_str()),
            ("prose.md", prose.as_str()),
        ];
        assert_eq!(
            places(words, &files),
            ["macro.rs:2", "comment.rs:1", "prose.md:2"]
        );
    }

    #[test]
    fn words_spoken_of_pass() {
        let quoted = format!("No `{}` on main.\n", WORDS[1]);
        let files = [
            ("a.md", quoted.as_str()),
            ("b.rs", "// todo!() is unwelcome\nfn dbg() {}"),
        ];
        assert!(places(words, &files).is_empty());
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        let (slash, name) = FOLDERS[0];
        let absolute = format!("ok\nsee {slash}{name}me/x and (`{slash}{name}`)\n");
        let relative = format!("https://example.org{slash}{name} target{slash}{name}\n");
        let files = [("a.md", absolute.as_str()), ("b.md", relative.as_str())];
        assert_eq!(places(machine_paths, &files), ["a.md:2"]);
    }
}
