//! What a thread has to do with the global heap: its magazines, from its first use to its end.
//!
//! | phase | `fast` | the thread |
//! |---|---|---|
//! | fresh | null | has not used the heap yet |
//! | idle | its magazines | allocates from them; null if the heap is hardened |
//! | restless | null | as idle, by `counted`: one call in so many takes the slow path, and looks |
//! | busy | null | is in the slow path: what it asks for now, the allocator needs: from `boot` |
//! | gone | null | has given its magazines back, and uses the shared ones, under a lock |
//!
//! So the fast path is one look at `fast`: it holds whenever the magazines may be used. A thread's
//! end is told by a key of the system's threads, whose destructors run after those of
//! `thread_local!`, so those still find the thread idle; what comes after that finds it gone.
//!
//! There is nothing in here that allocates or has to be dropped: a thread-local with a destructor
//! would ask for memory in order to register it.

use crate::malloc::byte_heap::{ByteHeap, Mode};
use crate::malloc::fatal::stop;
use crate::malloc::fork::Kept;
use crate::malloc::magazines::Magazines;
use crate::os::Mmap;
use crate::sync::{Mutex, lock, panicking};
use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;

/// The global heap's range: addresses cost nothing until they are used, and it cannot grow later.
const RESERVE_BYTES: usize = 256 << 30;
const RESERVE_BYTES_MIN: usize = 64 << 20;

/// The heap of the process.
struct Global {
    heap: ByteHeap<Mmap>,
    /// Tells of a thread's end; `None` if the system had no key left.
    key: Option<libc::pthread_key_t>,
}

static GLOBAL: OnceLock<Option<Global>> = OnceLock::new();
/// The magazines of those who have none of their own. Here, because a value on its way into
/// `GLOBAL` would touch all of their memory.
static SHARED: Mutex<Magazines> = Mutex::new(Magazines::new());
static FORK: Kept = Kept::new();
/// The system was told whom to call at a fork. After the heap is there: the calls before and after
/// a fork have to agree about it.
static TOLD: OnceLock<()> = OnceLock::new();

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    Idle,
    Restless,
    Busy,
    Gone,
}

struct Thread {
    fast: Cell<*mut Magazines>,
    magazines: Cell<*mut Magazines>,
    phase: Cell<Phase>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            fast: Cell::new(null_mut()),
            magazines: Cell::new(null_mut()),
            phase: Cell::new(Phase::Fresh),
        }
    };
}

/// Calls `act` with the thread's magazines, if they may be used right away.
#[inline(always)]
pub(crate) fn fast<R>(act: impl FnOnce(&mut Magazines) -> Option<R>) -> Option<R> {
    THREAD.with(|thread| {
        // SAFETY: null, or this thread's magazines, which live until it is gone; `fast` is null
        // while the slow path uses them, and `act` is a function of this crate that calls nobody.
        unsafe { thread.fast.get().as_mut() }.and_then(act)
    })
}

/// As [`fast`], while the heap looks often what to release: not for a call at which that is due.
#[inline]
pub(crate) fn counted<R>(act: impl FnOnce(&mut Magazines) -> Option<R>) -> Option<R> {
    THREAD.with(|thread| {
        if thread.phase.get() != Phase::Restless {
            return None;
        }
        // SAFETY: null, or this thread's magazines, which live until it is gone; it is not busy
        // with them, and `act` is a function of this crate that calls nobody.
        let magazines = unsafe { thread.magazines.get().as_mut() }?;
        if magazines.count_down() {
            None
        } else {
            act(magazines)
        }
    })
}

/// Whether the thread has magazines that it may use, by [`fast`] or by [`counted`].
#[inline]
pub(crate) fn is_ready() -> bool {
    THREAD.with(|thread| !thread.fast.get().is_null() || thread.phase.get() == Phase::Restless)
}

/// Marks the thread as busy, and puts back what is true when it is not any more.
struct Busy<'a> {
    thread: &'a Thread,
    next: Phase,
    fast: *mut Magazines,
    /// The program is unwinding for reasons of its own.
    was_panicking: bool,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if panicking() && !self.was_panicking {
            stop(format_args!(
                "heapwright: the allocator has failed, and the program cannot go on\n"
            ));
        }
        self.thread.phase.set(self.next);
        self.thread.fast.set(self.fast);
    }
}

