//! The worker's wake-up under loom: every interleaving of small instances.
//!
//! Run: `RUSTFLAGS="--cfg heapwright_loom" cargo test --profile loom -p scavenger --features loom
//! --test loom -- --nocapture`. Each model is explored with at most 1, 2 and 3 preemptions and
//! without bound. A wake-up that is lost shows as a deadlock: loom's timed wait never times out.
#![cfg(heapwright_loom)]

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};
use std::time::Duration;

use loom::sync::{Condvar, Mutex};
use scavenger::{Config, Pacer, PageHeap, Refused, Worker};

const UNIT: usize = 1 << 20;

/// Explores `model` four ways and says that each was explored to its end.
fn explore(name: &str, model: impl Fn() + Clone + Send + Sync + 'static) {
    for preemptions in [Some(1), Some(2), Some(3), None] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        builder.max_duration = None;
        let runs = Arc::new(Count::new(0));
        let (counted, once) = (Arc::clone(&runs), model.clone());
        builder.check(move || {
            counted.fetch_add(1, SeqCst);
            once();
        });
        println!(
            "{name}: complete, preemptions {preemptions:?}, {} runs",
            runs.load(SeqCst)
        );
    }
}

/// A heap of free pages that tells when it has none left.
struct Heap {
    retained_bytes: Mutex<usize>,
    emptied: Condvar,
}

impl Heap {
    fn new(retained_bytes: usize) -> Arc<Heap> {
        Arc::new(Heap {
            retained_bytes: Mutex::new(retained_bytes),
            emptied: Condvar::new(),
        })
    }

    fn wait_until_empty(&self) {
        let mut retained_bytes = self.retained_bytes.lock().unwrap();
        while *retained_bytes > 0 {
            retained_bytes = self.emptied.wait(retained_bytes).unwrap();
        }
    }
}

impl PageHeap for Heap {
    fn retained_bytes(&self) -> usize {
        *self.retained_bytes.lock().unwrap()
    }
    fn released_bytes(&self) -> usize {
        0
    }
    fn in_use_bytes(&self) -> usize {
        0
    }
    fn release(&self, bytes_max: usize) -> Result<usize, Refused> {
        let mut retained_bytes = self.retained_bytes.lock().unwrap();
        let bytes = bytes_max.min(*retained_bytes);
        *retained_bytes -= bytes;
        self.emptied.notify_one();
        Ok(bytes)
    }
}

fn spawn(heap: &Arc<Heap>, half_life: Duration) -> ManuallyDrop<Worker> {
    let config = Config {
        half_life,
        unit_bytes: UNIT,
        ..Config::default()
    };
    let worker =
        Worker::spawn(Arc::downgrade(heap), || Duration::ZERO, Pacer::new(config)).unwrap();
    // Not dropped if the model fails: the join would panic while the failure unwinds.
    ManuallyDrop::new(worker)
}

/// A goal is set while the worker looks for one, parks or is parked: it acts on it.
///
/// Kills: `look-then-wait`, `tell-without-notify`.
#[test]
fn a_goal_reaches_a_parking_worker() {
    explore("a_goal_reaches_a_parking_worker", || {
        let heap = Heap::new(UNIT);
        let worker = spawn(&heap, Duration::ZERO);
        worker.set_goal(0);
        heap.wait_until_empty();
        ManuallyDrop::into_inner(worker).stop();
    });
}

/// Pages come free, and are told of, while the worker may be looking at the heap as it was.
///
/// Kills: `news-cleared-after-the-look`, `settles-for-ever`.
#[test]
fn pages_that_come_free_are_seen() {
    explore("pages_that_come_free_are_seen", || {
        let heap = Heap::new(0);
        let worker = spawn(&heap, Duration::ZERO);
        worker.set_goal(0);
        *heap.retained_bytes.lock().unwrap() = UNIT;
        worker.wake();
        heap.wait_until_empty();
        ManuallyDrop::into_inner(worker).stop();
    });
}

/// The worker sleeps by time, for surplus that decays; it ends when it is told to.
///
/// Kills: `sleep-through-the-stop`, `tell-without-notify`.
#[test]
fn stop_ends_a_sleeping_worker() {
    explore("stop_ends_a_sleeping_worker", || {
        let heap = Heap::new(2 * UNIT);
        let worker = spawn(&heap, Duration::from_secs(1));
        worker.set_goal(0);
        ManuallyDrop::into_inner(worker).stop();
        assert_eq!(
            heap.retained_bytes(),
            2 * UNIT,
            "no time has passed: nothing was due"
        );
    });
}
