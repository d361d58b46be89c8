//! A byte string as an archive, or as rows of one, for the demo's reader and a plain one beside it.
#![no_main]

#[allow(dead_code, reason = "the demo asks for more")]
#[path = "../../runtime/examples/demo/data.rs"]
mod data;
#[path = "../../runtime/examples/demo/reader.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    reader::run_input(input);
});
