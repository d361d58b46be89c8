//! Escape analysis against three judges: a machine that watches frames, Go, and a count of steps.

#[path = "escape/generate.rs"]
mod generate;
#[path = "escape/language.rs"]
mod language;
#[path = "escape/machine.rs"]
mod machine;
#[path = "escape/soundness.rs"]
mod soundness;
