//! The one place that names threads and locks: std's, or loom's under
//! `--cfg heapwright_loom` with the `loom` feature.
//!
//! `Arc` and `Weak` are std's on both sides: no protocol of this crate rests on them. Loom's
//! timed wait never times out, so that a model finds a sleeper whom nobody wakes.

#[cfg(all(heapwright_loom, not(feature = "loom")))]
compile_error!("`--cfg heapwright_loom` needs this crate's feature `loom` as well");

#[cfg(not(all(heapwright_loom, feature = "loom")))]
mod chosen {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::thread;
}

#[cfg(all(heapwright_loom, feature = "loom"))]
mod chosen {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use loom::thread;
}

pub(crate) use chosen::*;
pub(crate) use std::sync::{Arc, PoisonError, Weak};

use std::time::Duration;

/// Locks, whether or not a thread panicked with the lock held: every value this crate locks is
/// whole between any two of its statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `condvar`, for at most `time` if there is one; as tolerant of poison as [`lock`].
pub(crate) fn wait<'m, T>(
    condvar: &Condvar,
    guard: MutexGuard<'m, T>,
    time: Option<Duration>,
) -> MutexGuard<'m, T> {
    match time {
        None => condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
        Some(time) => {
            condvar
                .wait_timeout(guard, time)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        }
    }
}

/// Waits for `time` to pass, or for a notification. A model's time passes at once.
pub(crate) fn wait_out<'m, T>(
    mutex: &'m Mutex<T>,
    condvar: &Condvar,
    guard: MutexGuard<'m, T>,
    time: Duration,
) -> MutexGuard<'m, T> {
    if cfg!(heapwright_loom) {
        drop(guard);
        return lock(mutex);
    }
    wait(condvar, guard, Some(time))
}
