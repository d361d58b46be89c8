//! The lines of a report: which of them the tests have run, and the functions they are in.

use std::collections::BTreeMap;
use std::path::Path;

use crate::tidy::tokens::{Function, functions, tokens};
use crate::tidy::tree::Tree;

/// A file of a library crate.
#[derive(Debug)]
pub(super) struct Lines {
    /// Relative to the root.
    pub(super) path: String,
    /// How many lines have code that is not for tests.
    pub(super) total: usize,
    /// Those of them that were not run, by function; nothing for code outside of any.
    pub(super) missed: BTreeMap<String, Vec<usize>>,
}

impl Lines {
    pub(super) fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    pub(super) fn run(&self) -> usize {
        self.total - self.missed.values().map(Vec::len).sum::<usize>()
    }
}

/// What a report in lcov's form says of the library crates.
pub(super) fn of_report(report: &str, root: &Path, tree: &Tree) -> Vec<Lines> {
    let mut counts: BTreeMap<&str, BTreeMap<usize, u64>> = BTreeMap::new();
    let mut path = "";
    for line in report.lines() {
        if let Some(name) = line.strip_prefix("SF:") {
            let below = Path::new(name).strip_prefix(root).ok();
            path = below.and_then(Path::to_str).unwrap_or(name);
        } else if let Some((number, count)) = line.strip_prefix("DA:").and_then(read_line) {
            let known = counts.entry(path).or_default().entry(number).or_default();
            *known = known.saturating_add(count);
        }
    }
    let mut files = Vec::new();
    for (file, rust) in tree.library() {
        let Some(counts) = counts.get(file.path.as_str()) else {
            continue;
        };
        let functions = functions(&tokens(&rust.layers.code));
        let mut lines = Lines {
            path: file.path.clone(),
            total: 0,
            missed: BTreeMap::new(),
        };
        for (&number, &count) in counts.iter().filter(|(number, _)| !rust.is_test(**number)) {
            lines.total += 1;
            if count == 0 {
                let name = around(&functions, number).to_owned();
                lines.missed.entry(name).or_default().push(number);
            }
        }
        if lines.total > 0 {
            files.push(lines);
        }
    }
    files
}

/// The innermost function around a line.
fn around(functions: &[Function], line: usize) -> &str {
    let inner = functions.iter().rfind(|f| f.lines.contains(&line));
    inner.map_or("", |function| &function.name)
}

/// A line's number and how often it was run: `12,3`.
fn read_line(text: &str) -> Option<(usize, u64)> {
    let (number, count) = text.split_once(',')?;
    let count = count.split(',').next()?;
    Some((number.parse().ok()?, count.parse().ok()?))
}

/// The program that a message of cargo's names, if it does.
pub(super) fn program(message: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let program = message["executable"].as_str()?;
    is_test.then(|| program.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_by_function_and_tests_left_out() {
        let code = "fn a() {\n    b();\n    c();\n}\nfn d() {}\n#[cfg(test)]\nmod tests {\n    \
            fn e() {}\n}\n";
        let tree = Tree::of(&[
            ("runtime/src/a.rs", code),
            ("runtime/src/b.rs", "fn f() {}"),
        ]);
        let report = "SF:/r/runtime/src/a.rs\nDA:1,2\nDA:2,0\nDA:3,0\nDA:5,0\nDA:8,0\n\
            end_of_record\nSF:/r/runtime/src/a.rs\nDA:3,1\nend_of_record\n\
            SF:/other/lib.rs\nDA:1,0\nend_of_record\n";
        let files = of_report(report, Path::new("/r"), &tree);
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(
            (files[0].package(), files[0].total, files[0].run()),
            ("runtime", 4, 2)
        );
        let missed: Vec<_> = files[0].missed.iter().collect();
        assert_eq!(
            missed,
            [(&"a".to_owned(), &vec![2]), (&"d".to_owned(), &vec![5])]
        );
    }

    #[test]
    fn programs_are_read_from_messages() {
        let message = r#"{"profile":{"test":true},"executable":"/t/model-1"}"#;
        assert_eq!(program(message).as_deref(), Some("/t/model-1"));
        let library = r#"{"profile":{"test":false},"executable":null}"#;
        assert_eq!(program(library), None);
        assert_eq!(program("Compiling"), None);
    }
}
