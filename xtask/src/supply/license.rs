//! License expressions, as packages state them: `(MIT OR Apache-2.0) AND Unicode-3.0`.
//!
//! `WITH` binds closest and makes a license of its own, then `AND`, then `OR`; a slash is the old
//! way to write `OR`.

/// Whether the expression can be met by licenses that `allowed` takes; an expression that cannot be
/// read is met by none.
pub(super) fn is_met(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = either(&mut rest, allowed);
    met == Some(true) && rest.is_empty()
}

/// The licenses that an expression names.
pub(super) fn names(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(['/', '(', ')', ' '])
        .filter(|word| !["", "OR", "AND", "WITH"].contains(word))
}

/// Alternatives: one of them must be met.
fn either(rest: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut met = all(rest, allowed)?;
    while let Some(("OR", tail)) = split(rest) {
        *rest = tail;
        met |= all(rest, allowed)?;
    }
    Some(met)
}

/// What must be met together.
fn all(rest: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut met = one(rest, allowed)?;
    while let Some(("AND", tail)) = split(rest) {
        *rest = tail;
        met &= one(rest, allowed)?;
    }
    Some(met)
}

/// One license, or an expression in brackets.
fn one(rest: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let (word, tail) = split(rest)?;
    *rest = tail;
    if word == "(" {
        let met = either(rest, allowed)?;
        let (")", tail) = split(rest)? else {
            return None;
        };
        *rest = tail;
        return Some(met);
    }
    if let ["WITH", exception, tail @ ..] = rest {
        let license = format!("{word} WITH {exception}");
        *rest = tail;
        return Some(allowed(&license));
    }
    let is_name = word.starts_with(|c: char| c.is_ascii_alphanumeric());
    is_name.then(|| allowed(word))
}

fn split<'a, 'b>(rest: &'b [&'a str]) -> Option<(&'a str, &'b [&'a str])> {
    rest.split_first().map(|(word, tail)| (*word, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(expression: &str) -> bool {
        is_met(expression, &|name| ["MIT", "Zlib"].contains(&name))
    }

    #[test]
    fn expressions_are_met_or_not() {
        for expression in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Unlicense/MIT",
            "MIT AND Zlib",
            "(GPL-3.0 OR MIT) AND Zlib",
            "GPL-3.0 AND BSD-3-Clause OR MIT",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert!(met(expression), "{expression}");
        }
        for expression in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Zlib) AND GPL-3.0",
            "MIT WITH LLVM-exception",
            "",
            "MIT MIT",
            "(MIT",
            "MIT OR",
            "MIT)",
        ] {
            assert!(!met(expression), "{expression}");
        }
    }

    #[test]
    fn names_are_read() {
        let found: Vec<_> = names("(MIT/Zlib) AND Unicode-3.0").collect();
        assert_eq!(found, ["MIT", "Zlib", "Unicode-3.0"]);
    }
}
