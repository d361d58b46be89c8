//! Sweeping spans of objects without drop glue: the marks become the allocation bits, no object is
//! touched.
//!
//! A round is the sweep after a collection of 128 MiB of 32 B objects, 16,384 spans of 8 KiB: all
//! of `finish_sweep` on the calling thread, with gc-sweep's claims and the runtime's port. Beside
//! it the same pass over as many bits, in one loop.

use criterion::{BenchmarkId, Criterion, SamplingMode};
use peers::limits::SweepFloor;
use peers::{Basis, Cost, Random, Report, cost};
use runtime::{Barrier, CollectError, Collector, Session};
use runtime::{Builder, GcCell, Mutator, Root, Runtime, StopTheWorld};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;
type Block = [u64; 4];

const SET_BYTES: usize = 128 << 20;
const SPANS: usize = SET_BYTES / (8 << 10);
const OBJECTS: usize = SET_BYTES / size_of::<Block>();

/// The usual collector, which sweeps at the end of its cycle and notes the cost.
struct Timed {
    inner: StopTheWorld,
    sweeping: Arc<Mutex<Cost>>,
}

// SAFETY: `StopTheWorld` keeps the promise; what is added only sweeps.
unsafe impl Collector for Timed {
    const NAME: &'static str = "timed";
    const BARRIER: Barrier = StopTheWorld::BARRIER;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        self.inner.collect(session)?;
        let ((), sweeping) = cost(|| session.finish_sweep());
        *self.sweeping.lock().unwrap_or_else(PoisonError::into_inner) = sweeping;
        Ok(())
    }
}

/// Slots of which some are emptied before each collection and filled after it.
struct Set {
    heap: Runtime<Timed>,
    mutator: Mutator<Timed>,
    sweeping: Arc<Mutex<Cost>>,
    slots: Root<[GcCell<'static, Block>]>,
    random: Random,
    floor: SweepFloor,
}

impl Set {
    fn new() -> Result<Self, Failure> {
        let sweeping = Arc::default();
        let collector = Timed {
            inner: StopTheWorld::default(),
            sweeping: Arc::clone(&sweeping),
        };
        let heap = Builder::new(collector).gc_off().build()?;
        let mut mutator = heap.mutator();
        let slots = mutator.enter(|cx| {
            let empty = (0..OBJECTS).map(|_| GcCell::<Block>::empty());
            cx.root(cx.alloc_slice(empty.collect::<Vec<_>>()))
        });
        Ok(Self {
            heap,
            mutator,
            sweeping,
            slots,
            random: Random::new(9),
            floor: SweepFloor::new(SPANS),
        })
    }

    fn spans(&self) -> usize {
        self.heap.census().iter().map(|row| row.spans).sum()
    }

    /// Fills all slots that are empty.
    fn fill(&mut self) {
        self.mutator.enter(|cx| {
            for slot in self.slots.get(cx).iter() {
                if slot.get().is_none() {
                    slot.set(cx, Some(cx.alloc([7; 4])));
                }
            }
        });
        // The slice of slots has a span of its own, and the heap grows by some spans at once.
        let spans = self.spans();
        assert!((SPANS + 1..=SPANS + 33).contains(&spans), "{spans} spans");
    }

    /// Empties about `percent` of the slots at random, collects, and says what sweeping cost.
    fn sweep(&mut self, percent: usize) -> Result<(Cost, Cost), Failure> {
        self.fill();
        let random = &mut self.random;
        self.mutator.enter(|cx| {
            for slot in self.slots.get(cx).iter() {
                if random.below(100) < percent {
                    slot.set(cx, None);
                }
            }
        });
        let cycle = self.mutator.collect()?;
        let freed = cycle.before_bytes - cycle.live_bytes;
        let expected = SET_BYTES / 100 * percent;
        assert!(
            freed.abs_diff(expected) < SET_BYTES / 100,
            "{freed} bytes were freed"
        );
        let sweeping = *self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        // A bit in every second place, as 32 B objects have them; a half of these for half-dead.
        let mark = match percent {
            0 => 0x5555_5555_5555_5555,
            100 => 0,
            _ => 0x1111_1111_1111_1111,
        };
        Ok((sweeping, self.floor.run(mark)))
    }
}

fn main() -> Result<(), Failure> {
    let mut c = Criterion::default()
        .configure_from_args()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_millis(100));
    let mut report = Report::new("sweep");
    let mut set = Set::new()?;
    for (what, percent) in [
        ("all live", 0),
        ("half dead", 50),
        ("all dead, pages freed", 100),
    ] {
        let row = format!("sweep a span, {what}");
        let mut round = || -> Result<Duration, Failure> {
            let (ours, floor) = set.sweep(percent)?;
            report.round(
                &row,
                Basis::Cpu,
                ours.each(SPANS),
                None,
                Some(floor.each(SPANS)),
            );
            Ok(ours.cpu)
        };
        let mut group = c.benchmark_group("sweep");
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(BenchmarkId::from_parameter(what), |bencher| {
            bencher.iter_custom(|rounds| {
                let sum: Result<Duration, Failure> = (0..rounds).map(|_| round()).sum();
                sum.unwrap_or_else(|failure| panic!("a round failed: {failure}"))
            });
        });
        group.finish();
    }
    c.final_summary();
    report.finish()?;
    Ok(())
}
