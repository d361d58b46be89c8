//! Messages of 1 KiB in a table, of which random ones are replaced: the latency ring, the same
//! under a limit, and the spike.

use crate::figures::{Histogram, Watch, resident_bytes};
use crate::local::{HEADER, Local, Object, Table};
use crate::params::{Params, Random};
use crate::world;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const WORDS: usize = 128;

/// When `spike` reads resident memory, in milliseconds after the drop.
const MOMENTS: [u64; 7] = [100, 250, 500, 1000, 2000, 5000, 10_000];

fn make(local: &Local, number: u64) -> Object {
    let message = local.allocate(HEADER + WORDS * 8, 0);
    for at in 0..WORDS {
        message.init(at, number + at as u64);
    }
    message
}

/// A table of messages, numbered on from `first`.
fn fill(local: &Local, places: usize, first: u64) -> Table {
    let table = Table::new(places);
    for at in 0..places {
        table.set(at, make(local, first + at as u64));
    }
    table
}

/// What one thread works with.
struct Ring {
    table: Table,
    random: Random,
    /// The number of the next message.
    made: u64,
    sum: u64,
    latency: Histogram,
}

impl Ring {
    /// Messages are numbered on from `first`, replacements from `next`.
    fn new(local: &Local, places: usize, first: u64, next: u64, seed: u64) -> Self {
        Self {
            table: fill(local, places, first),
            random: Random(seed),
            made: next,
            sum: 0,
            latency: Histogram::new(),
        }
    }

    #[inline(always)]
    fn step(&mut self, local: &Local) {
        let at = self.random.below(self.table.len());
        let old = self.table.get(at);
        let ends = old.get(0).wrapping_add(old.get(WORDS - 1));
        self.sum = self.sum.wrapping_add(ends);
        self.table.set(at, make(local, self.made));
        self.made += 1;
    }

    /// One look at the clock a message: a message's time begins where the one before ended.
    fn at_full_speed(&mut self, local: &Local, count: u64) {
        let base = Instant::now();
        let mut before_ns = 0;
        for _ in 0..count {
            self.step(local);
            let now_ns = base.elapsed().as_nanos() as u64;
            self.latency.record(now_ns - before_ns);
            before_ns = now_ns;
        }
    }

    /// The times at which messages are due do not wait for the messages.
    fn at_rate(&mut self, local: &Local, count: u64, rate: u64) {
        let base = Instant::now();
        let now_ns = || base.elapsed().as_nanos() as u64;
        for k in 0..count {
            let due_ns = k * 1_000_000_000 / rate;
            while now_ns() < due_ns {
                world::poll();
            }
            self.step(local);
            self.latency.record(now_ns() - due_ns);
        }
    }
}

pub(crate) fn run(params: &Params) {
    let (threads, rate) = (params.number("threads", 1), params.number("rate", 0));
    let (live, seed) = (params.number("live", 200_000), params.number("seed", 1));
    let (part, count) = (live / threads, params.number("count", 2_000_000) / threads);
    let rings: Vec<Mutex<Option<Ring>>> = (0..threads).map(|_| Mutex::new(None)).collect();
    let ring = |thread: u64| {
        rings[thread as usize]
            .lock()
            .unwrap_or_else(|e| e.into_inner())
    };
    Local::attached(|_| {
        world::in_threads(threads, |local, thread| {
            let made = Ring::new(local, part as usize, thread * part, live, seed + thread);
            *ring(thread) = Some(made);
            0
        });
        let watch = Watch::start();
        let answer = world::in_threads(threads, |local, thread| {
            let mut ring = ring(thread);
            let Some(ring) = ring.as_mut() else { return 0 };
            match rate {
                0 => ring.at_full_speed(local, count),
                rate => ring.at_rate(local, count, rate),
            }
            ring.sum
        });
        watch.stop(|| answer);
    });
    let mut latency = Histogram::new();
    for thread in 0..threads {
        if let Some(ring) = ring(thread).as_ref() {
            latency.add(&ring.latency);
        }
    }
    latency.print();
}

/// The limit is the heap's fixed size.
pub(crate) fn run_limited(params: &Params) {
    let (live, seed) = (params.number("live", 400) << 10, params.number("seed", 1));
    let count = params.number("count", 3_000_000);
    Local::attached(|local| {
        let mut ring = Ring::new(local, live as usize, 0, live, seed);
        let watch = Watch::start();
        for _ in 0..count {
            ring.step(local);
        }
        watch.stop(|| ring.sum);
    });
}

pub(crate) fn run_spike(params: &Params) {
    let (live, seed) = (params.number("live", 64) << 10, params.number("seed", 1));
    let replacements = params.number("seconds", 10) * 1000;
    Local::attached(|local| {
        let mut ring = Ring::new(local, live as usize, 0, live, seed);
        drop(fill(local, (params.number("drop", 2048) << 10) as usize, 0));
        let watch = Watch::start();
        for k in 0.. {
            let due = watch.wall + Duration::from_millis(k);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if MOMENTS.contains(&k) {
                println!("rss {k} {}", resident_bytes());
            }
            if k == replacements {
                break;
            }
            ring.step(local);
        }
        let firsts = (0..ring.table.len()).map(|at| ring.table.get(at).get(0));
        let answer = firsts.fold(0, u64::wrapping_add);
        watch.stop(|| answer);
    });
}
