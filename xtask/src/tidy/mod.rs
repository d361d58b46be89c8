//! The rules of the text: what rustc, clippy and rustfmt do not check and a reviewer would say.
//!
//! Each rule is a function from the files to what is wrong with them, with a test that shows it
//! can fail. They read text, not types: that is enough for rules about where a thing may be named
//! and what must stand beside it, and it works while the crates do not build. A rule that would
//! need to be talked round in honest code is wrong and gets changed, not silenced: there is no
//! switch to silence one.

mod confinement;
mod documents;
mod heads;
mod layout;
mod leftovers;
mod lengths;
pub(crate) mod lexer;
mod manifests;
mod modules;
mod orderings;
pub(crate) mod tokens;
pub(crate) mod tree;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use tree::Tree;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) path: String,
    /// From 1; 0 where no line can be named.
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// Where a rule puts what it finds.
pub(crate) type Found = Vec<Violation>;

/// A rule: its name, and what finds its violations.
type Rule = (&'static str, fn(&Tree, &mut Found));

/// Every rule.
const RULES: [Rule; 15] = [
    ("head", heads::check),
    ("sync", confinement::sync),
    ("unsafe", confinement::unsafe_blocks),
    ("ordering", orderings::check),
    ("file-length", lengths::files),
    ("function-length", lengths::functions),
    ("line-length", lengths::lines),
    ("leaf", manifests::leaves),
    ("leftover", leftovers::words),
    ("machine-path", leftovers::machine_paths),
    ("unreachable", layout::unreachable),
    ("top-level", layout::top_level),
    ("architecture", documents::architecture),
    ("adr-name", documents::adr_names),
    ("adr-status", documents::adr_status),
];

/// Checks every rule over the tracked files and prints what is wrong.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let tree = Tree::read(workspace)?;
    let mut lines = Vec::new();
    for (name, check) in RULES {
        let mut found = Found::new();
        check(&tree, &mut found);
        lines.extend(found.into_iter().map(|violation| (violation, name)));
    }
    lines.sort();
    for (
        Violation {
            path,
            line,
            message,
        },
        name,
    ) in &lines
    {
        println!("{path}:{line}: {name}: {message}");
    }
    let checked = format!("{} rules, {} files", RULES.len(), tree.files.len());
    if !lines.is_empty() {
        bail!("{} violations ({checked})", lines.len());
    }
    Ok(checked)
}

/// Notes a violation.
pub(crate) fn note(found: &mut Found, path: &str, line: usize, message: impl Into<String>) {
    found.push(Violation {
        path: path.to_owned(),
        line,
        message: message.into(),
    });
}

/// What a rule finds in literal files, as `path:line`.
#[cfg(test)]
pub(crate) fn places(check: fn(&Tree, &mut Found), files: &[(&str, &str)]) -> Vec<String> {
    let mut found = Found::new();
    check(&Tree::of(files), &mut found);
    found
        .iter()
        .map(|violation| format!("{}:{}", violation.path, violation.line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = RULES.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
