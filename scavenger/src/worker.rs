//! The only thread: asks the policy, calls the heap, sleeps.
//!
//! It holds the heap weakly and upgrades for one step at a time, so that it keeps no heap alive;
//! when the heap is gone it ends. Memory goes back on a program that does nothing, because the
//! thread wakes by time and not by allocation.
//!
//! What others ask of it is one record under a mutex, the *request*: the goal, and three flags.
//!
//! | flag       | meaning                       | set by            | cleared by               |
//! |------------|-------------------------------|-------------------|--------------------------|
//! | `told`     | goal or heap may have changed | `Shared::tell`    | the thread, as it reads  |
//! | `settling` | the thread will look by itself | the thread       | the thread, soon after   |
//! | `stopping` | the thread must end           | the handle's drop | nobody                   |
//!
//! A small heap may end a collection every tenth of a millisecond, and to wake a thread takes a
//! tenth of that. So a thread that has looked because it was told *settles* before it sleeps: it
//! looks again after [`SETTLE`], and whoever has news meanwhile need not wake it.
//!
//! *No wake-up is lost.* The thread clears `told` in the same critical section in which it reads
//! the goal, *before* it looks at the heap; and it sleeps only if it finds both flags clear under
//! the lock. So whatever is told after that reading finds it either awake or settling, and sets a
//! flag that it will find, or waiting on the condition variable, and wakes it.
//!
//! What it has done is a second record under a mutex of its own, so that a snapshot is consistent
//! in itself. No lock is held while the heap or the policy is called.

use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use crate::sync::{Arc, Condvar, Mutex, Weak, lock, thread, wait, wait_out};
use crate::{Action, Goal, Latencies, Outcome, PageHeap, Policy, Refused, Usage};

/// The shortest sleep, whatever a policy says.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// After how long it looks again when it was told of something.
const SETTLE: Duration = Duration::from_millis(10);

/// What the worker has done so far: a snapshot, consistent in itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Calls of [`PageHeap::release`] and [`PageHeap::release_sparse`].
    pub calls: u64,
    /// Of these, calls of `release_sparse`.
    pub sparse_calls: u64,
    /// Calls that the operating system refused, wholly or in part.
    pub refused_calls: u64,
    /// Bytes that went back.
    pub released_bytes: u64,
    /// Bytes that were given back and taken again, as [`PageHeap::refaulted_bytes`] had it when
    /// the worker last looked: after each call of its own, and whenever it is told of a change.
    pub refaulted_bytes: u64,
    /// The longest call.
    pub longest_step: Duration,
    /// How long the calls took.
    pub steps: Latencies,
    /// Calls that panicked. The usual policy parks after one until it is told of a change.
    pub panics: u64,
}

impl Statistics {
    /// Counts a call.
    fn note(&mut self, sparse: bool, outcome: Outcome) {
        self.calls += 1;
        self.sparse_calls += u64::from(sparse);
        self.refused_calls += u64::from(outcome.is_refused);
        self.released_bytes += outcome.bytes as u64;
        self.longest_step = self.longest_step.max(outcome.took);
        self.steps.record(outcome.took);
    }
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
    settling: bool,
    stopping: bool,
}

struct Shared {
    request: Mutex<Request>,
    changed: Condvar,
    /// Written by the thread alone.
    statistics: Mutex<Statistics>,
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
    /// `clock` tells the time since any fixed moment; [`monotonic`] is the usual one. `policy`
    /// decides what goes back when; [`Pacer`](crate::Pacer) is the usual one.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub fn spawn<H>(
        heap: Weak<H>,
        clock: impl FnMut() -> Duration + Send + 'static,
        policy: impl Policy,
    ) -> io::Result<Worker>
    where
        H: PageHeap + 'static,
    {
        let shared = Arc::new(Shared {
            request: Mutex::new(Request::default()),
            changed: Condvar::new(),
            statistics: Mutex::new(Statistics::default()),
        });
        let inside = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("scavenger".to_owned())
            .spawn(move || inside.run(&heap, clock, policy))?;
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

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        *lock(&self.shared.statistics)
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
            // An error is a panic of the clock, the policy or the heap's counts: reported where
            // it happened, and there is nobody to hand it to.
            thread.join().ok();
        }
    }
}

impl Shared {
    fn tell(&self, change: impl FnOnce(&mut Request)) {
        let mut request = lock(&self.request);
        change(&mut request);
        request.told = true;
        if !request.settling || request.stopping {
            self.changed.notify_one();
        }
    }

    /// The thread's whole life.
    fn run<H: PageHeap>(
        &self,
        heap: &Weak<H>,
        mut clock: impl FnMut() -> Duration,
        mut policy: impl Policy,
    ) {
        while let Some((goal, told)) = self.read_request() {
            let Some(heap) = heap.upgrade() else { return };
            let usage = Usage {
                in_use_bytes: heap.in_use_bytes(),
                retained_bytes: heap.retained_bytes(),
                refaulted_bytes: heap.refaulted_bytes(),
            };
            lock(&self.statistics).refaulted_bytes = usage.refaulted_bytes;
            let began = clock();
            if told {
                policy.tell(began);
            }
            let time = match policy.next(began, usage, goal) {
                Action::Release { bytes_max, sparse } => {
                    let result = self.release(&*heap, bytes_max, sparse);
                    let ended = clock();
                    let outcome = Outcome {
                        bytes: result.unwrap_or_else(|refused| refused.released_bytes),
                        is_refused: result.is_err(),
                        took: ended.saturating_sub(began),
                    };
                    lock(&self.statistics).note(sparse, outcome);
                    policy.released(ended, outcome);
                    continue;
                }
                Action::Sleep(time) => Some(time.max(SLEEP_MIN)),
                Action::Park => None,
            };
            drop(heap);
            if told {
                self.settle(time.map_or(SETTLE, |time| time.min(SETTLE)));
            } else {
                self.sleep(time);
            }
        }
    }

    /// The goal, and whether there was news; `None` if the thread must end.
    fn read_request(&self) -> Option<(Goal, bool)> {
        let mut request = lock(&self.request);
        let told = std::mem::take(&mut request.told);
        (!request.stopping).then_some((request.goal, told))
    }

    /// Sleeps for that time, unless it must end.
    fn settle(&self, time: Duration) {
        let mut request = lock(&self.request);
        if !request.stopping {
            request.settling = true;
            request = wait_out(&self.request, &self.changed, request, time);
            request.settling = false;
        }
    }

    /// Sleeps until there is news or, if there is a time, at most for that. May return early: the
    /// policy is asked again and says the same.
    fn sleep(&self, time: Option<Duration>) {
        let request = lock(&self.request);
        if !request.told && !request.stopping {
            drop(wait(&self.changed, request, time));
        }
    }

    /// Calls the heap. A panic is counted and taken for "nothing left".
    fn release<H: PageHeap>(
        &self,
        heap: &H,
        bytes_max: usize,
        sparse: bool,
    ) -> Result<usize, Refused> {
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
            lock(&self.statistics).panics += 1;
            Ok(0)
        })
    }
}
