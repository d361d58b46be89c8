//! The spike without a collector: 2 GiB of objects of 1 KiB, of which a tenth, by the MiB, lives on
//! and the rest is freed, in the order in which it was made.
//!
//! The load is that of `child.rs`, over the allocator that is measured. It is recorded for two
//! times, two seconds *before* the drop and three from then on, when memory goes *back*; freeing
//! itself, on another thread, is in the second. Resident memory is without what the process had
//! before the first object. Each row is there with the load and without.

use crate::child::Failure;
use crate::kind::Kind;
use alloc_core::malloc::Heapwright;
use hdrhistogram::Histogram;
use mimalloc::MiMalloc;
use peers::process::resident;
use peers::rivals::RIVALS;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write as _;
use std::hint::{black_box, spin_loop};
use std::process::Command;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// What is measured; `tended` has a thread that calls `Heapwright::tend`, `background` one of
/// jemalloc's own.
pub(crate) const ROWS: [&str; 5] = [
    "heapwright-tended",
    "heapwright",
    "jemalloc-background",
    "mimalloc",
    "go",
];

/// Chunks of a MiB, and how many chunks there are for each that lives on.
const CHUNKS: usize = 2048;
const CHUNKS_A_LIVE_ONE: usize = 10;
const CHUNK_OBJECTS: usize = 1024;

const OBJECT: Layout = Layout::new::<[u64; 128]>();
const ANSWER: Layout = Layout::new::<[u64; 16]>();

const BEFORE: Duration = Duration::from_secs(2);
const BACK: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(6);

/// The phase in which the load ends.
const OVER: usize = 2;

fn make<A: GlobalAlloc>(allocator: &A, layout: Layout, word: u64) -> *mut u64 {
    // SAFETY: no layout here is of size zero.
    let object = unsafe { allocator.alloc(layout) }.cast::<u64>();
    assert!(!object.is_null(), "no memory");
    for at in 0..layout.size() / 8 {
        // SAFETY: inside the object, which is aligned to words.
        unsafe { object.wrapping_add(at).write(word) };
    }
    black_box(object)
}

fn free<A: GlobalAlloc>(allocator: &A, object: *mut u64, layout: Layout) {
    // SAFETY: made with this layout, and freed once.
    unsafe { allocator.dealloc(object.cast(), layout) };
}

/// The load; a histogram in nanoseconds for each of the two times.
fn load<A: GlobalAlloc>(allocator: &A, time: &AtomicUsize) -> [Histogram<u64>; OVER] {
    let histogram = || Histogram::new_with_bounds(1, 60_000_000_000, 3);
    let mut latency = std::array::from_fn(|_| histogram().unwrap_or_else(|e| panic!("{e}")));
    let mut due = Instant::now();
    loop {
        while Instant::now() < due {
            spin_loop();
        }
        let now = time.load(SeqCst);
        if now == OVER {
            return latency;
        }
        let objects: [_; 10] = std::array::from_fn(|n| make(allocator, ANSWER, n as u64));
        for object in objects {
            free(allocator, object, ANSWER);
        }
        let took = due.elapsed().as_nanos() as u64;
        latency[now].saturating_record(took.max(1));
        due += Duration::from_micros(100);
    }
}

fn resident_bytes() -> u64 {
    resident().map_or(u64::MAX, |resident| resident.now_bytes)
}

/// Fills, drops, and waits; prints figures.
fn drop_most<A: GlobalAlloc>(allocator: &A, time: &AtomicUsize) {
    // One vector, which stays, so that what the bench itself has is the same throughout.
    let mut places = vec![NonNull::<u64>::dangling().as_ptr(); CHUNKS * CHUNK_OBJECTS];
    let own_bytes = resident_bytes();
    for (n, place) in places.iter_mut().enumerate() {
        *place = make(allocator, OBJECT, n as u64);
    }
    thread::sleep(BEFORE);
    let full_bytes = resident_bytes();
    let since = Instant::now();
    time.store(1, SeqCst);
    let lives = |place: usize| (place / CHUNK_OBJECTS).is_multiple_of(CHUNKS_A_LIVE_ONE);
    for (n, place) in places.iter().enumerate() {
        if !lives(n) {
            free(allocator, *place, OBJECT);
        }
    }
    let freed = since.elapsed();
    let live_bytes = CHUNKS.div_ceil(CHUNKS_A_LIVE_ONE) * CHUNK_OBJECTS * OBJECT.size();
    let target_bytes = own_bytes + live_bytes as u64 / 5 * 6;
    let mut reached = None;
    while reached.is_none() && since.elapsed() < PATIENCE {
        if resident_bytes() <= target_bytes {
            reached = Some(since.elapsed());
        }
        thread::sleep(Duration::from_millis(2));
    }
    thread::sleep(BACK.saturating_sub(since.elapsed()));
    let end_bytes = resident_bytes();
    time.store(OVER, SeqCst);
    println!("full-mib {}", full_bytes.saturating_sub(own_bytes) >> 20);
    println!("end-mib {}", end_bytes.saturating_sub(own_bytes) >> 20);
    println!("free-ns {}", freed.as_nanos());
    if let Some(reached) = reached {
        println!("live-ns {}", reached.as_nanos());
    }
    for (n, place) in places.into_iter().enumerate().filter(|(n, _)| lives(*n)) {
        // SAFETY: a live object of 128 words.
        assert_eq!(unsafe { place.wrapping_add(127).read() }, n as u64);
        free(allocator, place, OBJECT);
    }
}

