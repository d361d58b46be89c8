//! The usual policy against demand that its collector foretells, over simulated minutes: bounds on
//! what is retained and on what is faulted in again. No thread, no clock.
//!
//! Mutants of refusals: `refusal-taken-for-empty`, `no-back-off`, `back-off-stands-still`,
//! `back-off-without-end`, `back-off-forgets-success` and `told-ends-the-back-off`.

mod simulation;

use scavenger::{Config, Pacer};
use simulation::{GIB, HUGE, MIB, SMALL, Simulation, seconds};
use std::time::Duration;

fn simulation(nanoseconds_a_mib: u64) -> Simulation<Pacer> {
    Simulation::new(Pacer::new(Config::default()), nanoseconds_a_mib)
}

#[test]
fn steady_demand_is_left_alone() {
    let mut heap = simulation(HUGE);
    heap.collected(2 * GIB, 2 * GIB);
    for _ in 0..600 {
        heap.collected(GIB, 2 * GIB);
        heap.pass(seconds(0.5));
        heap.demand(3 * GIB / 2);
        heap.pass(seconds(0.5));
    }
    assert_eq!((heap.calls, heap.refaulted), (0, 0));
}

#[test]
fn a_sawtooth_below_the_heap_goal_never_faults() {
    let mut heap = simulation(HUGE);
    heap.collected(2 * GIB, 2 * GIB);
    for _ in 0..30 {
        heap.collected(GIB, 2 * GIB);
        for step in 0..=100 {
            heap.demand(GIB + GIB / 100 * step);
            heap.pass(seconds(0.1));
        }
    }
    assert_eq!((heap.calls, heap.refaulted), (0, 0));
}

#[test]
fn a_drop_to_a_tenth_goes_back_by_decay_and_stops_at_the_goal() {
    for price in [HUGE, SMALL] {
        let mut heap = simulation(price);
        heap.collected(10 * GIB, 10 * GIB);
        heap.collected(GIB, 2 * GIB);
        let surplus = heap.goal.surplus(heap.usage).total_bytes;
        let goal = heap.footprint() - surplus;

        heap.pass(seconds(0.95));
        let gone = heap.released;
        assert!(
            gone < surplus / 2,
            "not faster than the decay: {gone} of {surplus}"
        );
        let share = heap.work.as_secs_f64() / heap.now.as_secs_f64();
        assert!(share <= 0.041, "{share} of a processor");
        if price == HUGE {
            heap.pass(seconds(0.1));
            assert!(
                heap.released > surplus * 47 / 100,
                "nor slower: {}",
                heap.released
            );
        }
        // Eight GiB of small pages are two seconds of work, at 4 % of a processor.
        heap.pass(seconds(if price == HUGE { 20.0 } else { 60.0 }));
        assert_eq!(
            heap.footprint(),
            goal,
            "all above the goal went, and nothing below"
        );
        assert_eq!(heap.asks_at, None, "and the thread is parked");

        assert!(
            heap.longest_step <= seconds(0.001),
            "{:?}",
            heap.longest_step
        );
        heap.demand(2 * GIB);
        assert_eq!(heap.refaulted, 0, "the next cycle finds its memory");
    }
}

#[test]
fn rare_bursts_go_back_each_time_at_the_price_of_renting() {
    let config = Config::default();
    let mut heap = Simulation::new(Pacer::new(config), HUGE);
    heap.collected(GIB, GIB);
    let bursts = 10;
    for _ in 0..bursts {
        heap.collected(4 * GIB, 4 * GIB);
        heap.pass(seconds(5.0));
        heap.collected(GIB, GIB);
        heap.pass(seconds(25.0));
        assert_eq!(heap.footprint(), heap.goal.footprint_bytes(GIB));
    }
    assert!(
        heap.refaulted <= (bursts - 1) * 3 * GIB,
        "no byte twice a burst"
    );
    // A byte is kept for 1.44 half-lives in the mean.
    let kept = heap.excess_byte_seconds / (bursts * 3 * GIB) as f64;
    assert!(
        (1.2..1.6).contains(&kept),
        "a byte of surplus is kept for {kept} s"
    );
}

#[test]
fn rapid_bursts_mostly_find_their_memory() {
    let mut heap = simulation(HUGE);
    let bursts = 120;
    for _ in 0..bursts {
        heap.collected(4 * GIB, 4 * GIB);
        heap.pass(seconds(0.25));
        heap.collected(GIB, GIB);
        heap.pass(seconds(0.25));
    }
    let at_once = (bursts - 1) * 3 * GIB;
    let part = heap.refaulted as f64 / at_once as f64;
    assert!(
        part < 0.2,
        "{part} of what immediate release would fault in again"
    );
    assert!(heap.refaulted > 0, "bursts above the goal do pay something");
}

