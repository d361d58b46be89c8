//! Plants many mutants at once, each behind a number, so that one build serves all their exams.
//!
//! Building is most of what a mutant costs. So each function that mutants change gets a body for
//! each of them beside its own, and takes the one whose number stands in the binary's data:
//!
//! ```text
//! fn f() { match crate::planted::number() { 7 => { body with mutant 7 } _ => { body } } }
//! ```
//!
//! A copy of the binary with the number written into it is the mutant's binary. What this cannot
//! express is planted alone: a change outside a function, in a `const fn`, or in one that returns
//! an `impl Trait` (two bodies would be two types), and whatever runs at compile time.

use std::ops::Range;

use crate::mutants::list::Mutant;
use crate::tidy::lexer::Layers;
use crate::tidy::tokens::{self, Function, Token};

/// What the number stands behind in a binary.
const MARK: &[u8] = b"number of the planted mutant:";

/// A mutant's place among those planted with it: in a binary, this says which one is on.
pub(crate) type Number = u16;

/// Which lines of a changed file are a mutant's, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: Number,
    pub(crate) lines: Range<usize>,
}

/// The module that the root of each changed crate gets.
pub(crate) fn module() -> String {
    format!(
        "\nmod planted {{\n    \
             static SWITCH: [u8; {length}] = *b\"{mark}\\0\\0\";\n    \
             #[inline(never)]\n    \
             pub(crate) fn number() -> u16 {{\n        \
                 let switch = core::hint::black_box(&SWITCH);\n        \
                 u16::from_le_bytes([switch[{low}], switch[{high}]])\n    \
             }}\n}}\n",
        length = MARK.len() + 2,
        mark = String::from_utf8_lossy(MARK),
        low = MARK.len(),
        high = MARK.len() + 1,
    )
}

/// Whether a mutant of `text` can be planted behind a number.
pub(crate) fn fits(text: &str, mutant: &Mutant) -> bool {
    text.find(&mutant.find)
        .is_some_and(|at| body_around(&bodies(text), &(at..at + mutant.find.len())).is_some())
}

/// Plants `mutants`, all of which fit, in `text`; returns the new text and where each one is.
pub(crate) fn plant(text: &str, mutants: &[(Number, &Mutant)]) -> (String, Vec<Place>) {
    let (mut planted, mut places) = (String::new(), Vec::new());
    let mut rest = 0;
    for body in bodies(text) {
        let own: Vec<_> = mutants
            .iter()
            .filter_map(|&(number, mutant)| {
                let at = text.find(&mutant.find)?;
                let inside = body.start <= at && at + mutant.find.len() <= body.end;
                inside.then_some((number, at, mutant))
            })
            .collect();
        if own.is_empty() {
            continue;
        }
        planted += &text[rest..body.start];
        planted += "{ match crate::planted::number() {";
        for (number, at, mutant) in own {
            planted += &format!("\n{number} => ");
            let first = line(&planted);
            planted += &text[body.start..at];
            planted += &mutant.replace;
            planted += &text[at + mutant.find.len()..body.end];
            let lines = first..line(&planted) + 1;
            places.push(Place { number, lines });
        }
        planted += &format!("\n_ => {}\n}} }}", &text[body.clone()]);
        rest = body.end;
    }
    planted += &text[rest..];
    (planted, places)
}

/// The places of the numbers in a binary.
pub(crate) fn switches(binary: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(at) = binary[rest..].iter().position(|&byte| byte == MARK[0]) {
        let at = rest + at;
        if binary[at..].starts_with(MARK) && at + MARK.len() + 2 <= binary.len() {
            found.push(at + MARK.len());
        }
        rest = at + 1;
    }
    found
}

