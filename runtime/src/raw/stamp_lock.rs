//! The lock of data inside objects: it knows in which cycle its data was logged, and lets a marker
//! read the data without ever waiting for a mutator.
//!
//! # The word
//!
//! | bits | meaning |
//! |---|---|
//! | 0 | a writer holds the lock |
//! | 1 | somebody sleeps until it is free |
//! | 2 to 17 | readers that hold it |
//! | 18 to 63 | stamp: the last cycle in which the data was logged or traced, and in which phase |
//!
//! # Why every reference that the data held when marking began is found
//!
//! A writer in the marking phase of cycle c stamps the lock with *c marking* in the same
//! compare-exchange with which it takes it, and if the stamp was another, logs all that the data
//! holds before it changes anything. What a marker does when it comes to the data:
//!
//! | it finds | then | because |
//! |---|---|---|
//! | stamp *c marking* | nothing | the data has been logged or traced, or the holder is about to log it |
//! | no writer | it reads as a reader, and stamps c when it leaves | |
//! | a writer, another stamp | it reads without the lock | see below |
//!
//! In the last case the writer took the lock in an earlier phase. Guards cannot outlive a closure,
//! and each mutator has been at the edge of one since (marking began after all had acknowledged
//! it). So the guard was leaked (`mem::forget`): nobody can write through it any more, and what
//! it wrote was released at that edge.
//!
//! # While a cycle arms
//!
//! A writer must have logged all that the data holds when it takes the lock, and all when it
//! releases it: others do not log yet. The stamp *c arming* says that what the data holds while
//! nobody writes was logged in this cycle, by whomever. Who finds it logs what it adds and no
//! more; or a list of n, to which n closures' worth of guards add one each, would fill the log
//! with n² entries. Who does not log takes the stamp away: a writer, and a reader as well, who may
//! come to locks inside of the data. So does one who marks already, and logs half; and one who
//! arms takes away *c marking*, because it changes the data after that was logged.

use crate::raw::phase::Phase;
use crate::sync::{AtomicU64, Ordering, load_visible, park, unpark_all};

const WRITER: u64 = 1;
const SLEEPERS: u64 = 2;
const READER_ONE: u64 = 4;
const STAMP_SHIFT: u32 = 18;
const READERS: u64 = (1 << STAMP_SHIFT) - READER_ONE;
/// As many as there may be besides markers, of which there are fewer than 256.
const READERS_MAX: u64 = READERS - 255 * READER_ONE;
/// Turns of a loop before a thread goes to sleep.
const SPINS: u32 = if cfg!(heapwright_loom) { 0 } else { 40 };

/// Keep the stamp as it is.
pub(crate) const KEEP: u64 = u64::MAX;
/// The stamp of data that was logged in no cycle.
pub(crate) const UNLOGGED: u64 = 0;

/// The stamp of data that a mutator in this phase has logged, or that a marker has traced.
pub(crate) fn stamp_of_cycle(phase: Phase, cycle: u64) -> u64 {
    match phase {
        Phase::Idle => UNLOGGED,
        Phase::Arming | Phase::Armed => 2 * cycle,
        Phase::Marking => 2 * cycle + 1,
    }
}

/// A lock for one writer or many readers.
#[derive(Debug, Default)]
pub(crate) struct StampLock {
    word: AtomicU64,
}

fn stamp_of(word: u64) -> u64 {
    word >> STAMP_SHIFT
}

fn stamped(word: u64, stamp: u64) -> u64 {
    if stamp == KEEP {
        return word;
    }
    word & ((1 << STAMP_SHIFT) - 1) | stamp << STAMP_SHIFT
}

/// With one reader more.
fn reading(word: u64) -> u64 {
    assert!(
        word & READERS < READERS_MAX,
        "a lock has {} readers: drop read guards, do not forget them",
        (word & READERS) / READER_ONE
    );
    word + READER_ONE
}

impl StampLock {
    /// Waits for the lock, to write; returns the stamp that it had. `stamp`: [`stamp_of_cycle`].
    #[inline]
    pub(crate) fn lock(&self, stamp: u64) -> u64 {
        // Relaxed: the exchange decides.
        let word = self.word.load(Ordering::Relaxed);
        let taken = stamped(word | WRITER, stamp);
        if word & (WRITER | READERS) == 0 && self.exchange(word, taken) {
            return stamp_of(word);
        }
        self.lock_slow(stamp)
    }

