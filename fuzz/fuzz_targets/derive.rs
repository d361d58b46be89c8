//! A byte string as a declaration, for the modules of the derive.
#![no_main]

#[path = "../../gc-mark/derive/src/attr.rs"]
mod attr;
#[path = "../../gc-mark/derive/tests/declarations/check.rs"]
mod check;
#[path = "../../gc-mark/derive/src/expand.rs"]
mod expand;
#[path = "../../gc-mark/derive/src/input.rs"]
mod input;
#[path = "../../gc-mark/derive/src/rebrand.rs"]
mod rebrand;
#[path = "../../gc-mark/derive/tests/declarations/write.rs"]
mod write;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    check::run_input(input);
});
