//! The lists of mutants: their form, and the mistakes in them that are found before any is run.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Component, Path};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Under which build a mutant's test runs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Under loom.
    Loom,
    /// As any test.
    Test,
}

/// One fault, and the test that must catch it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// Its name, unique in its file, kebab-case.
    pub(crate) name: String,
    /// The file to change, relative to the workspace's root.
    pub(crate) file: String,
    /// The text to replace, which occurs exactly once in `file`.
    pub(crate) find: String,
    /// What it becomes.
    pub(crate) replace: String,
    /// The build to test it under.
    pub(crate) kind: Kind,
    /// The package whose test must fail.
    pub(crate) package: String,
    /// That test's target: the name of a file in `tests/`, or `lib` for unit tests.
    pub(crate) test: String,
    /// A part of the names of the tests to run.
    pub(crate) filter: String,
    /// What goes wrong, in one sentence.
    pub(crate) breaks: String,
    /// Whether it must not share a build with others: its test builds programs of its own.
    #[serde(default)]
    pub(crate) alone: bool,
}

/// A test to run: mutants that share one share its run on untouched source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exam {
    pub(crate) kind: Kind,
    pub(crate) package: String,
    pub(crate) test: String,
    pub(crate) filter: String,
}

/// One file of mutants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    mutant: Vec<Mutant>,
}

impl Mutant {
    /// The test that must fail.
    pub(crate) fn exam(&self) -> Exam {
        Exam {
            kind: self.kind,
            package: self.package.clone(),
            test: self.test.clone(),
            filter: self.filter.clone(),
        }
    }

    /// Checks what can be known without building.
    fn check(&self, root: &Path) -> Result<()> {
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !self.name.is_empty() && self.name.chars().all(kebab),
            "`name` is not kebab-case"
        );
        ensure!(!self.breaks.trim().is_empty(), "`breaks` says nothing");
        ensure!(!self.find.is_empty(), "`find` is empty");
        ensure!(self.find != self.replace, "`replace` changes nothing");
        let inside = Path::new(&self.file)
            .components()
            .all(|c| matches!(c, Component::Normal(_)));
        ensure!(
            inside,
            "`file` is not a path inside the workspace: {}",
            self.file
        );
        let text = fs::read_to_string(root.join(&self.file))
            .with_context(|| format!("cannot read `file` {}", self.file))?;
        let count = text.matches(self.find.as_str()).count();
        ensure!(
            count == 1,
            "`find` occurs {count} times in {}, not once",
            self.file
        );
        Ok(())
    }
}

impl Exam {
    /// The package and the target that it is in.
    pub(crate) fn target(&self) -> (String, String) {
        (self.package.clone(), self.test.clone())
    }

    /// The exam as a file name.
    pub(crate) fn slug(&self) -> String {
        let text = self.to_string();
        text.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect()
    }
}

impl fmt::Display for Exam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Loom => "loom",
            Kind::Test => "test",
        };
        write!(f, "{} {kind} {} {}", self.package, self.test, self.filter)
    }
}

/// Reads and checks every list in `xtask/mutants/`, ordered by build, package and test.
pub(crate) fn load(root: &Path) -> Result<Vec<Mutant>> {
    let folder = root.join("xtask/mutants");
    let mut all = Vec::new();
    if !folder.is_dir() {
        return Ok(all);
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
    {
        let context = || format!("in {}", path.display());
        let text = fs::read_to_string(path).with_context(context)?;
        let mutants = parse(&text).with_context(context)?;
        for mutant in &mutants {
            mutant
                .check(root)
                .with_context(|| format!("mutant {}", mutant.name))
                .with_context(context)?;
        }
        all.extend(mutants);
    }
    // Exams of one build and package follow each other, so that cargo rebuilds least.
    all.sort_by_key(Mutant::exam);
    Ok(all)
}

/// Reads one list: known keys only, each name once.
pub(crate) fn parse(text: &str) -> Result<Vec<Mutant>> {
    let list: List = toml::from_str(text)?;
    let mut names = BTreeSet::new();
    for mutant in &list.mutant {
        ensure!(
            names.insert(&mutant.name),
            "two mutants are called {}",
            mutant.name
        );
    }
    Ok(list.mutant)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[mutant]]
        name = "no-alias"
        file = ".cargo/config.toml"
        find = "[alias]"
        replace = "[gone]"
        kind = "test"
        package = "xtask"
        test = "lib"
        filter = "alias"
        breaks = "The tasks have no name."
    "#;

    /// Checks `GOOD` with one text replaced, against the real workspace.
    fn checked(from: &str, to: &str) -> Result<()> {
        let text = GOOD.replace(from, to);
        assert!(from.is_empty() || text != GOOD);
        let root = crate::workspace::Workspace::find().unwrap().root;
        parse(&text)?
            .iter()
            .try_for_each(|mutant| mutant.check(&root))
    }

    #[test]
    fn a_good_entry_passes() {
        checked("", "").unwrap();
    }

    #[test]
    fn each_mistake_is_told() {
        for (from, to, says) in [
            ("breaks =", "braeks =", "unknown field"),
            ("\"test\"", "\"miri\"", "unknown variant"),
            ("no-alias", "No alias", "kebab-case"),
            ("find = \"[alias]\"", "find = \"a\"", "occurs"),
            ("find = \"[alias]\"", "find = \"absent\"", "occurs 0 times"),
            ("[gone]", "[alias]", "changes nothing"),
            (
                ".cargo/config.toml",
                "../Cargo.toml",
                "inside the workspace",
            ),
            ("The tasks have no name.", " ", "says nothing"),
        ] {
            let error = format!("{:#}", checked(from, to).unwrap_err());
            assert!(error.contains(says), "{to}: {error}");
        }
    }

    #[test]
    fn names_are_unique() {
        let error = parse(&GOOD.repeat(2)).unwrap_err().to_string();
        assert!(error.contains("two mutants are called no-alias"), "{error}");
    }

    #[test]
    fn the_lists_of_this_workspace_are_sound() {
        load(&crate::workspace::Workspace::find().unwrap().root).unwrap();
    }
}
