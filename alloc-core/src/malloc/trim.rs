//! How much of the free memory goes back to the operating system, and when: arithmetic alone.
//!
//! A program with explicit free has no cycle to hang this on, and this crate starts no thread. So
//! those who give pages back look now and then, and release what is beyond a surplus: half of what
//! is in use, and 32 MiB. The amount a look is bounded, because somebody waits for it.

/// Bytes of pages that are given back between two looks.
pub(crate) const LOOK_BYTES: usize = 8 << 20;
/// The most that is released by one look.
const STEP_BYTES: usize = 16 << 20;
/// What is always kept.
const KEPT_BYTES: usize = 32 << 20;

/// What to release now.
pub(crate) const fn surplus_bytes(in_use_bytes: usize, retained_bytes: usize) -> usize {
    let surplus = retained_bytes.saturating_sub(in_use_bytes / 2 + KEPT_BYTES);
    if surplus > STEP_BYTES {
        STEP_BYTES
    } else {
        surplus
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_by_what_is_in_use() {
        assert_eq!(surplus_bytes(0, KEPT_BYTES), 0);
        assert_eq!(surplus_bytes(64 << 20, 64 << 20), 0);
        assert_eq!(surplus_bytes(64 << 20, 70 << 20), 6 << 20);
        assert_eq!(surplus_bytes(0, 1 << 40), STEP_BYTES);
        // A program that frees a GiB, looking once for each 8 MiB, keeps no more than allowed.
        let (mut in_use, mut retained) = (1usize << 30, 0usize);
        while in_use > 0 {
            in_use -= LOOK_BYTES;
            retained += LOOK_BYTES;
            retained -= surplus_bytes(in_use, retained);
        }
        assert!(
            retained <= KEPT_BYTES,
            "{retained} bytes are kept of nothing"
        );
    }
}
