//! Memory for the allocator itself, before it can serve and while it is at work.
//!
//! A global allocator may not ask itself for memory in the midst of its own work. It hardly needs
//! any: the books of the page heap when the heap is made, what the system's library wants when it
//! is told of a fork or of a thread's end, and a message if all goes wrong. These few requests get
//! pages of their own, from the system, which are never given back.

use std::alloc::Layout;

/// Zeroed memory for `layout`, or null.
#[cold]
pub(crate) fn alloc(layout: Layout) -> *mut u8 {
    let Some(bytes) = layout.size().max(1).checked_add(layout.align()) else {
        return std::ptr::null_mut();
    };
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping, wherever the system likes, touches no other memory.
    let memory =
        unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) }.cast::<u8>();
    if memory.addr() == libc::MAP_FAILED.addr() {
        return std::ptr::null_mut();
    }
    let skip = memory.addr().wrapping_neg() % layout.align();
    // SAFETY: the mapping is longer than the layout by its alignment.
    unsafe { memory.add(skip) }
}
