//! The allocator's whole interface against plain oracles, by random programs.
//!
//! `bytes.rs` has the oracle of the heap with explicit free, `pages.rs` that of the page heap.
//! Both take their choices from a seed, here, or from a byte string: the fuzz targets in `fuzz/`
//! are these same oracles, and their corpus is run here again. `cargo xtask stress` runs the
//! millions.
//!
//! A failure prints its seed before it; `HEAPWRIGHT_SEED=N` runs that one program again.
#![cfg(not(heapwright_loom))]

mod bytes;
mod choices;
mod failure;
mod pages;
mod random;

use alloc_core::malloc::{ByteHeap, Mode};
use alloc_core::{FakeSource, Mmap};
use bytes::{Neighbors, Object, Oracle};
use choices::Choices;
use random::Random;
use std::env;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

/// Operations of one program: fewer where they are slow.
const OPERATIONS: usize = if cfg!(debug_assertions) {
    10_000
} else {
    50_000
};

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}?")))
}

/// The seeds of a test's programs: that of the environment alone, or these.
fn seeds(from: u64, count: u64) -> std::ops::Range<u64> {
    let (from, count) = match number("HEAPWRIGHT_SEED") {
        Some(seed) => (seed, 1),
        None => (from, count),
    };
    from..from + count
}

/// Says what is about to run, where a failure is going to show it.
fn begin(what: &str, seed: u64) {
    let line = "model: begin";
    _ = writeln!(std::io::stdout(), "{line} {what} HEAPWRIGHT_SEED={seed}");
}

fn byte_heap(mode: Mode) -> ByteHeap<FakeSource> {
    ByteHeap::new(FakeSource::new(), 24 << 20, 24 << 20, mode).expect("memory for a test")
}

fn random_bytes(mode: Mode, seed: u64, operations: usize) {
    println!("{mode:?}, HEAPWRIGHT_SEED={seed}");
    let mut choices = Random::new(seed, operations);
    bytes::run(&byte_heap(mode), &mut choices, Random::step);
}

fn random_pages(seed: u64, operations: usize) {
    println!("pages, HEAPWRIGHT_SEED={seed}");
    pages::run(&mut Random::new(seed, operations), Random::step);
}

/// Oracles on threads of their own, which give each other objects through these.
struct Boxes<'a> {
    boxes: &'a [Mutex<Vec<Object>>],
    own: usize,
}

impl Neighbors for Boxes<'_> {
    fn give(&self, object: Object) {
        let next = &self.boxes[(self.own + 1) % self.boxes.len()];
        next.lock().expect("no oracle failed").push(object);
    }

    fn take(&self) -> Option<Object> {
        self.boxes[self.own].lock().expect("no oracle failed").pop()
    }
}

/// `threads` oracles on one heap of the system's memory.
fn threads(mode: Mode, seed: u64, threads: usize, operations: usize) {
    println!("{threads} threads, {mode:?}, HEAPWRIGHT_SEED={seed}");
    let heap = ByteHeap::new(Mmap::new(), 256 << 20, 64 << 20, mode).expect("memory for a test");
    let boxes: Vec<Mutex<Vec<Object>>> = (0..threads).map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        for own in 0..threads {
            let (heap, boxes) = (&heap, &boxes);
            scope.spawn(move || {
                let mut choices = Random::new(seed << 8 | own as u64, operations);
                let mut oracle = Oracle::new(heap, 1, Boxes { boxes, own });
                while !choices.is_over() {
                    choices.step();
                    oracle.step(&mut choices);
                }
                oracle.end();
            });
        }
    });
    // What was given to those who had ended already.
    for own in 0..threads {
        let boxes = &boxes;
        Oracle::new(&heap, 1, Boxes { boxes, own }).end();
    }
    assert_eq!(heap.check_invariants(), 0, "everything was freed");
    assert_eq!(heap.stats().in_use_bytes, 0);
}

#[test]
fn random_programs_agree_with_the_oracle() {
    for seed in seeds(1, 4) {
        random_bytes(Mode::Plain, seed, OPERATIONS);
    }
}

#[test]
fn random_programs_agree_with_the_oracle_while_hardened() {
    for seed in seeds(101, 2) {
        random_bytes(Mode::Hardened, seed, OPERATIONS);
    }
}

#[test]
fn random_programs_on_pages_agree_with_the_oracle() {
    for seed in seeds(201, 30) {
        random_pages(seed, 2_000);
    }
}

#[test]
fn threads_that_exchange_objects_agree_with_their_oracles() {
    for seed in seeds(301, 3) {
        threads(Mode::Plain, seed, 4, OPERATIONS / 4);
        threads(Mode::Hardened, seed, 3, OPERATIONS / 10);
    }
}

/// Runs each byte string that a fuzzer has kept; how many there are.
fn replay(target: &str, run: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let entries = std::fs::read_dir(folder.join(target)).expect("the corpus is there");
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("the corpus can be read").path();
        println!("{}", path.display());
        run(&std::fs::read(&path).expect("the corpus can be read"));
        count += 1;
    }
    count
}

#[test]
fn the_corpus_of_bytes_agrees_with_the_oracle() {
    let count = replay("malloc", bytes::run_input);
    assert!(count > 0, "an empty corpus tests nothing");
}

#[test]
fn the_corpus_of_pages_agrees_with_the_oracle() {
    let count = replay("pages", pages::run_input);
    assert!(count > 0, "an empty corpus tests nothing");
}

/// For `cargo xtask stress`: as many operations as `HEAPWRIGHT_OPERATIONS` says, of all kinds.
#[test]
#[ignore = "takes minutes: cargo xtask stress"]
fn millions() {
    let wanted = number("HEAPWRIGHT_OPERATIONS").unwrap_or(10_000_000) as usize;
    let first = number("HEAPWRIGHT_SEED").unwrap_or(1);
    let mut done = 0;
    for seed in first.. {
        begin("round", seed);
        random_bytes(Mode::Plain, seed, 4 * OPERATIONS);
        random_bytes(Mode::Hardened, seed, OPERATIONS);
        random_pages(seed, 2_000);
        threads(Mode::Plain, seed, 4, OPERATIONS);
        done += 9 * OPERATIONS + 2_000;
        println!("model: ok {done} operations");
        if done >= wanted {
            return;
        }
    }
}
