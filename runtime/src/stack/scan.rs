//! Who may use a stack's memory, and how a marker scans it while its fiber runs.
//!
//! A stack is *mounted* during a turn of its fiber, which pushes, pops and writes without a lock.
//! References in frames are roots, and a store into a frame logs nothing. So a frame must be
//! scanned after its mutator has acknowledged H3 and before it is written again; it is scanned by
//! whoever comes first. A marker comes from the bottom, the fiber, when it pops so far, from the
//! top, so that they meet once a cycle at most. The **watermark** divides a stack's frames in two,
//! and what is below it is divided by how far a marker has come:
//!
//! | frames | the fiber | a marker |
//! |---|---|---|
//! | from the watermark up | pushes, pops, writes | keeps away: scanned in this cycle, or newer |
//! | from `claimed` to it | reads; lowers the watermark before it writes one | claims a chunk |
//! | from `scanned` to `claimed` | reads; waits before it writes one | scans, without the lock |
//! | below `scanned` | reads; the watermark is 0 before it writes one | has been here |
//!
//! | word | values | written by |
//! |---|---|---|
//! | `watermark` | frames below it are to be scanned; 0 while no cycle marks | under the lock |
//! | `unscanned` | the same, for who holds the lock | under the lock |
//! | `scanned` | frames that a marker has been through | under the lock |
//! | `claimed` | where a marker's chunk ends; 0: none is being scanned | under the lock |
//! | `stamp` | the cycle that all these are of; 0: of none | under the lock |
//! | `hands` | `Idle`: whoever has the lock may move the memory · `Mounted`: it is the fiber's · |
//! | | `Retired`: it is, or was, its last owner's, who gives it back | under the lock |
//!
//! Nothing that a marker does under the lock is long: it claims a chunk, some frames of together
//! little more than [`CHUNK_BYTES`], scans it, and says so. Hence a fiber that is mounted and
//! unmounted, or runs above the watermark, never waits for a scan, nor for a marker that has lost
//! its processor. It waits for a marker's chunk when it comes to write a frame of that very chunk,
//! when it grows, and when it is dropped. What the fiber pops into it scans itself, by chunks.
//!
//! # Why every reference that is held in a frame is found
//!
//! *A mutator does not acknowledge H3 while it has mounted a stack*; at the other handshakes frames
//! do not matter. Mounting in the phase of marking, in cycle c, sets the
//! stamp to c and the watermark to the top, unless the stamp is c already; a marker that comes to
//! a stack does the same, and its first look comes after all mutators have acknowledged H3. So
//! what a frame held at the first of the two is reported before it is overwritten, popped, or
//! dropped with its stack, and the first of the two comes after the mutator's H3 and before
//! anything is written by one that logs old values alone. What is written into a frame after that
//! was held by a mutator in the phase of marking: it is reachable from something queued or logged,
//! marked, or new and black (`beside.rs` says why).
//!
//! *Mounting in another phase takes the stamp away.* One who still allocates white may store a
//! white object into a frame that another mutator has seen scanned; then the stack is scanned
//! again, and the marker's pass comes after all have acknowledged H3. But while a cycle arms the
//! watermark stays: a mutator in the phase of marking may have had the stack before, and hidden in
//! a black object what it read in a frame that nobody has scanned. `tests/search.rs` searches all
//! of this for what goes wrong with less.
//!
//! *Memory.* A frame below the watermark was written before the lock was last released, hence
//! before it was claimed. A fiber that loads a lower watermark with Acquire, or takes the lock and
//! finds no claim, sees what the marker did, which was to read, as having happened before it
//! writes.
//!
//! *Moving.* Growing and shrinking move the memory under the lock, while nothing is claimed, and
//! shrinking that of a stack which is not mounted: a fiber that is mounted next finds the new
//! memory, a marker that claims next as well. A stack that was dropped meanwhile is not idle any
//! more, so its memory is given back once.

use crate::raw::phase::Phase;
use crate::sync::{AtomicU32, Mutex, MutexGuard, Ordering, lock, pause, try_lock};
use std::ops::Range;

