//! The crate alone, with its real thread, on heaps that are not Heapwright's. Nothing here waits
//! for a fixed time: what must happen is polled for, with a deadline far beyond it.
//!
//! Mutants: `self-join`, `sparse-asked-as-whole`, `outcome-untold`, `refusal-uncounted`,
//! `refused-bytes-uncounted` and `refaults-unread`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use scavenger::{
    Action, Config, Goal, Outcome, Pacer, PageHeap, Policy, Refused, Usage, Worker, monotonic,
};

const PAGE_BYTES: usize = 64 << 10;

#[derive(Default)]
enum Page {
    #[default]
    Released,
    Retained(#[allow(dead_code, reason = "held to be freed")] Box<[u8]>),
    InUse(Box<[u8]>),
}

/// Pages of real memory: a released one is freed, and allocated anew when it is used again.
struct Heap {
    pages: Mutex<Vec<Page>>,
    /// Owned by the heap in one test, as a runtime might.
    worker: Mutex<Option<Worker>>,
    dropped: Arc<AtomicUsize>,
}

impl Heap {
    fn new(pages: usize) -> Heap {
        let used = || Page::InUse(vec![1; PAGE_BYTES].into());
        Heap {
            pages: Mutex::new((0..pages).map(|_| used()).collect()),
            worker: Mutex::new(None),
            dropped: Arc::default(),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Vec<Page>> {
        self.pages.lock().unwrap()
    }

    /// Frees all pages but the first `kept`.
    fn keep(&self, kept: usize) {
        for page in &mut self.pages()[kept..] {
            if let Page::InUse(memory) = std::mem::take(page) {
                *page = Page::Retained(memory);
            }
        }
    }

    fn bytes(&self, is_counted: impl Fn(&Page) -> bool) -> usize {
        self.pages().iter().filter(|page| is_counted(page)).count() * PAGE_BYTES
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        drop(self.worker.get_mut().unwrap().take());
        self.dropped.fetch_add(1, SeqCst);
    }
}

impl PageHeap for Heap {
    fn retained_bytes(&self) -> usize {
        self.bytes(|page| matches!(page, Page::Retained(_)))
    }
    fn released_bytes(&self) -> usize {
        self.bytes(|page| matches!(page, Page::Released))
    }
    fn in_use_bytes(&self) -> usize {
        self.bytes(|page| matches!(page, Page::InUse(_)))
    }
    fn release(&self, bytes_max: usize) -> Result<usize, Refused> {
        let mut freed = 0;
        for page in self.pages().iter_mut().rev() {
            if freed + PAGE_BYTES > bytes_max {
                break;
            }
            if let Page::Retained(_) = page {
                *page = Page::Released;
                freed += PAGE_BYTES;
            }
        }
        Ok(freed)
    }
}

fn policy() -> Pacer {
    let half_life = Duration::from_millis(2);
    Pacer::new(Config {
        half_life,
        unit_bytes: PAGE_BYTES,
        share_percent: 100,
        ..Config::default()
    })
}

#[track_caller]
fn poll(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn after_a_drop_all_above_the_goal_goes_back_by_itself() {
    let heap = Arc::new(Heap::new(200));
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy()).unwrap();
    worker.set_goal(200 * PAGE_BYTES);
    heap.keep(20);
    worker.set_goal(40 * PAGE_BYTES);
    // A goal of 40 pages and a tenth: 44 stay, less what rounding takes.
    poll("176 - 20 pages are back", || {
        heap.released_bytes() >= 156 * PAGE_BYTES
    });
    poll("it is counted", || {
        worker.statistics().released_bytes as usize >= 156 * PAGE_BYTES
    });
    assert!(
        heap.retained_bytes() >= 23 * PAGE_BYTES,
        "what the next cycle needs stays"
    );
    let low = heap
        .pages()
        .iter()
        .position(|page| matches!(page, Page::Released));
    assert_eq!(
        low.map(|low| low * PAGE_BYTES),
        Some(200 * PAGE_BYTES - heap.released_bytes())
    );
    assert_eq!(worker.statistics().panics, 0);
    worker.stop();
    assert!(
        Arc::into_inner(heap).is_some(),
        "the thread held no reference"
    );
}

#[test]
fn a_limit_brings_a_parked_worker_to_work_and_lifting_it_ends_that() {
    let heap = Arc::new(Heap::new(100));
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy()).unwrap();
    heap.keep(10);
    worker.wake();
    worker.set_limit(Some(60 * PAGE_BYTES));
    poll("57 pages are left", || {
        heap.released_bytes() >= 43 * PAGE_BYTES
    });
    let released = heap.released_bytes();
    assert!(
        released <= 44 * PAGE_BYTES,
        "{} pages",
        released / PAGE_BYTES
    );
    worker.set_limit(None);
    worker.set_goal(0);
    poll("with nothing wanted, all free pages go", || {
        heap.retained_bytes() <= PAGE_BYTES
    });
}

#[test]
fn a_heap_may_own_its_worker_and_die_on_its_thread() {
    for _ in 0..if cfg!(miri) { 3 } else { 50 } {
        let heap = Arc::new(Heap::new(50));
        let dropped = Arc::clone(&heap.dropped);
        let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy()).unwrap();
        heap.keep(0);
        worker.set_goal(0);
        *heap.worker.lock().unwrap() = Some(worker);
        // The thread may be in the middle of a step and hold the last reference then.
        drop(heap);
        poll("the heap is gone", || dropped.load(SeqCst) == 1);
    }
}

/// A heap whose last owner is, in the end, the thread that calls `release`.
struct Orphan {
    worker: Mutex<Option<Worker>>,
    is_called: AtomicBool,
    /// Set when the test has given up its reference.
    is_alone: Arc<AtomicBool>,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Orphan {
    fn drop(&mut self) {
        drop(self.worker.get_mut().unwrap().take());
        self.dropped.fetch_add(1, SeqCst);
    }
}

impl PageHeap for Orphan {
    fn retained_bytes(&self) -> usize {
        1 << 20
    }
    fn released_bytes(&self) -> usize {
        0
    }
    fn in_use_bytes(&self) -> usize {
        0
    }
    fn release(&self, _bytes_max: usize) -> Result<usize, Refused> {
        self.is_called.store(true, SeqCst);
        poll("nobody else holds the heap", || self.is_alone.load(SeqCst));
        Ok(0)
    }
}

#[test]
fn the_last_reference_may_go_on_the_workers_thread() {
    let heap = Arc::new(Orphan {
        worker: Mutex::new(None),
        is_called: AtomicBool::new(false),
        is_alone: Arc::default(),
        dropped: Arc::default(),
    });
    let (is_alone, dropped) = (Arc::clone(&heap.is_alone), Arc::clone(&heap.dropped));
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy()).unwrap();
    worker.set_goal(0);
    *heap.worker.lock().unwrap() = Some(worker);
    poll("the worker is inside the heap", || {
        heap.is_called.load(SeqCst)
    });
    drop(heap);
    is_alone.store(true, SeqCst);
    poll("the heap is gone, and nobody waits for itself", || {
        dropped.load(SeqCst) == 1
    });
}

/// A heap whose free pages lie between used ones.
struct Sparse(AtomicUsize);

impl PageHeap for Sparse {
    fn retained_bytes(&self) -> usize {
        self.0.load(SeqCst)
    }
    fn released_bytes(&self) -> usize {
        0
    }
    fn in_use_bytes(&self) -> usize {
        0
    }
    fn release(&self, _bytes_max: usize) -> Result<usize, Refused> {
        Ok(0)
    }
    fn release_sparse(&self, bytes_max: usize) -> Result<usize, Refused> {
        let bytes = bytes_max.min(self.0.load(SeqCst));
        self.0.fetch_sub(bytes, SeqCst);
        Ok(bytes)
    }
}

#[test]
fn a_sparse_heap_is_asked_for_its_pieces() {
    let heap = Arc::new(Sparse(AtomicUsize::new(100 * PAGE_BYTES)));
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy()).unwrap();
    worker.set_goal(0);
    poll("all but less than a unit is back", || {
        heap.retained_bytes() < PAGE_BYTES
    });
    worker.stop();
}

