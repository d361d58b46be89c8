//! Escape analysis against three judges: a machine that watches frames, Go, and a count of steps.

#[path = "escape/directed.rs"]
mod directed;
#[path = "escape/explain.rs"]
mod explain;
#[path = "escape/generate.rs"]
mod generate;
#[path = "escape/growth.rs"]
mod growth;
#[path = "escape/language.rs"]
mod language;
#[path = "escape/machine.rs"]
mod machine;
#[path = "escape/parse.rs"]
mod parse;
#[path = "escape/precision.rs"]
mod precision;
#[path = "escape/soundness.rs"]
mod soundness;
