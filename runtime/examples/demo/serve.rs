//! The run: load, serve, drop half, watch the memory go back.
//!
//! Reader threads ask and the writer replaces packages, each in a closure a query or a batch,
//! because a cycle begins when closures have ended. A reader keeps its last answers through
//! roots, and checks one against the oracle only when it is the oldest: it has then lived
//! through whatever cycles came since, while other objects were allocated and reclaimed around
//! it, and many of its packages are old versions that nothing else points at. The check is not
//! part of the latency. The calling thread samples.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use runtime::{Collector, Mutator, Root, Runtime};

use crate::data::Archive;
use crate::graph::{self, Catalog};
use crate::measure::{
    About, Checked, Interval, Latencies, Moment, Outcome, Recorder, Written, close_interval,
};
use crate::oracle::{Oracle, Work};
use crate::queries::{Answer, Seen, answer};
use crate::query::Query;
use crate::timeline::{Timeline, moment};
use crate::upload;

/// Answers that a reader keeps in the heap before they are checked: enough for most to live
/// through a cycle or more.
const KEPT_ANSWERS: usize = 4096;
/// One upload in so many has an old object watched through a weak reference.
const WATCH_EVERY: u64 = 16;
/// Queries about the kept half, after the drop.
const QUERIES_AFTER: usize = 500;

/// What the command line chose.
pub(crate) struct Options {
    pub(crate) duration: Duration,
    /// How long to watch the memory go back.
    pub(crate) watch: Duration,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    pub(crate) heap_bytes_max: u64,
    pub(crate) progress: bool,
    pub(crate) collector: &'static str,
    pub(crate) reclaims: bool,
}

/// What all threads share.
struct Shared<'s> {
    oracle: &'s Oracle,
    catalog: &'s Root<Catalog<'static>>,
    stop: AtomicBool,
    replaced: AtomicU64,
}

impl Shared<'_> {
    fn stopped(&self) -> bool {
        // Relaxed: only says when to end; the threads' results come through `join`.
        self.stop.load(Ordering::Relaxed)
    }
}

/// Runs the whole demo on `heap`.
pub(crate) fn run<C: Collector>(
    heap: &Runtime<C>,
    archive: Archive,
    options: &Options,
) -> Result<Outcome> {
    let packages = archive.packages.len();
    let oracle = Oracle::new(&archive.packages, packages);
    let keep = packages.div_ceil(2);
    let oracle_after = Oracle::new(&archive.packages, keep);
    let mut moments = vec![moment("empty", heap)];
    let mut mutator = heap.mutator();
    let started = Instant::now();
    let catalog = graph::load(&mut mutator, &archive.packages);
    let load = started.elapsed();
    let about = About::new(archive, oracle.cyclic());
    moments.push(moment("loaded", heap));

    let shared = Shared {
        oracle: &oracle,
        catalog: &catalog,
        stop: AtomicBool::new(false),
        replaced: AtomicU64::new(0),
    };
    let mut timeline = Timeline::new(heap, &shared.replaced, options.progress);
    let mut served = serve(heap, &shared, options, &mut timeline)?;
    check_serials(&mut mutator, &catalog, &mut served);
    moments.push(moment("end of serving", heap));

    let released_at_end_bytes = drop_half(
        &mut mutator,
        &catalog,
        (packages, keep),
        options,
        &mut timeline,
        &mut moments,
    )?;
    let seen = Seen::new(packages);
    let checked_after = check_after(&mut mutator, &catalog, &oracle_after, seen, options.seed);
    let (watched, watched_alive) = graph::watched(&mut mutator, &catalog);
    let stats = heap.stats();
    let panics = stats.drop_panics + stats.trace_panics;
    if panics > 0 {
        served
            .checked
            .mismatch(format!("{panics} panics while dropping or tracing objects"));
    }
    Ok(Outcome {
        collector: options.collector,
        threads: options.threads,
        seed: options.seed,
        about,
        load,
        served: served.elapsed,
        stopped: served.stopped,
        latencies: served.latencies,
        checked: served.checked,
        checked_after,
        written: served.written,
        watched,
        watched_alive,
        reclaims: options.reclaims,
        waits: stats.waits,
        longest_wait: stats.wait_max,
        longest_pause: stats.pause_max,
        released_at_end_bytes,
        moments,
        samples: timeline.into_samples(),
    })
}

