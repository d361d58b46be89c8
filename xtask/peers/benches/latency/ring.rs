//! One run: rings of messages, replaced at full speed or when they are due.
//!
//! The loop is one function, generic over the ring, so that the heap and the floor differ in
//! nothing but `replace`. A message is its number, what follows from its number at its other end,
//! and a filling that is the same in all; the checksum is over the ends of all that were replaced
//! and over every word of those that remain.

use crate::Failure;
use cpu_time::ProcessTime;
use hdrhistogram::Histogram;
use peers::latency::{Outcome, Plan, recorder};
use peers::process;
use runtime::{Collector, GcCell, Mutator, Root, Runtime};
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::Instant;

/// Words of a message: 1 KiB.
const WORDS: usize = 128;
type Message = [u64; WORDS];

/// Spreads numbers over a word; the same in every language.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// What every message is filled with.
static FILLING: Message = {
    let mut filling = [0; WORDS];
    let mut at = 0;
    while at < WORDS {
        filling[at] = (at as u64).wrapping_mul(SPREAD);
        at += 1;
    }
    filling
};

#[inline(always)]
fn message(number: u64) -> Message {
    let mut message = FILLING;
    message[0] = number;
    message[WORDS - 1] = number.wrapping_mul(SPREAD);
    message
}

#[inline(always)]
fn ends(message: &Message) -> u64 {
    message[0].wrapping_add(message[WORDS - 1])
}