struct Broken(AtomicUsize);

impl PageHeap for Broken {
    fn retained_bytes(&self) -> usize {
        1 << 20
    }
    fn released_bytes(&self) -> usize {
        0
    }
    fn in_use_bytes(&self) -> usize {
        0
    }
    fn release(&self, _bytes_max: usize) -> Result<usize, Refused> {
        self.0.fetch_add(1, SeqCst);
        panic!("this heap cannot release");
    }
}

#[test]
fn a_heap_that_panics_is_counted_and_left_alone_until_told() {
    let heap = Arc::new(Broken(AtomicUsize::new(0)));
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy()).unwrap();
    worker.set_goal(0);
    poll("the first panic", || worker.statistics().panics == 1);
    worker.wake();
    poll("the second", || worker.statistics().panics == 2);
    assert_eq!(heap.0.load(SeqCst), 2, "one call for each time it was told");
}

/// Does what it is told to: half of what is retained, once for each time it is told.
struct Once {
    asked: Arc<AtomicUsize>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

impl Policy for Once {
    fn next(&mut self, now: Duration, usage: Usage, goal: Goal) -> Action {
        assert_eq!(now, Duration::from_secs(7), "the worker's clock");
        if self.asked.fetch_add(1, SeqCst) > 0 || goal.heap_goal_bytes != 5 {
            return Action::Park;
        }
        Action::Release {
            bytes_max: usage.retained_bytes / 2,
            sparse: false,
        }
    }
    fn released(&mut self, _now: Duration, outcome: Outcome) {
        self.outcomes.lock().unwrap().push(outcome);
    }
    fn tell(&mut self, _now: Duration) {
        self.asked.store(0, SeqCst);
    }
}

/// The clock stands, so the usual policy would give nothing back: what happens is the other's.
#[test]
fn a_policy_of_ones_own_decides() {
    let heap = Arc::new(Heap::new(100));
    heap.keep(0);
    let (asked, outcomes) = (Arc::default(), Arc::<Mutex<Vec<Outcome>>>::default());
    let policy = Once {
        asked: Arc::clone(&asked),
        outcomes: Arc::clone(&outcomes),
    };
    let clock = || Duration::from_secs(7);
    let worker = Worker::spawn(Arc::downgrade(&heap), clock, policy).unwrap();
    worker.set_goal(5);
    poll("it is told of the first", || {
        outcomes.lock().unwrap().len() == 1
    });
    worker.wake();
    poll("and of the second", || outcomes.lock().unwrap().len() == 2);
    worker.set_goal(6);
    poll("it is asked again", || asked.load(SeqCst) > 0);
    worker.stop();
    assert_eq!(heap.released_bytes(), 75 * PAGE_BYTES);
    let expected = [50, 25].map(|pages| Outcome {
        bytes: pages * PAGE_BYTES,
        ..Outcome::default()
    });
    assert_eq!(*outcomes.lock().unwrap(), expected);
}

/// A system that refuses the first calls, after a page each.
struct Refusing {
    heap: Heap,
    refusals_left: AtomicUsize,
}

impl PageHeap for Refusing {
    fn retained_bytes(&self) -> usize {
        self.heap.retained_bytes()
    }
    fn released_bytes(&self) -> usize {
        self.heap.released_bytes()
    }
    fn in_use_bytes(&self) -> usize {
        self.heap.in_use_bytes()
    }
    fn release(&self, bytes_max: usize) -> Result<usize, Refused> {
        if self.refusals_left.load(SeqCst) == 0 {
            return self.heap.release(bytes_max);
        }
        self.refusals_left.fetch_sub(1, SeqCst);
        let released_bytes = self.heap.release(PAGE_BYTES)?;
        Err(Refused { released_bytes })
    }
    fn refaulted_bytes(&self) -> u64 {
        77
    }
}

#[test]
fn a_refusal_is_counted_and_asked_again_without_being_told() {
    let heap = Arc::new(Refusing {
        heap: Heap::new(100),
        refusals_left: AtomicUsize::new(2),
    });
    heap.heap.keep(0);
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy()).unwrap();
    worker.set_goal(0);
    poll("all is back", || heap.retained_bytes() < PAGE_BYTES);
    poll("all is counted", || {
        worker.statistics().released_bytes as usize == 100 * PAGE_BYTES
    });
    let statistics = worker.statistics();
    assert_eq!((statistics.refused_calls, statistics.panics), (2, 0));
    assert_eq!(statistics.refaulted_bytes, 77);
    assert!(statistics.calls >= 3 && statistics.sparse_calls == 0);
    assert_eq!(statistics.steps.total(), statistics.calls);
    assert!(statistics.steps.quantile(1.0) >= statistics.longest_step);
}