    #[cold]
    #[inline(never)]
    fn lock_slow(&self, stamp: u64) -> u64 {
        self.acquire(WRITER | READERS, |word| stamped(word | WRITER, stamp))
    }

    /// The same, if the lock is free.
    pub(crate) fn try_lock(&self, stamp: u64) -> Option<u64> {
        self.try_acquire(WRITER | READERS, |word| stamped(word | WRITER, stamp))
    }

    /// Gives up writing.
    #[inline]
    pub(crate) fn unlock(&self) {
        // Relaxed: the exchange decides.
        let word = self.word.load(Ordering::Relaxed);
        // Release: pairs with the Acquire in `exchange` and `trace`; the next holder sees the data
        // as it is left. Relaxed on failure: tried again.
        let (order, on_failure) = (Ordering::Release, Ordering::Relaxed);
        let freed = word & !WRITER;
        if word & SLEEPERS != 0
            || self
                .word
                .compare_exchange(word, freed, order, on_failure)
                .is_err()
        {
            self.unlock_slow();
        }
    }

    #[cold]
    #[inline(never)]
    fn unlock_slow(&self) {
        self.release(|word| word & !WRITER);
    }

    /// Gives up writing, as if the lock had not been taken: the data was not logged.
    pub(crate) fn unlock_unlogged(&self, stamp: u64) {
        self.release(|word| stamped(word & !WRITER & ((1 << STAMP_SHIFT) - 1), stamp));
    }

    /// Waits for the lock, to read. `stamp`: [`KEEP`], or [`UNLOGGED`] for one who does not log.
    ///
    /// # Panics
    ///
    /// If there are 65,280 readers. So many that are alive would be a wonder; but guards can be
    /// forgotten, and a count that wraps would let a writer in beside readers.
    pub(crate) fn lock_shared(&self, stamp: u64) {
        self.acquire(WRITER, |word| stamped(reading(word), stamp));
    }

    /// The same, if there is no writer.
    pub(crate) fn try_lock_shared(&self, stamp: u64) -> bool {
        let taken = |word| stamped(reading(word), stamp);
        self.try_acquire(WRITER, taken).is_some()
    }

    /// Gives up reading.
    pub(crate) fn unlock_shared(&self, stamp: u64) {
        self.release(|word| stamped(word - READER_ONE, stamp));
    }

