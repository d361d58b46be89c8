//! Explicit free over the process's `malloc`: glibc's, or that of a library loaded before it.

use peers::programs::{Explicit, main as program, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    program(run::<Explicit>)
}
