//! `malloc`, `free` and their kin over alloc-core, as a library to link or to preload:
//!
//! ```text
//! cargo build --release -p alloc-core-capi
//! LD_PRELOAD=target/release/libheapwright_malloc.so sort huge.txt
//! ```
//!
//! Each function behaves as the C standard, POSIX or (for `memalign` and `malloc_usable_size`) the
//! GNU library say; failures set `errno`. A free without a size costs a look at the object's span
//! more than a sized one. `HEAPWRIGHT_MALLOC=hardened` in the environment switches the checks on.
//!
//! Where it stops: `mallopt`, `mallinfo` and `malloc_trim` stay the system's, and say nothing of
//! this heap.
#![cfg(unix)]

use alloc_core::malloc::Heapwright;
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_void};
use std::ptr::{NonNull, null_mut};

/// What every object is aligned to.
const ALIGN: usize = 16;
/// The system's pages, for `valloc` and `pvalloc`.
const SYSTEM_PAGE: usize = 4096;

/// Where the calling thread's `errno` is.
fn errno() -> NonNull<c_int> {
    #[cfg(target_os = "linux")]
    // SAFETY: always allowed.
    let place = unsafe { libc::__errno_location() };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: always allowed.
    let place = unsafe { libc::__error() };
    // SAFETY: the address of a variable of the thread.
    unsafe { NonNull::new_unchecked(place) }
}

fn error() -> c_int {
    // SAFETY: the calling thread's own variable.
    unsafe { errno().read() }
}

fn set_error(code: c_int) {
    // SAFETY: the calling thread's own variable.
    unsafe { errno().write(code) }
}

fn fail(code: c_int) -> *mut c_void {
    set_error(code);
    null_mut()
}

/// Memory, or null and `ENOMEM`.
fn take(bytes: usize, align: usize, zeroed: bool) -> *mut c_void {
    let Ok(layout) = Layout::from_size_align(bytes.max(1), align.max(ALIGN)) else {
        return fail(libc::ENOMEM);
    };
    let object = if zeroed {
        // SAFETY: at least a byte.
        unsafe { Heapwright.alloc_zeroed(layout) }
    } else {
        // SAFETY: as above.
        unsafe { Heapwright.alloc(layout) }
    };
    if object.is_null() {
        return fail(libc::ENOMEM);
    }
    object.cast()
}

/// Frees memory; nothing, if it is null.
///
/// # Safety
///
/// As for [`free`].
unsafe fn give(object: *mut c_void) {
    if let Some(object) = NonNull::new(object.cast()) {
        // A program may look at `errno` after it has freed something.
        let before = error();
        // SAFETY: this function's own preconditions.
        unsafe { Heapwright::free_unsized(object) };
        set_error(before);
    }
}

/// Changes the size of an object.
///
/// # Safety
///
/// As for [`realloc`].
unsafe fn resize(object: *mut c_void, bytes: usize) -> *mut c_void {
    let Some(old) = NonNull::new(object.cast()) else {
        return take(bytes, ALIGN, false);
    };
    if bytes == 0 {
        // SAFETY: this function's own preconditions.
        unsafe { give(object) };
        return null_mut();
    }
    // SAFETY: this function's own preconditions.
    let moved = unsafe { Heapwright::realloc_unsized(old, bytes) };
    if moved.is_null() {
        return fail(libc::ENOMEM);
    }
    moved.cast()
}

// The functions below call none of each other: what a name of theirs means is up to the loader,
// which may find the system's function by it.

/// `bytes` bytes, uninitialised; an address of its own if there are none.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(bytes: usize) -> *mut c_void {
    take(bytes, ALIGN, false)
}

/// `count` times `bytes` bytes of zeros.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, bytes: usize) -> *mut c_void {
    match count.checked_mul(bytes) {
        Some(bytes) => take(bytes, ALIGN, true),
        None => fail(libc::ENOMEM),
    }
}

/// Frees memory; nothing, if it is null.
///
/// # Safety
///
/// It came from a function of this library, was not freed since, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(object: *mut c_void) {
    // SAFETY: this function's own preconditions.
    unsafe { give(object) }
}

/// Changes the size of an object, which may move it. Frees it, if the size is zero.
///
/// # Safety
///
/// As for [`free`], unless this fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(object: *mut c_void, bytes: usize) -> *mut c_void {
    // SAFETY: this function's own preconditions.
    unsafe { resize(object, bytes) }
}

/// As [`realloc`], for `count` times `bytes` bytes.
///
/// # Safety
///
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(
    object: *mut c_void,
    count: usize,
    bytes: usize,
) -> *mut c_void {
    match count.checked_mul(bytes) {
        // SAFETY: this function's own preconditions.
        Some(bytes) => unsafe { resize(object, bytes) },
        None => fail(libc::ENOMEM),
    }
}

/// Memory aligned to `align`, a power of two.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, bytes: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        return fail(libc::EINVAL);
    }
    take(bytes, align, false)
}

/// As [`aligned_alloc`], where `align` is rounded up to a power of two.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, bytes: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => take(bytes, align, false),
        None => fail(libc::EINVAL),
    }
}

/// Stores memory aligned to `align`, a power of two times a pointer's size, in `place`; an error
/// number, and `place` is left alone, if there is none.
///
/// # Safety
///
/// `place` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    align: usize,
    bytes: usize,
) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<*mut c_void>()) {
        return libc::EINVAL;
    }
    // This function tells by its result alone.
    let before = error();
    let object = take(bytes, align, false);
    set_error(before);
    if object.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: this function's own precondition.
    unsafe { place.write(object) };
    0
}

/// Memory that begins on a page of the system.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(bytes: usize) -> *mut c_void {
    take(bytes, SYSTEM_PAGE, false)
}

/// Whole pages of the system.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(bytes: usize) -> *mut c_void {
    match bytes.checked_next_multiple_of(SYSTEM_PAGE) {
        Some(bytes) => take(bytes, SYSTEM_PAGE, false),
        None => fail(libc::ENOMEM),
    }
}

/// Bytes that may be used at `object`; zero for null.
///
/// # Safety
///
/// As for [`free`], but it stays in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(object: *mut c_void) -> usize {
    NonNull::new(object.cast()).map_or(0, Heapwright::usable_bytes)
}