/// Bytes of frames after which a chunk ends: some microseconds of scanning.
pub(crate) const CHUNK_BYTES: usize = if cfg!(heapwright_loom) { 1 } else { 16 << 10 };
/// Frames of the longest chunk that a marker claims.
const CHUNK_FRAMES: u32 = if cfg!(heapwright_loom) { 1 } else { 256 };

/// Times that the lock is tried before it is slept for.
const ROUNDS: u32 = 200;

/// A stack, as its fiber and the markers share it. `M` is the memory.
pub(crate) struct Shared<M> {
    watermark: AtomicU32,
    state: Mutex<State<M>>,
}

/// In whose hands the memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hands {
    Idle,
    Mounted,
    Retired,
}

/// What the lock guards.
pub(crate) struct State<M> {
    /// The fiber's own copy counts while it is mounted, but for where the frames are.
    pub(crate) memory: M,
    /// Frames, when it was unmounted last.
    depth: u32,
    hands: Hands,
    stamp: u64,
    unscanned: u32,
    scanned: u32,
    claimed: u32,
}

impl<M> State<M> {
    /// Whether no marker reads, without the lock, what is not the fiber's.
    fn is_settled(&self) -> bool {
        self.claimed == 0
    }
}

/// A chunk that a marker scans, given back also when it panics.
struct Claim<'a, M: Clone> {
    shared: &'a Shared<M>,
    memory: M,
    /// Frames that are scanned; those before were before.
    scanned: u32,
}

impl<M: Clone> Drop for Claim<'_, M> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.claimed = 0;
        state.scanned = self.scanned;
        self.shared.meet(&mut state);
    }
}

impl<M: Clone> Shared<M> {
    pub(crate) fn new(memory: M) -> Self {
        Self {
            watermark: AtomicU32::new(0),
            state: Mutex::new(State {
                memory,
                depth: 0,
                hands: Hands::Idle,
                stamp: 0,
                unscanned: 0,
                scanned: 0,
                claimed: 0,
            }),
        }
    }

