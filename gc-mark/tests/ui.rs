//! What `#[derive(Trace)]` refuses, each refusal with the message that the user reads.
//!
//! After a change of wording or of compiler, `TRYBUILD=overwrite cargo test -p gc-mark --test ui`
//! writes the messages anew; read what changed.
//!
//! Mutants: `allow-drop`, `allow-borrow-in-skip`, `allow-borrow-in-noscan`,
//! `trust-fields-brand` and `unbounded-skipped-param` are killed here.

#![cfg(feature = "derive")]

#[test]
fn refuses() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}

#[test]
fn accepts() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}
