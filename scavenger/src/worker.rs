//! The only thread: asks the pacer, calls the heap, sleeps.
//!
//! It holds the heap weakly and upgrades for one step at a time, so that it keeps no heap alive;
//! when the heap is gone it ends. Memory goes back on a program that does nothing, because the
//! thread wakes by time and not by allocation.
//!
//! What others ask of it is one record under a mutex, the *request*: the goal, and two flags.
//!
//! | flag       | meaning                       | set by            | cleared by               |
//! |------------|-------------------------------|-------------------|--------------------------|
//! | `told`     | goal or heap may have changed | `Shared::tell`    | the thread, as it reads  |
//! | `stopping` | the thread must end           | the handle's drop | nobody                   |
//!
//! *No wake-up is lost.* The thread clears `told` in the same critical section in which it reads
//! the goal, *before* it looks at the heap; and it sleeps only if it finds both flags clear under
//! the lock. So whatever is told after that reading finds it either awake, and sets a flag that
//! it will find, or waiting on the condition variable, and wakes it.
//!
//! No lock is held while the heap is called.

use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use crate::sync::{Arc, AtomicU64, Condvar, Mutex, Ordering, Weak, lock, thread, wait};
use crate::{Action, Config, Goal, Pacer, PageHeap, Usage};

/// What the worker has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Calls of [`PageHeap::release`] and [`PageHeap::release_sparse`].
    pub calls: u64,
    /// Bytes that went back.
    pub released_bytes: u64,
    /// The longest call.
    pub longest_step: Duration,
    /// Calls that panicked. The worker parks after one until it is told of a change.
    pub panics: u64,
}

/// The worker's handle. Dropping it ends the thread and waits for its end.
pub struct Worker {
    shared: Arc<Shared>,
    /// Taken by the drop alone.
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Request {
    goal: Goal,
    told: bool,
    stopping: bool,
}

struct Shared {
    request: Mutex<Request>,
    changed: Condvar,
    calls: AtomicU64,
    released_bytes: AtomicU64,
    longest_nanoseconds: AtomicU64,
    panics: AtomicU64,
}

/// A clock for [`Worker::spawn`]: the time since this call.
pub fn monotonic() -> impl FnMut() -> Duration + Send + 'static {
    let start = Instant::now();
    move || start.elapsed()
}

impl Worker {
    /// Starts the thread. There is no goal yet: until [`set_goal`](Self::set_goal) or
    /// [`set_limit`](Self::set_limit) nothing goes back.
    ///
    /// `clock` tells the time since any fixed moment; [`monotonic`] is the usual one.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    ///
    /// # Panics
    ///
    /// If `config` is out of range, see [`Pacer::new`].
    pub fn spawn<H>(
        heap: Weak<H>,
        clock: impl FnMut() -> Duration + Send + 'static,
        config: Config,
    ) -> io::Result<Worker>
    where
        H: PageHeap + 'static,
    {
        let pacer = Pacer::new(config);
        let shared = Arc::new(Shared {
            request: Mutex::new(Request::default()),
            changed: Condvar::new(),
            calls: AtomicU64::new(0),
            released_bytes: AtomicU64::new(0),
            longest_nanoseconds: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        });
        let inside = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("scavenger".to_owned())
            .spawn(move || inside.run(&heap, clock, pacer))?;
        Ok(Worker {
            shared,
            thread: Some(thread),
        })
    }

    /// Sets what the heap will have in use at the next collection, in bytes of pages (see
    /// [`Goal::heap_goal_bytes`]): to be called when each collection ends.
    pub fn set_goal(&self, heap_goal_bytes: usize) {
        self.shared
            .tell(|request| request.goal.heap_goal_bytes = heap_goal_bytes);
    }

    /// Sets or lifts the memory limit.
    pub fn set_limit(&self, limit_bytes: Option<usize>) {
        self.shared
            .tell(|request| request.goal.limit_bytes = limit_bytes);
    }

    /// Says that pages came free since the last call of any of these three: after sweeping.
    pub fn wake(&self) {
        self.shared.tell(|_| ());
    }

    /// What was done so far. The four figures are read one after another.
    pub fn statistics(&self) -> Statistics {
        // Relaxed: counts, nothing hangs on them.
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Statistics {
            calls: read(&self.shared.calls),
            released_bytes: read(&self.shared.released_bytes),
            longest_step: Duration::from_nanos(read(&self.shared.longest_nanoseconds)),
            panics: read(&self.shared.panics),
        }
    }

    /// Ends the thread after the step it is in, and waits for that. Dropping does the same.
    ///
    /// On the thread itself, which may drop the last reference to a heap that owns the handle, it
    /// does not wait: the thread ends by itself.
    pub fn stop(self) {
        drop(self);
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.tell(|request| request.stopping = true);
        let Some(thread) = self.thread.take() else {
            return;
        };
        if thread.thread().id() != thread::current().id() {
            // An error is a panic of the clock or of the heap's counts: reported where it
            // happened, and there is nobody to hand it to.
            thread.join().ok();
        }
    }
}

impl Shared {
    fn tell(&self, change: impl FnOnce(&mut Request)) {
        let mut request = lock(&self.request);
        change(&mut request);
        request.told = true;
        self.changed.notify_one();
    }

    /// The thread's whole life.
    fn run<H: PageHeap>(
        &self,
        heap: &Weak<H>,
        mut clock: impl FnMut() -> Duration,
        mut pacer: Pacer,
    ) {
        while let Some((goal, told)) = self.read_request() {
            let Some(heap) = heap.upgrade() else { return };
            if told {
                pacer.tell();
            }
            let usage = Usage {
                in_use_bytes: heap.in_use_bytes(),
                retained_bytes: heap.retained_bytes(),
            };
            let began = clock();
            match pacer.next(began, usage, goal) {
                Action::Release { bytes_max, sparse } => {
                    let bytes = self.release(&*heap, bytes_max, sparse);
                    let ended = clock();
                    let took = ended.saturating_sub(began);
                    self.count(bytes, took);
                    pacer.released(ended, bytes, took);
                }
                Action::Sleep(time) => {
                    drop(heap);
                    self.sleep(Some(time));
                }
                Action::Park => {
                    drop(heap);
                    self.sleep(None);
                }
            }
        }
    }

    /// The goal, and whether there was news; `None` if the thread must end.
    fn read_request(&self) -> Option<(Goal, bool)> {
        let mut request = lock(&self.request);
        let told = std::mem::take(&mut request.told);
        (!request.stopping).then_some((request.goal, told))
    }

    /// Sleeps until there is news or, if there is a time, at most for that. May return early: the
    /// pacer is asked again and says the same.
    fn sleep(&self, time: Option<Duration>) {
        let request = lock(&self.request);
        if !request.told && !request.stopping {
            drop(wait(&self.changed, request, time));
        }
    }

    /// Calls the heap. A panic is counted and taken for "nothing left".
    fn release<H: PageHeap>(&self, heap: &H, bytes_max: usize, sparse: bool) -> usize {
        let call = || {
            if sparse {
                heap.release_sparse(bytes_max)
            } else {
                heap.release(bytes_max)
            }
        };
        // Unwind safe: the heap is shared anyhow, and has to be whole for its other users.
        panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            // Leaked: dropping a payload could panic again.
            std::mem::forget(panic);
            // Relaxed: a count, nothing hangs on it.
            self.panics.fetch_add(1, Ordering::Relaxed);
            0
        })
    }

    fn count(&self, bytes: usize, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed, all three: counts, nothing hangs on them.
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.released_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        self.longest_nanoseconds
            .fetch_max(nanoseconds, Ordering::Relaxed);
    }
}