#[test]
fn a_limit_is_met_at_once_in_short_steps() {
    for price in [HUGE, SMALL] {
        let mut heap = simulation(price);
        heap.collected(6 * GIB, 8 * GIB);
        heap.collected(3 * GIB, 8 * GIB);
        heap.pass(seconds(1.0));
        assert_eq!(heap.calls, 0, "the heap goal allows it");
        heap.goal.limit_bytes = Some(5 * GIB);
        heap.collected(3 * GIB, 8 * GIB);
        let work = heap.goal.surplus(heap.usage).urgent_bytes as u64 / MIB as u64 * price;
        heap.pass(Duration::from_nanos(work) + seconds(0.01));
        assert!(heap.footprint() <= heap.goal.limit_goal_bytes());
        assert!(
            heap.footprint() + 2 * MIB > heap.goal.limit_goal_bytes(),
            "and no further"
        );
        assert!(
            heap.longest_step <= seconds(0.001),
            "{:?}",
            heap.longest_step
        );
    }
}

#[test]
fn a_sparse_heap_ends_near_its_goal_without_haste() {
    let mut heap = simulation(HUGE);
    heap.collected(GIB, GIB);
    heap.sparse = 700 * MIB;
    heap.collected(GIB / 5, 2 * GIB / 5);
    let surplus = heap.goal.surplus(heap.usage).total_bytes;
    let goal = heap.footprint() - surplus;
    heap.pass(seconds(1.95));
    assert_eq!(heap.broken, 0, "nothing breaks for two half-lives");
    assert!(heap.released > 0, "what is whole went before");
    heap.pass(seconds(10.0));
    assert!(heap.footprint() < goal + 2 * MIB, "{}", heap.footprint());
    assert!(heap.footprint() >= goal);
    assert!(heap.broken > 0);
    assert_eq!(heap.asks_at, None, "and the thread is parked");
    let longest = heap.longest_step;
    assert!(longest <= seconds(0.001), "{longest:?}");
    let share = heap.work.as_secs_f64() / heap.now.as_secs_f64();
    assert!(share <= 0.041, "{share} of a processor");
}

#[test]
fn a_heap_that_oscillates_breaks_no_huge_page() {
    for halves in [0.1, 0.25, 0.4, 0.9] {
        let mut heap = simulation(HUGE);
        for _ in 0..100 {
            heap.collected(GIB, GIB);
            heap.pass(seconds(halves));
            heap.collected(GIB / 5, GIB / 5);
            // All that is free lies between used pages.
            heap.sparse = heap.usage.retained_bytes;
            heap.pass(seconds(halves));
        }
        assert_eq!(heap.broken, 0, "halves of {halves} s");
    }
}

#[test]
fn a_limit_breaks_huge_pages_at_once() {
    let mut heap = simulation(HUGE);
    heap.collected(GIB, GIB);
    heap.goal.limit_bytes = Some(GIB / 2);
    heap.collected(GIB / 5, GIB);
    heap.sparse = heap.usage.retained_bytes;
    heap.pass(seconds(0.3));
    assert!(heap.footprint() <= heap.goal.limit_goal_bytes());
    assert!(heap.broken > 0);
    let longest = heap.longest_step;
    assert!(longest <= seconds(0.001), "{longest:?}");
}

#[test]
fn half_life_zero_returns_everything_in_one_go() {
    let config = Config {
        half_life: Duration::ZERO,
        share_percent: 100,
        ..Config::default()
    };
    let mut heap = Simulation::new(Pacer::new(config), HUGE);
    heap.collected(GIB, GIB);
    heap.collected(0, 0);
    heap.pass(seconds(0.02));
    assert_eq!(heap.footprint(), 0);
}

#[test]
fn a_system_that_refuses_is_asked_ever_more_seldom_and_never_given_up() {
    for limit in [None, Some(GIB / 2)] {
        let mut heap = simulation(HUGE);
        heap.collected(GIB, GIB);
        heap.goal.limit_bytes = limit;
        heap.refuses = true;
        heap.collected(GIB / 5, GIB / 5);
        heap.pass(seconds(1.2));
        let early = heap.refused_calls;
        assert!((1..=4).contains(&early), "{early} calls in a second");
        // A collection a second tells it of changes.
        for _ in 0..600 {
            heap.collected(GIB / 5, GIB / 5);
            heap.pass(seconds(1.0));
        }
        let calls = heap.refused_calls;
        assert!((12..=22).contains(&calls), "{calls} calls in ten minutes");
        assert_eq!((heap.released, heap.broken), (0, 0));

        heap.refuses = false;
        heap.pass(seconds(62.0));
        let goal = heap.goal.footprint_bytes(GIB / 5);
        assert!(heap.footprint() <= goal, "{} of {goal}", heap.footprint());

        // After a success the next refusal counts as the first.
        heap.collected(GIB, GIB);
        heap.pass(seconds(1.0));
        heap.collected(GIB / 5, GIB / 5);
        heap.refuses = true;
        heap.pass(seconds(3.0));
        let again = heap.refused_calls - calls;
        assert!((2..=6).contains(&again), "{again} calls in three seconds");
    }
}

#[test]
fn a_refusal_wastes_no_patience_and_breaks_nothing() {
    let mut heap = simulation(HUGE);
    heap.collected(GIB, GIB);
    heap.collected(GIB / 5, GIB / 5);
    heap.refuses = true;
    heap.pass(seconds(10.0));
    assert_eq!(heap.broken, 0);
    heap.refuses = false;
    heap.sparse = heap.usage.retained_bytes / 2;
    heap.pass(seconds(30.0));
    assert!(
        heap.broken > 0,
        "what is sparse goes when what is whole has gone"
    );
}
