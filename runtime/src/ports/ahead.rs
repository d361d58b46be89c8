//! A thread that puts memory behind free pages while the heap grows, so that no mutator waits for
//! the first touch of a huge page. Why, and how, is told in alloc-core's `page_ahead`.
//!
//! It is started by the first slow path that finds the heap low on such pages, and asked again by
//! each that does, unless it has been asked already. It does nothing if the heap need not grow by
//! so much before the next cycle frees what is dead.

use crate::raw::core::Core;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};
use alloc_core::HUGE_PAGE_BYTES;
use gc_sweep::{Background, Step};
use std::sync::{Arc, Weak};

/// What the heap must have left to grow by: as much as is put ahead of it at the most. A heap that
/// lives in some megabytes needs none of that.
pub(crate) const ROOM_BYTES_MIN: usize = 4 * HUGE_PAGE_BYTES;

/// The thread of one heap.
#[derive(Default)]
pub(crate) struct Ahead {
    /// Somebody has asked since the thread began to look. Written by mutators and the thread.
    asked: AtomicBool,
    thread: Mutex<Thread>,
}

#[derive(Default)]
enum Thread {
    /// None, now and later: the heap is not up yet, or is going down, or the system refused.
    #[default]
    None,
    /// To be started when it is needed first.
    Unborn(Weak<Core>),
    Runs(Background),
}

impl Ahead {
    /// From now on the thread may be started.
    pub(crate) fn prepare(&self, core: &Arc<Core>) {
        *lock(&self.thread) = Thread::Unborn(Arc::downgrade(core));
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(&self) {
        let thread = std::mem::take(&mut *lock(&self.thread));
        drop(thread);
    }

    /// The heap is low.
    #[cold]
    pub(crate) fn ask(&self) {
        // Relaxed, here and in `step`: a hint; who finds it set leaves the work to an earlier
        // wake-up, after which the thread looks at the heap under its lock.
        if self.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut thread = lock(&self.thread);
        if let Thread::Unborn(core) = &*thread {
            let core = core.clone();
            let step = move || core.upgrade().map_or(Step::Done, |core| step(&core));
            *thread = match Background::spawn("heapwright-pages", step) {
                Ok(background) => Thread::Runs(background),
                // Mutators wait for their pages then.
                Err(_) => Thread::None,
            };
        }
        if let Thread::Runs(background) = &*thread {
            background.wake();
        }
    }
}

fn step(core: &Core) -> Step {
    // Relaxed: see `ask`.
    core.ahead.asked.store(false, Ordering::Relaxed);
    let is_wanted = core.account.room_bytes() >= ROOM_BYTES_MIN;
    if is_wanted && core.heap.pages().back_ahead() {
        Step::More
    } else {
        Step::Done
    }
}
