//! The one place that names threads, atomics and deques: std's and crossbeam's, or loom's under
//! `--cfg heapwright_loom` with the `loom` feature.
//!
//! crossbeam-deque is not instrumented for loom, so under the model a locked queue with the same
//! few methods takes its place: what is checked there is this crate's protocol, not crossbeam's.

#[cfg(all(heapwright_loom, not(feature = "loom")))]
compile_error!("`--cfg heapwright_loom` needs this crate's feature `loom` as well");

#[cfg(not(all(heapwright_loom, feature = "loom")))]
mod choice {
    pub(crate) use crossbeam_deque::{Steal, Stealer, Worker as Deque};
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    pub(crate) use std::sync::{Mutex, PoisonError};

    use std::time::Duration;

    /// Spins of the first waits, yields of the next; sleeps from there on.
    const SPINS: u32 = 64;
    const YIELDS: u32 = 64;
    /// The longest that a worker overlooks new work; a packet takes about 4 µs to scan.
    const SLEEP: Duration = Duration::from_micros(50);

    /// Waits a little, longer as `round` grows: it begins at zero and counts the waits in a row.
    pub(crate) fn wait(round: u32) {
        if round < SPINS {
            std::hint::spin_loop();
        } else if round < SPINS + YIELDS {
            std::thread::yield_now();
        } else {
            std::thread::sleep(SLEEP);
        }
    }
}

#[cfg(all(heapwright_loom, feature = "loom"))]
mod choice {
    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    // The locks guard what is handed over outside of a round. They are held over no visible step
    // and nothing is proved from them, so std's keep the models small.
    pub(crate) use std::sync::{Mutex, PoisonError};

    use std::collections::VecDeque;
    use std::sync::Arc;

    /// Gives the turn to another thread: a wait has no length in a model.
    pub(crate) fn wait(_round: u32) {
        loom::thread::yield_now();
    }

    /// Stands in for `crossbeam_deque::Steal`.
    pub(crate) enum Steal<T> {
        /// Nothing was queued.
        Empty,
        /// The oldest item.
        Success(T),
        /// Never here, but the callers must be ready for it.
        #[allow(dead_code, reason = "crossbeam's has it")]
        Retry,
    }

    /// A queue whose every method is one visible step.
    struct Queue<T> {
        items: Mutex<VecDeque<T>>,
        step: AtomicUsize,
    }

    impl<T> Queue<T> {
        fn with<R>(&self, act: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
            // AcqRel: pairs with itself; a method sees what was done before each earlier one. A
            // read-modify-write even for a look: loom does not explore all that a load may miss.
            self.step.fetch_add(0, Ordering::AcqRel);
            act(&mut self.items.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    /// Stands in for `crossbeam_deque::Worker`: the owner's end.
    pub(crate) struct Deque<T>(Arc<Queue<T>>);

    /// Stands in for `crossbeam_deque::Stealer`: the others' end.
    pub(crate) struct Stealer<T>(Arc<Queue<T>>);

    impl<T> Deque<T> {
        pub(crate) fn new_lifo() -> Deque<T> {
            let items = Mutex::new(VecDeque::new());
            Deque(Arc::new(Queue {
                items,
                step: AtomicUsize::new(0),
            }))
        }

        pub(crate) fn stealer(&self) -> Stealer<T> {
            Stealer(Arc::clone(&self.0))
        }

        pub(crate) fn push(&self, item: T) {
            self.0.with(|items| items.push_back(item));
        }

        pub(crate) fn pop(&self) -> Option<T> {
            self.0.with(VecDeque::pop_back)
        }

        pub(crate) fn len(&self) -> usize {
            self.0.with(|items| items.len())
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }
    }

    impl<T> Stealer<T> {
        pub(crate) fn steal(&self) -> Steal<T> {
            self.0
                .with(VecDeque::pop_front)
                .map_or(Steal::Empty, Steal::Success)
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.with(|items| items.is_empty())
        }
    }
}

pub(crate) use choice::*;
