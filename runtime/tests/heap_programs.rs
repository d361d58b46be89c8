//! Byte strings as programs on the default collector's heap: the corpus that a fuzzer has kept, and
//! some hundred strings by chance.
//!
//! `cargo xtask fuzz heap --seconds N` mutates such strings towards code that none has reached.
//! `HEAPWRIGHT_SEED` replays the strings of a run, and `HEAPWRIGHT_PROGRAMS=10` makes them ten
//! times as many.
//!
//! Mutants: those of `xtask/mutants/runtime-fuzz.toml`.

mod common;
#[allow(dead_code, reason = "the other tests ask for more")]
#[path = "programs/graph.rs"]
mod graph;
#[path = "programs/heap_program.rs"]
mod heap_program;
#[path = "programs/make.rs"]
mod make;
#[path = "programs/objects.rs"]
mod objects;

use common::{Random, seed};
use heap_program::run_input;
use std::io::Write;
use std::path::Path;

/// Past the test's harness, which keeps what a process that aborts has printed to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn the_corpus_agrees_with_the_twin() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/heap");
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
fn random_strings_agree_with_the_twin() {
    let scale = std::env::var("HEAPWRIGHT_PROGRAMS").ok();
    let scale: u64 = scale.and_then(|text| text.parse().ok()).unwrap_or(1);
    let first = seed();
    say(&format!("heap programs: begin HEAPWRIGHT_SEED={first}"));
    for seed in first..first + 200 * scale {
        println!("HEAPWRIGHT_SEED={seed}");
        let mut random = Random::new(seed);
        let len = 20 + random.below(600);
        let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        run_input(&bytes);
    }
    say(&format!("heap programs: ok    HEAPWRIGHT_SEED={first}"));
}
