//! A byte string as a program on the heap with explicit free, against the oracle in alloc-core's
//! tests.
#![no_main]

#[allow(dead_code, reason = "the tests ask for more")]
#[path = "../../alloc-core/tests/model/bytes.rs"]
mod bytes;
#[path = "../../alloc-core/tests/model/choices.rs"]
mod choices;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bytes::run_input(input));
