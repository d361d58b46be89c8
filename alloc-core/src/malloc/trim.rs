//! How much of the free memory goes back to the operating system, and when: arithmetic alone.
//!
//! A program with explicit free has no cycle to hang this on, and this crate starts no thread and
//! asks no clock. So those who give pages back look now and then, and release what is beyond what
//! was in use at most lately. "Lately" is told in bytes that were given back: the peak is forgotten
//! by a 64th a look, so a program that fills and empties the same room again and again keeps most
//! of it (releasing it costs a page fault for each page), and one that has shrunk for good gives it
//! back while it goes on. The amount a look is bounded, because somebody waits for it.

/// Bytes of pages that are given back between two looks.
pub(crate) const LOOK_BYTES: usize = 8 << 20;
/// The most that is released by one look.
const STEP_BYTES: usize = 16 << 20;
/// What is always kept.
const KEPT_BYTES: usize = 32 << 20;
/// The part of the peak that a look forgets.
const FORGOTTEN: usize = 64;

/// The new peak, and what to release now.
pub(crate) fn look(
    peak_bytes: usize,
    in_use_bytes: usize,
    retained_bytes: usize,
) -> (usize, usize) {
    let peak = (peak_bytes - peak_bytes / FORGOTTEN).max(in_use_bytes);
    let surplus = (in_use_bytes + retained_bytes).saturating_sub(peak + KEPT_BYTES);
    (peak, surplus.min(STEP_BYTES).min(retained_bytes))
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    /// Frees and allocates in turn, looking for each 8 MiB that is freed: what was released.
    fn sawtooth(top_bytes: usize, teeth: usize, peak: &mut usize, held: &mut usize) -> usize {
        let mut released = 0;
        for _ in 0..teeth {
            *held = top_bytes.max(*held);
            let mut in_use = top_bytes;
            while in_use > 0 {
                in_use -= LOOK_BYTES;
                let (new, surplus) = look(*peak, in_use, *held - in_use);
                *peak = new;
                *held -= surplus;
                released += surplus;
            }
        }
        released
    }

    #[test]
    fn what_is_filled_again_and_again_is_mostly_kept() {
        let (mut peak, mut held) = (0, 0);
        let top = 128 << 20;
        let released = sawtooth(top, 20, &mut peak, &mut held);
        assert!(released < 20 * top / 8, "{} MiB", released >> 20);
    }

    #[test]
    fn what_a_program_has_outgrown_goes_back() {
        let (mut peak, mut held) = (0, 0);
        sawtooth(1 << 30, 1, &mut peak, &mut held);
        sawtooth(LOOK_BYTES, 300, &mut peak, &mut held);
        assert!(held <= KEPT_BYTES + 2 * LOOK_BYTES, "{} MiB", held >> 20);
        assert_eq!(look(0, 0, KEPT_BYTES).1, 0);
        assert_eq!(look(0, 0, 1 << 40).1, STEP_BYTES);
    }
}
