//! The allocator of a whole program, as Rust's standard library asks for it.

use crate::malloc::boot;
use crate::malloc::byte_heap::{ByteHeap, Mode};
use crate::malloc::classes::class_of;
use crate::malloc::magazines::Magazines;
use crate::malloc::thread::{counted, fast, heap, is_ready, slow};
use crate::malloc::trim::TEND_BYTES;
use crate::os::Mmap;
use crate::page_error::Exhausted;
use crate::page_reach::Reach;
use crate::pages::PageStats;
use crate::size_class::GRANULE_BYTES;
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{NonNull, null_mut};
use std::time::{Duration, Instant};

/// A global allocator.
///
/// The heap is made when the first byte is asked for, before `main` even. It reserves 256 GiB of
/// addresses, or what the system allows, down to 64 MiB; without those every request fails. With
/// `HEAPWRIGHT_MALLOC=hardened` in the environment it is [`Hardened`].
///
/// Each thread has magazines, about 280 KiB of addresses of which a part is touched. What it does
/// after its thread-local destructors, or if the system cannot tell of its end, is served under a
/// lock. After a fork, parent and child may both allocate, however many threads the parent has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heapwright;

/// A global allocator that looks for mistakes: see [`Mode::Hardened`].
///
/// Its fast path is the slow one of [`Heapwright`], and each object's memory is written once more;
/// README.md says what that costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hardened;

/// A null pointer for what is exhausted.
fn or_null(result: Result<NonNull<u8>, Exhausted>) -> *mut u8 {
    result.map_or(null_mut(), NonNull::as_ptr)
}

