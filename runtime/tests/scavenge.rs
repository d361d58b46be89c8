//! Memory that goes back to the operating system by itself, and what the figures say of it.
//!
//! What the system sees is tested in processes of their own, because other tests use memory too.
//! Nothing waits for a fixed time: what must happen is polled for, with a deadline far beyond it.
//!
//! Transparent huge pages: the mode `never` is tested by forbidding them to the process, and a
//! source without them by one that refuses the advice. `madvise` and `always` differ for a heap's
//! first 16 MiB only, since it asks for huge pages beyond; which of them a machine has, no process
//! can change.
//!
//! Mutants: `worker-never-starts`, `policy-ignored`, `refusal-hidden`, `scav-line-unwritten`,
//! `scav-line-for-nothing`, `limit-spares-huge-pages`, `call-without-end` and
//! `cgroup-limit-beats-hard`.

use alloc_core::{FakeRegion, SourceError};
use runtime::scavenge::{Action, Config, Goal, Outcome, Pacer, Policy, Usage};
use runtime::{Builder, FakeSource, Gc, Heap, Mutator, Occupancy, OnTheFly, PageSource, Root};
use std::process::{Command, Output};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

#[track_caller]
fn poll(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Allocates so many objects of 48 bytes and roots the last few.
fn fill(mutator: &mut Mutator, count: u64, kept: u64) -> Vec<Root<[u64; 6]>> {
    mutator.enter(|cx| {
        let objects = (0..count).map(|n| cx.alloc([n; 6]));
        let objects: Vec<Gc<'_, [u64; 6]>> = objects.collect();
        let last = objects[(count - kept) as usize..].iter();
        last.map(|object| cx.root(*object)).collect()
    })
}

/// Whether what `fill` rooted is as it was.
fn check(mutator: &mut Mutator, count: u64, kept: &[Root<[u64; 6]>]) {
    mutator.enter(|cx| {
        for (n, root) in (count - kept.len() as u64..).zip(kept) {
            assert_eq!(*root.get(cx), [n; 6]);
        }
    });
}

/// A policy that gives back at once what it does at all.
fn hasty() -> Pacer {
    Pacer::new(Config {
        half_life: Duration::from_millis(1),
        share_percent: 100,
        ..Config::default()
    })
}

fn on(source: &FakeSource) -> Builder<OnTheFly> {
    let builder = Builder::new(OnTheFly::with_markers(1)).gc_off();
    builder.reserve_bytes(64 * MIB).page_source(source.clone())
}

/// Runs one of this program's ignored tests in a process of its own.
fn alone(test: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command.env_remove("HEAPWRIGHT_TRACE");
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test} {environment:?}: {said}{failed}"
    );
    output
}

#[cfg(target_os = "linux")]
mod system {
    use super::*;

    /// Bytes of this process that are in memory.
    fn resident_bytes() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<usize>().unwrap() << 10
    }

    /// Fills a heap, drops all of it, collects, and then does nothing with it but wait.
    #[test]
    #[ignore = "run by `an_idle_process_shrinks` in a process of its own"]
    fn idle() {
        const BYTES: usize = 200 * MIB;
        if std::env::var_os("WITHOUT_HUGE_PAGES").is_some() {
            // SAFETY: the call reads and writes no memory of ours, whatever it answers.
            let answer = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
            assert_eq!(answer, 0, "huge pages cannot be forbidden here");
        }
        let heap = Heap::builder().gc_off().build().unwrap();
        let mut mutator = heap.mutator();
        let before = resident_bytes();
        let root = mutator.enter(|cx| {
            let parts = (0..BYTES / MIB).map(|_| cx.alloc_slice(vec![[1_u64; 1024]; 128]));
            cx.root(cx.alloc_slice(parts.collect::<Vec<_>>()))
        });
        let full = resident_bytes();
        assert!(full - before >= BYTES, "{before} -> {full}");
        drop(root);
        mutator.collect().unwrap();
        let allocated_bytes = heap.stats().allocated_bytes;
        poll("nine tenths are back", || {
            resident_bytes() < before + BYTES / 10
        });
        let stats = heap.stats();
        assert_eq!(stats.allocated_bytes, allocated_bytes, "it was idle");
        assert!(stats.scavenge.released_total_bytes as usize > BYTES / 10 * 8);
        // A step is counted when it is over.
        let worker = || heap.stats().scavenge.worker.unwrap();
        poll("the worker has counted it", || {
            worker().released_bytes as usize > BYTES / 10 * 8
        });
        assert_eq!(worker().panics, 0);
        assert_eq!(worker().steps.total(), worker().calls);
    }

    #[test]
    fn an_idle_process_shrinks() {
        alone("system::idle", &[]);
    }

    #[test]
    fn an_idle_process_without_huge_pages_shrinks() {
        alone("system::idle", &[("WITHOUT_HUGE_PAGES", "1")]);
    }
}

