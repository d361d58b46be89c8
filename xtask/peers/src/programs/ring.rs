//! `ring`, `limit` and `spike`: a table of messages of 1 KiB, replaced at random.
//!
//! Word `k` of message `i` is `i + k`. `ring` replaces at full speed, or each message when it is
//! due: its latency then counts from that moment, so that what came due in a pause is as late as
//! the pause made it. `limit` is the same under a memory limit, which is the system's affair.
//! `spike` drops most of a heap at once, then goes on at a message a millisecond and looks what
//! the process has.

use super::params::SplitMix;
use super::run::{Clocks, Lines, System};
use super::{Failure, Params};
use crate::process::resident;
use hdrhistogram::Histogram;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Words of a message: 1 KiB.
pub(super) const WORDS: usize = 128;

/// A message.
pub(super) type Message = [u64; WORDS];

/// The longest latency that is told from longer ones: ten minutes.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

/// When `spike` looks, in milliseconds after the drop.
const LOOKS_MS: [u64; 6] = [100, 250, 500, 1000, 2000, 5000];

/// The message of this number.
#[inline(always)]
pub(super) fn message(number: u64) -> Message {
    std::array::from_fn(|k| number.wrapping_add(k as u64))
}

/// The sum of a message's ends.
#[inline(always)]
pub(super) fn ends(message: &Message) -> u64 {
    message[0].wrapping_add(message[WORDS - 1])
}

/// A system that holds messages.
pub trait Messages: System {
    /// One thread's table.
    type Table<'s>: Table
    where
        Self: 's;

    /// A table of so many empty places.
    fn table(&self, places: usize) -> Self::Table<'_>;
}

/// A table of messages.
pub trait Table {
    /// Makes the message of this number and puts it at this place; the sum of the ends of the one
    /// that was there, 0 if there was none.
    fn replace(&mut self, at: usize, number: u64) -> u64;

    /// The first word of the message at this place.
    fn first(&mut self, at: usize) -> u64;
}

/// Three digits: a grain of one part in a thousand.
pub(super) fn recorder() -> Histogram<u64> {
    let recorder = Histogram::new_with_max(LATENCY_MAX_NS, 3);
    recorder.unwrap_or_else(|error| panic!("the bounds are fixed and legal: {error}"))
}

/// What one thread does.
struct Work {
    /// Places of its table.
    places: usize,
    /// The number of its first message.
    first: u64,
    /// The number of the first message that replaces another.
    next: u64,
    count: u64,
    /// Replacements a second; 0: at full speed.
    rate: u64,
    random: SplitMix,
}

impl Work {
    fn fill<T: Table>(&self, table: &mut T) {
        for at in 0..self.places {
            table.replace(at, self.first + at as u64);
        }
    }

    fn replace<T: Table>(&mut self, table: &mut T) -> (u64, Histogram<u64>) {
        let mut latency = recorder();
        let sum = if self.rate == 0 {
            self.at_full_speed(table, &mut latency)
        } else {
            self.paced(table, &mut latency)
        };
        (sum, latency)
    }

    /// One look at the clock a message: an operation begins when the one before has ended, so that
    /// no pause falls between two.
    fn at_full_speed<T: Table>(&mut self, table: &mut T, latency: &mut Histogram<u64>) -> u64 {
        let base = Instant::now();
        let (mut sum, mut before_ns) = (0_u64, 0);
        for op in 0..self.count {
            let at = self.random.below(self.places);
            sum = sum.wrapping_add(table.replace(at, self.next + op));
            let now_ns = base.elapsed().as_nanos() as u64;
            latency.saturating_record(now_ns - before_ns);
            before_ns = now_ns;
        }
        sum
    }

