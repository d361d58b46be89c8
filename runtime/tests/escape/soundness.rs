//! Programs by chance, run on the machine with the analysis' decisions.
//!
//! `HEAPWRIGHT_PROGRAMS` says how many, `HEAPWRIGHT_SEED` which one to begin with: a failure prints
//! the seed that repeats it.

use super::generate::{self, Shape};
use super::language::{Lowered, Program};
use super::machine::{self, Fault, RunFrom, function_of};
use runtime::escape::{Decision, Options, Report, Site};

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

fn shape(seed: u64) -> Shape {
    Shape {
        functions: 2 + seed as usize % 4,
        statements: 3 + seed as usize % 4,
        anywhere: seed.is_multiple_of(3),
        nesting: 2,
    }
}

/// Runs of each program.
const RUNS: u64 = 6;

fn sites(lowered: &Lowered, report: &Report<'_>) -> Vec<(Site, Decision)> {
    let functions = lowered.functions.iter();
    let all = functions.flat_map(|f| report.sites(*f).map(|(site, .., how)| (site, how)));
    all.collect()
}

fn accuse(seed: u64, program: &Program, lowered: &Lowered, report: &Report<'_>, fault: &Fault) {
    let func = function_of(program, lowered, fault.site);
    let mut sites = report.sites(fault.site.function());
    let (_, name, at, ..) = sites
        .find(|(site, ..)| *site == fault.site)
        .expect("is listed");
    for func in &program.functions {
        println!("{} {:?}", func.name, func.names);
        for stmt in &func.body {
            println!("    {stmt:?}");
        }
    }
    panic!(
        "{}: `{name}` ({at}) of `{}` is in a frame: HEAPWRIGHT_SEED={seed} \
         HEAPWRIGHT_PROGRAMS=1 repeats it",
        fault.what, func.name
    );
}

/// No program ever sees a frame that has gone, and no object on the heap points to one.
#[test]
fn sound_on_programs_by_chance() {
    let first = setting("HEAPWRIGHT_SEED", 1);
    let (mut frames, mut all) = (0u64, 0u64);
    for seed in first..first + setting("HEAPWRIGHT_PROGRAMS", 3_000) {
        let program = generate::program(seed, shape(seed));
        let lowered = program.lower();
        let report = lowered.program.analyze(&Options::default());
        for run in 0..RUNS {
            if let Err(fault) = machine::run(&program, &lowered, &report, seed * RUNS + run) {
                accuse(seed, &program, &lowered, &report, &fault);
            }
        }
        for (_, decision) in sites(&lowered, &report) {
            all += 1;
            frames += u64::from(decision != Decision::Heap);
        }
    }
    println!("{frames} of {all} sites in frames");
    assert!(frames * 4 > all, "an analysis that says heap is sound too");
}

/// The machine notices if a site is put in a frame that the analysis wants on the heap.
#[test]
fn machine_notices_a_wrong_decision() {
    let (mut noticed, mut tried) = (0, 0);
    for seed in 1..300 {
        let program = generate::program(seed, shape(seed));
        let lowered = program.lower();
        let report = lowered.program.analyze(&Options::default());
        let sites = sites(&lowered, &report);
        for (wrong, _) in sites
            .iter()
            .filter(|(_, how)| *how == Decision::Heap)
            .take(3)
        {
            let decide = |site| match site == *wrong {
                true => Decision::Frame,
                false => report.decision(site),
            };
            tried += 1;
            let mut runs = 0..RUNS;
            let run = |seed| machine::run_as(&program, &lowered, &decide, seed, RunFrom::Last);
            noticed += u32::from(runs.any(|run_seed| run(run_seed).is_err()));
        }
    }
    println!("{noticed} of {tried} wrong decisions noticed");
    assert!(noticed * 10 > tried);
}