/// The system refuses every release: nothing is lost, the figures say so, and when it relents the
/// memory goes back although nobody allocates or collects.
#[test]
fn a_refusal_costs_nothing_and_passes() {
    use alloc_core::SourceCall::Release;
    let source = FakeSource::new();
    source.fail_from(Release, 0);
    let heap = on(&source).scavenge_by(hasty()).build().unwrap();
    let mut mutator = heap.mutator();
    let kept = fill(&mut mutator, 400_000, 1_000);
    mutator.collect().unwrap();
    poll("two refusals", || {
        heap.stats().scavenge.worker.unwrap().refused_calls >= 2
    });
    let stats = heap.stats();
    let scavenge = stats.scavenge;
    assert!(scavenge.releases_refused >= 2);
    assert_eq!((scavenge.releases, scavenge.released_total_bytes), (0, 0));
    let free_bytes = stats.retained_bytes;
    assert!(free_bytes > 400_000 * 48 / 10 * 9, "{free_bytes}");
    assert_eq!(
        heap.release_os_memory(),
        0,
        "asked for, refused all the same"
    );
    check(&mut mutator, 400_000, &kept);

    source.heal();
    poll("it is back", || heap.stats().retained_bytes < 8 * MIB);
    // A step is counted when it is over.
    poll("the worker has counted it", || {
        heap.stats().scavenge.worker.unwrap().released_bytes as usize > free_bytes / 2
    });
    assert_eq!(heap.stats().scavenge.refaulted_bytes, 0);
    check(&mut mutator, 400_000, &kept);
    let more = fill(&mut mutator, 300_000, 300_000);
    assert!(heap.stats().scavenge.refaulted_bytes as usize > 5 * MIB);
    check(&mut mutator, 400_000, &kept);
    check(&mut mutator, 300_000, &more);
}

/// Huge pages that are half in use stay whole, until the heap exceeds a limit: then their free half
/// goes too.
#[test]
fn a_limit_breaks_huge_pages_that_are_half_in_use() {
    let source = FakeSource::new();
    let heap = on(&source).scavenge_by(hasty()).build().unwrap();
    let mut mutator = heap.mutator();
    let mut kept = Vec::new();
    for n in 0..48_usize {
        // A MiB each, every other of which stays.
        let root = mutator.enter(|cx| cx.root(cx.alloc_slice(vec![n; (1 << 17) - 8])));
        kept.extend((n % 2 == 0).then_some(root));
    }
    mutator.collect().unwrap();
    poll("the worker finds nothing", || {
        heap.stats().scavenge.worker.unwrap().sparse_calls > 0
    });
    let stats = heap.stats();
    assert_eq!(stats.scavenge.huge_pages_broken, 0);
    assert!(stats.retained_bytes > 14 * MIB, "{}", stats.retained_bytes);
    heap.set_memory_limit(Some(stats.heap_bytes + 4 * MIB));
    poll("the limit is kept", || {
        heap.stats().retained_bytes < 4 * MIB
    });
    assert!(heap.stats().scavenge.huge_pages_broken > 0);
    mutator.enter(|cx| {
        for (n, root) in kept.iter().enumerate() {
            assert!(root.get(cx).iter().all(|&word| word == 2 * n));
        }
    });
}

