//! Allocation of small objects, collection included, beside mimalloc and beside the machine.
//!
//! The heap is used as anybody would: `StopTheWorld`, the safe API. The rival is what a Rust
//! program has otherwise: `Box` over mimalloc. Each round measures the heap, mimalloc and the limit
//! in turn, by the processor time of the whole process, so that the sweeper's thread counts.
//!
//! | heap | a round | the limit |
//! |---|---|---|
//! | steady | 128 MiB of objects that die at once, 16 MiB live beside them | 256 KiB rewritten |
//! | half-dead | of 64 MiB a random half dies and is replaced | the same places rewritten |
//! | nearly full | of 64 MiB a random tenth dies and is replaced | the same places rewritten |
//! | fresh | the first 8 MiB of a new heap, or 32 MiB behind its first 16 | new pages written |

use criterion::{BenchmarkId, Criterion, SamplingMode};
use mimalloc::MiMalloc;
use peers::{Basis, Cost, Random, Report, cost, limits};
use runtime::{Gc, GcCell, Root, Runtime, StopTheWorld};
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static RIVAL: MiMalloc = MiMalloc;

type Block<const WORDS: usize> = [u64; WORDS];
type Slots<const WORDS: usize> = [GcCell<'static, Block<WORDS>>];
type Kept<const WORDS: usize> = [Gc<'static, Block<WORDS>>];
type Failure = Box<dyn std::error::Error>;

/// Objects that are allocated in one closure, or held at once by the rival.
const BATCH: usize = 1024;
const STEADY_LIVE_BYTES: usize = 16 << 20;
const STEADY_BYTES: usize = 128 << 20;
const SET_BYTES: usize = 64 << 20;
const RECYCLED_BYTES: usize = 256 << 10;
/// More than the bench ever holds.
const WARM_UP_BYTES: usize = 3 << 30;
/// As far as a heap has small pages.
const SMALL_PAGES_BYTES: usize = 16 << 20;

type Heap = Runtime<StopTheWorld>;
type Mutator = runtime::Mutator<StopTheWorld>;

/// Waits until the last cycle's sweep is over: it belongs to what is measured.
fn settle(heap: &Heap) {
    loop {
        let stats = heap.stats();
        if stats.last_cycle.number == stats.cycles {
            return;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Everything dies at once, beside a live set that each collection marks.
struct Steady<const WORDS: usize> {
    heap: Heap,
    mutator: Mutator,
    _kept: Root<Kept<WORDS>>,
    rival: Vec<Box<Block<WORDS>>>,
    region: Vec<u8>,
}

impl<const WORDS: usize> Steady<WORDS> {
    const OBJECTS: usize = STEADY_BYTES / size_of::<Block<WORDS>>();

    fn new() -> Result<Self, Failure> {
        let heap = Heap::builder().build()?;
        let mut mutator = heap.mutator();
        let live = STEADY_LIVE_BYTES / size_of::<Block<WORDS>>();
        let kept = mutator.enter(|cx| {
            let blocks: Vec<_> = (0..live).map(|n| cx.alloc([n as u64; WORDS])).collect();
            cx.root(cx.alloc_slice(blocks))
        });
        Ok(Self {
            heap,
            mutator,
            _kept: kept,
            rival: (0..live).map(|n| Box::new([n as u64; WORDS])).collect(),
            region: vec![0; RECYCLED_BYTES],
        })
    }

    fn ours(&mut self) -> Result<Cost, Failure> {
        self.mutator.collect()?;
        let before = self.heap.stats().cycles;
        let ((), cost) = cost(|| {
            for batch in 0..Self::OBJECTS / BATCH {
                self.mutator.enter(|cx| {
                    let mut places = vec![None; BATCH];
                    for place in &mut places {
                        *place = Some(cx.alloc([black_box(batch as u64); WORDS]));
                    }
                    black_box(&mut places);
                });
            }
            settle(&self.heap);
        });
        let cycles = self.heap.stats().cycles - before;
        assert!(cycles >= 4, "{cycles} collections are no amortised cost");
        Ok(cost)
    }

    fn rival(&mut self) -> Cost {
        let ((), cost) = cost(|| {
            for batch in 0..Self::OBJECTS / BATCH {
                let mut places = vec![None; BATCH];
                for place in &mut places {
                    *place = Some(Box::new([black_box(batch as u64); WORDS]));
                }
                black_box(&mut places);
            }
        });
        black_box(&mut self.rival);
        cost
    }

    fn limit(&mut self) -> Cost {
        cost(|| limits::bump::<WORDS>(&mut self.region, Self::OBJECTS)).1
    }
}

/// A part of a set dies, at random, and is replaced. The set is made anew for each round, so that
/// it lies in the order of its slots whatever an allocator did to it before.
struct Replaced<const WORDS: usize> {
    region: memmap2::MmapMut,
    addresses: Vec<u64>,
    random: Random,
    dead_percent: usize,
}

/// What a round of replacing cost.
struct Replacing {
    objects: usize,
    ours: [Cost; 3],
    rival: [Cost; 2],
    limit: Cost,
}

impl<const WORDS: usize> Replaced<WORDS> {
    const OBJECTS: usize = SET_BYTES / size_of::<Block<WORDS>>();

    fn new(dead_percent: usize) -> Result<Self, Failure> {
        let mut region = limits::map(SET_BYTES, true)?;
        region.fill(1);
        Ok(Self {
            region,
            addresses: vec![0; Self::OBJECTS],
            random: Random::new(5),
            dead_percent,
        })
    }

    fn set() -> Result<(Mutator, Root<Slots<WORDS>>), Failure> {
        let heap = Heap::builder().gc_off().build()?;
        let mut mutator = heap.mutator();
        let slots = mutator.enter(|cx| {
            let empty = (0..Self::OBJECTS).map(|_| GcCell::<Block<WORDS>>::empty());
            let slots = cx.alloc_slice(empty.collect::<Vec<_>>());
            for slot in slots.iter() {
                slot.set(cx, Some(cx.alloc([1; WORDS])));
            }
            cx.root(slots)
        });
        Ok((mutator, slots))
    }

    /// Those that die next, in ascending order.
    fn choose(&mut self) -> Vec<u32> {
        let random = &mut self.random;
        let dead = |_: &u32| random.below(100) < self.dead_percent;
        (0..Self::OBJECTS as u32).filter(dead).collect()
    }

    fn ours(dead: &[u32]) -> Result<[Cost; 3], Failure> {
        let (mut mutator, slots) = Self::set()?;
        let ((), dropping) = cost(|| {
            mutator.enter(|cx| {
                let slots = slots.get(cx);
                dead.iter().for_each(|&n| slots[n as usize].set(cx, None));
            });
        });
        let (cycle, collecting) = cost(|| mutator.collect());
        let marked = cycle?.objects_marked;
        assert_eq!(
            marked,
            Self::OBJECTS - dead.len() + 1,
            "survivors and their slice"
        );
        let ((), allocating) = cost(|| {
            mutator.enter(|cx| {
                let slots = slots.get(cx);
                for &n in dead {
                    let block = cx.alloc([u64::from(n); WORDS]);
                    slots[n as usize].set(cx, Some(block));
                }
            });
        });
        Ok([dropping, collecting, allocating])
    }

    fn rival(dead: &[u32]) -> [Cost; 2] {
        let full = (0..Self::OBJECTS).map(|_| Some(Box::new([1; WORDS])));
        let mut slots: Vec<Option<Box<Block<WORDS>>>> = full.collect();
        let ((), freeing) = cost(|| dead.iter().for_each(|&n| slots[n as usize] = None));
        let ((), allocating) = cost(|| {
            for &n in dead {
                slots[n as usize] = Some(Box::new([u64::from(n); WORDS]));
            }
        });
        black_box(&mut slots);
        [freeing, allocating]
    }

    /// Each dead block's place is written, and its slot.
    fn limit(&mut self, dead: &[u32]) -> Cost {
        let ((), cost) = cost(|| {
            limits::write_at::<WORDS>(&mut self.region, dead);
            dead.iter()
                .for_each(|&n| self.addresses[n as usize] = u64::from(n));
        });
        black_box(&mut self.addresses);
        cost
    }

    fn round(&mut self) -> Result<Replacing, Failure> {
        let dead = self.choose();
        Ok(Replacing {
            objects: dead.len(),
            ours: Self::ours(&dead)?,
            rival: Self::rival(&dead),
            limit: self.limit(&dead),
        })
    }
}

/// The first objects of a new heap, behind `before_bytes` others.
fn fresh<const WORDS: usize>(before_bytes: usize, objects: usize) -> Result<[Cost; 3], Failure> {
    let heap = Heap::builder().gc_off().build()?;
    let before = before_bytes / size_of::<Block<WORDS>>();
    let ours = heap.mutator().enter(|cx| {
        (0..before).for_each(|_| _ = black_box(cx.alloc([1u64; WORDS])));
        let fill = || (0..objects).for_each(|n| _ = black_box(cx.alloc([n as u64; WORDS])));
        cost(fill).1
    });
    drop(heap);
    let huge_before = limits::huge_bytes();
    // Leaked, or the next round would find pages that were touched before.
    let fill = || (0..objects).for_each(|n| _ = black_box(Box::leak(Box::new([n as u64; WORDS]))));
    let ((), rival) = cost(fill);
    let huge = limits::huge_bytes().saturating_sub(huge_before);
    println!("mimalloc took {} MiB of huge pages", huge >> 20);
    let mut region = limits::map(objects * size_of::<Block<WORDS>>(), before_bytes > 0)?;
    let ((), limit) = cost(|| limits::bump::<WORDS>(&mut region, objects));
    Ok([ours, rival, limit])
}

fn steady<const WORDS: usize>(c: &mut Criterion, report: &mut Report) -> Result<(), Failure> {
    let size = WORDS * 8;
    let mut set = Steady::<WORDS>::new()?;
    let what = format!("steady, {size} B, collection or free included");
    bench(c, "alloc/steady", size, || {
        let ours = set.ours()?;
        let (rival, limit) = (set.rival(), set.limit());
        let each = |cost: Cost| cost.each(Steady::<WORDS>::OBJECTS);
        report.round(
            &what,
            Basis::Cpu,
            each(ours),
            Some(each(rival)),
            Some(each(limit)),
        );
        Ok(ours.cpu)
    });
    Ok(())
}

fn replaced<const WORDS: usize>(
    c: &mut Criterion,
    report: &mut Report,
    heap: &str,
    dead_percent: usize,
) -> Result<(), Failure> {
    let size = WORDS * 8;
    let mut set = Replaced::<WORDS>::new(dead_percent)?;
    let alone = format!("{heap}, {size} B, allocation alone");
    let in_all = format!("{heap}, {size} B, collection or free included");
    bench(c, &format!("alloc/{heap}"), size, || {
        let round = set.round()?;
        let each = |cost: Cost| cost.each(round.objects);
        let [dropping, collecting, allocating] = round.ours;
        let [freeing, rival] = round.rival;
        let limit = Some(each(round.limit));
        report.round(
            &alone,
            Basis::Cpu,
            each(allocating),
            Some(each(rival)),
            limit,
        );
        let ours = dropping + collecting + allocating;
        report.round(
            &in_all,
            Basis::Cpu,
            each(ours),
            Some(each(rival + freeing)),
            limit,
        );
        Ok(ours.cpu)
    });
    Ok(())
}

fn fresh_pages<const WORDS: usize>(c: &mut Criterion, report: &mut Report) {
    let size = WORDS * 8;
    for (pages, before_bytes, bytes) in [
        ("small pages", 0, 8 << 20),
        ("huge pages", SMALL_PAGES_BYTES, 32 << 20),
    ] {
        let objects = bytes / size;
        let what = format!("fresh, {size} B, {pages}");
        bench(c, &format!("alloc/fresh, {pages}"), size, || {
            let [ours, rival, limit] = fresh::<WORDS>(before_bytes, objects)?;
            let each = |cost: Cost| cost.each(objects);
            report.round(
                &what,
                Basis::Cpu,
                each(ours),
                Some(each(rival)),
                Some(each(limit)),
            );
            Ok(ours.cpu)
        });
    }
}

/// Has Criterion call `round` for its samples; it answers what the heap's part cost.
fn bench(
    c: &mut Criterion,
    group: &str,
    size: usize,
    mut round: impl FnMut() -> Result<Duration, Failure>,
) {
    let mut group = c.benchmark_group(group);
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
        bencher.iter_custom(|rounds| {
            let sum: Result<Duration, Failure> = (0..rounds).map(|_| round()).sum();
            sum.unwrap_or_else(|failure| panic!("a round failed: {failure}"))
        });
    });
    group.finish();
}

fn all<const WORDS: usize>(c: &mut Criterion, report: &mut Report) -> Result<(), Failure> {
    steady::<WORDS>(c, report)?;
    replaced::<WORDS>(c, report, "half-dead", 50)?;
    replaced::<WORDS>(c, report, "nearly full", 10)
}

fn main() -> Result<(), Failure> {
    let mut c = Criterion::default()
        .configure_from_args()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_millis(100));
    // Where the machine is a guest, memory that it never used before costs its host as well.
    limits::map(WARM_UP_BYTES, true)?.fill(1);
    let mut report = Report::new("alloc");
    // First: mimalloc would fill what the others have freed.
    fresh_pages::<2>(&mut c, &mut report);
    fresh_pages::<4>(&mut c, &mut report);
    fresh_pages::<8>(&mut c, &mut report);
    fresh_pages::<16>(&mut c, &mut report);
    all::<2>(&mut c, &mut report)?;
    all::<4>(&mut c, &mut report)?;
    all::<8>(&mut c, &mut report)?;
    all::<16>(&mut c, &mut report)?;
    c.final_summary();
    report.finish()?;
    Ok(())
}
