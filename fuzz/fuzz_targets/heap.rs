//! A byte string as a program on the collected heap, against the twin graph of runtime's tests.
#![no_main]

#[path = "../../runtime/tests/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "the tests ask for more")]
#[path = "../../runtime/tests/programs/graph.rs"]
mod graph;
#[path = "../../runtime/tests/programs/heap_program.rs"]
mod heap_program;
#[path = "../../runtime/tests/programs/make.rs"]
mod make;
#[path = "../../runtime/tests/programs/objects.rs"]
mod objects;

libfuzzer_sys::fuzz_target!(|input: &[u8]| heap_program::run_input(input));
