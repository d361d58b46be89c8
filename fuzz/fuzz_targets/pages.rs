//! A byte string as a program on the page heap, against the oracle in alloc-core's tests.
#![no_main]

#[path = "../../alloc-core/tests/model/choices.rs"]
mod choices;
#[path = "../../alloc-core/tests/model/pages.rs"]
mod pages;

libfuzzer_sys::fuzz_target!(|input: &[u8]| pages::run_input(input));
