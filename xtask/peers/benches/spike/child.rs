//! One run: a heap is filled, most of it is dropped and collected, and the process waits for its
//! memory to go back, alone or beside a light load.
//!
//! The load allocates ten objects of 128 B each 100 µs and reads them; an answer's latency is
//! from the moment at which it was due until it was done, so that nothing that holds it up hides
//! itself. It is recorded apart for three times of the same length: *before* the drop; *back*,
//! from the end of the collection on, when memory goes back; and *after*, when it has gone.

use hdrhistogram::Histogram;
use peers::process::resident;
use runtime::scavenge::{Action, Config, Goal, Outcome, Pacer, Policy, Usage};
use runtime::{Builder, Gc, Heap, Mutator, OnTheFly, Root};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) type Failure = Box<dyn std::error::Error>;

const MIB: u64 = 1 << 20;

/// Chunks of a MiB that live on, and how many chunks there are for each of them before the drop.
const LIVE_CHUNKS: usize = 512;
const CHUNKS_A_LIVE_ONE: usize = 5;

/// How long each of the three times lasts.
const TIME: Duration = Duration::from_secs(4);

/// How long memory may take to go back.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who decides what goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Nobody.
    Never,
    /// The usual policy, by the heap's goal: twice what lives.
    Usual,
    /// The usual policy, with a soft limit of 1.1 times what lives, set after the drop.
    Limit,
}