fn measure<A: GlobalAlloc + Sync>(allocator: &A, with_load: bool) -> Result<(), Failure> {
    let time = AtomicUsize::new(0);
    let latency = thread::scope(|scope| {
        let worker = with_load.then(|| scope.spawn(|| load(allocator, &time)));
        drop_most(allocator, &time);
        worker.map(|worker| worker.join().map_err(|_| "the load panicked"))
    });
    let Some(latency) = latency.transpose()? else {
        return Ok(());
    };
    for (name, histogram) in ["before", "back"].iter().zip(&latency) {
        for (percentile, value) in [("p50", 50.0), ("p99.9", 99.9), ("p99.99", 99.99)] {
            let latency = histogram.value_at_percentile(value);
            println!("{name}-{percentile} {latency}");
        }
        println!("{name}-max {}", histogram.max());
    }
    Ok(())
}

/// One run, in a process that has the allocator.
pub(crate) fn run(row: &str, with_load: bool) -> Result<(), Failure> {
    match row {
        "heapwright-tended" => {
            thread::spawn(|| {
                loop {
                    let is_busy = Heapwright::tend(Duration::from_millis(1));
                    thread::sleep(Duration::from_millis(if is_busy { 1 } else { 100 }));
                }
            });
            measure(&Heapwright, with_load)
        }
        "heapwright" => measure(&Heapwright, with_load),
        "mimalloc" => measure(&MiMalloc, with_load),
        _ => measure(&System, with_load),
    }
}

/// The command of a row; `None`, having said why, if the rival is not there.
pub(crate) fn command(row: &str, load: &str) -> Result<Option<Command>, Failure> {
    if row == "go" {
        let program = peers::go::build("spike")?;
        return Ok(program.map(|program| {
            let mut command = Command::new(program);
            command
                .arg(load)
                .env_remove("GOGC")
                .env_remove("GOMEMLIMIT");
            command
        }));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["child", row, load]);
    let name = row.split('-').next().unwrap_or(row);
    if let Some(rival) = RIVALS.iter().find(|rival| rival.name == name) {
        if let Some(why) = rival.missing() {
            println!("{why}");
            return Ok(None);
        }
        rival.prepare(&mut command);
    }
    if row == "jemalloc-background" {
        command.env("MALLOC_CONF", "background_thread:true");
    }
    Ok(Some(command))
}

/// The table of these rows.
pub(crate) fn table(kinds: &[Kind]) -> String {
    let mut table = "\
| explicit free, load | full, MiB | end, MiB | to 1.2 × live, s | p50 back, µs | p99.9 back, µs \
         | p99.99 before, µs | p99.99 back, µs | back / before, p99.99 | max back, µs |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
"
    .to_owned();
    for kind in kinds {
        let [full, end, live] = [("full-mib", 1.0), ("end-mib", 1.0), ("live-ns", 1e9)]
            .map(|(name, unit)| kind.cell(name, unit));
        let [p50, p999, before, back, max] = [
            "back-p50",
            "back-p99.9",
            "before-p99.99",
            "back-p99.99",
            "back-max",
        ]
        .map(|name| kind.cell(name, 1e3));
        let ratio = kind.ratio("back-p99.99", "before-p99.99");
        let cells = [full, end, live, p50, p999, before, back, ratio, max];
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {} | {} |", kind.name(), cells.join(" | "));
    }
    table
}
