//! The one place that names threads and atomics: std's, or loom's under
//! `--cfg heapwright_loom` with the `loom` feature.

#[cfg(all(heapwright_loom, not(feature = "loom")))]
compile_error!("`--cfg heapwright_loom` needs this crate's feature `loom` as well");

#[cfg(heapwright_loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(heapwright_loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

/// Locks a mutex, poisoned or not.
///
/// The crate panics under a lock only for misuse, before it changes anything, so what a panicking
/// thread leaves behind is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits for a notification, whether or not the mutex is poisoned. May wake without one.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar
        .wait(guard)
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
