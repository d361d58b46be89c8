//! Memory for the allocator itself, before it can serve and while it is at work.
//!
//! A global allocator may not ask itself for memory in the midst of its own work. It hardly needs
//! any: the books of the page heap when the heap is made, what the system's library wants when it
//! is told of a fork or of a thread's end, and a message if all goes wrong. These few requests get
//! their bytes from one small range of their own, one after the other, and never give them back.
//!
//! | `BASE` | `USED` | the range |
//! |---|---|---|
//! | 0 | 0 | is not there; who comes first makes it, and if two do, one gives it back |
//! | its address | bytes handed out, or more than there are | is there for ever |

use crate::sync::{AtomicU64, Ordering};
use std::alloc::Layout;

/// Length of the range; the books of the largest heap take 12 MiB of it.
const BYTES: usize = 64 << 20;

static BASE: AtomicU64 = AtomicU64::new(0);
static USED: AtomicU64 = AtomicU64::new(0);

/// The range's address, made at first use; 0 if the system has none.
fn base() -> usize {
    // Relaxed: an address of memory that the system has zeroed, with nothing written to it yet.
    let base = BASE.load(Ordering::Relaxed) as usize;
    if base != 0 {
        return base;
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping, wherever the system likes, touches no other memory.
    let range = unsafe { libc::mmap(std::ptr::null_mut(), BYTES, protection, flags, -1, 0) };
    if range.addr() == libc::MAP_FAILED.addr() {
        return 0;
    }
    let made = range.expose_provenance() as u64;
    // Relaxed, both: as above.
    match BASE.compare_exchange(0, made, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => made as usize,
        Err(first) => {
            // SAFETY: made above, and nobody knows of it.
            unsafe { libc::munmap(range, BYTES) };
            first as usize
        }
    }
}

/// Zeroed memory for `layout`, or null.
#[cold]
pub(crate) fn alloc(layout: Layout) -> *mut u8 {
    let base = base();
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
    // Relaxed: whoever has such an address got it from who made the range.
    let base = BASE.load(Ordering::Relaxed) as usize;
    let offset = address.wrapping_sub(base);
    (base != 0 && offset < BYTES).then(|| BYTES - offset)
}
