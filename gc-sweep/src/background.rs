//! A thread that sleeps until it is told that there is work, and then does it step by step.
//!
//! It knows nothing of sweeping: a step is a closure that the owner supplies, usually "upgrade a
//! `Weak` to the heap and sweep one batch". So the thread keeps no heap alive between steps, and
//! nothing here is generic over the heap.
//!
//! One word under a mutex, the *signal*:
//!
//! | value | meaning                    | who changes it, to what                             |
//! |-------|----------------------------|-----------------------------------------------------|
//! | Idle  | nothing was asked          | `wake`: Asked; `stop`: Stop                         |
//! | Asked | work may have come up      | the thread, before it looks for it: Idle            |
//! | Stop  | the thread must end        | nobody                                              |
//!
//! *No wake-up is lost.* The thread sets Idle *before* it steps, and waits only if it finds Idle
//! under the lock. A `wake` that comes while it steps leaves Asked behind, and it steps again. A
//! `wake` that comes while it waits finds it on the condition variable, because the look at the
//! signal and the wait are one for whoever needs the lock.
//!
//! Who sleeps for a time only steps when that has passed, as if asked.
//!
//! No lock is held during a step.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use crate::sync::{Arc, AtomicU64, Condvar, Mutex, Ordering, lock, thread, wait, wait_at_most};

/// What a step says of the work behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more: step again.
    More,
    /// There is none: sleep until woken.
    Done,
    /// There is none now: sleep until woken, or for so long.
    Later(Duration),
}

/// The thread's handle. Dropping it ends the thread and waits for its end.
///
/// ```
/// use std::sync::mpsc;
/// use gc_sweep::{Background, Step};
///
/// let (sender, receiver) = mpsc::channel();
/// let mut left = 3;
/// let background = Background::spawn("sweeper", move || {
///     left -= 1;
///     if left > 0 {
///         return Step::More;
///     }
///     sender.send("swept").ok();
///     Step::Done
/// })?;
/// background.wake();
/// assert_eq!(receiver.recv(), Ok("swept"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Background {
    shared: Arc<Shared>,
    /// Taken by the drop alone.
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    signal: Mutex<Signal>,
    changed: Condvar,
    panics: AtomicU64,
}

/// See the table at the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Idle,
    Asked,
    Stop,
}

impl Background {
    /// Starts the thread, asleep. `name` is what debuggers show.
    ///
    /// A panic of `step` is counted and ends the work until the next [`wake`](Self::wake), as
    /// [`Step::Done`] would: the thread lives on, and a step that always panics cannot spin.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    ///
    /// # Panics
    ///
    /// If `name` contains a zero byte.
    pub fn spawn(name: &str, step: impl FnMut() -> Step + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            signal: Mutex::new(Signal::Idle),
            changed: Condvar::new(),
            panics: AtomicU64::new(0),
        });
        let inside = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || inside.run(step))?;
        Ok(Background {
            shared,
            thread: Some(thread),
        })
    }

    /// Says that there may be work. Never waits for it.
    pub fn wake(&self) {
        let mut signal = lock(&self.shared.signal);
        if *signal == Signal::Idle {
            *signal = Signal::Asked;
            self.shared.changed.notify_one();
        }
    }

    /// Ends the thread after the step it is in, and waits for that. Dropping does the same.
    ///
    /// Called from the thread itself, by a step that drops the last reference to what owns the
    /// handle, it does not wait: the thread ends when that step returns.
    pub fn stop(self) {
        drop(self);
    }

    /// Steps that panicked.
    pub fn panics(&self) -> u64 {
        // Relaxed: a count, nothing hangs on it.
        self.shared.panics.load(Ordering::Relaxed)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        {
            let mut signal = lock(&self.shared.signal);
            *signal = Signal::Stop;
            self.shared.changed.notify_one();
        }
        let Some(thread) = self.thread.take() else {
            return;
        };
        if thread.thread().id() != thread::current().id() {
            // The thread catches what its steps throw. An error could only come from the drop of
            // the closure, after the work; there is nobody to hand it to.
            thread.join().ok();
        }
    }
}

impl Shared {
    /// The thread's whole life.
    fn run(&self, mut step: impl FnMut() -> Step) {
        let mut last = Step::Done;
        while self.wait_for_work(last) {
            last = Step::More;
            while last == Step::More && !self.is_stopped() {
                // Unwind safe: the closure's state is its owner's affair, as is said at `spawn`.
                last = match panic::catch_unwind(AssertUnwindSafe(&mut step)) {
                    Ok(answer) => answer,
                    Err(payload) => {
                        // Leaked: dropping a payload could panic again.
                        std::mem::forget(payload);
                        // Relaxed: a count, nothing hangs on it.
                        self.panics.fetch_add(1, Ordering::Relaxed);
                        Step::Done
                    }
                };
            }
        }
    }

    /// Sleeps until asked, and takes the request, or for as long as `last` says; false if the
    /// thread must end.
    fn wait_for_work(&self, last: Step) -> bool {
        let mut signal = lock(&self.signal);
        loop {
            match *signal {
                Signal::Idle => {
                    let Step::Later(at_most) = last else {
                        signal = wait(&self.changed, signal);
                        continue;
                    };
                    let (found, is_over) = wait_at_most(&self.changed, signal, at_most);
                    signal = found;
                    if is_over && *signal == Signal::Idle {
                        return true;
                    }
                }
                Signal::Asked => {
                    *signal = Signal::Idle;
                    return true;
                }
                Signal::Stop => return false,
            }
        }
    }

    fn is_stopped(&self) -> bool {
        *lock(&self.signal) == Signal::Stop
    }
}
