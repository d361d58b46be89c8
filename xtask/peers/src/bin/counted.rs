//! Over mimalloc: explicit free, counted references, and collectors that are crates, by `system`.

use mimalloc::MiMalloc;
use peers::programs::{Arena, Counted, Cycles, Explicit, SharedCounted, main as program, run};
use std::process::ExitCode;

#[global_allocator]
static MIMALLOC: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    program(|params| match params.text("system", "box") {
        "box" => run::<Explicit>(params),
        "rc" => run::<Counted>(params),
        "arc" => run::<SharedCounted>(params),
        "gc-arena" => run::<Arena>(params),
        "dumpster" => run::<Cycles>(params),
        name => Err(format!("there is no system {name}").into()),
    })
}