/// Calls `act` with the heap and magazines, in whatever phase the thread is; with `None` if it is
/// busy, or if there is no heap.
#[cold]
#[inline(never)]
pub(crate) fn slow<R>(
    mode: Mode,
    act: impl FnOnce(Option<(&'static ByteHeap<Mmap>, &mut Magazines)>) -> R,
) -> R {
    THREAD.with(|thread| {
        let phase = thread.phase.get();
        if phase == Phase::Busy {
            return act(None);
        }
        thread.phase.set(Phase::Busy);
        let mut busy = Busy {
            thread,
            next: phase,
            fast: thread.fast.replace(null_mut()),
            was_panicking: panicking(),
        };
        let Some(global) = GLOBAL.get_or_init(|| Global::new(mode)) else {
            return act(None);
        };
        if phase == Phase::Fresh {
            global.welcome(&mut busy);
        }
        // SAFETY: null, or this thread's magazines; nobody else uses them while it is busy.
        match unsafe { thread.magazines.get().as_mut() } {
            Some(magazines) => {
                let result = act(Some((&global.heap, magazines)));
                (busy.next, busy.fast) = global.ways_of(thread);
                result
            }
            None => act(Some((&global.heap, &mut lock(&SHARED)))),
        }
    })
}

/// The global heap, if there is one by now.
pub(crate) fn heap() -> Option<&'static ByteHeap<Mmap>> {
    GLOBAL.get()?.as_ref().map(|global| &global.heap)
}

impl Global {
    /// Reserves the heap, and a key by which the system tells of threads' ends. `None` if there
    /// are no addresses.
    fn new(mode: Mode) -> Option<Self> {
        let mode = if asked_to_harden() {
            Mode::Hardened
        } else {
            mode
        };
        let heap =
            ByteHeap::new(Mmap::small_pages(), RESERVE_BYTES, RESERVE_BYTES_MIN, mode).ok()?;
        let mut key = 0;
        // SAFETY: `key` is written to, and the destructor takes what is set for it, a pointer.
        let has_key = unsafe { libc::pthread_key_create(&mut key, Some(leave)) } == 0;
        Some(Global {
            heap,
            key: has_key.then_some(key),
        })
    }

    /// How a thread with magazines goes on: by the fast path, but not if the heap looks for
    /// mistakes, nor while it looks often what to release.
    fn ways_of(&self, thread: &Thread) -> (Phase, *mut Magazines) {
        match (self.heap.mode(), self.heap.is_restless()) {
            (Mode::Plain, false) => (Phase::Idle, thread.magazines.get()),
            (Mode::Plain, true) => (Phase::Restless, null_mut()),
            (Mode::Hardened, _) => (Phase::Idle, null_mut()),
        }
    }

    /// A new thread gets magazines, if there is memory and somebody who will tell of its end.
    fn welcome(&self, busy: &mut Busy<'_>) {
        TOLD.get_or_init(|| {
            // If it refuses, a child of a fork may find a lock held, and wait for ever.
            // SAFETY: three functions that live as long as the program.
            unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork)) };
        });
        let Some(key) = self.key else {
            busy.next = Phase::Gone;
            return;
        };
        let Ok((memory, is_zero)) = self.heap.alloc_large(Layout::new::<Magazines>()) else {
            // Not now: from the shared magazines, and the next time again.
            return;
        };
        let mut magazines = memory.cast::<Magazines>();
        if !is_zero {
            // SAFETY: as long and aligned as magazines are, and nobody else's. They are made of
            // numbers and raw pointers, for which any bits will do.
            unsafe { magazines.as_mut() }.renew();
        }
        // SAFETY: a key that was created, and never deleted.
        if unsafe { libc::pthread_setspecific(key, memory.as_ptr().cast()) } != 0 {
            self.heap.free_large(memory);
            busy.next = Phase::Gone;
            return;
        }
        busy.thread.magazines.set(magazines.as_ptr());
        busy.next = Phase::Idle;
    }
}

/// Whether the environment asks for a hardened heap.
fn asked_to_harden() -> bool {
    // SAFETY: a name that ends in zero.
    let value = unsafe { libc::getenv(c"HEAPWRIGHT_MALLOC".as_ptr()) };
    // SAFETY: not null, so a string of the environment that ends in zero.
    !value.is_null() && unsafe { std::ffi::CStr::from_ptr(value) } == c"hardened"
}

/// A thread ends: what is in its magazines is for others now.
extern "C" fn leave(_: *mut c_void) {
    slow(Mode::Plain, |heap| {
        let Some((heap, magazines)) = heap else {
            return;
        };
        magazines.flush(heap);
        let memory = NonNull::from(magazines).cast();
        THREAD.with(|thread| thread.magazines.set(null_mut()));
        heap.free_large(memory);
    });
    THREAD.with(|thread| {
        thread.fast.set(null_mut());
        thread.phase.set(Phase::Gone);
    });
}

extern "C" fn before_fork() {
    if let Some(Some(global)) = GLOBAL.get() {
        FORK.before(&global.heap, &SHARED);
    }
}

extern "C" fn after_fork() {
    FORK.after();
}
