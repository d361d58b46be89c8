//! The files that the rules look at, read once and taken apart once.

use std::fs;
use std::ops::Range;

use anyhow::Result;

use crate::tidy::lexer::Layers;
use crate::tidy::modules;
use crate::tidy::tokens::{test_lines, tokens};
use crate::workspace::{Files, LIBRARIES, Workspace};

/// Every text file of the project.
pub(crate) struct Tree {
    /// All paths, those of files that are no text too.
    pub(crate) paths: Vec<String>,
    /// The text files.
    pub(crate) files: Vec<SourceFile>,
}

/// One text file.
pub(crate) struct SourceFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// What it is made of, if it is Rust.
    pub(crate) rust: Option<Rust>,
}

/// A Rust file taken apart.
pub(crate) struct Rust {
    pub(crate) layers: Layers,
    /// The lines that are compiled for tests only.
    tests: Vec<Range<usize>>,
    /// The whole file is: its `mod` stands under `#[cfg(test)]`.
    all_test: bool,
}

impl Tree {
    /// Reads the files that git tracks.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let paths = workspace.files(Files::Tracked)?;
        let mut texts = Vec::new();
        for path in &paths {
            if let Ok(text) = String::from_utf8(fs::read(workspace.root.join(path))?) {
                texts.push((path.clone(), text));
            }
        }
        Ok(Self::build(paths, texts))
    }

    /// A tree of literal files.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let own = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        let paths = files.iter().map(|&(path, _)| path.to_owned()).collect();
        Self::build(paths, files.iter().map(own).collect())
    }

    fn build(paths: Vec<String>, texts: Vec<(String, String)>) -> Self {
        let read = |(path, text): (String, String)| {
            let rust = path.ends_with(".rs").then(|| {
                let layers = Layers::of(&text);
                let tests = test_lines(&tokens(&layers.code));
                Rust {
                    layers,
                    tests,
                    all_test: false,
                }
            });
            SourceFile { path, text, rust }
        };
        let mut tree = Self {
            paths,
            files: texts.into_iter().map(read).collect(),
        };
        let tests = modules::test_files(&tree);
        for file in &mut tree.files {
            if let Some(rust) = &mut file.rust {
                rust.all_test = tests.contains(&file.path);
            }
        }
        tree
    }

    /// The Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&SourceFile, &Rust)> {
        self.files
            .iter()
            .filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// The Rust files of the library crates' `src` folders.
    pub(crate) fn library(&self) -> impl Iterator<Item = (&SourceFile, &Rust)> {
        self.rust()
            .filter(|(file, _)| LIBRARIES.iter().any(|name| file.is_below(name, "src")))
    }

    /// The file with that path, if it is text.
    pub(crate) fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl SourceFile {
    /// Whether it lies in folder `below` of folder `package`.
    pub(crate) fn is_below(&self, package: &str, below: &str) -> bool {
        self.path
            .strip_prefix(package)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.strip_prefix(below))
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether its name ends so: `md`, `toml`.
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        self.path
            .rsplit_once('.')
            .is_some_and(|(_, end)| end == extension)
    }
}

impl Rust {
    /// Whether that line is compiled for tests only.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.all_test || self.tests.iter().any(|lines| lines.contains(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_is_the_src_of_library_crates() {
        let tree = Tree::of(&[
            ("runtime/src/a/b.rs", ""),
            ("runtime/tests/c.rs", ""),
            ("gc-mark/derive/src/lib.rs", ""),
            ("xtask/src/main.rs", ""),
        ]);
        let paths: Vec<_> = tree.library().map(|(file, _)| file.path.as_str()).collect();
        assert_eq!(paths, ["runtime/src/a/b.rs"]);
    }

    #[test]
    fn a_file_of_tests_is_all_test() {
        let tree = Tree::of(&[
            (
                "gc-mark/src/lib.rs",
                "#[cfg(test)]\nmod tests;\nmod code;\n",
            ),
            ("gc-mark/src/tests.rs", "fn a() {}"),
            (
                "gc-mark/src/code.rs",
                "fn a() {}\n#[cfg(test)]\nmod tests {}\n",
            ),
        ]);
        let is_test = |path: &str, line| {
            tree.file(path)
                .unwrap()
                .rust
                .as_ref()
                .unwrap()
                .is_test(line)
        };
        assert!(is_test("gc-mark/src/tests.rs", 1));
        assert!(!is_test("gc-mark/src/code.rs", 1));
        assert!(is_test("gc-mark/src/code.rs", 3));
    }
}
