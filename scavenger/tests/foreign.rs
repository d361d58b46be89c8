//! The crate alone, with its real thread, on heaps that are not Heapwright's. Nothing here waits
//! for a fixed time: what must happen is polled for, with a deadline far beyond it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use scavenger::{Config, Pacer, PageHeap, Refused, Worker, monotonic};

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
    for _ in 0..50 {
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