/// A source without huge pages: memory goes back in small ones.
#[test]
fn a_system_without_huge_pages_takes_memory_back() {
    use alloc_core::SourceCall::{AdviseHuge, AdviseSmall};
    let source = FakeSource::new();
    source.fail_from(AdviseHuge, 0);
    source.fail_from(AdviseSmall, 0);
    let heap = on(&source).scavenge_by(hasty()).build().unwrap();
    let mut mutator = heap.mutator();
    let kept = fill(&mut mutator, 500_000, 1_000);
    mutator.collect().unwrap();
    poll("it is back", || heap.stats().retained_bytes < 8 * MIB);
    let scavenge = heap.stats().scavenge;
    assert_eq!(
        (scavenge.huge_pages_broken, scavenge.releases_refused),
        (0, 0)
    );
    check(&mut mutator, 500_000, &kept);
}

/// Releases everything at once and remembers that it did.
struct AtOnce(Arc<Mutex<Vec<Outcome>>>);

impl Policy for AtOnce {
    fn next(&mut self, _now: Duration, usage: Usage, _goal: Goal) -> Action {
        match usage.retained_bytes {
            0 => Action::Park,
            bytes_max => Action::Release {
                bytes_max,
                sparse: true,
            },
        }
    }
    fn released(&mut self, _now: Duration, outcome: Outcome) {
        self.0.lock().unwrap().push(outcome);
    }
    fn tell(&mut self, _now: Duration) {}
}

#[test]
fn a_policy_of_ones_own_decides() {
    let outcomes = Arc::<Mutex<Vec<Outcome>>>::default();
    let source = FakeSource::new();
    let policy = AtOnce(outcomes.clone());
    let heap = on(&source).scavenge_by(policy).build().unwrap();
    let mut mutator = heap.mutator();
    let kept = fill(&mut mutator, 100_000, 10);
    mutator.collect().unwrap();
    let given_back = || {
        let outcomes = outcomes.lock().unwrap();
        outcomes.iter().map(|outcome| outcome.bytes).sum::<usize>()
    };
    poll("all of it went by the policy's word", || {
        given_back() > 100_000 * 48 / 10 * 9
    });
    check(&mut mutator, 100_000, &kept);
}

/// A system that takes two milliseconds for a call.
struct Slow(FakeSource);

// SAFETY: passes each call on to a page source, with that source's regions; it waits besides.
unsafe impl PageSource for Slow {
    type Region = FakeRegion;

    fn reserve(&self, bytes: usize) -> Result<FakeRegion, SourceError> {
        self.0.reserve(bytes)
    }
    fn base(&self, region: &FakeRegion) -> NonNull<u8> {
        self.0.base(region)
    }
    fn commit(&self, region: &FakeRegion, at: usize, bytes: usize) -> Result<(), SourceError> {
        self.0.commit(region, at, bytes)
    }
    unsafe fn release(
        &self,
        region: &FakeRegion,
        at: usize,
        len: usize,
    ) -> Result<(), SourceError> {
        thread::sleep(Duration::from_millis(2));
        // SAFETY: the caller's own preconditions are the same.
        unsafe { self.0.release(region, at, len) }
    }
    fn advise_huge(&self, region: &FakeRegion, at: usize, len: usize) -> Result<(), SourceError> {
        self.0.advise_huge(region, at, len)
    }
}

/// However much a policy asks for, the worker's call ends when its time is up: with a call of the
/// system here, since each is too long.
#[test]
fn a_call_for_everything_ends_in_time() {
    let builder = Builder::new(OnTheFly::with_markers(1)).gc_off();
    let builder = builder
        .reserve_bytes(64 * MIB)
        .page_source(Slow(FakeSource::new()));
    let heap = builder.scavenge_by(AtOnce(Arc::default())).build().unwrap();
    let mut mutator = heap.mutator();
    drop(fill(&mut mutator, 400_000, 0));
    mutator.collect().unwrap();
    poll("all is back", || heap.stats().retained_bytes == 0);
    poll("all is counted", || {
        let scavenge = heap.stats().scavenge;
        scavenge.worker.unwrap().released_bytes == scavenge.released_total_bytes
    });
    let scavenge = heap.stats().scavenge;
    assert!(scavenge.releases > 5, "{scavenge:?}");
    assert!(
        scavenge.worker.unwrap().calls >= scavenge.releases,
        "{scavenge:?}"
    );
}

