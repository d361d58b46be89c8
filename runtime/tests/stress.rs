//! The default collector under everything at once: eight mutators that change graphs of every kind
//! of object in every way there is, share them, come and go, panic, leak; threads that are no
//! mutators; and cycles that begin all the time, in each debug mode.
//!
//! Three judges. *Canaries*: each object that anyone comes to must be alive and itself
//! (`stress/kinds.rs`). `check_marks`, where it is on: nothing reachable is unmarked when marking
//! ends. *The oracle*: beside the shared graph each mutator has one of its own and its twin, as
//! in `programs.rs`, and at the end what was dropped is exactly what the twins say is unreachable;
//! and when all roots are gone nothing at all is left.
//!
//! A round says which mode and seed it has before it begins, and so does whatever goes wrong.
//! `HEAPWRIGHT_SEED` sets the first seed, `HEAPWRIGHT_STRESS_MODE` runs one mode alone,
//! `HEAPWRIGHT_STRESS_SECONDS` (of a round) makes it longer; threads do not repeat their
//! interleavings, so a seed gives the same programs, not the same run. `cargo xtask stress` goes
//! through the modes for minutes.
//!
//! Mutants: those of `xtask/mutants/runtime-stress.toml` that name this file.

#[path = "stress/actor.rs"]
mod actor;
#[path = "stress/changes.rs"]
mod changes;
mod common;
#[allow(dead_code, reason = "exact comparison in mid-program is not made here")]
#[path = "programs/graph.rs"]
mod graph;
#[path = "stress/kinds.rs"]
mod kinds;
#[allow(dead_code, reason = "what breaks a closure is not used here")]
#[path = "programs/make.rs"]
mod make;
#[path = "stress/modes.rs"]
mod modes;
#[path = "programs/objects.rs"]
mod objects;
#[path = "stress/round.rs"]
mod round;

use common::seed;
use modes::{MODES, Mode};
use round::{Round, run};
use std::io::Write;
use std::time::{Duration, Instant};

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// How long a round goes on, if the environment does not say.
fn seconds(usual: f64) -> Duration {
    Duration::from_secs_f64(variable("HEAPWRIGHT_STRESS_SECONDS").unwrap_or(usual))
}

/// Past the test's harness, which keeps what a process that aborts has printed to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn round(mode: &'static Mode, seed: u64, length: Duration) -> Round {
    say(&format!("stress: begin mode={} seed={seed}", mode.name));
    let round = run(mode, seed, length);
    say(&format!(
        "stress: ok    mode={} seed={seed} cycles={} waves={} objects={}",
        mode.name, round.cycles, round.waves, round.objects
    ));
    round
}

/// The modes to run: one, if the environment names it.
fn chosen() -> Vec<&'static Mode> {
    let named: Option<String> = variable("HEAPWRIGHT_STRESS_MODE");
    let is_chosen = |mode: &&Mode| named.as_deref().is_none_or(|name| name == mode.name);
    let modes: Vec<_> = MODES.iter().filter(is_chosen).collect();
    assert!(!modes.is_empty(), "no mode has the name {named:?}");
    modes
}

/// A short round in each mode.
#[test]
fn nothing_is_lost_in_any_mode() {
    let seed = seed();
    for (n, mode) in (0..).zip(chosen()) {
        let round = round(mode, seed + n, seconds(0.6));
        assert!(round.cycles >= 2, "{} cycles", round.cycles);
    }
}

/// A longer one with everything on at once.
#[test]
fn nothing_is_lost_with_every_check() {
    let seed = seed();
    let mode = modes::by_name("all");
    let round = round(mode, seed, seconds(3.0));
    assert!(round.cycles >= 5, "{} cycles", round.cycles);
}

/// For `cargo xtask stress`: all modes in turn, until the time is over.
#[test]
#[ignore = "runs for minutes: cargo xtask stress"]
fn matrix() {
    let minutes: f64 = variable("HEAPWRIGHT_STRESS_MINUTES").unwrap_or(1.0);
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut next_seed = seed();
    let (mut rounds, mut cycles, mut objects) = (0, 0, 0);
    while rounds == 0 || Instant::now() < until {
        for mode in chosen() {
            let round = round(mode, next_seed, seconds(4.0));
            next_seed += 1;
            rounds += 1;
            cycles += round.cycles;
            objects += round.objects;
        }
    }
    say(&format!(
        "stress: done rounds={rounds} cycles={cycles} objects={objects}"
    ));
}