/// Each replacement made a serial one higher, and none was lost.
fn check_serials<C: Collector>(
    mutator: &mut Mutator<C>,
    catalog: &Root<Catalog<'static>>,
    served: &mut Served,
) {
    let (serials, replaced) = (graph::serials(mutator, catalog), served.written.replaced);
    if serials != replaced {
        let text = format!("the serials add up to {serials}, {replaced} packages were replaced");
        served.checked.mismatch(text);
    }
}

/// Drops the packages beyond the first `keep` and watches the memory go back; how many bytes were
/// left for the explicit release at the end.
fn drop_half<C: Collector>(
    mutator: &mut Mutator<C>,
    catalog: &Root<Catalog<'static>>,
    (packages, keep): (usize, usize),
    options: &Options,
    timeline: &mut Timeline<'_, C>,
    moments: &mut Vec<Moment>,
) -> Result<u64> {
    let heap = mutator.heap();
    timeline.drop_begins();
    graph::drop_from(mutator, catalog, packages, keep);
    moments.push(moment("half dropped", &heap));
    if options.reclaims {
        mutator
            .collect()
            .map_err(|error| anyhow!("the collection after the drop: {error}"))?;
        moments.push(moment("half dropped, collected", &heap));
    }
    timeline.watch(options.watch);
    moments.push(moment("a while later", &heap));
    let released_bytes = heap.release_os_memory() as u64;
    moments.push(moment("all free pages given back", &heap));
    timeline.sample(Interval::default());
    Ok(released_bytes)
}

/// What the serving phase came to.
struct Served {
    elapsed: Duration,
    stopped: Option<String>,
    latencies: Latencies,
    checked: Checked,
    written: Written,
}

fn serve<C: Collector>(
    heap: &Runtime<C>,
    shared: &Shared<'_>,
    options: &Options,
    timeline: &mut Timeline<'_, C>,
) -> Result<Served> {
    let recorders: Vec<Recorder> = (0..options.threads).map(|_| Recorder::new()).collect();
    let mut latencies = Latencies::new();
    let started = Instant::now();
    thread::scope(|scope| {
        let mut readers = Vec::new();
        for (n, recorder) in (1..).zip(&recorders) {
            let random = fastrand::Rng::with_seed(options.seed ^ (n << 32));
            readers.push(scope.spawn(move || read(heap.mutator(), shared, recorder, random)));
        }
        let random = fastrand::Rng::with_seed(options.seed);
        let writer = scope.spawn(move || write(heap.mutator(), shared, random));

        let mut take = || {
            let mut interval = Latencies::new();
            recorders
                .iter()
                .for_each(|recorder| recorder.take(&mut interval));
            close_interval(&mut interval, &mut latencies)
        };
        let ended_early = || writer.is_finished() || readers.iter().any(|r| r.is_finished());
        let stopped = timeline.serve(options, &mut take, &ended_early);
        // Relaxed: see `Shared::stopped`.
        shared.stop.store(true, Ordering::Relaxed);
        let elapsed = started.elapsed();

        let written = writer.join().map_err(|_| anyhow!("the writer panicked"));
        let mut checked = Checked::default();
        let mut panicked = 0;
        for reader in readers {
            match reader.join() {
                Ok(part) => checked.add(part),
                Err(_) => panicked += 1,
            }
        }
        if panicked > 0 {
            return Err(anyhow!(
                "{panicked} of {} readers panicked",
                options.threads
            ));
        }
        let written = written?;
        take();
        Ok(Served {
            elapsed,
            stopped,
            latencies,
            checked,
            written,
        })
    })
}

/// An answer that waits for its check.
struct Kept {
    query: Query,
    answer: Root<Answer<'static>>,
    /// The cycles there had been when it was given.
    cycles: u64,
}

