//! The one place that names threads, atomics and cells: std's, or loom's under
//! `--cfg heapwright_loom` with the `loom` feature.

#[cfg(all(heapwright_loom, not(feature = "loom")))]
compile_error!("`--cfg heapwright_loom` needs this crate's feature `loom` as well");

#[cfg(not(heapwright_loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(heapwright_loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

use std::sync::PoisonError;

/// Locks `mutex`; a panic of an earlier holder is no reason to stop: each critical section here
/// leaves its data whole at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks `mutex` if nobody has it.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    mutex.try_lock().ok()
}

/// Waits on `condvar`; may return without reason.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// An Acquire load that sees either side of a concurrent store in every model.
///
/// Loom 0.7 remembers one latest access a location and so never explores "A loads, then stores"
/// against "B loads": every barrier passes against a marker's plain load. An exchange that fails,
/// in B's place, is explored, and writes nothing. Outside the model it is the plain load.
#[inline(always)]
pub(crate) fn load_visible(word: &AtomicU64) -> u64 {
    if cfg!(heapwright_loom) {
        // Acquire, both: stands in for the load below. No model comes to this value.
        let (order, on_failure) = (Ordering::Acquire, Ordering::Acquire);
        let exchanged = word.compare_exchange(u64::MAX, u64::MAX, order, on_failure);
        exchanged.unwrap_or_else(|found| found)
    } else {
        // Acquire: pairs with the Release of whoever wrote the word; the caller names it.
        word.load(Ordering::Acquire)
    }
}

/// [`load_visible`] of a pointer.
#[inline(always)]
pub(crate) fn load_visible_ptr(word: &AtomicPtr<u8>) -> *mut u8 {
    if cfg!(heapwright_loom) {
        let nobodys = std::ptr::without_provenance_mut(usize::MAX);
        // Acquire, both: as in `load_visible`.
        let (order, on_failure) = (Ordering::Acquire, Ordering::Acquire);
        let exchanged = word.compare_exchange(nobodys, nobodys, order, on_failure);
        exchanged.unwrap_or_else(|found| found)
    } else {
        // Acquire: pairs with the Release of whoever wrote the word; the caller names it.
        word.load(Ordering::Acquire)
    }
}

/// Gives the processor to another thread that waits for it, if there is one.
pub(crate) fn yield_now() {
    #[cfg(heapwright_loom)]
    loom::thread::yield_now();
    #[cfg(not(heapwright_loom))]
    std::thread::yield_now();
}

