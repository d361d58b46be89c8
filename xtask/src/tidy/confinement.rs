//! What may be named in few places only: threads and atomics, and unsafe blocks.

use crate::tidy::tokens::{Named, paths, tokens};
use crate::tidy::tree::{SourceFile, Tree};
use crate::tidy::{Found, note};

/// What a model checker must be able to replace, below `std`, `core` or `alloc`.
const MODELLED: [&[&str]; 6] = [
    &["sync", "atomic"],
    &["sync", "Mutex"],
    &["sync", "Condvar"],
    &["sync", "RwLock"],
    &["thread"],
    &["cell", "UnsafeCell"],
];

/// Where traits are implemented for std's types, modelled ones among them: there they are the
/// subject and synchronize nothing.
const IMPLS: &str = "gc-mark/src/impls/";

/// Folders without an unsafe block: the promise sits in a port that someone else implements.
const SAFE: [&str; 4] = [
    "gc-mark/src/",
    "gc-sweep/src/",
    "scavenger/src/",
    "xtask/src/",
];

/// Only `sync.rs`, and the modules below it, name what a model checker replaces.
pub(crate) fn sync(tree: &Tree, found: &mut Found) {
    let may = |file: &SourceFile| is_sync(file) || file.path.starts_with(IMPLS);
    for (file, rust) in tree.library().filter(|(file, _)| !may(file)) {
        for named in paths(&tokens(&rust.layers.code)) {
            if !rust.is_test(named.line) && is_modelled(&named) {
                let path = named.path.join("::");
                let advice = "import it from `crate::sync`, so that models replace it";
                note(found, &file.path, named.line, format!("`{path}`: {advice}"));
            }
        }
    }
}

/// Whether the file belongs to the crate's `sync` module.
fn is_sync(file: &SourceFile) -> bool {
    file.path.ends_with("/src/sync.rs") || file.path.contains("/src/sync/")
}

/// Whether the path names something modelled, or takes in so much that it could.
fn is_modelled(named: &Named) -> bool {
    let path: Vec<&str> = named.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        // Loom itself, and locks that loom cannot see.
        ["loom" | "parking_lot", ..] => path.len() > 1 || named.in_use,
        ["std" | "core" | "alloc", rest @ ..] => {
            let whole = match rest {
                [.., "*" | "self"] => &rest[..rest.len() - 1],
                _ if named.in_use => rest,
                _ => &[],
            };
            // `use std::sync;` would let `sync::Mutex` through.
            let wide = !whole.is_empty() && MODELLED.iter().any(|name| name.starts_with(whole));
            wide || MODELLED.iter().any(|name| rest.starts_with(name))
        }
        _ => false,
    }
}

/// The safe crates contain no unsafe block.
pub(crate) fn unsafe_blocks(tree: &Tree, found: &mut Found) {
    let is_safe = |file: &SourceFile| SAFE.iter().any(|folder| file.path.starts_with(folder));
    for (file, rust) in tree.rust().filter(|(file, _)| is_safe(file)) {
        for pair in tokens(&rust.layers.code).windows(2) {
            if pair[0].text == "unsafe" && pair[1].text == "{" {
                let advice = "no unsafe block in this crate: let a port promise it";
                note(found, &file.path, pair[0].line, advice);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    /// The lines of one library file at which `sync` finds something.
    fn lines(text: &str) -> Vec<String> {
        places(sync, &[("gc-mark/src/a.rs", text)])
            .into_iter()
            .map(|place| place.replace("gc-mark/src/a.rs:", ""))
            .collect()
    }

    #[test]
    fn modelled_names_are_found() {
        for code in [
            "use std::sync::atomic::AtomicUsize;",
            "use core::sync::atomic;",
            "use std::sync::{Arc, Mutex};",
            "use std::{cell::UnsafeCell, fmt};",
            "use std::sync::*;",
            "use std::sync;",
            "use std::sync::{self, Arc};",
            "use loom::thread;",
            "use parking_lot::Mutex;",
            "fn a() { std::thread::yield_now() }",
        ] {
            assert_eq!(lines(&format!("//! Head.\n{code}\n")), ["2"], "{code}");
        }
    }

    #[test]
    fn other_names_pass() {
        for code in [
            "use std::sync::Arc;",
            "use std::sync::{Arc, Weak, OnceLock};",
            "use crate::sync::{AtomicUsize, thread};",
            "use std::cell::Cell;",
            "/// `std::thread` is for [`std::sync::Mutex`].\nfn a() -> &'static str { \"std::thread\" }",
            "#[cfg(test)]\nmod tests { use std::thread; }",
            "use std::{fmt, mem};",
        ] {
            assert!(lines(code).is_empty(), "{code}");
        }
    }

    #[test]
    fn sync_and_tests_and_impls_may() {
        let code = "use std::sync::atomic::AtomicUsize;";
        let files = [
            ("gc-mark/src/sync.rs", code),
            ("gc-mark/src/impls/shared.rs", code),
            ("gc-mark/tests/stress.rs", code),
            ("runtime/examples/demo/main.rs", code),
        ];
        assert!(places(sync, &files).is_empty());
    }

    #[test]
    fn unsafe_blocks_are_found_in_safe_crates() {
        let block = "fn a() {\n    unsafe { b() }\n}";
        let declared = "unsafe trait A { unsafe fn a(); }\nunsafe impl A for B {}\n// unsafe {\n";
        let files = [
            ("gc-sweep/src/a.rs", block),
            ("gc-mark/src/b.rs", declared),
            ("gc-mark/derive/src/lib.rs", block),
            ("alloc-core/src/a.rs", block),
        ];
        assert_eq!(places(unsafe_blocks, &files), ["gc-sweep/src/a.rs:2"]);
    }
}
