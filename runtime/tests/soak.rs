//! Everything together for long, under one limit: the latency ring, cyclic graphs, the demo's graph
//! of packages beside its oracle, random programs beside their twins, byte strings as programs on
//! heaps of their own, and a hoard that takes what is left, by threads that come and go; with page
//! requests that are refused now and then and handshakes that are late.
//!
//! Whatever a thread looks at must be alive and itself. At the end the books must balance: nothing
//! live, each object dropped once, all pages given back. While it runs, what is resident must stay
//! under the limit and a stated overhead, and the last third may not hold more than the first.
//!
//! Seconds here; `cargo xtask soak --minutes N` sets `HEAPWRIGHT_SOAK_MINUTES`. `HEAPWRIGHT_SEED`
//! gives the same programs, not the same run: threads do not repeat their interleavings. It is the
//! only test of its process, whose memory it measures.
//!
//! Mutants: those of `xtask/mutants/runtime-fuzz.toml` that name this file.

#[path = "soak/audit.rs"]
mod audit;
mod common;
#[allow(dead_code, reason = "the demo asks for more")]
#[path = "../examples/demo"]
mod demo {
    mod adjacency;
    pub(crate) mod data;
    pub(crate) mod graph;
    pub(crate) mod oracle;
    pub(crate) mod queries;
    pub(crate) mod query;
    pub(crate) mod upload;
}
#[allow(dead_code, reason = "the other tests ask for more")]
#[path = "programs/graph.rs"]
mod graph;
#[path = "programs/heap_program.rs"]
mod heap_program;
#[path = "programs/make.rs"]
mod make;
#[path = "programs/objects.rs"]
mod objects;
#[path = "soak/packages.rs"]
mod packages;
#[path = "soak/source.rs"]
mod source;
#[path = "soak/work.rs"]
mod work;

use audit::{Sample, check_books, check_samples, resident_bytes};
use common::{Random, seed};
use packages::{Packages, packages};
use runtime::{Builder, Debug, Heap, Mmap, OnTheFly};
use source::{Faults, Unreliable};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use work::{Common, Counts, churn, hoard, is_exhaustion, keep_coming, program, ring, strings};

/// Bytes of pages that the shared heap may use.
const LIMIT_BYTES: usize = 64 << 20;
/// Between two samples.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);
/// A soak that is not over so long after its time is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Past the test's harness, which keeps what a process that aborts has printed to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn length() -> Duration {
    let minutes = std::env::var("HEAPWRIGHT_SOAK_MINUTES").ok();
    let minutes = minutes.and_then(|text| text.parse::<f64>().ok());
    Duration::from_secs_f64(minutes.map_or(6.0, |minutes| minutes * 60.0))
}

/// Panics that say that there was no memory are part of the soak; the others are shown.
fn quieten() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !is_exhaustion(info.payload()) {
            usual(info);
        }
    }));
}

/// One arena for all threads, and what is long in mappings of its own: or each thread that goes
/// leaves memory with the system's allocator, which would be taken for growth.
fn keep_little() {
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, 64 << 10)] {
        // SAFETY: sets a number; no pointer is passed.
        let is_set = unsafe { libc::mallopt(parameter, value) };
        assert_eq!(is_set, 1, "the system's allocator is another");
    }
}

fn build(faults: &Arc<Faults>) -> Heap {
    let debug = Debug {
        handshake_delay: Duration::from_micros(300),
        poison: true,
        ..Debug::default()
    };
    let source = Unreliable {
        system: Mmap::default(),
        faults: faults.clone(),
    };
    let builder = Builder::new(OnTheFly::with_markers(1)).debug(debug);
    let builder = builder.reserve_bytes(1 << 30).limit_bytes(LIMIT_BYTES);
    let heap = builder.page_source(source).build();
    heap.expect("a range of addresses")
}

/// Changes the settings, asks for cycles, and takes samples, until the time is over.
fn conduct(common: &Common, seed: u64, length: Duration) -> Vec<Sample> {
    let (heap, mut random) = (&common.heap, Random::new(seed));
    let until = Instant::now() + length;
    let mut samples = Vec::new();
    while Instant::now() < until {
        match random.below(40) {
            0 => heap.set_gc_percent(Some(10 + random.below(200) as u32)),
            1 => heap.set_memory_limit(Some((24 + random.below(40)) << 20)),
            2 => heap.set_memory_limit(None),
            3 => _ = heap.release_os_memory(),
            4 => _ = heap.collect().expect("no trace panics"),
            _ => {}
        }
        samples.push(Sample::take(heap));
        std::thread::sleep(SAMPLE_EVERY);
    }
    common.is_over.store(true, Ordering::Relaxed);
    samples
}

/// Ends the process if the soak does not end in time; dropping what is returned calls it off.
fn watch(length: Duration) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        if receiver.recv_timeout(length + PATIENCE) == Err(RecvTimeoutError::Timeout) {
            say("soak: STUCK");
            std::process::abort();
        }
    });
    sender
}

#[test]
fn books_balance_and_nothing_grows() {
    keep_little();
    quieten();
    let (seed, length) = (seed(), length());
    say(&format!(
        "soak: begin HEAPWRIGHT_SEED={seed} seconds={:.0}",
        length.as_secs_f64()
    ));
    let _watch = watch(length);
    let packages_read = Packages::read();
    let before = resident_bytes();
    let faults = Arc::new(Faults::default());
    let common = Common {
        heap: build(&faults),
        counts: Arc::new(Counts::default()),
        packages: packages_read,
        is_over: AtomicBool::new(false),
    };
    let work = [ring, churn, packages, program, program, strings, hoard];
    let samples = std::thread::scope(|scope| {
        for (number, work) in (1..).zip(work) {
            let common = &common;
            scope.spawn(move || keep_coming(common, seed.wrapping_mul(31) + number, work));
        }
        conduct(&common, seed, length)
    });
    let seen = check_samples(&samples, before, LIMIT_BYTES);
    let booked = check_books(&common.heap, &common.counts, &faults);
    let counts = &common.counts;
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    say(&format!(
        "soak: ok messages={} graphs={} answers={} replaced={} steps={} programs={} threads={} slowest_us={} {seen} \
         {booked}",
        load(&counts.messages),
        load(&counts.graphs),
        load(&counts.answers),
        load(&counts.replaced),
        load(&counts.steps),
        load(&counts.programs),
        load(&counts.threads),
        load(&counts.slowest) / 1_000,
    ));
}
