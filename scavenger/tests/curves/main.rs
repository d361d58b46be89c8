//! Policies against demand that nobody foretells: there is no heap goal, so that a policy alone
//! stands between memory that is held in vain and memory that is faulted in again.
//!
//! Each policy lives through ten minutes of each curve. What is measured:
//!
//! | figure | meaning |
//! |---|---|
//! | held | bytes held above use and its margin, in the mean, as a part of the mean use |
//! | lag | the most bytes held above the peak use of the last eight seconds and its margin, as a part of the curve's height |
//! | refaulted | bytes released and wanted again, as a part of all bytes that were ever wanted anew |
//! | cost | held and refaulted together, beside an oracle that knows the future |
//!
//! The oracle rents or buys, a unit of 2 MiB and a gap in its use at a time: it holds the unit
//! through the gap, or releases it at once and pays a refault, which costs as much as holding for
//! 0.8 s (`decay.rs` has where that is from).
//!
//! Each bound is tight enough that a policy without it breaks it, and the two policies that anyone
//! would write first are shown to break theirs: releasing all at once refaults, never releasing
//! holds. Mutants: `half-life-ten`, `half-life-tenth`, `no-decay-of-the-unforeseen`.

mod demand;
#[path = "../simulation/mod.rs"]
mod simulation;

use std::time::Duration;

use demand::{Curve, RATE};
use scavenger::{Action, Config, Goal, Outcome, Pacer, Policy, Usage};
use simulation::{HUGE, MIB, Simulation, seconds};

const NOTHING_FORETOLD: Goal = Goal {
    heap_goal_bytes: 0,
    limit_bytes: None,
};

const UNIT: usize = 2 * MIB;

/// How long a unit can be held for the price of a refault.
const BREAK_EVEN: f64 = 0.8;

/// How long ago a peak may be that still excuses what is held.
const LAG_SECONDS: usize = 8;

/// Gives all surplus back the moment it sees it.
struct AtOnce;

impl Policy for AtOnce {
    fn next(&mut self, _now: Duration, usage: Usage, goal: Goal) -> Action {
        match goal.surplus(usage).total_bytes {
            0 => Action::Park,
            bytes_max => Action::Release {
                bytes_max,
                sparse: false,
            },
        }
    }
    fn released(&mut self, _now: Duration, _outcome: Outcome) {}
    fn tell(&mut self, _now: Duration) {}
}

/// Keeps everything.
struct Never;

impl Policy for Never {
    fn next(&mut self, _now: Duration, _usage: Usage, _goal: Goal) -> Action {
        Action::Park
    }
    fn released(&mut self, _now: Duration, _outcome: Outcome) {}
    fn tell(&mut self, _now: Duration) {}
}

/// How a policy did on a curve; what each figure means is in the file's head.
#[derive(Clone, Copy, Debug)]
struct Figures {
    held: f64,
    lag: f64,
    refaulted: f64,
    cost: f64,
}

impl Figures {
    /// The names of the figures that exceed `bounds`.
    fn breaks(self, bounds: Figures) -> Vec<&'static str> {
        let pairs = [
            ("held", self.held, bounds.held),
            ("lag", self.lag, bounds.lag),
            ("refaulted", self.refaulted, bounds.refaulted),
            ("cost", self.cost, bounds.cost),
        ];
        let broken = pairs.into_iter().filter(|(_, is, most)| is > most);
        broken.map(|(name, ..)| name).collect()
    }
}

/// What the oracle pays, in bytes times seconds, for holding above use and its margin.
fn oracle_cost(curve: &Curve) -> f64 {
    // The margin is free for everyone.
    let covered = |in_use: usize| footprint_of(in_use) / UNIT;
    let units = curve.in_use.iter().map(|&in_use| covered(in_use));
    let mut unused_since: Vec<Option<usize>> = Vec::new();
    let mut cost = 0.0;
    let mut pay = |gap: usize| cost += (gap as f64 / RATE as f64).min(BREAK_EVEN) * UNIT as f64;
    for (at, units) in units.enumerate() {
        unused_since.resize(unused_since.len().max(units), None);
        for (unit, since) in unused_since.iter_mut().enumerate() {
            match (unit < units, *since) {
                (true, Some(since_at)) => {
                    pay(at - since_at);
                    *since = None;
                }
                (false, None) => *since = Some(at),
                _ => {}
            }
        }
    }
    let end = curve.in_use.len();
    unused_since
        .iter()
        .flatten()
        .for_each(|&since| pay(end - since));
    cost
}

