//! A program from the registry on the allocator, by one line: the walker and the searcher that
//! ripgrep is made of, on several threads, find in this project's sources what a loop over their
//! lines finds.
#![cfg(unix)]

use alloc_core::malloc::Heapwright;
use grep::regex::RegexMatcherBuilder;
use grep::searcher::{Searcher, sinks::UTF8};
use ignore::{WalkBuilder, WalkState};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

#[global_allocator]
static ALLOCATOR: Heapwright = Heapwright;

/// A file, a line's number, and the line.
type Found = BTreeSet<(PathBuf, u64, String)>;

const FOLDERS: [&str; 6] = [
    "alloc-core",
    "gc-mark",
    "gc-sweep",
    "runtime",
    "scavenger",
    "xtask",
];

fn folders() -> impl Iterator<Item = PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    FOLDERS.into_iter().map(move |folder| root.join(folder))
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "rs")
}

/// What the crates find for a regular expression, whatever the case.
fn search(pattern: &str) -> Found {
    let matcher = RegexMatcherBuilder::new()
        .case_insensitive(true)
        .build(pattern)
        .expect("a regular expression");
    let (sender, receiver) = mpsc::channel();
    for folder in folders() {
        let walk = WalkBuilder::new(folder)
            .standard_filters(false)
            .threads(4)
            .build_parallel();
        walk.run(|| {
            let (sender, matcher, mut searcher) = (sender.clone(), &matcher, Searcher::new());
            Box::new(move |entry| {
                let path = entry.expect("a folder that can be read").into_path();
                if !is_source(&path) {
                    return WalkState::Continue;
                }
                let sink = UTF8(|number, line| {
                    let found = (path.clone(), number, line.trim_end().to_owned());
                    Ok(sender.send(found).is_ok())
                });
                let searched = searcher.search_path(matcher, &path, sink);
                searched.expect("a file that can be read");
                WalkState::Continue
            })
        });
    }
    drop(sender);
    receiver.into_iter().collect()
}

/// The same, line by line.
fn naive(word: &str, folder: &Path, found: &mut Found) {
    for entry in fs::read_dir(folder).expect("a folder that can be read") {
        let path = entry.expect("a folder that can be read").path();
        if path.is_dir() {
            naive(word, &path, found);
        } else if is_source(&path) {
            let text = fs::read_to_string(&path).expect("a file that can be read");
            for (number, line) in (1..).zip(text.lines()) {
                if line.to_ascii_lowercase().contains(word) {
                    found.insert((path.clone(), number, line.trim_end().to_owned()));
                }
            }
        }
    }
}

#[test]
fn ripgreps_parts_find_what_a_loop_finds() {
    for (pattern, word) in [("unsafe", "unsafe"), (r"fn\x20a", "fn a"), ("e[r]e", "ere")] {
        let found = search(pattern);
        let mut expected = Found::new();
        folders().for_each(|folder| naive(word, &folder, &mut expected));
        assert!(expected.len() > 100, "{word} is too rare to tell");
        assert!(found == expected, "{pattern}: {} lines", found.len());
    }
    let stats = Heapwright::stats().expect("the allocator has a heap");
    assert!(stats.in_use_bytes > 0, "it is our allocator that served");
}