#[test]
fn a_worker_and_a_refusal_print_what_they_are() {
    let heap = Arc::new(Heap::new(4));
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy()).unwrap();
    assert!(format!("{worker:?}").starts_with("Worker { statistics: "));
    worker.stop();
    let refused = Refused {
        released_bytes: 4096,
    };
    assert!(
        refused.to_string().contains("after 4096 bytes"),
        "{refused}"
    );
}

/// Says what it is asked, and holds the heap until then.
struct Scribe {
    says: mpsc::Sender<&'static str>,
    is_told: bool,
    heap: Option<Arc<Heap>>,
}

impl Policy for Scribe {
    fn next(&mut self, _now: Duration, _usage: Usage, _goal: Goal) -> Action {
        self.says.send("next").ok();
        self.heap = None;
        if std::mem::take(&mut self.is_told) {
            return Action::Release {
                bytes_max: PAGE_BYTES,
                sparse: false,
            };
        }
        Action::Park
    }
    fn released(&mut self, _now: Duration, _outcome: Outcome) {
        self.says.send("released").ok();
    }
    fn tell(&mut self, _now: Duration) {
        self.says.send("tell").ok();
        self.is_told = true;
    }
}

/// Who was told once parks again, rather than spin.
#[test]
fn a_policy_is_told_once_of_what_was_said_once() {
    let heap = Arc::new(Heap::new(4));
    let (says, said) = mpsc::channel();
    let policy = Scribe {
        says,
        is_told: false,
        heap: None,
    };
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy).unwrap();
    worker.wake();
    let from_there = said.iter().skip_while(|word| *word != "tell");
    let words: Vec<_> = from_there.take(4).collect();
    assert_eq!(words, ["tell", "next", "released", "next"]);
    worker.stop();
    assert_eq!(said.iter().count(), 0, "it slept");
}

/// A worker with nothing to do keeps no heap: here it is the last who has held it.
#[test]
fn a_parked_worker_lets_the_heap_go() {
    let heap = Arc::new(Heap::new(4));
    let (weak, dropped) = (Arc::downgrade(&heap), Arc::clone(&heap.dropped));
    let policy = Scribe {
        says: mpsc::channel().0,
        is_told: false,
        heap: Some(heap),
    };
    let worker = Worker::spawn(weak, monotonic(), policy).unwrap();
    poll("the heap is dropped", || dropped.load(SeqCst) == 1);
    worker.stop();
}