/// What a heap knows of its pages is memory as well.
#[test]
fn a_limit_counts_the_heaps_own_tables() {
    let heap = Heap::builder().gc_off().build().unwrap();
    heap.set_memory_limit(Some(131 * MIB));
    let goal_bytes = runtime::pacer::limit_goal_bytes(128 * MIB, 0);
    assert_eq!(heap.stats().goal_bytes, goal_bytes);
    assert_eq!(heap.stats().limit_bytes, Some(131 * MIB));
}

#[test]
fn a_limit_is_taken_from_the_control_group() {
    let heap = Heap::builder().limit_from_cgroup(50).build().unwrap();
    let limit_bytes = scavenger::cgroup::limit_bytes().map(|bytes| bytes / 2);
    assert_eq!(heap.stats().limit_bytes, limit_bytes);
    heap.set_memory_limit(Some(77 * MIB));
    assert_eq!(heap.stats().limit_bytes, Some(77 * MIB));
    let hard = Heap::builder().limit_bytes(16 * MIB).limit_from_cgroup(100);
    let hard = hard.build().unwrap();
    assert_eq!(hard.stats().limit_bytes, Some(16 * MIB));
    hard.set_memory_limit(Some(77 * MIB));
    assert_eq!(hard.stats().limit_bytes, Some(16 * MIB), "the lower counts");
}

/// The spans of a class, over types.
#[test]
fn occupancy_tells_how_full_each_class_is() {
    let heap = Heap::builder().gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let kept = fill(&mut mutator, 50_000, 500);
    let (other, large) = mutator.enter(|cx| {
        let other = cx.root(cx.alloc([[1_u16; 12]; 2]));
        (other, cx.root(cx.alloc_slice(vec![1_u64; 10_000])))
    });
    mutator.collect().unwrap();
    let rows = heap.occupancy();
    let [small, big] = &rows[..] else {
        panic!("{rows:?}")
    };
    assert_eq!((small.slot_bytes, small.objects), (Some(48), 501));
    assert_eq!(small.slots, small.spans * 170, "8 KiB hold 170 slots");
    assert!((small.share() - 501.0 / small.slots as f64).abs() < 1e-9);
    let expected = Occupancy {
        slot_bytes: None,
        spans: 1,
        objects: 1,
        slots: 1,
    };
    assert_eq!(*big, expected);
    drop((kept, other, large));
    mutator.collect().unwrap();
    assert_eq!(heap.occupancy(), []);
}

#[test]
#[ignore = "run by `a_line_a_release_is_traced` with the trace on"]
fn traced() {
    let source = FakeSource::new();
    let heap = on(&source).scavenge_by(hasty()).build().unwrap();
    let mut mutator = heap.mutator();
    drop(fill(&mut mutator, 400_000, 0));
    mutator.collect().unwrap();
    poll("the worker gave something", || {
        heap.stats().scavenge.worker.unwrap().released_bytes > 0
    });
    heap.release_os_memory();
    // What is under way ends with the heap.
    drop((mutator, heap));
}

#[test]
fn a_line_a_release_is_traced() {
    for (wanted, is_traced) in [("scav", true), ("gc,scav", true), ("gc", false)] {
        let output = alone("traced", &[("HEAPWRIGHT_TRACE", wanted)]);
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().filter(|l| l.starts_with("scav ")).collect();
        let has = |reach| lines.iter().any(|line| line.starts_with(reach));
        assert_eq!(has("scav whole: "), is_traced, "{wanted}: {said}");
        let whole = |line: &&str| line.contains(" MiB in ") && !line.contains(": 0.0 MiB in ");
        assert!(lines.iter().all(whole), "{said}");
    }
}
