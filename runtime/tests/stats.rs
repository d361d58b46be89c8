//! The figures add up: bytes, cycles, goals, pauses.
//!
//! Mutants: `flush-skipped`, `percent-ignored`, `unused-not-uncounted`, `freed-not-discharged` and
//! `pause-not-noted` are killed here.

use runtime::{
    Builder, Census, Collector, External, Gc, Heap, Mutator, NoGc, OnTheFly, Reason, Root, Runtime,
    StopTheWorld, Trace, pacer,
};
use std::time::{Duration, Instant};

fn quiet() -> Heap {
    Heap::builder().gc_off().build().unwrap()
}

/// Allocates so many objects of 48 bytes and roots the last few.
fn fill<C: Collector>(mutator: &mut Mutator<C>, count: u64, kept: u64) -> Vec<Root<[u64; 6]>> {
    mutator.enter(|cx| {
        let objects = (0..count).map(|n| cx.alloc([n; 6]));
        let objects: Vec<Gc<'_, [u64; 6]>> = objects.collect();
        let first = (count - kept) as usize;
        objects[first..]
            .iter()
            .map(|object| cx.root(*object))
            .collect()
    })
}

#[test]
fn bytes_are_exact_after_a_collection() {
    bytes_are_exact::<OnTheFly>();
}

#[test]
fn bytes_are_exact_after_a_stop() {
    bytes_are_exact::<StopTheWorld>();
}

fn bytes_are_exact<C: Collector + Default>() {
    let heap = Builder::new(C::default()).gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let stats = heap.stats();
    assert_eq!(
        (stats.live_bytes, stats.allocated_bytes, stats.cycles),
        (0, 0, 0)
    );
    let mut allocated_bytes = 0;
    let mut kept = Vec::new();
    for number in 1..=5 {
        kept.extend(fill(&mut mutator, 10_000, 700));
        allocated_bytes += 10_000 * 48;
        // A slot in use may be one that was taken and will not be used: never fewer.
        assert!(heap.stats().allocated_bytes >= allocated_bytes);
        let cycle = mutator.collect().unwrap();
        let live_bytes = number * 700 * 48;
        assert_eq!((cycle.number, cycle.why), (number as u64, Reason::Explicit));
        assert_eq!(cycle.before_bytes, live_bytes + 9_300 * 48);
        assert_eq!(
            (cycle.live_bytes, cycle.objects_marked),
            (live_bytes, number * 700)
        );
        let stats = heap.stats();
        assert_eq!(
            (stats.allocated_bytes, stats.live_bytes),
            (allocated_bytes, live_bytes)
        );
        assert_eq!((stats.cycles, stats.roots), (number as u64, kept.len()));
        assert_eq!(stats.last_cycle.live_bytes, live_bytes);
        assert_eq!(stats.last_cycle.number, number as u64);
        assert!(stats.heap_bytes >= live_bytes);
    }
    // A large object takes whole pages, a slice its length as well.
    let large: Root<[u8]> = mutator.enter(|cx| cx.root(cx.alloc_slice(vec![0_u8; 5 * 8192])));
    let text = mutator.enter(|cx| cx.root(cx.alloc_str("eight b.")));
    let before = heap.stats().live_bytes;
    let cycle = mutator.collect().unwrap();
    assert_eq!(cycle.live_bytes, 5 * 700 * 48 + 6 * 8192 + 16);
    assert!(before >= cycle.live_bytes, "{before}");
    drop((large, text, kept));
    mutator.collect().unwrap();
    let stats = heap.stats();
    assert_eq!((stats.live_bytes, stats.heap_bytes, stats.roots), (0, 0, 0));
}

#[test]
fn mutators_are_counted() {
    let heap = quiet();
    let mutators: Vec<Mutator> = (0..5).map(|_| heap.mutator()).collect();
    assert_eq!(heap.stats().mutators, 5);
    drop(mutators);
    assert_eq!(heap.stats().mutators, 0);
}

#[derive(Trace)]
struct Odd<'gc> {
    next: Option<Gc<'gc, Odd<'gc>>>,
    words: [u64; 7],
}