/// A reader: asks, keeps, checks.
fn read<C: Collector>(
    mut mutator: Mutator<C>,
    shared: &Shared<'_>,
    recorder: &Recorder,
    mut random: fastrand::Rng,
) -> Checked {
    let oracle = shared.oracle;
    let mut seen = Seen::new(oracle.len());
    // The newest version of each package that this reader has met: it must never meet an older.
    let mut newest = vec![0; oracle.len()];
    let (mut checked, mut work) = (Checked::default(), Work::default());
    let mut kept: VecDeque<Kept> = VecDeque::with_capacity(KEPT_ANSWERS + 1);
    while !shared.stopped() {
        let query = Query::draw(oracle, &mut random);
        let started = Instant::now();
        let asked = ask(&mut mutator, shared.catalog, &query, &mut seen);
        recorder.record(query.kind, started.elapsed());
        let Some((answer, serial)) = asked else {
            checked.mismatch(format!("{}: no such package", query.describe(oracle)));
            continue;
        };
        let before = std::mem::replace(&mut newest[query.from as usize], serial);
        if serial < before {
            checked.mismatch(format!(
                "{}: serial {serial} after {before}",
                query.describe(oracle)
            ));
        }
        kept.push_back(Kept {
            query,
            answer,
            cycles: cycles(&mutator),
        });
        if kept.len() > KEPT_ANSWERS
            && let Some(oldest) = kept.pop_front()
        {
            check(&mut mutator, oracle, &oldest, &mut work, &mut checked);
        }
    }
    for kept in kept {
        check(&mut mutator, oracle, &kept, &mut work, &mut checked);
    }
    checked
}

/// Answers one query; also the serial of the package that it starts at.
fn ask<C: Collector>(
    mutator: &mut Mutator<C>,
    catalog: &Root<Catalog<'static>>,
    query: &Query,
    seen: &mut Seen,
) -> Option<(Root<Answer<'static>>, u64)> {
    mutator.enter(|cx| {
        let from = catalog.get(cx).get(query.from)?;
        Some((cx.root(answer(cx, from, query, seen)), from.serial))
    })
}

/// The markings that have ended so far.
fn cycles<C: Collector>(mutator: &Mutator<C>) -> u64 {
    mutator.heap().stats().cycles
}

fn check<C: Collector>(
    mutator: &mut Mutator<C>,
    oracle: &Oracle,
    kept: &Kept,
    work: &mut Work,
    checked: &mut Checked,
) {
    checked.outlived += u64::from(cycles(mutator) > kept.cycles);
    let verdict = mutator.enter(|cx| {
        let answer = kept.answer.get(cx);
        checked.members += answer.members().count() as u64;
        oracle.check(&kept.query, answer.members(), work)
    });
    checked.answers += 1;
    checked.by_kind[kept.query.kind as usize] += 1;
    if let Err(difference) = verdict {
        checked.mismatch(format!("{}: {difference}", kept.query.describe(oracle)));
    }
}

/// The kept half still answers as it should; `seen` has room for the packages that were dropped,
/// so that meeting one is a mismatch and nothing worse.
fn check_after<C: Collector>(
    mutator: &mut Mutator<C>,
    catalog: &Root<Catalog<'static>>,
    oracle: &Oracle,
    mut seen: Seen,
    seed: u64,
) -> Checked {
    let mut random = fastrand::Rng::with_seed(seed ^ 0xaf7e_0000_0000_0000);
    let (mut checked, mut work) = (Checked::default(), Work::default());
    for _ in 0..QUERIES_AFTER {
        let query = Query::draw(oracle, &mut random);
        match ask(mutator, catalog, &query, &mut seen) {
            Some((answer, _)) => {
                let kept = Kept {
                    query,
                    answer,
                    cycles: cycles(mutator),
                };
                check(mutator, oracle, &kept, &mut work, &mut checked);
            }
            None => checked.mismatch(format!("{}: was dropped", query.describe(oracle))),
        }
    }
    checked
}

/// The writer: replaces one group after the other.
fn write<C: Collector>(
    mut mutator: Mutator<C>,
    shared: &Shared<'_>,
    mut random: fastrand::Rng,
) -> Written {
    let mut written = Written::default();
    while !shared.stopped() {
        let seed = random.u32(0..shared.oracle.len() as u32);
        let group = upload::draw_group(&mut mutator, shared.catalog, seed);
        let watch = written.uploads.is_multiple_of(WATCH_EVERY);
        let serial = upload::replace(&mut mutator, shared.catalog, &group, watch);
        written.uploads += 1;
        written.replaced += group.len() as u64;
        if group.len() > 1 {
            written.replaced_in_cycles += group.len() as u64;
        }
        written.serial_max = written.serial_max.max(serial);
        // Relaxed: a figure for the timeline.
        shared.replaced.store(written.replaced, Ordering::Relaxed);
    }
    written
}
