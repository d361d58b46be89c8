//! Sampling over time, with the progress line and the moments that the table names.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use runtime::{Collector, Runtime};

use crate::measure::{Interval, Memory, Moment, Sample, bytes, count, nanos, rss_bytes};
use crate::serve::Options;

/// Between samples while serving, and while watching the memory go back.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
const WATCH_SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// Samples over time, and the progress line.
pub(crate) struct Timeline<'h, C: Collector> {
    heap: &'h Runtime<C>,
    /// The writer's count of packages replaced.
    replaced: &'h AtomicU64,
    started: Instant,
    dropped: bool,
    progress: bool,
    terminal: bool,
    samples: Vec<Sample>,
}

impl<'h, C: Collector> Timeline<'h, C> {
    pub(crate) fn new(heap: &'h Runtime<C>, replaced: &'h AtomicU64, progress: bool) -> Self {
        Timeline {
            heap,
            replaced,
            started: Instant::now(),
            dropped: false,
            progress,
            terminal: std::io::stderr().is_terminal(),
            samples: Vec::new(),
        }
    }

    /// From here on half of the packages are dropped.
    pub(crate) fn drop_begins(&mut self) {
        self.dropped = true;
    }

    /// The samples; the progress line is taken away.
    pub(crate) fn into_samples(self) -> Vec<Sample> {
        if self.progress && self.terminal {
            // A progress line that cannot be written is no reason to fail.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.samples
    }

    /// Samples until the time is up; says why if something ends it before.
    pub(crate) fn serve(
        &mut self,
        options: &Options,
        take: &mut dyn FnMut() -> Interval,
        ended_early: &dyn Fn() -> bool,
    ) -> Option<String> {
        self.sample(Interval::default());
        loop {
            let left = options.duration.saturating_sub(self.started.elapsed());
            // The last interval may be longer by half, rather than be followed by a sliver.
            let last = left < SAMPLE_EVERY + SAMPLE_EVERY / 2;
            thread::sleep(if last { left } else { SAMPLE_EVERY });
            self.sample(take());
            let heap_bytes = self.samples.last().map_or(0, |s| s.memory.heap_bytes);
            if heap_bytes > options.heap_bytes_max {
                return Some(format!(
                    "the heap has {} in use, more than the {} allowed (--heap-limit)",
                    bytes(heap_bytes),
                    bytes(options.heap_bytes_max)
                ));
            }
            if ended_early() {
                return Some("a thread has ended".to_owned());
            }
            if last {
                return None;
            }
        }
    }

    /// Watches the memory go back to the system.
    pub(crate) fn watch(&mut self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            self.sample(Interval::default());
            thread::sleep(WATCH_SAMPLE_EVERY);
        }
    }

    pub(crate) fn sample(&mut self, interval: Interval) {
        let sample = Sample {
            at: self.started.elapsed(),
            dropped: self.dropped,
            memory: memory(self.heap),
            interval,
            // Relaxed: a figure for the timeline.
            replaced: self.replaced.load(Ordering::Relaxed),
        };
        self.show(&sample);
        self.samples.push(sample);
    }

    /// On a terminal one line that is written over; elsewhere a line a second.
    fn show(&self, sample: &Sample) {
        let second = |sample: &Sample| sample.at.as_secs();
        let due = self
            .samples
            .last()
            .is_none_or(|last| second(last) != second(sample));
        if !self.progress || !(self.terminal || due) {
            return;
        }
        let memory = &sample.memory;
        let phase = if self.dropped {
            "half dropped"
        } else {
            "serving"
        };
        let mut line = format!(
            "{:5.1} s  {phase}  heap {}  RSS {}  {} cycles  {} replaced",
            sample.at.as_secs_f64(),
            bytes(memory.heap_bytes),
            memory.rss_bytes.map_or("?".to_owned(), bytes),
            count(memory.cycles),
            count(sample.replaced),
        );
        if sample.interval.answers > 0 {
            line += &format!("  p99 {}", nanos(sample.interval.p99_ns));
        }
        let (start, end) = if self.terminal {
            ("\r\x1b[K", "")
        } else {
            ("", "\n")
        };
        let mut stderr = std::io::stderr().lock();
        // A progress line that cannot be written is no reason to fail.
        let _ = write!(stderr, "{start}{line}{end}").and_then(|()| stderr.flush());
    }
}

/// What is held now, under a name.
pub(crate) fn moment<C: Collector>(name: &'static str, heap: &Runtime<C>) -> Moment {
    Moment {
        name,
        memory: memory(heap),
    }
}

fn memory<C: Collector>(heap: &Runtime<C>) -> Memory {
    let stats = heap.stats();
    Memory {
        heap_bytes: stats.heap_bytes as u64,
        retained_bytes: stats.retained_bytes as u64,
        live_bytes: stats.last_cycle.live_bytes as u64,
        allocated_bytes: stats.allocated_bytes as u64,
        released_bytes: stats.released_bytes as u64,
        rss_bytes: rss_bytes(),
        cycles: stats.cycles,
    }
}