impl How {
    pub(crate) const ALL: [(&'static str, How); 3] = [
        ("never", How::Never),
        ("usual", How::Usual),
        ("limit", How::Limit),
    ];
}

struct Never;

impl Policy for Never {
    fn next(&mut self, _now: Duration, _usage: Usage, _goal: Goal) -> Action {
        Action::Park
    }
    fn released(&mut self, _now: Duration, _outcome: Outcome) {}
    fn tell(&mut self, _now: Duration) {}
}

type Chunk = Root<[Gc<'static, [u64; 128]>]>;

/// A MiB of objects of 1 KiB.
fn chunk(mutator: &mut Mutator, seed: u64) -> Chunk {
    mutator.enter(|cx| {
        let objects = (0..1024).map(|n| cx.alloc([seed ^ n; 128]));
        cx.root(cx.alloc_slice(objects.collect::<Vec<_>>()))
    })
}

/// The load, until it is told to stop; a histogram in nanoseconds for each of the three times.
fn load(mut mutator: Mutator, time: &AtomicUsize, stop: &AtomicBool) -> [Histogram<u64>; 3] {
    let histogram = || Histogram::new_with_bounds(1, 60_000_000_000, 3);
    let mut latency = std::array::from_fn(|_| histogram().unwrap_or_else(|e| panic!("{e}")));
    let period = Duration::from_micros(100);
    let mut due = Instant::now();
    while !stop.load(SeqCst) {
        while Instant::now() < due {
            spin_loop();
        }
        let sum = mutator.enter(|cx| {
            let objects: [Gc<'_, [u64; 16]>; 10] =
                std::array::from_fn(|n| cx.alloc([n as u64; 16]));
            objects.iter().map(|object| object[15]).sum::<u64>()
        });
        assert_eq!(sum, 45);
        let took = due.elapsed().as_nanos() as u64;
        latency[time.load(SeqCst)].saturating_record(took.max(1));
        due += period;
    }
    latency
}

/// How long until the resident memory was at most so much; after `PATIENCE` the rest is `None`.
fn wait_until_below(targets: [u64; 2], since: Instant) -> [Option<Duration>; 2] {
    let mut reached = [None; 2];
    while reached.contains(&None) && since.elapsed() < PATIENCE {
        let now_bytes = resident().map_or(u64::MAX, |resident| resident.now_bytes);
        for (reached, target) in reached.iter_mut().zip(targets) {
            if reached.is_none() && now_bytes <= target {
                *reached = Some(since.elapsed());
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    reached
}

/// Runs once and prints what it found, a word and a figure a line.
pub(crate) fn run(how: How, with_load: bool) -> Result<(), Failure> {
    let builder = Builder::new(OnTheFly::default()).reserve_bytes(8 << 30);
    let heap = match how {
        How::Never => builder.scavenge_by(Never),
        How::Usual | How::Limit => builder.scavenge_by(Pacer::new(Config::default())),
    }
    .build()?;
    let at_first = resident().ok_or("the system does not tell resident memory")?;
    let mut mutator = heap.mutator();
    let mut spike = Vec::new();
    let mut live = Vec::new();
    for n in 0..LIVE_CHUNKS * CHUNKS_A_LIVE_ONE {
        let lives = n % CHUNKS_A_LIVE_ONE == 0;
        let into = if lives { &mut live } else { &mut spike };
        into.push(chunk(&mut mutator, n as u64));
    }
    heap.collect()?;
    let (time, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let loaded = with_load.then(|| heap.mutator_named("load"));
    let latency = thread::scope(|scope| -> Result<_, Failure> {
        let worker = loaded.map(|mutator| scope.spawn(|| load(mutator, &time, &stop)));
        let result = measure(&heap, how, spike, at_first.now_bytes, &time);
        stop.store(true, SeqCst);
        let latency = worker.map(|worker| worker.join().map_err(|_| "the load panicked"));
        result?;
        Ok(latency.transpose()?)
    })?;
    for (name, histogram) in ["before", "back", "after"]
        .iter()
        .zip(latency.iter().flatten())
    {
        for (percentile, value) in [("p50", 50.0), ("p99.9", 99.9), ("p99.99", 99.99)] {
            println!(
                "{name}-{percentile} {}",
                histogram.value_at_percentile(value)
            );
        }
        println!("{name}-max {}", histogram.max());
    }
    mutator.enter(|cx| {
        for (n, root) in live.iter().enumerate() {
            let seed = (n * CHUNKS_A_LIVE_ONE) as u64;
            let objects = root.get(cx);
            assert!((0..1024).all(|at| objects[at as usize][127] == seed ^ at));
        }
    });
    Ok(())
}

/// The three times, and what goes back in the second.
fn measure(
    heap: &Heap,
    how: How,
    spike: Vec<Chunk>,
    at_first_bytes: u64,
    time: &AtomicUsize,
) -> Result<(), Failure> {
    thread::sleep(TIME);
    let full_bytes = resident().ok_or("no resident memory")?.now_bytes;
    drop(spike);
    heap.collect()?;
    let dropped = Instant::now();
    let live_bytes = heap.stats().live_bytes as u64;
    if how == How::Limit {
        heap.set_memory_limit(Some((live_bytes / 10 * 11) as usize));
    }
    time.store(1, SeqCst);
    // The policy keeps the heap's goal of twice what lives, and a tenth: 2.2 times; what the
    // process had before it had a heap is not the heap's.
    let kept = [live_bytes / 5 * 11, live_bytes];
    let targets = kept.map(|bytes| bytes / 5 * 6 + at_first_bytes);
    let reached = match how {
        How::Never => [None; 2],
        How::Usual => {
            let [kept, _] = wait_until_below([targets[0], u64::MAX], dropped);
            [kept, None]
        }
        How::Limit => wait_until_below(targets, dropped),
    };
    thread::sleep(TIME.saturating_sub(dropped.elapsed()));
    time.store(2, SeqCst);
    thread::sleep(TIME);
    for (name, reached) in ["kept-ns", "live-ns"].iter().zip(reached) {
        if let Some(reached) = reached {
            println!("{name} {}", reached.as_nanos());
        }
    }
    let stats = heap.stats();
    let end_bytes = resident().ok_or("no resident memory")?.now_bytes;
    println!("live-mib {}", live_bytes / MIB);
    println!("full-mib {}", full_bytes / MIB);
    println!("end-mib {}", end_bytes / MIB);
    println!("cycles {}", stats.cycles);
    println!("refaulted-mib {}", stats.scavenge.refaulted_bytes / MIB);
    if let Some(worker) = stats.scavenge.worker {
        println!("calls {}", worker.calls);
        println!("step-p99-ns {}", worker.steps.quantile(0.99).as_nanos());
        println!("step-max-ns {}", worker.longest_step.as_nanos());
    }
    Ok(())
}