#[test]
fn the_census_counts_each_type() {
    let heap = quiet();
    let mut mutator = heap.mutator();
    let kept = mutator.enter(|cx| {
        let mut last = None;
        for _ in 0..1_000 {
            last = Some(cx.alloc(Odd {
                next: last,
                words: [1; 7],
            }));
            cx.alloc(Odd {
                next: None,
                words: [1; 7],
            });
        }
        let large = cx.alloc([0_u64; 5_000]);
        (
            cx.root(last.unwrap()),
            cx.root(large),
            cx.root(cx.alloc_str(&"x".repeat(100))),
        )
    });
    mutator.collect().unwrap();
    let census = heap.census();
    // The same type may be counted in two rows, if it was compiled in two units.
    let count = |name: &str| {
        let rows: Vec<&Census> = census
            .iter()
            .filter(|row| (row.info.name)().contains(name))
            .collect();
        let bytes = rows
            .iter()
            .map(|row| row.objects * row.slot_bytes)
            .sum::<usize>();
        (rows.iter().map(|row| row.objects).sum::<usize>(), bytes)
    };
    assert_eq!(count("Odd"), (1_000, 64_000));
    assert_eq!(count("[u64; 5000]"), (1, 5 * 8192));
    assert_eq!(count("[u8]"), (1, 112));
    let bytes: usize = census.iter().map(|row| row.objects * row.slot_bytes).sum();
    assert_eq!(bytes, heap.stats().live_bytes);
    mutator.enter(|cx| assert_eq!((kept.0.get(cx).words, kept.1.get(cx)[0]), ([1; 7], 0)));
    drop(kept);
    mutator.collect().unwrap();
    assert!(
        heap.census().iter().all(|row| row.objects == 0),
        "{:?}",
        heap.census()
    );
}

/// The goal is what survived, and a percentage of it; the next cycle begins when it is reached,
/// and not before.
#[test]
fn the_goal_follows_the_percentage() {
    let heap = Runtime::<StopTheWorld>::builder()
        .gc_percent(50)
        .build()
        .unwrap();
    let mut mutator = heap.mutator();
    assert_eq!(
        heap.stats().goal_bytes,
        2 << 20,
        "the least goal, by the percentage"
    );
    let kept = fill(&mut mutator, 200_000, 200_000);
    mutator.collect().unwrap();
    let live_bytes = 200_000 * 48;
    for percent in [50, 10, 200, 100] {
        heap.set_gc_percent(Some(percent));
        assert_eq!(
            heap.stats().goal_bytes,
            pacer::goal_bytes(live_bytes, Some(percent))
        );
    }
    heap.set_gc_percent(None);
    assert_eq!(heap.stats().goal_bytes, usize::MAX);

    heap.set_gc_percent(Some(20));
    let cycles = heap.stats().cycles;
    let goal = heap.stats().goal_bytes;
    assert_eq!(goal, live_bytes + live_bytes / 5);
    let mut used_bytes = live_bytes;
    while heap.stats().cycles == cycles {
        fill(&mut mutator, 100, 0);
        used_bytes += 100 * 48;
        assert!(used_bytes <= goal + (64 << 10), "no cycle at the goal");
    }
    assert!(
        used_bytes >= goal - (64 << 10),
        "a cycle at {used_bytes} of {goal}"
    );
    mutator.collect().unwrap();
    assert_eq!(heap.stats().goal_bytes, goal, "the same has survived");
    assert_eq!(kept.len(), 200_000);
}

/// The cost of a percentage: with what survives being steady, a hundred percent makes a cycle
/// for each so many bytes as survive, fifty percent one for half of them.
#[test]
fn cycles_come_as_often_as_the_percentage_says() {
    let cycles_of = |percent| {
        let heap = Runtime::<StopTheWorld>::builder()
            .gc_percent(percent)
            .build()
            .unwrap();
        let mut mutator = heap.mutator();
        let kept = fill(&mut mutator, 200_000, 200_000);
        mutator.collect().unwrap();
        let before = heap.stats().cycles;
        let live_bytes = kept.len() * 48;
        for _ in 0..10 * live_bytes / (48 * 1_000) {
            fill(&mut mutator, 1_000, 0);
        }
        heap.stats().cycles - before
    };
    // Ten times the live bytes were allocated. While a sweep goes on none begins.
    let (at_100, at_400) = (cycles_of(100), cycles_of(400));
    assert!((5..=10).contains(&at_100), "{at_100} cycles at 100 %");
    assert!((1..=2).contains(&at_400), "{at_400} cycles at 400 %");
}