/// The footprint that is nobody's fault: use and its margin.
fn footprint_of(in_use: usize) -> usize {
    NOTHING_FORETOLD.footprint_bytes(in_use)
}

fn live_through(policy: impl Policy, curve: &Curve) -> Figures {
    let mut heap = Simulation::new(policy, HUGE);
    heap.goal = NOTHING_FORETOLD;
    let (mut lag, mut wanted) = (0_usize, 0_usize);
    let mut before = 0;
    for (at, &in_use) in curve.in_use.iter().enumerate() {
        wanted += in_use.saturating_sub(before);
        before = in_use;
        heap.collected(in_use, 0);
        heap.pass(seconds(1.0 / RATE as f64));
        let recent = at.saturating_sub(LAG_SECONDS * RATE)..=at;
        let peak = curve.in_use[recent].iter().max().copied().unwrap_or(0);
        lag = lag.max(heap.footprint().saturating_sub(footprint_of(peak)));
    }
    let samples = curve.in_use.iter();
    let use_byte_seconds = samples.clone().sum::<usize>() as f64 / RATE as f64;
    let height = samples.clone().max().unwrap_or(&0) - samples.min().unwrap_or(&0);
    let paid = heap.excess_byte_seconds + heap.refaulted as f64 * BREAK_EVEN;
    // A hundredth of the use itself is noise.
    let oracle = oracle_cost(curve) + use_byte_seconds / 100.0;
    Figures {
        held: heap.excess_byte_seconds / use_byte_seconds,
        lag: lag as f64 / height as f64,
        refaulted: heap.refaulted as f64 / wanted as f64,
        cost: paid / oracle,
    }
}

/// What the usual policy is held to on each curve.
fn bounds() -> [(Curve, Figures); 5] {
    let figures = |held, lag, refaulted, cost| Figures {
        held,
        lag,
        refaulted,
        cost,
    };
    [
        (demand::steady(), figures(0.001, 0.0, 0.0005, 0.005)),
        (demand::burst(), figures(0.20, 0.02, 0.50, 2.4)),
        (demand::diurnal(), figures(0.017, 0.005, 0.35, 0.9)),
        (demand::sawtooth(), figures(0.45, 0.0, 0.14, 1.1)),
        (demand::slow_sawtooth(), figures(0.055, 0.01, 0.63, 1.9)),
    ]
}

/// Asserts which bounds a policy breaks on each curve, in the order of `bounds`.
#[track_caller]
fn assert_breaks<P: Policy>(name: &str, policy: impl Fn() -> P, expected: [&[&str]; 5]) {
    for ((curve, bounds), expected) in bounds().into_iter().zip(expected) {
        let figures = live_through(policy(), &curve);
        println!("{name}, {}: {figures:.4?}", curve.name);
        let breaks = figures.breaks(bounds);
        assert_eq!(breaks, expected, "{name}, {}: {figures:?}", curve.name);
    }
}

#[test]
fn the_usual_policy_keeps_every_bound() {
    let usual = || Pacer::new(Config::default());
    assert_breaks("usual", usual, [&[], &[], &[], &[], &[]]);
}

#[test]
fn releasing_all_at_once_refaults() {
    let refaulted: &[_] = &["refaulted"];
    let both: &[_] = &["refaulted", "cost"];
    let expected = [both, &[], refaulted, both, refaulted];
    assert_breaks("at once", || AtOnce, expected);
}

#[test]
fn never_releasing_holds() {
    let all: &[_] = &["held", "lag", "cost"];
    assert_breaks("never", || Never, [&[], all, all, &["held"], all]);
}

/// A boxed policy is the policy.
#[test]
fn a_policy_may_be_boxed() {
    let curve = demand::burst();
    let boxed: Box<dyn Policy> = Box::new(Pacer::new(Config::default()));
    let (boxed, plain) = (
        live_through(boxed, &curve),
        live_through(Pacer::new(Config::default()), &curve),
    );
    assert_eq!(format!("{boxed:?}"), format!("{plain:?}"));
}
