//! Memory for the allocator itself, before it can serve and while it is at work.
//!
//! A global allocator may not ask itself for memory in the midst of its own work. It hardly needs
//! any: the books of the page heap when the heap is made, what the system's library wants when it
//! is told of a fork or of a thread's end, and a message if all goes wrong. These few requests get
//! their bytes from one small range of their own, one after the other, and never give them back.

use crate::sync::{AtomicU64, Ordering};
use std::alloc::Layout;
use std::sync::OnceLock;

/// Length of the range; the books of the largest heap take 12 MiB of it.
const BYTES: usize = 64 << 20;

/// The range's address, once it is there; 0 if the system has none.
static BASE: OnceLock<usize> = OnceLock::new();
/// Bytes that were asked for, which may be more than there are.
static USED: AtomicU64 = AtomicU64::new(0);

fn map() -> usize {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping, wherever the system likes, touches no other memory.
    let range = unsafe { libc::mmap(std::ptr::null_mut(), BYTES, protection, flags, -1, 0) };
    if range.addr() == libc::MAP_FAILED.addr() {
        0
    } else {
        range.expose_provenance()
    }
}

/// Zeroed memory for `layout`, or null.
#[cold]
pub(crate) fn alloc(layout: Layout) -> *mut u8 {
    let base = *BASE.get_or_init(map);
    // Enough for any place of the alignment in it.
    let bytes = layout.size().saturating_add(layout.align()).min(BYTES) as u64;
    // Relaxed: each caller gets bytes of its own, and publishes nothing by it.
    let start = USED.fetch_add(bytes, Ordering::Relaxed);
    let skip = (base + start as usize).wrapping_neg() % layout.align();
    let end = (start as usize)
        .saturating_add(skip)
        .saturating_add(layout.size());
    if base == 0 || end > BYTES {
        return std::ptr::null_mut();
    }
    std::ptr::with_exposed_provenance_mut(base + start as usize + skip)
}

/// Bytes from the address to the end of what this has handed out, or may; `None` for an address
/// that is not from here.
pub(crate) fn rest(address: usize) -> Option<usize> {
    let base = *BASE.get()?;
    let offset = address.wrapping_sub(base);
    (base != 0 && offset < BYTES).then(|| BYTES - offset)
}
