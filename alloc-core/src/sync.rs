//! The one place that names threads, atomics and cells: std's, or loom's under
//! `--cfg heapwright_loom` with the `loom` feature.
//!
//! Side metadata is reached through [`AtomicWords`] and [`Table`]: views of mapped memory here,
//! boxes of loom's atomics under the model. So every protocol over a bit or a span's line can be
//! model-checked without a mapping, and no other file casts mapped memory to an atomic.

#[cfg(all(heapwright_loom, not(feature = "loom")))]
compile_error!("`--cfg heapwright_loom` needs this crate's feature `loom` as well");

#[cfg(not(heapwright_loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

// For the global allocator, of which a process has one and a model none.
#[cfg(all(unix, not(heapwright_loom)))]
pub(crate) use std::{cell::UnsafeCell, thread::panicking};

#[cfg(heapwright_loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

use std::ptr::NonNull;

/// Locks `mutex`; a panic of an earlier holder is no reason to stop: each critical section here
/// leaves its data whole at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A load that has to be able to see either side of a change by another thread, as `order` says.
///
/// Stock loom remembers only the latest access to an atomic, and so may not explore a load that
/// comes before another thread's write; a read-modify-write it explores on both sides.
#[inline(always)]
pub(crate) fn load_visible(word: &AtomicU64, order: Ordering) -> u64 {
    #[cfg(heapwright_loom)]
    return word.fetch_add(0, order);
    #[cfg(not(heapwright_loom))]
    word.load(order)
}

/// Types that all-zero memory is a valid value of, and that may be shared between threads.
///
/// # Safety
///
/// The implementer is made of atomics only.
pub(crate) unsafe trait Zeroed: Default + Sync {}

// SAFETY: an atomic, and zero is one of its values.
unsafe impl Zeroed for AtomicU64 {}

/// A fixed array of `T` in mapped, zeroed memory (under the model: a box of defaults).
pub(crate) struct Table<T: Zeroed> {
    #[cfg(not(heapwright_loom))]
    base: NonNull<T>,
    #[cfg(not(heapwright_loom))]
    len: usize,
    #[cfg(heapwright_loom)]
    entries: std::sync::Arc<[T]>,
}

// SAFETY: the entries are `Sync` and shared by reference only; the memory is not owned.
unsafe impl<T: Zeroed> Send for Table<T> {}
// SAFETY: as above.
unsafe impl<T: Zeroed> Sync for Table<T> {}

/// One bit a something, 64 to a word.
pub(crate) type AtomicWords = Table<AtomicU64>;

impl<T: Zeroed> Table<T> {
    /// A view of `len` entries at `base`.
    ///
    /// # Safety
    ///
    /// * `base` is aligned for `T`, and `len` entries from it are mapped, readable and writable.
    /// * The memory is zero now, and is used through this table and its views alone
    ///   while they live.
    pub(crate) unsafe fn from_raw(base: NonNull<u8>, len: usize) -> Self {
        debug_assert_eq!(
            base.as_ptr().addr() % align_of::<T>(),
            0,
            "table out of alignment"
        );
        #[cfg(not(heapwright_loom))]
        return Self {
            base: base.cast(),
            len,
        };
        #[cfg(heapwright_loom)]
        return Self {
            entries: (0..len).map(|_| T::default()).collect(),
        };
    }

    /// A second view of the same entries.
    ///
    /// # Safety
    ///
    /// The memory outlives it, as in [`Self::from_raw`].
    pub(crate) unsafe fn view(&self) -> Self {
        Self {
            #[cfg(not(heapwright_loom))]
            base: self.base,
            #[cfg(not(heapwright_loom))]
            len: self.len,
            #[cfg(heapwright_loom)]
            entries: self.entries.clone(),
        }
    }

    /// The entry at `index`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> &T {
        if index >= self.len() {
            beyond(index, 1, self.len());
        }
        // SAFETY: the index was checked.
        unsafe { self.get_unchecked(index) }
    }

    /// The entry at `index`, unchecked.
    ///
    /// # Safety
    ///
    /// `index` is below the length.
    #[inline]
    pub(crate) unsafe fn get_unchecked(&self, index: usize) -> &T {
        debug_assert!(
            index < self.len(),
            "metadata index {index} beyond {}",
            self.len()
        );
        #[cfg(heapwright_loom)]
        return &self.entries[index];
        #[cfg(not(heapwright_loom))]
        {
            // SAFETY: within the mapped array, by this function's precondition.
            let entry = unsafe { self.base.add(index) };
            // SAFETY: aligned, mapped and initialised (zero is a value of T), and only ever
            // borrowed as shared; the mapping outlives the table (`from_raw`).
            unsafe { entry.as_ref() }
        }
    }

    /// The `len` entries from `first`.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    #[inline]
    pub(crate) fn slice(&self, first: usize, len: usize) -> &[T] {
        if first > self.len() || len > self.len() - first {
            beyond(first, len, self.len());
        }
        #[cfg(heapwright_loom)]
        return &self.entries[first..first + len];
        #[cfg(not(heapwright_loom))]
        {
            // SAFETY: within the mapped array, as just checked.
            let start = unsafe { self.base.add(first) };
            // SAFETY: aligned, mapped and initialised as in `get_unchecked`, and so are the
            // entries behind it; only ever borrowed as shared.
            unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
        }
    }

    /// How many entries there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        #[cfg(not(heapwright_loom))]
        return self.len;
        #[cfg(heapwright_loom)]
        return self.entries.len();
    }
}

/// Apart from its callers, which would spill what they index by for the message.
#[cold]
#[inline(never)]
fn beyond(first: usize, len: usize, end: usize) -> ! {
    panic!("{len} entries of metadata from {first}, beyond {end}");
}

/// Waits for a notification, whether or not the mutex is poisoned. May wake without one.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar
        .wait(guard)
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