/// Waits for some microseconds of another's work: the `round`-th time in a row.
pub(crate) fn pause(round: u32) {
    if cfg!(heapwright_loom) || round > 64 {
        yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// Lets others run: the `round`-th time in a row, from a pause of the processor to a short sleep.
pub(crate) fn relax(round: u32) {
    #[cfg(heapwright_loom)]
    {
        let _ = round;
        loom::thread::yield_now();
    }
    #[cfg(not(heapwright_loom))]
    match round {
        0..64 => std::hint::spin_loop(),
        64..128 => yield_now(),
        _ => std::thread::sleep(std::time::Duration::from_micros(50)),
    }
}

/// Lets others run as [`relax`] does, and yields to nobody. Where all processors are busy, who
/// yields gets one back after a time slice, that is milliseconds; who sleeps is put before others
/// when the time is over.
pub(crate) fn doze(round: u32) {
    #[cfg(heapwright_loom)]
    relax(round);
    #[cfg(not(heapwright_loom))]
    match round {
        0..256 => std::hint::spin_loop(),
        _ => std::thread::sleep(std::time::Duration::from_micros(50)),
    }
}

// The model's parking lot: one queue for all words, under a lock like the real one's.
#[cfg(heapwright_loom)]
loom::lazy_static! {
    static ref LOT: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// Sleeps until [`unpark_all`] is called for `word`, unless `asleep` says otherwise, which is asked
/// where no call of `unpark_all` can come in between. May return without reason.
pub(crate) fn park(word: &AtomicU64, asleep: impl Fn(&AtomicU64) -> bool) {
    #[cfg(heapwright_loom)]
    {
        let lot = lock(&LOT.0);
        if asleep(word) {
            drop(wait(&LOT.1, lot));
        }
    }
    #[cfg(not(heapwright_loom))]
    {
        let key = std::ptr::from_ref(word).addr();
        let token = parking_lot_core::DEFAULT_PARK_TOKEN;
        // SAFETY: the key is the address of a word that the caller keeps borrowed; the closures
        // neither panic nor call into parking_lot_core.
        unsafe {
            parking_lot_core::park(key, || asleep(word), || {}, |_, _| {}, token, None);
        }
    }
}

/// Wakes all who sleep for `word`.
pub(crate) fn unpark_all(word: &AtomicU64) {
    #[cfg(heapwright_loom)]
    {
        let _ = word;
        let _lot = lock(&LOT.0);
        LOT.1.notify_all();
    }
    #[cfg(not(heapwright_loom))]
    {
        let key = std::ptr::from_ref(word).addr();
        // SAFETY: as in `park`.
        unsafe { parking_lot_core::unpark_all(key, parking_lot_core::DEFAULT_UNPARK_TOKEN) };
    }
}

/// Runs `act` on a new thread and waits for its end; false, and nothing is run, if there is no
/// thread to be had.
pub(crate) fn on_own_thread(act: impl FnOnce() + Send) -> bool {
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new().spawn_scoped(scope, act);
        // The scope hands a panic of `act` on.
        spawned.is_ok()
    })
}

/// The processor time that this thread has used; where the system does not tell, time since some
/// moment, as if it had run all along.
pub(crate) fn thread_cpu() -> std::time::Duration {
    #[cfg(all(target_os = "linux", not(any(heapwright_loom, heapwright_portable))))]
    {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: writes to the place that it is given.
        let read = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        if read == 0 {
            return std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
        }
    }
    static BEGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGIN.get_or_init(std::time::Instant::now).elapsed()
}

/// Sleeps for so long.
pub(crate) fn sleep(time: std::time::Duration) {
    std::thread::sleep(time);
}

/// Calls `act` with this thread's name.
pub(crate) fn with_thread_name<R>(act: impl FnOnce(Option<&str>) -> R) -> R {
    act(std::thread::current().name())
}

/// A fence for the compiler alone.
#[cfg(not(heapwright_loom))]
pub(crate) use std::sync::atomic::compiler_fence;

/// The place of data that a lock of ours guards.
pub(crate) use std::cell::UnsafeCell;

/// How many threads can run at once, as far as the system tells.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A word that no other running thread has, never zero: the address of something thread-local.
#[inline]
pub(crate) fn thread_token() -> usize {
    #[cfg(not(heapwright_loom))]
    {
        std::thread_local!(static ANCHOR: u8 = const { 0 });
        ANCHOR.with(|anchor| std::ptr::from_ref(anchor).addr())
    }
    #[cfg(heapwright_loom)]
    {
        loom::thread_local!(static ANCHOR: Box<u8> = Box::new(0));
        ANCHOR.with(|anchor| std::ptr::from_ref::<u8>(anchor).addr())
    }
}

/// A value that one thread at a time may touch, as a protocol elsewhere sees to.
#[derive(Debug, Default)]
pub(crate) struct ProtocolCell<T> {
    #[cfg(not(heapwright_loom))]
    value: std::cell::UnsafeCell<T>,
    #[cfg(heapwright_loom)]
    value: loom::cell::UnsafeCell<T>,
}

// SAFETY: the value moves between threads, never is it shared: `lend` demands exclusion.
unsafe impl<T: Send> Sync for ProtocolCell<T> {}

impl<T> ProtocolCell<T> {
    pub(crate) fn new(value: T) -> Self {
        #[cfg(not(heapwright_loom))]
        let value = std::cell::UnsafeCell::new(value);
        #[cfg(heapwright_loom)]
        let value = loom::cell::UnsafeCell::new(value);
        Self { value }
    }

    /// Lends the value.
    ///
    /// # Safety
    ///
    /// No other loan of this cell's value overlaps with this one, on another thread or further up
    /// this one, and its end happens before this loan's beginning.
    #[inline(always)]
    pub(crate) unsafe fn lend(&self) -> Lent<'_, T> {
        Lent {
            #[cfg(not(heapwright_loom))]
            // SAFETY: exclusive, by this function's precondition.
            value: unsafe { &mut *self.value.get() },
            #[cfg(heapwright_loom)]
            value: self.value.get_mut(),
            #[cfg(heapwright_loom)]
            of: std::marker::PhantomData,
        }
    }
}

/// A loan of a [`ProtocolCell`]'s value; under the model, loom watches for overlaps.
pub(crate) struct Lent<'a, T> {
    #[cfg(not(heapwright_loom))]
    value: &'a mut T,
    #[cfg(heapwright_loom)]
    value: loom::cell::MutPtr<T>,
    #[cfg(heapwright_loom)]
    of: std::marker::PhantomData<&'a mut T>,
}

impl<T> std::ops::Deref for Lent<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        #[cfg(not(heapwright_loom))]
        return self.value;
        #[cfg(heapwright_loom)]
        // SAFETY: exclusive while the loan lasts, by `lend`'s precondition.
        return unsafe { self.value.deref() };
    }
}

impl<T> std::ops::DerefMut for Lent<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        #[cfg(not(heapwright_loom))]
        return self.value;
        #[cfg(heapwright_loom)]
        // SAFETY: exclusive while the loan lasts, by `lend`'s precondition.
        return unsafe { self.value.deref() };
    }
}