    /// The lock. Whoever has it gives it up in no time: so it is not slept for, which would last
    /// longer than a chunk, unless its holder has lost the processor.
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        let rounds = if cfg!(heapwright_loom) { 0 } else { ROUNDS };
        for round in 0..rounds {
            if let Some(state) = try_lock(&self.state) {
                return state;
            }
            pause(round);
        }
        lock(&self.state)
    }

    /// Begins a turn of a mutator in `phase`, of which `cycle` is the number if it is that of
    /// marking. The caller must [`Self::descend`] before it writes a frame that is not
    /// [`Self::is_open`].
    pub(crate) fn mount(&self, phase: Phase, cycle: u64) -> M {
        let mut state = self.lock();
        state.hands = Hands::Mounted;
        match phase {
            Phase::Marking => self.begin(&mut state, cycle),
            Phase::Arming | Phase::Armed => state.stamp = 0,
            Phase::Idle => {
                state.stamp = 0;
                self.set_watermark(&mut state, 0);
            }
        }
        state.memory.clone()
    }

    /// Ends a turn.
    pub(crate) fn unmount(&self, memory: M, depth: u32) {
        let mut state = self.lock();
        state.memory = memory;
        state.depth = depth;
        state.hands = Hands::Idle;
    }

    /// All frames are to be scanned in `cycle`, unless that has begun before.
    fn begin(&self, state: &mut State<M>, cycle: u64) {
        if state.stamp != cycle {
            state.stamp = cycle;
            state.scanned = 0;
            self.set_watermark(state, state.depth);
        }
    }

    fn set_watermark(&self, state: &mut State<M>, index: u32) {
        state.unscanned = index;
        // Release: pairs with the Acquire in `is_open`; the fiber writes after we have read.
        self.watermark.store(index, Ordering::Release);
    }

    /// Whether frame `index` may be written by the fiber.
    #[inline(always)]
    pub(crate) fn is_open(&self, index: u32) -> bool {
        // Acquire: pairs with the Release in `set_watermark`; who scanned the frame has done with
        // it.
        index >= self.watermark.load(Ordering::Acquire)
    }

    /// The watermark, or what it was: it comes down by itself.
    pub(crate) fn watermark(&self) -> u32 {
        // Acquire: as in `is_open`.
        self.watermark.load(Ordering::Acquire)
    }

    /// The lock, taken when the state is one in which it `may` be; until then a marker is at work.
    fn when(&self, may: impl Fn(&State<M>) -> bool) -> MutexGuard<'_, State<M>> {
        let mut round = 0;
        loop {
            let state = self.lock();
            if may(&state) {
                return state;
            }
            drop(state);
            pause(round);
            round += 1;
        }
    }

    /// If all frames below the watermark are scanned, there is none any more; whether that is so.
    fn meet(&self, state: &mut State<M>) -> bool {
        if state.claimed == 0 && state.scanned >= state.unscanned {
            self.set_watermark(state, 0);
        }
        state.unscanned == 0
    }

    /// The fiber scans a chunk below the watermark; `visit` reports a frame's references, and says
    /// how many bytes it has. If it panics, nothing was scanned.
    pub(crate) fn descend(&self, mut visit: impl FnMut(&M, u32) -> usize) {
        let mut state = self.when(|state| state.is_settled() || state.claimed < state.unscanned);
        if self.meet(&mut state) {
            return;
        }
        let end = state.claimed.max(state.scanned);
        let mut index = state.unscanned;
        let mut bytes = 0;
        while index > end && bytes < CHUNK_BYTES {
            index -= 1;
            bytes += visit(&state.memory, index);
        }
        self.set_watermark(&mut state, index);
        self.meet(&mut state);
    }

    /// A marker scans a chunk; whether there is more. `visit` is called without the lock.
    pub(crate) fn scan(&self, cycle: u64, mut visit: impl FnMut(&M, u32) -> usize) -> bool {
        let (mut claim, end) = {
            let mut state = self.when(State::is_settled);
            self.begin(&mut state, cycle);
            if self.meet(&mut state) {
                return false;
            }
            let scanned = state.scanned;
            state.claimed = state.unscanned.min(scanned + CHUNK_FRAMES);
            let memory = state.memory.clone();
            let shared = self;
            let claim = Claim {
                shared,
                memory,
                scanned,
            };
            (claim, state.claimed)
        };
        let mut bytes = 0;
        while claim.scanned < end && bytes < CHUNK_BYTES {
            bytes += visit(&claim.memory, claim.scanned);
            claim.scanned += 1;
        }
        true
    }

    /// Writes frame `index`, which is not open, by `write`, which logs what it overwrites.
    pub(crate) fn write_below(&self, index: u32, write: impl FnOnce()) {
        let is_free = |state: &State<M>| index < state.scanned || index >= state.claimed;
        let _state = self.when(is_free);
        write();
    }

    /// Looks at the memory.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.lock().memory)
    }

    /// The fiber moves its memory, by `act`.
    pub(crate) fn relocate<R>(&self, act: impl FnOnce(&mut M) -> R) -> R {
        act(&mut self.when(State::is_settled).memory)
    }

    /// Moves the memory by `act` if it is in nobody's hands.
    pub(crate) fn if_idle<R>(&self, act: impl FnOnce(&mut M) -> R) -> Option<R> {
        let mut state = self.when(State::is_settled);
        (state.hands == Hands::Idle).then(|| act(&mut state.memory))
    }

    /// Calls `visit` with each frame of a stack that is not mounted, while none can be.
    pub(crate) fn visit_stopped(&self, mut visit: impl FnMut(&M, u32)) {
        let state = self.lock();
        assert!(
            state.hands != Hands::Mounted,
            "a stack is mounted in a stopped world"
        );
        (0..state.depth).for_each(|index| visit(&state.memory, index));
    }

    /// The stack goes: its memory, and by `last` those of its frames that are still to be scanned.
    pub(crate) fn retire(&self, last: impl FnOnce(&M, Range<u32>)) -> M {
        let mut state = self.when(State::is_settled);
        let unscanned = state.scanned.min(state.unscanned)..state.unscanned;
        last(&state.memory, unscanned);
        self.set_watermark(&mut state, 0);
        state.depth = 0;
        state.hands = Hands::Retired;
        state.memory.clone()
    }
}