fn sum(message: &Message) -> u64 {
    message.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

/// One thread's live messages.
pub(crate) trait Ring: Send {
    /// Makes the message of this number, puts it into `slot`, and returns the ends of the one
    /// that was there; 0 if there was none.
    fn replace(&mut self, slot: usize, number: u64) -> u64;

    /// The sum over every word of every message.
    fn sum(&mut self) -> u64;
}

/// What gives threads their rings.
pub(crate) trait System: Sized {
    /// The ring.
    type Ring: Ring;

    /// Starts it.
    fn start() -> Result<Self, Failure>;

    /// An empty ring.
    fn ring(&self, slots: usize) -> Self::Ring;

    /// Its own figures so far, by name.
    fn figures(&self) -> Vec<(&'static str, f64)>;
}

/// The heap.
pub(crate) struct Collected<C: Collector>(Runtime<C>);

/// A ring in the heap: one closure a message, as a program would that serves requests.
pub(crate) struct CollectedRing<C: Collector> {
    mutator: Mutator<C>,
    slots: Root<[GcCell<'static, Message>]>,
}

impl<C: Collector + Default> System for Collected<C> {
    type Ring = CollectedRing<C>;

    fn start() -> Result<Self, Failure> {
        Ok(Self(Runtime::<C>::builder().build()?))
    }

    fn ring(&self, slots: usize) -> CollectedRing<C> {
        let mut mutator = self.0.mutator();
        let slots = mutator.enter(|cx| {
            let empty = (0..slots).map(|_| GcCell::<Message>::empty());
            cx.root(cx.alloc_slice(empty))
        });
        CollectedRing { mutator, slots }
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        let stats = self.0.stats();
        vec![
            ("cycles", stats.cycles as f64),
            ("pause_max_ns", stats.pause_max.as_nanos() as f64),
            ("pause_total_ns", stats.pause_total.as_nanos() as f64),
            ("wait_max_ns", stats.wait_max.as_nanos() as f64),
        ]
    }
}

impl<C: Collector> Ring for CollectedRing<C> {
    #[inline]
    fn replace(&mut self, slot: usize, number: u64) -> u64 {
        self.mutator.enter(|cx| {
            let new = cx.alloc(message(number));
            let slot = &self.slots.get(cx)[slot];
            let old = slot.get().map_or(0, |old| ends(&old));
            slot.set(cx, Some(new));
            old
        })
    }

    fn sum(&mut self) -> u64 {
        self.mutator.enter(|cx| {
            let slots = self.slots.get(cx);
            let sums = slots.iter().filter_map(GcCell::get).map(|old| sum(&old));
            sums.fold(0, u64::wrapping_add)
        })
    }
}

/// The floor: nothing is allocated, messages are written over others.
pub(crate) struct Floor;

/// A ring that was allocated, and touched, beforehand.
pub(crate) struct FloorRing(Vec<Message>);

impl System for Floor {
    type Ring = FloorRing;

    fn start() -> Result<Self, Failure> {
        Ok(Self)
    }

    fn ring(&self, slots: usize) -> FloorRing {
        FloorRing(vec![[0; WORDS]; slots])
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

impl Ring for FloorRing {
    #[inline]
    fn replace(&mut self, slot: usize, number: u64) -> u64 {
        let place = &mut self.0[slot];
        let old = ends(place);
        *place = message(number);
        old
    }

    fn sum(&mut self) -> u64 {
        self.0.iter().map(sum).fold(0, u64::wrapping_add)
    }
}

/// What one thread has done.
struct Worker<R> {
    ring: R,
    slot: usize,
    slots: usize,
    number: u64,
    checksum: u64,
    latency: Histogram<u64>,
    service: Histogram<u64>,
}

impl<R: Ring> Worker<R> {
    fn new(ring: R, thread: usize, plan: &Plan) -> Self {
        Self {
            ring,
            slot: 0,
            slots: plan.slots,
            // Above any count of messages, so that no two threads write the same.
            number: (thread as u64) << 40,
            checksum: 0,
            latency: recorder(),
            service: recorder(),
        }
    }

    #[inline(always)]
    fn step(&mut self) {
        let old = self.ring.replace(self.slot, self.number);
        self.checksum = self.checksum.wrapping_add(old);
        self.number += 1;
        self.slot += 1;
        if self.slot == self.slots {
            self.slot = 0;
        }
    }

    /// One clock reading a message: a message's time begins where the one before ended, so that
    /// no pause falls between two.
    fn at_full_speed(&mut self, messages: usize) {
        let base = Instant::now();
        let mut before_ns = 0;
        for _ in 0..messages {
            self.step();
            let now_ns = base.elapsed().as_nanos() as u64;
            self.latency.saturating_record(now_ns - before_ns);
            before_ns = now_ns;
        }
    }

    /// Waits for each message's time by looking at the clock. The times do not wait for the
    /// messages: those that come due in a pause are as late as the pause made them.
    fn paced(&mut self, messages: usize, interval_ns: u64) {
        let base = Instant::now();
        let now_ns = || base.elapsed().as_nanos() as u64;
        let mut due_ns = 0;
        for _ in 0..messages {
            due_ns += interval_ns;
            let mut begun_ns = now_ns();
            while begun_ns < due_ns {
                std::hint::spin_loop();
                begun_ns = now_ns();
            }
            self.step();
            let done_ns = now_ns();
            self.latency.saturating_record(done_ns - due_ns);
            self.service.saturating_record(done_ns - begun_ns);
        }
    }
}

/// Runs the plan on `S`.
pub(crate) fn run<S: System>(plan: &Plan) -> Result<Outcome, Failure> {
    let system = S::start()?;
    let step = Barrier::new(plan.threads + 1);
    let mut outcome = Outcome::default();
    let workers: Vec<Worker<S::Ring>> = (0..plan.threads)
        .map(|thread| Worker::new(system.ring(plan.slots), thread, plan))
        .collect();
    std::thread::scope(|scope| -> Result<(), Failure> {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| scope.spawn(|| work(worker, plan, &step)))
            .collect();
        step.wait();
        let before = snapshot(&system);
        let (cpu, wall) = (ProcessTime::now(), Instant::now());
        step.wait();
        step.wait();
        let (wall, cpu) = (wall.elapsed(), cpu.elapsed());
        let after = snapshot(&system);
        step.wait();
        outcome.figures = part(&before, after);
        outcome
            .figures
            .insert("wall_s".to_owned(), wall.as_secs_f64());
        outcome
            .figures
            .insert("cpu_s".to_owned(), cpu.as_secs_f64());
        for thread in threads {
            let (latency, service, checksum) = thread.join().map_err(|_| "a thread panicked")?;
            outcome.latency.add(latency)?;
            outcome.service.add(service)?;
            outcome.checksum = outcome.checksum.wrapping_add(checksum);
        }
        Ok(())
    })?;
    Ok(outcome)
}

/// One thread's part: fill and warm up, measure, add up what remains; all threads in step.
fn work<R: Ring>(
    mut worker: Worker<R>,
    plan: &Plan,
    step: &Barrier,
) -> (Histogram<u64>, Histogram<u64>, u64) {
    (0..plan.slots + plan.warm_up).for_each(|_| worker.step());
    step.wait();
    step.wait();
    match plan.interval {
        None => worker.at_full_speed(plan.messages),
        Some(interval) => worker.paced(plan.messages, interval.as_nanos() as u64),
    }
    step.wait();
    step.wait();
    let checksum = worker.checksum.wrapping_add(worker.ring.sum());
    (worker.latency, worker.service, checksum)
}

/// The figures at this moment, of the system and of the process.
fn snapshot<S: System>(system: &S) -> BTreeMap<String, f64> {
    let mut figures = system.figures();
    if let Some(wait) = process::in_line() {
        figures.push(("in_line_s", wait.as_secs_f64()));
    }
    if let Some(resident) = process::resident() {
        figures.push(("rss_peak_bytes", resident.peak_bytes as f64));
        figures.push(("rss_end_bytes", resident.now_bytes as f64));
    }
    let named = |(name, figure): (&str, f64)| (name.to_owned(), figure);
    figures.into_iter().map(named).collect()
}

/// The measured part's figures. Counts are what was added in it; the longest of anything is since
/// the start, and memory is as it was at the end.
fn part(before: &BTreeMap<String, f64>, after: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let of_part = |(name, after): (String, f64)| {
        let whole = name.contains("_max") || name.starts_with("rss_");
        let before = before.get(&name).filter(|_| !whole);
        (name, after - before.unwrap_or(&0.0))
    };
    after.into_iter().map(of_part).collect()
}