    /// How a marker gets at the data: see the table at the head of this file. `stamp`: that of the
    /// marking phase.
    pub(crate) fn trace(&self, stamp: u64, trace: impl FnOnce()) {
        struct Reading<'a>(&'a StampLock, u64);
        impl Drop for Reading<'_> {
            fn drop(&mut self) {
                self.0.unlock_shared(self.1);
            }
        }
        loop {
            // Acquire: pairs with the Release in `release`, and a leaked guard's closure's edge.
            let word = load_visible(&self.word);
            if stamp_of(word) == stamp {
                return;
            }
            if word & WRITER != 0 {
                trace();
                return;
            }
            if self.exchange(word, word + READER_ONE) {
                // Stamped only when the trace has come to its end.
                let mut reading = Reading(self, KEEP);
                trace();
                reading.1 = stamp;
                return;
            }
        }
    }

    #[inline]
    fn exchange(&self, from: u64, to: u64) -> bool {
        // Acquire: pairs with the Release in `release`; the new holder sees the data as the last
        // one left it. Relaxed on failure: tried again on another word.
        self.word
            .compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn try_acquire(&self, blocked_by: u64, taken: impl Fn(u64) -> u64) -> Option<u64> {
        loop {
            // Relaxed: the exchange decides.
            let word = self.word.load(Ordering::Relaxed);
            if word & blocked_by != 0 {
                return None;
            }
            if self.exchange(word, taken(word)) {
                return Some(stamp_of(word));
            }
        }
    }

    fn acquire(&self, blocked_by: u64, taken: impl Fn(u64) -> u64) -> u64 {
        let mut spins = 0;
        loop {
            if let Some(stamp) = self.try_acquire(blocked_by, &taken) {
                return stamp;
            }
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
                continue;
            }
            // Relaxed: `park` looks again.
            let word = self.word.load(Ordering::Relaxed);
            if word & blocked_by == 0 {
                continue;
            }
            // Relaxed, both: announces a sleeper and takes nothing.
            let (order, on_failure) = (Ordering::Relaxed, Ordering::Relaxed);
            let asleep = word | SLEEPERS;
            let announced = self.word.compare_exchange(word, asleep, order, on_failure);
            if announced.is_ok() {
                // Relaxed: no wake-up is lost, because whoever releases clears the bit first and
                // wakes then, and `park` looks under the lock that waking takes.
                park(&self.word, |word| {
                    let word = word.load(Ordering::Relaxed);
                    word & SLEEPERS != 0 && word & blocked_by != 0
                });
            }
        }
    }

    fn release(&self, released: impl Fn(u64) -> u64) {
        // Relaxed: the exchange below decides.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let mut next = released(word);
            let free = next & (WRITER | READERS) == 0;
            if free {
                next &= !SLEEPERS;
            }
            // Release: pairs with the Acquire in `exchange` and `trace`; the next holder sees the
            // data as it is left. Relaxed on failure: tried again.
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => {
                    if free && word & SLEEPERS != 0 {
                        unpark_all(&self.word);
                    }
                    return;
                }
                Err(found) => word = found,
            }
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;
    use std::cell::UnsafeCell;

    struct Guarded(StampLock, UnsafeCell<[u64; 2]>);
    // SAFETY: the cell is touched under the lock alone.
    unsafe impl Sync for Guarded {}

    impl Guarded {
        fn pair(&self) -> *mut [u64; 2] {
            self.1.get()
        }
    }

    #[test]
    fn one_writes_or_many_read_and_nobody_sleeps_for_ever() {
        let guarded = Guarded(StampLock::default(), UnsafeCell::new([0; 2]));
        let guarded = &guarded;
        let write = || {
            for _ in 0..20_000 {
                guarded.0.lock(KEEP);
                // SAFETY: the writer.
                let pair = unsafe { &mut *guarded.pair() };
                pair[0] += 1;
                pair[1] += 1;
                guarded.0.unlock();
            }
        };
        let read = || {
            for _ in 0..20_000 {
                guarded.0.lock_shared(KEEP);
                // SAFETY: a reader.
                let pair = unsafe { &*guarded.pair() };
                assert_eq!(pair[0], pair[1]);
                guarded.0.unlock_shared(KEEP);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(write);
            scope.spawn(read);
            scope.spawn(read);
            write();
        });
        // SAFETY: alone again.
        assert_eq!(unsafe { *guarded.pair() }, [40_000; 2]);
    }

    /// Kills: `unlogged-keeps-the-stamp`.
    #[test]
    fn a_marker_reads_once_a_cycle_and_never_waits() {
        let lock = StampLock::default();
        let traced = |cycle| {
            let mut times = 0;
            lock.trace(cycle, || times += 1);
            times
        };
        assert_eq!((traced(1), traced(1), traced(2)), (1, 0, 1));
        assert_eq!(
            lock.lock(3),
            2,
            "a writer learns that the data is not logged"
        );
        assert_eq!(traced(3), 0, "and logs it, so the marker need not");
        lock.unlock();
        lock.lock(KEEP);
        assert_eq!(traced(4), 1, "a guard of an earlier phase was leaked");
        lock.unlock_unlogged(2);
        assert_eq!((lock.try_lock(3), lock.try_lock(3)), (Some(2), None));
        lock.unlock();
        lock.lock(UNLOGGED);
        assert_eq!(
            traced(3),
            1,
            "logged by one who marked already, then taken by one who armed and leaked it"
        );
    }

    /// Kills: `stamp-before-the-trace`.
    #[test]
    fn a_trace_that_panics_has_not_traced() {
        let lock = StampLock::default();
        let panicking = || lock.trace(1, || panic!("planned"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
        assert_eq!(lock.try_lock(KEEP), Some(UNLOGGED));
    }

    /// Kills: `readers-wrap`.
    #[test]
    fn forgotten_readers_let_no_writer_in() {
        let lock = StampLock::default();
        (0..READERS_MAX / READER_ONE).for_each(|_| lock.lock_shared(KEEP));
        let one_more = std::panic::AssertUnwindSafe(|| lock.lock_shared(KEEP));
        assert!(std::panic::catch_unwind(one_more).is_err());
        let one_more = std::panic::AssertUnwindSafe(|| lock.try_lock_shared(KEEP));
        assert!(std::panic::catch_unwind(one_more).is_err());
        assert_eq!(lock.try_lock(KEEP), None);
        let mut traced = false;
        lock.trace(1, || traced = true);
        assert!(traced, "a marker gets in, whoever forgot what");
    }
}
