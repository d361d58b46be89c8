//! What the mark queue does with a hundred markers, on a machine that has two.
//!
//! ```text
//! cargo run --release -p peers --bin scale [-- --nodes N] [--measure]
//! ```
//!
//! [`simulation`] runs the queue of `gc-mark` in simulated time on graphs of [`shape`]; with
//! `--measure` [`real`] runs the marker itself on the same graphs, alone and by two threads, and
//! the simulation's costs are what was measured instead of what is written here. Without it the
//! output is always the same. `docs/scale.md` has the tables and what follows from them.

mod line;
mod real;
mod shape;
mod simulation;

use clap::Parser;
use shape::Shape;
use simulation::{Costs, MARKERS_MAX, Outcome, Simulation};

type Failure = Box<dyn std::error::Error>;

/// The mark queue in simulated time.
#[derive(Parser)]
struct Options {
    /// Nodes of each graph
    #[arg(long, default_value_t = 8_000_000)]
    nodes: usize,
    /// Measures the real marker on one and two threads first
    #[arg(long)]
    measure: bool,
}

/// What was measured on the two processors of a Zen 4 server part in nanoseconds; a transfer and
/// the theft are what is usual between cores that share no cache.
const COSTS: Costs = Costs {
    object: 16.0,
    latency: 90.0,
    transfer: 120.0,
    stolen: 500.0,
    start: 3000.0,
    memory: 0.0,
    tell: 1024,
};

/// An object on a tree in the order of allocation, in nanoseconds.
const TREE_OBJECT: f64 = 9.0;

/// Two lines an object, its own and that of its mark, over 300 GB/s at random.
const MEMORY: f64 = 2.0 * 64.0 / 300.0;

const MARKERS: [usize; 9] = [1, 2, 4, 8, 16, 25, 50, 100, MARKERS_MAX];

/// The graphs, and what an object of each costs.
fn shapes(nodes: usize) -> [(Shape, f64); 3] {
    [
        (Shape::random(nodes), COSTS.object),
        (Shape::tree(nodes), TREE_OBJECT),
        (Shape::lists(nodes), COSTS.object),
    ]
}

/// Measures, prints what was measured beside what the simulation says, and returns the costs.
fn calibrate(shape: &Shape, latency: f64) -> Result<Costs, Failure> {
    let failed = |aborted: gc_mark::Aborted| aborted.to_string();
    let alone = real::alone(shape).map_err(failed)?;
    let one = real::together(shape, 1).map_err(failed)?;
    let two = real::together(shape, 2).map_err(failed)?;
    let beside = real::beside(shape).map_err(failed)?;
    // Of one marker's time the packets' begins are not the objects'.
    let begins = latency * one.packets as f64 / objects(shape, COSTS) as f64;
    let of = |ns: f64| Costs {
        object: (ns - begins).max(1.0),
        latency,
        ..COSTS
    };
    let simulated = [
        Simulation::run(shape, 1, of(one.ns_an_object)),
        Simulation::run(shape, 2, of(beside.ns_an_object)),
    ];
    println!(
        "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {} | {} | {} |",
        shape.name,
        alone.ns_an_object,
        one.ns_an_object,
        beside.ns_an_object,
        two.ns_an_object,
        2.0 * each_ns(&simulated[1]),
        two.packets,
        simulated[1].packets,
        two.steals,
        simulated[1].steals,
    );
    Ok(of(one.ns_an_object))
}

fn objects(shape: &Shape, costs: Costs) -> u64 {
    Simulation::run(shape, 1, costs).objects
}

fn each_ns(outcome: &Outcome) -> f64 {
    outcome.over_ns / outcome.objects as f64
}

/// A row a number of markers.
fn sweep(shape: &Shape, costs: Costs) {
    println!("\n{}, {:.1} ns an object:\n", shape.name, costs.object);
    println!(
        "| markers | ms | speed-up | idle | at the line | steals | told once a packet | memory bounded |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    let one = Simulation::run(shape, 1, costs).over_ns;
    for markers in MARKERS {
        let run = |costs| Simulation::run(shape, markers, costs);
        let as_is = run(costs);
        let by_packet = run(Costs { tell: 0, ..costs });
        let bounded = run(Costs {
            memory: MEMORY,
            ..costs
        });
        let share = |ns: f64| 100.0 * ns / (as_is.over_ns * markers as f64);
        println!(
            "| {markers} | {:.2} | {:.1} | {:.0} % | {:.0} % | {} | {:.1} | {:.1} |",
            as_is.over_ns / 1e6,
            one / as_is.over_ns,
            share(as_is.idle_ns),
            share(as_is.shared_ns),
            as_is.steals,
            one / by_packet.over_ns,
            one / bounded.over_ns,
        );
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let mut latency = COSTS.latency;
    if options.measure {
        let list = real::alone(&Shape::list(options.nodes));
        latency = list.map_err(|aborted| aborted.to_string())?.ns_an_object;
        println!("a miss takes {latency:.0} ns\n");
        println!(
            "| CPU an object, ns | alone | one of many | two apart | two together | simulated \
             | packets | simulated | steals | simulated |"
        );
        println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    }
    let mut all = Vec::new();
    for (shape, object) in shapes(options.nodes) {
        let costs = if options.measure {
            calibrate(&shape, latency)?
        } else {
            Costs { object, ..COSTS }
        };
        all.push((shape, costs));
    }
    for (shape, costs) in &all {
        sweep(shape, *costs);
    }
    Ok(())
}
