//! Prints what the last run of each bench has left, for a README: the rows beside mimalloc and the
//! machine's limits as one table, then the tables of the other benches.

use peers::report::{HEAD, rows_of};
use std::process::ExitCode;

/// Rows of one table.
const BENCHES: [&str; 4] = ["alloc", "malloc", "mark", "sweep"];
/// Tables of their own.
const TABLES: [&str; 3] = ["cost", "latency", "spike"];

/// The processor's name and number, and whether huge pages must be asked for.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let name = name
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let huge = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let huge = huge.unwrap_or_default();
    let huge = huge.split(['[', ']']).nth(1).unwrap_or("unknown");
    format!("{processors} × {name}, transparent huge pages: {huge}")
}

fn main() -> ExitCode {
    println!("{}\n\n{HEAD}", machine());
    let mut code = ExitCode::SUCCESS;
    for bench in BENCHES.into_iter().chain(TABLES) {
        let gap = if TABLES.contains(&bench) { "\n" } else { "" };
        match rows_of(bench) {
            Ok(rows) => print!("{gap}{rows}"),
            Err(_) => {
                eprintln!("no rows of `{bench}`: run `cargo bench -p peers --bench {bench}` first");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
