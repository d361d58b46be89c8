//! Explicit free over alloc-core's `malloc`, which has no collector.

use alloc_core::malloc::Heapwright;
use peers::programs::{Explicit, main as program, run};
use std::process::ExitCode;

#[global_allocator]
static HEAPWRIGHT: Heapwright = Heapwright;

fn main() -> ExitCode {
    program(run::<Explicit>)
}