    fn paced<T: Table>(&mut self, table: &mut T, latency: &mut Histogram<u64>) -> u64 {
        let base = Instant::now();
        let now_ns = || base.elapsed().as_nanos() as u64;
        let mut sum = 0_u64;
        for op in 0..self.count {
            let due_ns = op * 1_000_000_000 / self.rate;
            while now_ns() < due_ns {
                std::hint::spin_loop();
            }
            let at = self.random.below(self.places);
            sum = sum.wrapping_add(table.replace(at, self.next + op));
            latency.saturating_record(now_ns() - due_ns);
        }
        sum
    }
}

/// Runs `ring` or `limit`; the latter's `live` is in MiB.
pub(super) fn run<S: Messages>(system: &S, params: &Params) -> Result<Lines, Failure> {
    let is_limit = params.workload == "limit";
    let (live, count) = if is_limit {
        (params.messages_in_mib("live", 400)?, 3_000_000)
    } else {
        (params.number("live", 200_000)?, 2_000_000)
    };
    let (count, rate) = (params.number("count", count)?, params.number("rate", 0)?);
    let threads = params.threads()?;
    let part = live / threads;
    let work = |thread: usize| -> Result<Work, Failure> {
        Ok(Work {
            places: part,
            first: (thread * part) as u64,
            next: live as u64,
            count: count / threads as u64,
            rate,
            random: params.random(thread)?,
        })
    };
    let works: Vec<Work> = (0..threads).map(work).collect::<Result<_, _>>()?;
    // Waited at when all have filled their tables, when all are through, and when the process's
    // memory was looked at.
    let step = &Barrier::new(threads + 1);
    let act = |mut work: Work| {
        let mut table = system.table(work.places);
        work.fill(&mut table);
        step.wait();
        let found = work.replace(&mut table);
        step.wait();
        step.wait();
        found
    };
    let act = &act;
    std::thread::scope(|scope| {
        let spawn = |work| scope.spawn(move || act(work));
        let workers: Vec<_> = works.into_iter().map(spawn).collect();
        step.wait();
        let clocks = Clocks::start(|| system.used());
        step.wait();
        let mut lines = clocks.stop_unanswered();
        step.wait();
        let (mut answer, mut latency) = (0_u64, recorder());
        for worker in workers {
            let (sum, of_worker) = worker.join().map_err(|_| "a thread panicked")?;
            answer = answer.wrapping_add(sum);
            latency.add(of_worker)?;
        }
        lines.add("answer", answer);
        lines.add_latency(&latency);
        Ok(lines)
    })
}

/// Runs `spike`.
pub(super) fn spike<S: Messages>(system: &S, params: &Params) -> Result<Lines, Failure> {
    let live = params.messages_in_mib("live", 64)?;
    let dropped = params.messages_in_mib("drop", 2048)?;
    let seconds: u64 = params.number("seconds", 10)?;
    let mut random = params.random(0)?;
    let mut table = system.table(live);
    for at in 0..live {
        table.replace(at, at as u64);
    }
    let mut spike = system.table(dropped);
    for at in 0..dropped {
        spike.replace(at, (live + at) as u64);
    }
    let clocks = Clocks::start(|| system.used());
    drop(spike);
    let begun = Instant::now();
    let end_ms = seconds * 1000;
    let looks = LOOKS_MS.into_iter().filter(|look| *look < end_ms);
    let looks: Vec<u64> = looks.chain([end_ms]).collect();
    let mut looks = looks.into_iter().peekable();
    let mut seen = Vec::new();
    for op in 0..end_ms {
        let due = begun + Duration::from_millis(op + 1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        table.replace(random.below(live), live as u64 + op);
        if looks.next_if_eq(&(op + 1)).is_some()
            && let Some(resident) = resident()
        {
            seen.push((op + 1, resident.now_bytes));
        }
    }
    let firsts = (0..live).map(|at| table.first(at));
    let answer = firsts.fold(0, u64::wrapping_add);
    let mut lines = clocks.stop(answer);
    for (at_ms, bytes) in seen {
        lines.add("rss", format_args!("{at_ms} {bytes}"));
    }
    Ok(lines)
}