/// Calls `act` with the heap and the thread's magazines; `None` if the allocator itself asks.
fn with<R>(
    mode: Mode,
    act: impl FnOnce(&'static ByteHeap<Mmap>, &mut Magazines) -> R,
) -> Option<R> {
    slow(mode, |found| {
        found.map(|(heap, magazines)| act(heap, magazines))
    })
}

#[cold]
#[inline(never)]
fn alloc_slow(mode: Mode, layout: Layout) -> *mut u8 {
    let slot = class_of(layout.size(), layout.align())
        .and_then(|class| counted(|magazines| magazines.pop(class)));
    if let Some(slot) = slot {
        return slot.as_ptr();
    }
    with(mode, |heap, magazines| {
        or_null(heap.alloc(magazines, layout))
    })
    .unwrap_or_else(|| boot::alloc(layout))
}

fn alloc_zeroed(mode: Mode, layout: Layout) -> *mut u8 {
    with(mode, |heap, magazines| {
        or_null(heap.alloc_zeroed(magazines, layout))
    })
    .unwrap_or_else(|| boot::alloc(layout))
}

/// Frees memory of the heap; what `boot` gave is left alone.
///
/// # Safety
///
/// As for [`GlobalAlloc::dealloc`].
#[cold]
#[inline(never)]
unsafe fn free_slow(mode: Mode, object: NonNull<u8>, layout: Layout) {
    let done = class_of(layout.size(), layout.align())
        .and_then(|class| counted(|magazines| magazines.push(class, object).then_some(())));
    if done.is_some() {
        return;
    }
    with(mode, |heap, magazines| {
        // SAFETY: this function's own preconditions.
        unsafe { heap.free(magazines, object, layout) }
    });
}

/// # Safety
///
/// As for [`GlobalAlloc::realloc`].
unsafe fn realloc(mode: Mode, object: NonNull<u8>, layout: Layout, new: Layout) -> *mut u8 {
    let moved = with(mode, |heap, magazines| {
        // SAFETY: this function's own preconditions.
        or_null(unsafe { heap.realloc(magazines, object, layout, new) })
    });
    moved.unwrap_or_else(|| {
        let moved = boot::alloc(new);
        if !moved.is_null() {
            let kept = layout.size().min(new.size());
            // SAFETY: both are at least as long, and `moved` is new.
            unsafe { moved.copy_from_nonoverlapping(object.as_ptr(), kept) };
        }
        moved
    })
}

// SAFETY: memory comes from spans or pages that are in use until it is freed, so no two objects
// overlap; classes and large objects keep alignments; nothing unwinds (a panic in here stops the
// program); failures are null and leave everything as it was.
unsafe impl GlobalAlloc for Heapwright {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let slot = class_of(layout.size(), layout.align())
            .and_then(|class| fast(|magazines| magazines.pop(class)));
        slot.map_or_else(|| alloc_slow(Mode::Plain, layout), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        let Some(object) = NonNull::new(object) else {
            return;
        };
        let done = class_of(layout.size(), layout.align())
            .and_then(|class| fast(|magazines| magazines.push(class, object).then_some(())));
        if done.is_none() {
            // SAFETY: this function's own preconditions.
            unsafe { free_slow(Mode::Plain, object, layout) };
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        alloc_zeroed(Mode::Plain, layout)
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let (Some(object), Ok(new)) = (
            NonNull::new(object),
            Layout::from_size_align(bytes, layout.align()),
        ) else {
            return null_mut();
        };
        let class = class_of(layout.size(), layout.align());
        let stays = class.is_some() && class == class_of(bytes, layout.align());
        let is_small = class.is_some() && class_of(bytes, layout.align()).is_some();
        if is_small && is_ready() {
            if stays {
                return object.as_ptr();
            }
            // SAFETY: a size of zero has an address of its own here.
            let moved = unsafe { self.alloc(new) };
            if !moved.is_null() {
                let kept = layout.size().min(bytes);
                // SAFETY: both are at least as long, and `moved` is nobody else's.
                unsafe { moved.copy_from_nonoverlapping(object.as_ptr(), kept) };
                // SAFETY: this function's own preconditions.
                unsafe { self.dealloc(object.as_ptr(), layout) };
            }
            return moved;
        }
        // SAFETY: this function's own preconditions.
        unsafe { realloc(Mode::Plain, object, layout, new) }
    }
}

// SAFETY: as for `Heapwright`.
unsafe impl GlobalAlloc for Hardened {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        alloc_slow(Mode::Hardened, layout)
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        if let Some(object) = NonNull::new(object) {
            // SAFETY: this function's own preconditions.
            unsafe { free_slow(Mode::Hardened, object, layout) };
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        alloc_zeroed(Mode::Hardened, layout)
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let (Some(object), Ok(new)) = (
            NonNull::new(object),
            Layout::from_size_align(bytes, layout.align()),
        ) else {
            return null_mut();
        };
        // SAFETY: this function's own preconditions.
        unsafe { realloc(Mode::Hardened, object, layout, new) }
    }
}

impl Heapwright {
    /// What the pages of the process's heap are doing; `None` before its first use.
    pub fn stats() -> Option<PageStats> {
        heap().map(ByteHeap::stats)
    }

    /// Gives the calling thread's magazines back to the heap, and all free pages to the system.
    /// Returns how many bytes of memory that were.
    pub fn release_os_memory() -> usize {
        with(Mode::Plain, |heap, magazines| {
            magazines.flush(heap);
            heap.release(usize::MAX, Reach::All)
        })
        .unwrap_or(0)
    }

    /// Gives back to the system what the program has not needed for a while, for `budget` at most
    /// or a little longer; true if there is more to do at once. For a thread of the program's that
    /// does nothing else, so that memory goes back while the others idle or are not to be held up:
    ///
    /// ```no_run
    /// # use alloc_core::malloc::Heapwright;
    /// # use std::{thread, time::Duration};
    /// thread::spawn(|| loop {
    ///     let is_busy = Heapwright::tend(Duration::from_millis(1));
    ///     thread::sleep(Duration::from_millis(if is_busy { 1 } else { 100 }));
    /// });
    /// ```
    ///
    /// Without such a thread those who allocate and free do it, a little at each of many calls.
    pub fn tend(budget: Duration) -> bool {
        let since = Instant::now();
        with(Mode::Plain, |heap, magazines| {
            loop {
                let step = heap.look(TEND_BYTES);
                if step.begins {
                    magazines.flush(heap);
                }
                if !step.has_more || since.elapsed() >= budget {
                    return step.has_more;
                }
            }
        })
        .unwrap_or(false)
    }

    /// As [`GlobalAlloc::dealloc`], for one who does not know the layout, such as C's `free`.
    ///
    /// # Safety
    ///
    /// As for `dealloc`, whatever the layout was.
    pub unsafe fn free_unsized(object: NonNull<u8>) {
        if boot::rest(object.as_ptr().addr()).is_some() {
            return;
        }
        let class = heap().and_then(|heap| heap.class_at(object));
        let done = class.and_then(|class| {
            let push = |magazines: &mut Magazines| magazines.push(class, object).then_some(());
            fast(push).or_else(|| counted(push))
        });
        if done.is_none() {
            with(Mode::Plain, |heap, magazines| {
                // SAFETY: this function's own preconditions.
                unsafe { heap.free_unsized(magazines, object) }
            });
        }
    }

    /// As [`GlobalAlloc::realloc`], for one who does not know the layout. The new memory is
    /// aligned to 16.
    ///
    /// # Safety
    ///
    /// As for `realloc`, whatever the layout was.
    pub unsafe fn realloc_unsized(object: NonNull<u8>, bytes: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(bytes, GRANULE_BYTES) else {
            return null_mut();
        };
        if let Some(rest) = boot::rest(object.as_ptr().addr()) {
            let moved = alloc_slow(Mode::Plain, new);
            if !moved.is_null() {
                // SAFETY: that much is there in both; what it held beyond the object is ignored,
                // and may be the new memory itself.
                unsafe { moved.copy_from(object.as_ptr(), bytes.min(rest)) };
            }
            return moved;
        }
        with(Mode::Plain, |heap, magazines| {
            let layout = heap.layout_of(object);
            // SAFETY: this function's own preconditions; the layout is of the object's class.
            or_null(unsafe { heap.realloc(magazines, object, layout, new) })
        })
        .unwrap_or(null_mut())
    }

    /// Bytes that may be used at `object`, which are as many as were asked for, or more. An
    /// address that is in no object of the heap stops the program.
    pub fn usable_bytes(object: NonNull<u8>) -> usize {
        match boot::rest(object.as_ptr().addr()) {
            // How many were asked for is not known.
            Some(_) => 0,
            None => heap().map_or(0, |heap| heap.usable_bytes(object)),
        }
    }
}
