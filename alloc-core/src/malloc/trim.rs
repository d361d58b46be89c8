//! How much of the free memory goes back to the operating system, and when: arithmetic alone.
//!
//! A program with explicit free has no cycle to hang this on, and this crate starts no thread. So
//! those who allocate and free look now and then, and release what is beyond what was in use at
//! most lately. *Lately* is the window before now and the one before that: a program that fills and
//! empties the same room faster than that keeps it (releasing costs a page fault for each page),
//! and one that has shrunk gives it back within two windows, as long as it calls at all.
//!
//! Holes between objects are no room for longer ones, so a heap may have to grow although as much
//! is free. By how much it grows between two looks says so: four times as much is kept from then
//! on, and forgotten by halves, a half a window.
//!
//! What is free is of two kinds. Pages that no span has are released; pages inside of spans that
//! have other slots in use are discarded, by *passes* over the spans on shelves, one a window at
//! most and only if fewer slots are in use than there were. Both in small steps, because somebody
//! waits for each.

/// Bytes that are freed between two looks, where nothing makes them more frequent.
pub(crate) const LOOK_BYTES: usize = 4 << 20;
/// The most that is released by one look of a thread that has other things to do.
pub(crate) const STEP_BYTES: usize = 256 << 10;
/// The most that is released by one look of a thread that has not: what one call can release.
#[cfg(all(unix, not(heapwright_loom)))]
pub(crate) const TEND_BYTES: usize = 2 << 20;
/// What is always kept, beside a part of what is in use.
const KEPT_BYTES: usize = 2 << 20;
/// What is worth looking for often.
const MUCH_BYTES: usize = 8 << 20;
/// How long a window lasts.
const WINDOW_NS: u64 = 250_000_000;

/// What a look finds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Pages in use.
    pub(crate) in_use_bytes: usize,
    /// Free pages that the process still has.
    pub(crate) retained_bytes: usize,
    /// Slots in use, those at hand in magazines among them.
    pub(crate) slot_bytes: usize,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// So much is to be released.
    pub(crate) release_bytes: usize,
    /// A pass is under way: a step of it is to be done.
    pub(crate) passes: bool,
    /// It begins with this step.
    pub(crate) begins: bool,
    /// The next look may come at once: there is more to do.
    pub(crate) has_more: bool,
    /// There is much to do now or within two windows: looks should not wait for [`LOOK_BYTES`].
    pub(crate) is_restless: bool,
}

/// What is remembered between looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trim {
    window_from_ns: u64,
    peak_bytes: usize,
    peak_before_bytes: usize,
    /// What the process had after the last look.
    held_bytes: usize,
    /// What is kept because holes are no room for what is asked for.
    slack_bytes: usize,
    /// Slots in use at most since the last pass began.
    slot_peak_bytes: usize,
    passed_ns: u64,
    is_passing: bool,
}

impl Trim {
    /// What to do now, and at most so much; `now_ns` never goes back.
    pub(crate) fn look(&mut self, now_ns: u64, usage: Usage, step_bytes: usize) -> Step {
        // The pages were in use before they were freed, whether or not a look saw it.
        let in_use = usage.in_use_bytes;
        self.peak_bytes = self.peak_bytes.max(in_use);
        let age_ns = now_ns.saturating_sub(self.window_from_ns);
        if age_ns >= WINDOW_NS {
            let is_stale = age_ns >= 2 * WINDOW_NS;
            self.peak_before_bytes = if is_stale { in_use } else { self.peak_bytes };
            self.peak_bytes = in_use;
            self.window_from_ns = now_ns;
            self.slack_bytes /= 2;
        }
        let held = in_use + usage.retained_bytes;
        let grown = held.saturating_sub(self.held_bytes);
        if grown > 0 {
            let slack = (self.slack_bytes + 4 * grown).min(usage.retained_bytes);
            self.slack_bytes = self.slack_bytes.max(slack);
        }
        self.slot_peak_bytes = self.slot_peak_bytes.max(usage.slot_bytes);
        let scattered = self.slot_peak_bytes - usage.slot_bytes;
        let is_due = scattered >= KEPT_BYTES + usage.slot_bytes / 8;
        let begins =
            !self.is_passing && is_due && now_ns.saturating_sub(self.passed_ns) >= WINDOW_NS;
        if begins {
            self.is_passing = true;
            self.slot_peak_bytes = usage.slot_bytes;
            self.passed_ns = now_ns;
        }
        let kept = KEPT_BYTES + in_use / 32;
        let peak = self.peak_bytes.max(self.peak_before_bytes);
        let surplus = held.saturating_sub(peak + kept + self.slack_bytes);
        let release_bytes = surplus.min(step_bytes).min(usage.retained_bytes);
        self.held_bytes = held - release_bytes;
        Step {
            release_bytes,
            passes: self.is_passing,
            begins,
            has_more: self.is_passing || release_bytes == step_bytes,
            is_restless: self.is_passing
                || is_due && scattered >= MUCH_BYTES
                || usage.retained_bytes >= MUCH_BYTES + in_use / 8,
        }
    }