/// The bodies, with their braces, in which mutants can be planted: of the outermost functions, in
/// the order of the text, without those that cannot have two bodies.
fn bodies(text: &str) -> Vec<Range<usize>> {
    let code = Layers::of(text).code;
    let tokens = tokens::tokens(&code);
    let mut bodies: Vec<Range<usize>> = Vec::new();
    for function in tokens::functions(&tokens) {
        let inner = bodies
            .last()
            .is_some_and(|last| function.body.start < last.end);
        if !inner && has_two(&tokens, &function) {
            bodies.push(function.body);
        }
    }
    bodies
}

/// Whether a function can have more than one body.
fn has_two(tokens: &[Token<'_>], function: &Function) -> bool {
    let (before, rest) = tokens.split_at(function.head.start);
    let head = &rest[..function.head.len()];
    let is_const = before
        .iter()
        .rev()
        .take_while(|token| token.is_name())
        .any(|token| token.text == "const");
    let returns_impl = head.windows(3).any(|three| {
        let words: Vec<_> = three.iter().map(|token| token.text).collect();
        words == ["-", ">", "impl"]
    });
    !is_const && !returns_impl
}

/// The body that holds all of `place`.
fn body_around<'a>(bodies: &'a [Range<usize>], place: &Range<usize>) -> Option<&'a Range<usize>> {
    bodies
        .iter()
        .find(|body| body.start <= place.start && place.end <= body.end)
}

/// The line that `text` ends in, from 1.
fn line(text: &str) -> usize {
    text.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "struct S;\nconst fn c() -> u8 { 1 }\nimpl S {\n    fn f(x: u8) -> u8 {\n        \
        fn inner() {}\n        // ä }\n        x + 2\n    }\n    \
        fn g(x: impl Fn() -> u8) { x(); }\n    fn h() -> impl Fn() { || () }\n}\n";

    fn mutants(changes: &[(&str, &str)]) -> Vec<Mutant> {
        let entry = |(at, (find, replace)): (usize, &(&str, &str))| {
            format!(
                "[[mutant]]\nname = 'm-{at}'\nfile = 'a.rs'\nfind = '{find}'\n\
                 replace = '{replace}'\nkind = 'test'\npackage = 'p'\ntest = 'lib'\n\
                 filter = ''\nbreaks = 'b'\n"
            )
        };
        let list: String = changes.iter().enumerate().map(entry).collect();
        crate::mutants::list::parse(&list).unwrap()
    }

    #[test]
    fn only_bodies_that_can_be_two_fit() {
        for (find, fit) in [
            ("x + 2", true),
            ("fn inner", true),
            ("x();", true),
            ("|| ()", false),
            ("{ 1 }", false),
            ("struct S", false),
            ("x: u8", false),
            ("absent", false),
        ] {
            let mutant = &mutants(&[(find, "y")])[0];
            assert_eq!(fits(TEXT, mutant), fit, "{find}");
        }
    }

    #[test]
    fn each_mutant_gets_a_body_and_its_lines() {
        let mutants = mutants(&[("x + 2", "x + 3"), ("inner", "outer"), ("x();", "")]);
        let numbered: Vec<_> = (1..).zip(&mutants).collect();
        let (text, places) = plant(TEXT, &numbered);
        for (has, count) in [
            ("x + 2", 2),
            ("x + 3", 1),
            ("fn outer", 1),
            ("x();", 1),
            ("3 => { ", 1),
            ("planted::number()", 2),
            ("struct S", 1),
        ] {
            assert_eq!(text.matches(has).count(), count, "{has} in {text}");
        }
        assert_eq!(places.len(), 3);
        for (place, has) in places.iter().zip(["x + 3", "fn outer", "3 =>"]) {
            let own = text.lines().skip(place.lines.start - 1);
            let own: Vec<_> = own.take(place.lines.len()).collect();
            assert!(own.join("\n").contains(has), "{place:?}: {own:?}");
        }
    }

    #[test]
    fn the_module_has_the_one_switch() {
        let module = module();
        assert!(switches(module.as_bytes()).len() == 1, "{module}");
        assert!(switches(b"number of the planted").is_empty());
    }
}
