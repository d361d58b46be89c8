//! Each memory ordering has its reason beside it.
//!
//! To satisfy the rule, begin a comment with the ordering, then its partner and why: `// Release:
//! pairs with the Acquire in `drain`; …`. It stands on the ordering's line, or at most
//! [`REACH`] lines above within the same function, or in the comment over that function. A
//! comment that says `Orderings` speaks for all below it.

use std::collections::BTreeSet;

use crate::tidy::tokens::{Token, paths, tokens};
use crate::tidy::tree::{Rust, Tree};
use crate::tidy::{Found, note};

/// The orderings there are.
const ORDERINGS: [&str; 5] = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];

/// How many lines above an ordering its comment may stand.
const REACH: usize = 12;

/// Every ordering in library code is explained.
pub(crate) fn check(tree: &Tree, found: &mut Found) {
    for (file, rust) in tree.library() {
        let comments: Vec<&str> = rust.layers.comments.lines().collect();
        let code: Vec<&str> = rust.layers.code.lines().collect();
        for (line, ordering) in uses(rust) {
            if !rust.is_test(line) && !is_explained(&code, &comments, line, ordering) {
                note(
                    found,
                    &file.path,
                    line,
                    format!(
                        "`{ordering}` without its reason: on this line or at most {REACH} lines \
                         above in this function, comment `{ordering}: pairs with …; why` (a \
                         comment that says `Orderings` covers several)"
                    ),
                );
            }
        }
    }
}

/// The line and name of each ordering in code, imports left out, once a line.
fn uses(rust: &Rust) -> BTreeSet<(usize, &str)> {
    let tokens = tokens(&rust.layers.code);
    let bare = imported(&tokens);
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text);
    let mut uses = BTreeSet::new();
    let mut in_use = false;
    for (index, token) in tokens.iter().enumerate() {
        match token.text {
            "use" if text(index + 1) != "<" => in_use = true,
            ";" => in_use = false,
            name if !in_use && ORDERINGS.contains(&name) => {
                let before = if index == 0 { "" } else { text(index - 1) };
                // A bare name is an ordering only where it is imported as one.
                let qualified = before == "::" && index > 1 && text(index - 2) == "Ordering";
                if qualified || (before != "::" && bare.contains(name)) {
                    uses.insert((token.line, name));
                }
            }
            _ => {}
        }
    }
    uses
}

/// The orderings that a `use` brings in by their bare names.
fn imported<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str>
where
    'static: 'a,
{
    let mut names = BTreeSet::new();
    for named in paths(tokens).iter().filter(|named| named.in_use) {
        if let [.., parent, name] = named.path.as_slice()
            && parent == "Ordering"
        {
            names.extend(
                ORDERINGS
                    .iter()
                    .filter(|known| name == "*" || name == *known),
            );
        }
    }
    names
}

/// Whether a comment on line `line`, or near enough above it, names the ordering.
fn is_explained(code: &[&str], comments: &[&str], line: usize, ordering: &str) -> bool {
    let says = |index: usize| {
        let words = comments[index].split(|c: char| !c.is_alphanumeric());
        words
            .into_iter()
            .any(|w| w == ordering || w.eq_ignore_ascii_case("orderings"))
    };
    let is_head = |index: usize| code[index].split_whitespace().any(|word| word == "fn");
    let is_bare = |index: usize| {
        let code = code[index].trim();
        code.is_empty() && !comments[index].trim().is_empty() || code.starts_with("#[")
    };
    let last = line - 1;
    // Once above the function's head, only the comment directly over it counts.
    let mut above_head = false;
    for index in (last.saturating_sub(REACH)..=last).rev() {
        if above_head && !is_bare(index) {
            return false;
        }
        if says(index) {
            return true;
        }
        above_head |= is_head(index);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    fn lines(text: &str) -> Vec<String> {
        places(check, &[("gc-sweep/src/a.rs", text)])
            .into_iter()
            .map(|place| place.replace("gc-sweep/src/a.rs:", ""))
            .collect()
    }

    #[test]
    fn unexplained_orderings_are_found() {
        assert_eq!(lines("fn a() {\n    x.load(Ordering::Acquire);\n}"), ["2"]);
        assert_eq!(
            lines("use crate::sync::Ordering::*;\nfn a() { x.load(Relaxed); }"),
            ["2"]
        );
        // Another ordering's comment does not do.
        assert_eq!(
            lines("fn a() {\n// Release: b.\nx.load(Ordering::Acquire);\n}"),
            ["3"]
        );
        // Nor does one in the function before.
        let before =
            "fn a() {\n    // Acquire: b.\n    c();\n}\nfn d() { x.load(Ordering::Acquire); }";
        assert_eq!(lines(before), ["5"]);
        let far = format!(
            "fn a() {{\n// Acquire: b.\n{}x.load(Ordering::Acquire);\n}}",
            "c();\n".repeat(12)
        );
        assert_eq!(lines(&far), ["15"]);
    }

    #[test]
    fn explained_orderings_pass() {
        for code in [
            "fn a() {\n    x.load(Ordering::Acquire); // Acquire: pairs with b.\n}",
            "fn a() {\n// Acquire: b,\n// and more.\nlet c = x\n.load(Ordering::Acquire);\n}",
            "// Orderings: b.\n#[inline]\nfn a() { x.cas(Ordering::AcqRel, Ordering::Relaxed) }",
            "/// Adds; Relaxed: a count.\nfn a() { x.load(Ordering::Relaxed) }",
        ] {
            assert!(lines(code).is_empty(), "{code}");
        }
    }

    #[test]
    fn other_things_of_that_name_pass() {
        for code in [
            "enum Step { Release, Acquire }\nfn a() -> Step { Step::Release }",
            "use crate::sync::Ordering::{Acquire, Release};",
            "#[cfg(test)]\nmod tests { fn a() { x.load(Ordering::SeqCst) } }",
        ] {
            assert!(lines(code).is_empty(), "{code}");
        }
    }
}