#[test]
fn pauses_and_waits_are_noted() {
    let heap = Runtime::<StopTheWorld>::builder().gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let _kept = fill(&mut mutator, 100_000, 1_000);
    let mut total = Duration::ZERO;
    let mut longest = Duration::ZERO;
    for _ in 0..4 {
        let cycle = mutator.collect().unwrap();
        assert!(cycle.pause > Duration::ZERO && cycle.stop <= cycle.pause);
        assert_eq!(cycle.markers, 1, "the heap is small");
        total += cycle.pause;
        longest = longest.max(cycle.pause);
    }
    let stats = heap.stats();
    assert_eq!((stats.pause_total, stats.pause_max), (total, longest));
    assert_eq!(stats.last_cycle.why, Reason::Explicit);
    assert_eq!(
        stats.wait_max,
        Duration::ZERO,
        "nobody but the asker waited"
    );
    // A cycle at the goal takes its time from the mutator that begins it.
    heap.set_gc_percent(Some(1));
    while heap.stats().cycles == 4 {
        fill(&mut mutator, 1_000, 0);
    }
    mutator.collect().unwrap();
    let stats = heap.stats();
    assert!(stats.wait_max > Duration::ZERO && stats.pause_total > total);
}

/// A limit makes cycles come before it, whatever the percentage says: soft, and hard.
#[test]
fn a_limit_moves_the_goal() {
    const LIMIT_BYTES: usize = 32 << 20;
    let builder = Runtime::<StopTheWorld>::builder().gc_percent(100_000);
    let heap = builder.limit_bytes(LIMIT_BYTES).build().unwrap();
    let mut mutator = heap.mutator();
    let _kept = fill(&mut mutator, 20_000, 20_000);
    for _ in 0..200 {
        // 240 MB in all: it would panic at the limit.
        fill(&mut mutator, 25_000, 0);
    }
    let stats = heap.stats();
    assert!(
        stats.cycles >= 6 && stats.goal_bytes < LIMIT_BYTES,
        "{stats:?}"
    );
    mutator.collect().unwrap();
    let goal_bytes = heap.stats().goal_bytes;
    heap.set_memory_limit(Some(12 << 20));
    assert!(heap.stats().goal_bytes < goal_bytes.min(12 << 20));
    heap.set_memory_limit(None);
    assert_eq!(
        heap.stats().goal_bytes,
        goal_bytes,
        "the hard limit still holds"
    );
}

/// What objects own outside of the heap counts as heap.
#[test]
fn external_bytes_count() {
    #[derive(Trace)]
    struct Buffer {
        external: External,
    }
    let heap = Runtime::<StopTheWorld>::builder().build().unwrap();
    let mut mutator = heap.mutator();
    for number in 1..=1_000 {
        mutator.enter(|cx| {
            _ = cx.alloc(Buffer {
                external: cx.external(1 << 20),
            })
        });
        // What is dead is dropped behind the mutator, as fast as the machine lets it.
        let begun = Instant::now();
        while number % 50 == 0 && heap.stats().external_bytes > 100 << 20 {
            assert!(begun.elapsed() < Duration::from_secs(30), "never dropped");
            fill(&mut mutator, 1_000, 0);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let cycles = heap.stats().cycles;
    assert!(cycles >= 8, "{cycles} cycles for a GiB outside");
    mutator.collect().unwrap();
    assert_eq!(heap.stats().external_bytes, 0);
}

#[test]
fn heaps_of_one_process_are_independent() {
    let (one, other) = (quiet(), quiet());
    let (mut ours, mut theirs) = (one.mutator(), other.mutator());
    let _kept = fill(&mut ours, 1_000, 1_000);
    let _theirs = fill(&mut theirs, 2_000, 10);
    ours.collect().unwrap();
    assert_eq!((one.stats().cycles, other.stats().cycles), (1, 0));
    assert_eq!(one.stats().live_bytes, 1_000 * 48);
    assert!(other.stats().live_bytes >= 2_000 * 48);
    // One in the other's closure: neither stands in the other's way.
    ours.enter(|_| {
        theirs.collect().unwrap();
        assert_eq!(theirs.heap().stats().live_bytes, 10 * 48);
    });
    drop((theirs, other));
    assert_eq!(ours.collect().unwrap().objects_marked, 1_000);
}

#[test]
fn without_a_collector_nothing_is_collected() {
    let heap: Runtime<NoGc> = Builder::new(NoGc).gc_percent(1).build().unwrap();
    let mut mutator = heap.mutator();
    for _ in 0..50 {
        fill(&mut mutator, 10_000, 0);
    }
    assert_eq!(mutator.collect().unwrap().number, 0);
    let stats = heap.stats();
    assert_eq!((stats.cycles, stats.goal_bytes), (0, usize::MAX));
    assert!(stats.live_bytes >= 500_000 * 48);
}