    /// A pass has seen every span.
    pub(crate) fn passed(&mut self) {
        self.is_passing = false;
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A heap that does what it is told; what was released.
    struct Heap {
        trim: Trim,
        held: usize,
        released: usize,
        now_ns: u64,
    }

    impl Heap {
        fn new() -> Self {
            let trim = Trim::default();
            Heap {
                trim,
                held: 0,
                released: 0,
                now_ns: 0,
            }
        }

        fn look(&mut self, in_use_bytes: usize, slot_bytes: usize) -> Step {
            self.held = self.held.max(in_use_bytes);
            let step = self.trim.look(
                self.now_ns,
                Usage {
                    in_use_bytes,
                    retained_bytes: self.held - in_use_bytes,
                    slot_bytes,
                },
                STEP_BYTES,
            );
            self.held -= step.release_bytes;
            self.released += step.release_bytes;
            step
        }
    }

    #[test]
    fn what_is_filled_again_and_again_is_kept() {
        let (mut heap, top) = (Heap::new(), 128 << 20);
        for tooth in 0..100 {
            for part in 0..=32 {
                heap.now_ns = tooth * 100 * MS + part * 3 * MS;
                heap.look(top - (part as usize) * LOOK_BYTES, 0);
            }
        }
        assert_eq!(heap.released, 0);
    }

    #[test]
    fn what_a_program_has_outgrown_goes_back_within_two_windows_and_its_looks() {
        let (mut heap, top, rest) = (Heap::new(), 256 << 20, 16 << 20);
        heap.look(top, 0);
        assert!(heap.look(rest, 0).is_restless);
        let looks = 4000;
        for n in 0..looks {
            heap.now_ns = (n + 1) * 800 * MS / looks;
            heap.look(rest, 0);
        }
        let kept = rest + KEPT_BYTES + rest / 32;
        assert!(heap.held <= kept, "{} MiB are held", heap.held >> 20);
        assert_eq!(heap.look(rest, 0), Step::default(), "it comes to rest");
    }

    #[test]
    fn what_holes_make_a_heap_grow_by_is_kept() {
        let mut heap = Heap::new();
        heap.look(64 << 20, 0);
        for n in 0..1000 {
            heap.now_ns += MS;
            // A quarter is in holes: what is released is missed at once.
            heap.held = 80 << 20;
            heap.look((60 << 20) + n % 7, 0);
        }
        let windows = 1000 * MS / WINDOW_NS;
        let most = windows as usize * (16 << 20);
        assert!(heap.released <= most, "{} MiB in vain", heap.released >> 20);
    }

    #[test]
    fn a_pass_begins_once_a_window_if_slots_are_fewer() {
        let (mut heap, mib) = (Heap::new(), 1 << 20);
        heap.now_ns = WINDOW_NS;
        for n in 0..1000 {
            let churn = heap.look(80 * mib, (64 + n % 8) * mib);
            assert!(!churn.passes && !churn.is_restless, "{n}");
        }
        assert!(heap.look(80 * mib, 40 * mib).begins);
        heap.trim.passed();
        let step = heap.look(80 * mib, 8 * mib);
        assert!(!step.passes && step.is_restless, "too soon");
        heap.now_ns += WINDOW_NS;
        assert!(heap.look(80 * mib, 8 * mib).begins);
        let step = heap.look(80 * mib, 8 * mib);
        assert!(
            step.passes && !step.begins,
            "it goes on until it has passed"
        );
        heap.trim.passed();
        assert_eq!(heap.look(80 * mib, 8 * mib), Step::default());
    }
}
