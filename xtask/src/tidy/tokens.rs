//! The words of a file's code, and what a rule asks of them: functions, paths, test regions.

use std::ops::Range;

/// A name, a number, `::`, or one other character, and the line it stands on, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
    /// Its first byte's place in the file.
    pub(crate) at: usize,
}

/// A path as code names it, `use` trees unfolded: `std::sync::Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether a `use` names it.
    pub(crate) in_use: bool,
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// From the line of `fn` to the line of its closing brace, which is included.
    pub(crate) lines: Range<usize>,
    /// Its tokens from `fn` to in front of its body.
    pub(crate) head: Range<usize>,
    /// The bytes of its body, with the braces.
    pub(crate) body: Range<usize>,
}

impl Token<'_> {
    /// Whether it is a name or a keyword.
    pub(crate) fn is_name(&self) -> bool {
        self.text
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Splits code into tokens.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = if in_word(first) {
            rest.find(|c| !in_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if first == '\n' {
            line += 1;
        } else if !first.is_whitespace() {
            tokens.push(Token {
                text: &rest[..length],
                line,
                at,
            });
        }
        at += length;
    }
    tokens
}

/// The index of the bracket that closes the one at `open`; the last index if none does.
pub(crate) fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index;
                }
            }
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

/// Every function that has a body.
pub(crate) fn functions(tokens: &[Token<'_>]) -> Vec<Function> {
    let mut functions = Vec::new();
    for (index, pair) in tokens.windows(2).enumerate() {
        // A name must follow: `fn(u8)` is a type.
        if pair[0].text != "fn" || !pair[1].is_name() {
            continue;
        }
        let mut at = index + 2;
        while at < tokens.len() {
            match tokens[at].text {
                "(" | "[" => at = closing(tokens, at),
                ";" => break,
                "{" => {
                    let end = tokens[closing(tokens, at)];
                    functions.push(Function {
                        name: pair[1].text.to_owned(),
                        lines: pair[0].line..end.line + 1,
                        head: index..at,
                        body: tokens[at].at..end.at + end.text.len(),
                    });
                    break;
                }
                _ => {}
            }
            at += 1;
        }
    }
    functions
}

/// Every path of two names or more that code names, and every path of a `use`.
pub(crate) fn paths(tokens: &[Token<'_>]) -> Vec<Named> {
    let mut named = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let next = tokens.get(at + 1).map_or("", |next| next.text);
        // `use<'a>` is a bound.
        if tokens[at].text == "use" && next != "<" {
            at = use_tree(tokens, at + 1, &[], &mut named);
        } else if tokens[at].is_name() {
            let line = tokens[at].line;
            let mut path = vec![tokens[at].text.to_owned()];
            while at + 2 < tokens.len() && tokens[at + 1].text == "::" && tokens[at + 2].is_name() {
                at += 2;
                path.push(tokens[at].text.to_owned());
            }
            if path.len() > 1 {
                named.push(Named {
                    path,
                    line,
                    in_use: false,
                });
            }
        }
        at += 1;
    }
    named
}

/// Unfolds the `use` tree at `at` below `prefix`; returns the index of the token that ends it.
fn use_tree(tokens: &[Token<'_>], at: usize, prefix: &[String], named: &mut Vec<Named>) -> usize {
    let mut path = prefix.to_vec();
    let mut at = at;
    let mut unfolded = false;
    while at < tokens.len() {
        let token = tokens[at];
        match token.text {
            ";" | "," | "}" => break,
            "::" => {}
            // The new name is no part of the path.
            "as" => at += 1,
            "{" => {
                unfolded = true;
                while at < tokens.len() && tokens[at].text != "}" {
                    at = use_tree(tokens, at + 1, &path, named);
                }
            }
            text => path.push(text.to_owned()),
        }
        at += 1;
    }
    if !unfolded && path.len() > prefix.len() {
        let line = tokens[at - 1].line;
        named.push(Named {
            path,
            line,
            in_use: true,
        });
    }
    at
}

/// The lines that belong to items under `#[cfg(test)]`.
pub(crate) fn test_lines(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let mut regions = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.text != "#" || tokens.get(index + 1).is_none_or(|next| next.text != "[") {
            continue;
        }
        let close = closing(tokens, index + 1);
        if is_test_cfg(&tokens[index + 1..close]) {
            let end = tokens[item_end(tokens, close + 1)].line;
            regions.push(token.line..end + 1);
        }
    }
    regions
}

/// Whether an attribute's tokens, from its bracket on, are a cfg that asks for `test`.
pub(crate) fn is_test_cfg(attribute: &[Token<'_>]) -> bool {
    let text = |index: usize| attribute.get(index).map_or("", |token| token.text);
    text(1) == "cfg"
        && (0..attribute.len()).any(|i| text(i) == "test" && !(i > 1 && text(i - 2) == "not"))
}

/// The index of the token that ends the item or field which begins at `at`.
fn item_end(tokens: &[Token<'_>], at: usize) -> usize {
    // A comma ends a field, a variant or an argument, but not a function's generics.
    const ITEMS: [&str; 14] = [
        "async",
        "const",
        "enum",
        "extern",
        "fn",
        "impl",
        "let",
        "macro_rules",
        "mod",
        "static",
        "struct",
        "trait",
        "type",
        "use",
    ];
    let mut is_item = false;
    let mut at = at;
    while at < tokens.len() {
        match tokens[at].text {
            "(" | "[" => at = closing(tokens, at),
            "{" => return closing(tokens, at),
            ";" | "}" => return at,
            "," if !is_item => return at,
            text => is_item |= ITEMS.contains(&text),
        }
        at += 1;
    }
    tokens.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(code: &str) -> Vec<String> {
        paths(&tokens(code))
            .into_iter()
            .map(|named| named.path.join("::"))
            .collect()
    }

    #[test]
    fn use_trees_unfold() {
        let code = "pub use std::{sync::{Arc, atomic::{AtomicU8, Ordering as O}}, thread};\nx::y()";
        assert_eq!(
            named(code),
            [
                "std::sync::Arc",
                "std::sync::atomic::AtomicU8",
                "std::sync::atomic::Ordering",
                "std::thread",
                "x::y"
            ]
        );
        assert_eq!(named("use a::*; use b;"), ["a::*", "b"]);
        assert_eq!(named("fn a() -> impl B + use<'_> { c::d }"), ["c::d"]);
        assert_eq!(
            named("use a::{b::{c}, d}; e::f"),
            ["a::b::c", "a::d", "e::f"]
        );
    }

    #[test]
    fn functions_with_their_lines() {
        let code = "fn a<const N: usize>(x: [u8; { N }]) -> fn(u8) {\n  if x {\n  }\n}\n\
            trait T {\n  fn b(&self);\n  fn c() {}\n}\n";
        let found = functions(&tokens(code));
        let plain: Vec<_> = found
            .iter()
            .map(|f| (f.name.as_str(), f.lines.clone()))
            .collect();
        assert_eq!(plain, [("a", 1..5), ("c", 7..8)]);
        assert!(code[found[0].body.clone()].starts_with("{\n  if x {"));
        assert_eq!(&code[found[1].body.clone()], "{}");
        assert_eq!(found[1].head.len(), 4);
    }

    #[test]
    fn test_regions() {
        let lines = |code: &str| -> Vec<_> {
            let regions = test_lines(&tokens(code));
            regions
                .into_iter()
                .map(|region| (region.start, region.end))
                .collect()
        };
        assert_eq!(
            lines("fn a() {}\n#[cfg(test)]\nmod tests {\n x\n}\nfn b() {}"),
            [(2, 6)]
        );
        assert_eq!(
            lines("#[cfg(all(test, unix))]\nmod tests;\nfn b() {}"),
            [(1, 3)]
        );
        assert_eq!(
            lines("struct A {\n#[cfg(test)]\na: u8,\nb: u8,\n}\nfn c() {}"),
            [(2, 4)]
        );
        assert!(lines("#[cfg(not(test))]\nmod a { x }\n#[test]\nfn b() {}").is_empty());
    }
}
