//! How long a message may take: the latency of replacing the oldest of 200 MiB of messages of
//! 1 KiB.
//!
//! Each system runs in a process of its own, the systems in turn, several rounds: each collector
//! of the heap, the same program in Go, and the *floor*, the same loop over a ring that was
//! allocated beforehand, which shows what the machine itself takes from a message. All of them
//! print the same checksum or the bench fails.
//!
//! ```text
//! latency [--runs=N] [word...]            rounds; only what has each word in its row's name
//! latency child SYSTEM --threads=... ...  one run; prints an outcome
//! ```

mod ring;

use peers::latency::{Outcome, Plan, Rows};
use peers::report;
use ring::{Collected, Floor};
use runtime::{Collector, OnTheFly, StopTheWorld};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

type Failure = Box<dyn std::error::Error>;

/// Rounds unless told otherwise.
const RUNS: usize = 5;

/// A system that this program contains.
struct Inside {
    name: &'static str,
    run: fn(&Plan) -> Result<Outcome, Failure>,
}

/// The heap with the collector `C`.
fn collector<C: Collector + Default>() -> Inside {
    Inside {
        name: C::NAME,
        run: ring::run::<Collected<C>>,
    }
}

/// Every system of this program. A new collector is one more line.
fn inside() -> Vec<Inside> {
    vec![
        collector::<OnTheFly>(),
        collector::<StopTheWorld>(),
        Inside {
            name: "floor",
            run: ring::run::<Floor>,
        },
    ]
}

/// A system as the harness runs it.
struct System {
    name: String,
    program: PathBuf,
    /// What stands before the plan's arguments.
    args: Vec<String>,
}

impl System {
    fn run(&self, plan: &Plan) -> Result<Outcome, Failure> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).args(plan.args());
        // Defaults are measured, not what somebody has set for another program.
        for name in [
            "GOGC",
            "GOMEMLIMIT",
            "GOMAXPROCS",
            "GODEBUG",
            "HEAPWRIGHT_TRACE",
        ] {
            command.env_remove(name);
        }
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{} ended with {}", self.name, output.status).into());
        }
        Ok(Outcome::parse(&String::from_utf8(output.stdout)?)
            .map_err(|error| format!("{}: {error}", self.name))?)
    }
}

/// The systems, Go among them if it is installed.
fn systems() -> Result<Vec<System>, Failure> {
    let program = std::env::current_exe()?;
    let mut systems: Vec<System> = inside()
        .into_iter()
        .map(|inside| System {
            name: inside.name.to_owned(),
            program: program.clone(),
            args: vec!["child".to_owned(), inside.name.to_owned()],
        })
        .collect();
    if let Some(program) = peers::go::build("latency")? {
        systems.push(System {
            name: "go".to_owned(),
            program,
            args: Vec::new(),
        });
    }
    Ok(systems)
}

fn child(args: &[String]) -> Result<(), Failure> {
    let name = args.first().ok_or("`child` needs the name of a system")?;
    let plan = Plan::from_args(&args[1..]).ok_or("`child` needs each argument of a plan once")?;
    let known = inside().into_iter().find(|inside| inside.name == name);
    let system = known.ok_or_else(|| format!("there is no system called {name}"))?;
    print!("{}", (system.run)(&plan)?.text());
    Ok(())
}

/// All rounds of one plan. Each round begins with another system, so that none always follows the
/// same.
fn rounds(plan: &Plan, systems: &[&System], runs: usize) -> Result<Rows, Failure> {
    let title = plan.title();
    let mut rows = Rows::new(
        &title,
        systems.iter().map(|system| system.name.clone()).collect(),
    );
    for run in 0..runs {
        let mut round = BTreeMap::new();
        for turn in 0..systems.len() {
            let system = systems[(run + turn) % systems.len()];
            let outcome = system.run(plan)?;
            let at = |percentile| outcome.latency.value_at_percentile(percentile) as f64 / 1e3;
            println!(
                "{title}, round {}: {} p50 {:.2} µs, p99.9 {:.1} µs, max {:.0} µs",
                run + 1,
                system.name,
                at(50.0),
                at(99.9),
                at(100.0)
            );
            round.insert(system.name.clone(), outcome);
        }
        rows.round(round)?;
    }
    Ok(rows)
}

fn harness(args: &[String]) -> Result<(), Failure> {
    let (flags, words): (Vec<&String>, Vec<&String>) =
        args.iter().partition(|arg| arg.starts_with("--"));
    let asked = flags.iter().find_map(|flag| flag.strip_prefix("--runs="));
    let runs = asked.map_or(Ok(RUNS), str::parse)?.max(1);
    let wanted = |system: &System, plan: &Plan| {
        let name = format!("{}: {}", system.name, plan.title());
        words.iter().all(|word| name.contains(word.as_str()))
    };
    let systems = systems()?;
    let mut plans = Vec::new();
    for plan in Plan::all() {
        let chosen: Vec<&System> = systems.iter().filter(|one| wanted(one, &plan)).collect();
        if !chosen.is_empty() {
            plans.push(rounds(&plan, &chosen, runs)?);
        }
    }
    if plans.is_empty() {
        return Ok(());
    }
    report::finish_table("latency", &Rows::tables(&plans))?;
    let folder = report::folder().join("latency");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in plans.iter().flat_map(Rows::distributions) {
        std::fs::write(folder.join(name), text)?;
    }
    println!("distributions: {}", folder.canonicalize()?.display());
    Ok(())
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((first, rest)) if first == "child" => child(rest),
        _ => harness(&args),
    }
}
