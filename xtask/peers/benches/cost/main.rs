//! What single operations of the safe API cost, beside what a program would use without a heap,
//! and while another thread collects all the time.
//!
//! A round measures the operation, its rival, and the operation beside a thread that only reads and
//! during collections, one after the other, by the processor time of the calling thread alone: a
//! marker on another processor costs it nothing but what it waits and writes for it, and what two
//! processors of one core take from each other, which the reading thread shows; of waiting only the
//! wall tells. The heap
//! holds a million nodes throughout, so that a collection is all but marking, and begins none by
//! itself.
//!
//! ```text
//! cost [word...]      only the rows whose name has each word
//! ```

mod ops;
mod rivals;

use cpu_time::ThreadTime;
use ops::{BATCH, Fixture, Op};
use peers::beside::{self, Round, Row};
use peers::report;
use rivals::Rivals;
use runtime::{Collector, OnTheFly, Runtime, StopTheWorld};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// Rounds that count; one more before them warms up.
const ROUNDS: usize = 7;
/// Calls of an operation's batch in a round: about a million operations.
const BATCHES: usize = 256;
/// Calls of the batch before the first round: those that allocate have touched two gigabytes then,
/// more than they take during any cycle, so that no round pays for the system's first touch.
const BATCHES_BEFORE: usize = 8192;
/// How long an operation runs beside collections, at least.
const COLLECTING: Duration = Duration::from_millis(100);
/// Through how many of them, at least.
const CYCLES: u64 = 3;
/// And how many batches: a stopped world lets few of them through.
const COLLECTING_BATCHES: usize = 16;

/// Nanoseconds a piece, of this thread's processor and by the wall.
struct Each {
    cpu: f64,
    wall: f64,
}

/// Calls `batch` while `on` says so, and at least once.
fn measure(mut batch: impl FnMut(), mut on: impl FnMut(usize) -> bool) -> Each {
    let (cpu, wall) = (ThreadTime::now(), Instant::now());
    let mut batches = 0;
    loop {
        batch();
        batches += 1;
        if !on(batches) {
            break;
        }
    }
    let pieces = (batches * BATCH) as f64;
    Each {
        cpu: cpu.elapsed().as_nanos() as f64 / pieces,
        wall: wall.elapsed().as_nanos() as f64 / pieces,
    }
}

/// While another thread reads lines by chance, of 64 MiB of its own.
fn beside_neighbor(measure: impl FnOnce() -> Each) -> Each {
    let (over, ready) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let lines = vec![1_u64; 8 << 20];
            let (mut at, mut sum) = (1_usize, 0_u64);
            // Relaxed, here and below: wishes.
            ready.store(true, Ordering::Relaxed);
            while !over.load(Ordering::Relaxed) {
                for _ in 0..1024 {
                    at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    sum = sum.wrapping_add(lines[at >> 41]);
                }
            }
            std::hint::black_box(sum);
        });
        while !ready.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let each = measure();
        over.store(true, Ordering::Relaxed);
        each
    })
}

/// While another thread collects, one cycle after the other.
fn collecting<C: Collector>(fixture: &mut Fixture<C>, op: &Op<C>) -> Result<Each, Failure> {
    let heap: Runtime<C> = fixture.mutator.heap();
    let (over, cycles) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| -> Result<(), runtime::CollectError> {
            let mut mutator = heap.mutator();
            // Relaxed, here and below: a wish and a count; the thread's end publishes the rest.
            while !over.load(Ordering::Relaxed) {
                mutator.collect()?;
                cycles.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        // The first cycle is under way when there was one; a collector that failed is no reason
        // to wait for ever.
        while cycles.load(Ordering::Relaxed) == 0 && !collector.is_finished() {
            std::thread::yield_now();
        }
        let (begun, first) = (Instant::now(), cycles.load(Ordering::Relaxed));
        let each = measure(
            || (op.run)(fixture),
            |batches| {
                let passed = cycles.load(Ordering::Relaxed) - first;
                let enough = begun.elapsed() >= COLLECTING
                    && passed >= CYCLES
                    && batches >= COLLECTING_BATCHES;
                !enough && !collector.is_finished()
            },
        );
        over.store(true, Ordering::Relaxed);
        collector
            .join()
            .map_err(|_| "the collecting thread panicked")??;
        Ok(each)
    })
}

fn round<C: Collector>(
    fixture: &mut Fixture<C>,
    rivals: &mut Rivals,
    op: &Op<C>,
) -> Result<Round, Failure> {
    // The same once before: its pages are touched then, and what it left is swept, so that the
    // measured part meets a heap in use.
    (0..BATCHES).for_each(|_| (op.run)(fixture));
    fixture.mutator.collect()?;
    let quiet = measure(|| (op.run)(fixture), |batches| batches < BATCHES);
    let rival = op
        .rival
        .map(|rival| measure(|| rival(rivals), |batches| batches < BATCHES).cpu);
    fixture.mutator.collect()?;
    let neighbor =
        beside_neighbor(|| measure(|| (op.run)(fixture), |batches| batches < BATCHES)).cpu;
    let collecting = collecting(fixture, op)?;
    Ok(Round {
        neighbor,
        quiet: quiet.cpu,
        rival,
        collecting: collecting.cpu,
        collecting_wall: collecting.wall,
    })
}

/// The rows of the collector `C` whose names have all the words.
fn rows<C: Collector + Default>(words: &[String]) -> Result<Vec<Row>, Failure> {
    let named = |op: &Op<C>| format!("{}: {}", C::NAME, op.name);
    let wanted = |op: &Op<C>| words.iter().all(|word| named(op).contains(word.as_str()));
    let chosen: Vec<Op<C>> = ops::all::<C>().into_iter().filter(wanted).collect();
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let (mut fixture, mut rivals) = (Fixture::<C>::new()?, Rivals::new());
    let begun = (fixture.mutator.heap().stats(), Instant::now());
    let mut rows = Vec::new();
    for op in &chosen {
        let mut row = Row::new(named(op), op.beside);
        (0..BATCHES_BEFORE).for_each(|_| (op.run)(&mut fixture));
        fixture.mutator.collect()?;
        round(&mut fixture, &mut rivals, op)?;
        for _ in 0..ROUNDS {
            row.round(round(&mut fixture, &mut rivals, op)?);
        }
        println!("{}", row.line());
        rows.push(row);
    }
    let stats = fixture.mutator.heap().stats();
    let pauses = stats.pause_total - begun.0.pause_total;
    println!(
        "{}: {} cycles in {:.1} s; the world stood still for {:.1} s of them",
        C::NAME,
        stats.cycles - begun.0.cycles,
        begun.1.elapsed().as_secs_f64(),
        pauses.as_secs_f64()
    );
    Ok(rows)
}

fn main() -> Result<(), Failure> {
    let is_word = |arg: &String| !arg.starts_with("--");
    let words: Vec<String> = std::env::args().skip(1).filter(is_word).collect();
    // A new collector is one more line.
    let collectors = [rows::<OnTheFly>, rows::<StopTheWorld>];
    let mut table = Vec::new();
    for rows in collectors {
        table.extend(rows(&words)?);
    }
    if !table.is_empty() {
        report::finish_table("cost", &beside::table(&table))?;
    }
    Ok(())
}
