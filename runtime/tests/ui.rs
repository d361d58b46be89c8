//! What the compiler refuses: each way in which a reference, a guard or a context could outlive
//! its closure, cross heaps, or be reached by drop code.
//!
//! After a change of wording or of compiler, `TRYBUILD=overwrite cargo test -p runtime --test ui`
//! writes the messages anew; read what changed.
//!
//! Mutants: `covariant-cell`, `alloc-under-any-brand`, `alloc-what-one-thread-owns`, `sendable-cx`,
//! `guard-outlives-cx` and `set-by-any-cx` are killed here.

#[test]
fn refuses() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
