//! MMTk's side of `cargo xtask bench --peers`: the shared workloads on a minimal binding.
//!
//! One program, `peers-mmtk WORKLOAD plan=Immix key=value ...`. [`binding`] tells MMTk what an
//! object is and where the roots are, [`world`] stops and resumes the threads, [`local`] is what a
//! thread allocates with; then a file a workload: [`trees`], [`alloc`], [`ring`] (the limit and the
//! spike too), [`graph`] and [`mixed`]. `plan` is `Immix`, `StickyImmix` or `MarkSweep`; `heap` is
//! a fixed size in MiB (left out: MMTk's balancer chooses, but for the limit and the spike);
//! `workers` are the collector's threads, and `headroom` is the percentage of a heap that Immix may
//! move objects to.
//!
//! What remains unequal: objects have a header of 8 B; roots are kept on a stack of their own, as
//! an interpreter would, not found by maps of a compiler's stack; allocation asks at each object
//! whether the world is to stop; tables are roots, not objects.

mod alloc;
mod binding;
mod figures;
mod graph;
mod local;
mod mixed;
mod params;
mod ring;
mod trees;
mod world;

use params::Params;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let workload = args.next().unwrap_or_default();
    let run = match workload.as_str() {
        "trees" => trees::run,
        "alloc" => alloc::run,
        "ring" => ring::run,
        "limit" => ring::run_limited,
        "spike" => ring::run_spike,
        "graph" => graph::run,
        _ => {
            eprintln!("unknown workload: {workload}");
            return ExitCode::from(3);
        }
    };
    let params = Params::parse(args);
    binding::start(&params, settings(&workload, &params));
    run(&params);
    ExitCode::SUCCESS
}

/// What the workload wants of the heap where the parameters do not say.
fn settings(workload: &str, params: &Params) -> binding::Settings {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let usual = binding::Settings {
        heap_mib: 0,
        headroom_percent: 2,
        workers: processors,
    };
    match workload {
        "graph" => binding::Settings {
            workers: params.number("threads", 1),
            ..usual
        },
        // From its least size on the balancer lets a heap grow by small steps, each of which costs
        // a collection: minutes, of which this workload wants to know nothing.
        "spike" => binding::Settings {
            heap_mib: 2 * (params.number("live", 64) + params.number("drop", 2048)),
            ..usual
        },
        // Messages are longer than a line, and want free blocks: without more room to move others
        // out of the way, memory is soon exhausted.
        "limit" => binding::Settings {
            heap_mib: params.number("limit", 512),
            headroom_percent: 15,
            ..usual
        },
        _ => usual,
    }
}
