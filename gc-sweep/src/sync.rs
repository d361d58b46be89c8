//! The one place that names threads and atomics: std's, or loom's under
//! `--cfg heapwright_loom` with the `loom` feature.
//!
//! `Arc` and `OnceLock` are std's on both sides: no protocol of this crate rests on them.

#[cfg(all(heapwright_loom, not(feature = "loom")))]
compile_error!("`--cfg heapwright_loom` needs this crate's feature `loom` as well");

#[cfg(not(all(heapwright_loom, feature = "loom")))]
mod chosen {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::thread;
}

#[cfg(all(heapwright_loom, feature = "loom"))]
mod chosen {
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use loom::thread;
}

pub(crate) use chosen::*;
pub(crate) use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

/// Locks, whether or not a thread panicked with the lock held: every value this crate locks is
/// whole between any two of its statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `condvar`, as tolerant of poison as [`lock`].
pub(crate) fn wait<'m, T>(condvar: &Condvar, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// As [`wait`], for so long at most; whether that has passed. In a model nothing takes time, and
/// whoever waits is woken by others alone.
pub(crate) fn wait_at_most<'m, T>(
    condvar: &Condvar,
    guard: MutexGuard<'m, T>,
    at_most: Duration,
) -> (MutexGuard<'m, T>, bool) {
    if cfg!(all(heapwright_loom, feature = "loom")) {
        return (wait(condvar, guard), false);
    }
    let waited = condvar.wait_timeout(guard, at_most);
    let (guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
    (guard, result.timed_out())
}

/// An Acquire load that sees either side of a concurrent store in every model.
///
/// Loom 0.7 remembers one latest access a location and so never explores "A loads, then stores"
/// against "B loads". An exchange that fails, in B's place, is explored, and writes nothing: a
/// `fetch_add(0)` would add a write that loom may order behind a plain store it has not seen.
/// Outside the model it is the plain load.
pub(crate) fn load_visible(word: &AtomicU32) -> u32 {
    if cfg!(all(heapwright_loom, feature = "loom")) {
        // Acquire, twice: as the load below, whose stand-in it is. No model comes to the last
        // generation, whose claim is all ones.
        let (success, failure) = (Ordering::Acquire, Ordering::Acquire);
        let exchanged = word.compare_exchange(u32::MAX, u32::MAX, success, failure);
        exchanged.unwrap_or_else(|found| found)
    } else {
        // Acquire: pairs with the Release of whoever wrote the word; the caller names it.
        word.load(Ordering::Acquire)
    }
}
