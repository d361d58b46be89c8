//! The derive on declarations that byte strings spell: the corpus that a fuzzer has kept, and some
//! hundred strings by chance.
//!
//! `cargo xtask fuzz derive --seconds N` mutates such strings towards code that none has reached.
//! The derive's modules are built into the test, as a macro cannot be called from without.

#[path = "../src/attr.rs"]
mod attr;
#[path = "declarations/check.rs"]
mod check;
#[path = "../src/expand.rs"]
mod expand;
#[path = "../src/input.rs"]
mod input;
#[path = "../src/rebrand.rs"]
mod rebrand;
#[path = "declarations/write.rs"]
mod write;

use check::run_input;
use std::path::Path;

/// Strings by chance.
const STRINGS: u64 = 800;

#[test]
fn the_corpus_expands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/derive");
    let entries = std::fs::read_dir(folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("the corpus can be read").path())
        .collect();
    paths.sort();
    assert!(paths.len() > 10, "a corpus of {} inputs", paths.len());
    for path in paths {
        println!("{}", path.display());
        run_input(&std::fs::read(&path).expect("the corpus can be read"));
    }
}

#[test]
fn random_declarations_expand() {
    let mut taken = 0;
    for seed in 0..STRINGS {
        println!("string {seed}");
        let mut state = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let len = usize::from(byte());
        let bytes: Vec<u8> = (0..len).map(|_| byte()).collect();
        taken += u64::from(run_input(&bytes));
    }
    assert!(
        (STRINGS / 10..STRINGS / 2).contains(&taken),
        "the derive took {taken} of {STRINGS}"
    );
}
