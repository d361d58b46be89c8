//! The policy against demand curves, over simulated minutes: bounds on what is retained and on
//! what is faulted in again. No thread, no clock.

use std::time::Duration;

use scavenger::{Action, Config, Goal, Pacer, Usage};

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
const TICK: Duration = Duration::from_millis(10);

/// Nanoseconds a MiB to release: whole 2 MiB pages, and small ones in small calls.
const HUGE: u64 = 3_000;
const SMALL: u64 = 246_000;

struct Simulation {
    pacer: Pacer,
    goal: Goal,
    usage: Usage,
    now: Duration,
    /// When the pacer is asked next; `None` while it is parked.
    asks_at: Option<Duration>,
    nanoseconds_a_mib: u64,
    /// Retained bytes between used ones, which go on sparse demand only, at the price of small
    /// pages.
    sparse: usize,
    broken: usize,
    released: usize,
    /// Bytes that were released and then needed.
    refaulted: usize,
    /// Retained bytes above the footprint goal, times seconds.
    excess_byte_seconds: f64,
    work: Duration,
    longest_step: Duration,
    calls: usize,
}

impl Simulation {
    fn new(config: Config, nanoseconds_a_mib: u64) -> Simulation {
        Simulation {
            pacer: Pacer::new(config),
            goal: Goal::default(),
            usage: Usage::default(),
            now: Duration::ZERO,
            asks_at: None,
            nanoseconds_a_mib,
            sparse: 0,
            broken: 0,
            released: 0,
            refaulted: 0,
            excess_byte_seconds: 0.0,
            work: Duration::ZERO,
            longest_step: Duration::ZERO,
            calls: 0,
        }
    }

    /// A collection has ended: pages in use, and the goal of the next.
    fn collected(&mut self, in_use: usize, heap_goal: usize) {
        self.demand(in_use);
        self.goal.heap_goal_bytes = heap_goal;
        self.pacer.tell();
        self.asks_at = Some(self.now);
    }

    /// Pages in use change: taken from what is retained, then from what was released, then new.
    fn demand(&mut self, in_use: usize) {
        let before = self.usage.in_use_bytes;
        self.usage.in_use_bytes = in_use;
        if in_use < before {
            self.usage.retained_bytes += before - in_use;
            return;
        }
        let kept = self.usage.retained_bytes.min(in_use - before);
        self.usage.retained_bytes -= kept;
        self.sparse = self.sparse.min(self.usage.retained_bytes);
        let again = self.released.min(in_use - before - kept);
        self.released -= again;
        self.refaulted += again;
    }

    /// Lets `time` pass in ticks.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let tick_end = (self.now + TICK).min(end);
            let allowed = self.goal.footprint_bytes(self.usage.in_use_bytes);
            let footprint = self.usage.in_use_bytes + self.usage.retained_bytes;
            let excess = footprint.saturating_sub(allowed) as f64;
            self.excess_byte_seconds += excess * (tick_end - self.now).as_secs_f64();
            while let Some(asks_at) = self.asks_at.filter(|&at| at <= tick_end) {
                self.ask(asks_at.max(self.now));
            }
            self.now = tick_end.max(self.now);
        }
    }

    fn ask(&mut self, now: Duration) {
        self.now = now;
        match self.pacer.next(now, self.usage, self.goal) {
            Action::Park => self.asks_at = None,
            Action::Sleep(time) => {
                assert!(time > Duration::ZERO, "it would spin");
                self.asks_at = Some(now + time);
            }
            Action::Release { bytes_max, sparse } => {
                assert!(bytes_max > 0);
                let bytes = bytes_max.min(self.usage.retained_bytes - self.sparse);
                let pieces = if sparse {
                    (bytes_max - bytes).min(self.sparse)
                } else {
                    0
                };
                let cost = bytes as u64 * self.nanoseconds_a_mib + pieces as u64 * SMALL;
                let (cost, bytes) = (cost / MIB as u64, bytes + pieces);
                self.sparse -= pieces;
                self.broken += pieces;
                self.usage.retained_bytes -= bytes;
                self.released += bytes;
                let took = Duration::from_nanos(cost);
                self.work += took;
                self.longest_step = self.longest_step.max(took);
                self.calls += 1;
                self.now = now + took;
                self.pacer.released(self.now, bytes, took);
                self.asks_at = Some(self.now);
            }
        }
    }

    fn footprint(&self) -> usize {
        self.usage.in_use_bytes + self.usage.retained_bytes
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn steady_demand_is_left_alone() {
    let mut heap = Simulation::new(Config::default(), HUGE);
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
    let mut heap = Simulation::new(Config::default(), HUGE);
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
        let mut heap = Simulation::new(Config::default(), price);
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
    let mut heap = Simulation::new(config, HUGE);
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
    let mut heap = Simulation::new(Config::default(), HUGE);
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
        let mut heap = Simulation::new(Config::default(), price);
        heap.collected(6 * GIB, 8 * GIB);
        heap.collected(3 * GIB, 8 * GIB);
        heap.pass(seconds(1.0));
        assert_eq!(heap.calls, 0, "the heap goal allows it");
        heap.goal.limit_bytes = Some(5 * GIB);
        heap.collected(3 * GIB, 8 * GIB);
        let work = heap.goal.surplus(heap.usage).urgent_bytes as u64 / MIB as u64 * price;
        heap.pass(Duration::from_nanos(work) + TICK);
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
    let mut heap = Simulation::new(Config::default(), HUGE);
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
        let mut heap = Simulation::new(Config::default(), HUGE);
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
    let mut heap = Simulation::new(Config::default(), HUGE);
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
    let mut heap = Simulation::new(config, HUGE);
    heap.collected(GIB, GIB);
    heap.collected(0, 0);
    heap.pass(seconds(0.02));
    assert_eq!(heap.footprint(), 0);
}
