//! Programs with a memory limit, or with too little memory.

use std::time::Duration;

use runtime::pacer::Policy;

use crate::report;
use crate::sim::{MIB, Program, collector_share, play, worst_assist, worst_peak};

/// A limit that can be kept is kept, holes and tables included. Kills the mutants `limit-ignored`
/// and `overhead-forgotten`.
#[test]
fn kept() {
    for (limit, overhead) in [(100, 0.0), (130, 20.0), (200, 20.0)] {
        let mut program = Program::new(4);
        program.settings.limit_bytes = Some(limit << 20);
        program.overhead = overhead * MIB;
        let rows = &play(&program, 1e9, 60)[5..];
        let name = format!("limit {limit} MiB");
        report(&name, &program, rows);
        for row in rows {
            let total = row.peak + program.overhead;
            assert!(total <= limit as f64 * MIB, "{name}: {}", total / MIB);
            assert!(!row.plan.is_limiting, "{name}");
        }
        assert!(collector_share(rows, 4) < 0.5, "{name}");
    }
}

/// Without a percentage the limit alone decides, and all of it is used.
#[test]
fn percent_off() {
    let mut program = Program::new(4);
    program.settings.policy = Policy::Off;
    program.settings.limit_bytes = Some(512 << 20);
    let rows = &play(&program, 1e9, 20)[2..];
    report("percent off, limit 512 MiB", &program, rows);
    for row in rows {
        assert_eq!(row.plan.goal_bytes >> 20, 496);
        assert!(row.peak <= 512.0 * MIB);
        assert!(row.peak >= 480.0 * MIB);
    }
    assert_eq!(worst_assist(rows), 0.0);
}

/// A limit below what lives cannot be kept: collecting takes half of the processors, no more, and
/// not more than the program can use; and the heap stays as small as that allows. Kills the mutants
/// `no-limiter`, `overflow-lost` and `unfair-markers`.
#[test]
fn below_live() {
    for (processors, threads) in [(1, 1), (2, 2), (2, 1), (8, 8), (8, 1)] {
        let mut program = Program::new(processors);
        program.threads = threads;
        program.settings.limit_bytes = Some(40 << 20);
        let name = format!("limit below live, {threads} of {processors}");
        let rate = cap_is_kept(&name, &program);
        assert!(rate >= 80.0 * MIB, "{name}: {rate}");
    }
}

/// The same where it is the fixed costs that eat the processors. Kills the mutant `no-slip`.
#[test]
fn below_live_and_small() {
    for processors in [1, 2] {
        let mut program = Program::new(processors);
        program.live = Box::new(|_| 1.2 * MIB);
        program.start_delay = Box::new(|_| 1e-3);
        program.settings.cycle_cost = Duration::from_millis(1);
        program.settings.limit_bytes = Some(1 << 20);
        cap_is_kept(&format!("small, {processors} cores"), &program);
    }
}

/// Asserts that the collector takes no more than its share; bytes allocated in a second.
fn cap_is_kept(name: &str, program: &Program) -> f64 {
    let processors = program.settings.processors as f64;
    let rows = play(program, 25.0, 1_000_000);
    report(name, program, &rows[1..]);
    // The limiter tolerates one second of each processor before it acts.
    let late: Vec<_> = rows.iter().filter(|r| r.ended > 10.0).copied().collect();
    let seconds: f64 = late.iter().map(|row| row.period).sum();
    let cores = late.iter().map(|row| row.collector_cpu).sum::<f64>() / seconds;
    let rate = late
        .iter()
        .map(|row| row.cycle.allocated_bytes as f64 / seconds)
        .sum::<f64>();
    println!("    {:.0} MiB/s, {cores:.2} cores collect", rate / MIB);
    let fair = (processors / 2.0).min(program.threads as f64);
    assert!(cores <= 1.05 * fair, "{name}: {cores}");
    let live = (program.live)(0.0);
    assert!(late.iter().all(|row| row.peak < 2.0 * live), "{name}");
    rate
}

/// A percentage that would take several times the machine.
#[test]
fn percent_too_low() {
    let mut program = Program::new(2);
    program.settings.policy = Policy::Percent(2);
    program.live = Box::new(|_| 512.0 * MIB);
    program.rate = Box::new(|_| 500.0 * MIB);
    let rows = play(&program, 40.0, 100_000);
    let late: Vec<_> = rows.iter().filter(|r| r.ended > 15.0).copied().collect();
    report("percent too low", &program, &late);
    assert!(collector_share(&late, 2) <= 0.52);
    assert!(worst_peak(&late) < 2.0);
}
