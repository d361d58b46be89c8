//! The sweeper: hands each unswept span to exactly one thread that asks for work.
//!
//! It owns no span and no list of spans, only the generation, two cursors over the heap's
//! indexes and a count of those at work. Three ways lead to a swept span, and all may run at
//! once: an allocator wants this one ([`Sweeper::sweep_span`]); a thread takes batches of
//! indexes ([`Sweeper::sweep_batch`]), eagerly at the end of a cycle, for debt or in the
//! background; a collector wants the rest ([`Sweeper::finish`]).
//!
//! Spans with and without drop glue have a cursor each, over the same indexes. Without glue a
//! span is swept in some 9 ns by swapping bitmaps (`runtime`'s spans of 8 KiB, so 1 ms a GiB),
//! and is best done in one pass. With glue it runs the user's code, far dearer, and must never
//! happen on an allocation path. Lists by kind would save the second walk but need a place to live
//! and a lock; the walk asks for 64 indexes at once.
//!
//! What it costs: a read-modify-write for a batch's indexes and one for the claim of its spans
//! (with drop glue: of each of them), two for a visit; no lock but at the end of a cycle.
//!
//! The protocols are in `generation.rs` (one span) and `state.rs` (the whole sweep).

use std::any::Any;
use std::mem;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};

use crate::claims::ClaimBits;
use crate::generation::{Generation, Standing, misborn};
use crate::state::State;
use crate::sync::{AtomicU32, AtomicU64, Condvar, Mutex, Ordering, lock, wait};
use crate::{Claims, Reclaimed, SweepSpace};

/// Indexes taken at once. 64 pages are half a MiB of heap: enough that the cursor's cache line
/// does not travel, little enough that threads end together.
const BATCH: u64 = 64;

/// A kind of span: does sweeping it run drop glue, the code of the heap's user?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glue {
    /// No: sweeping is bookkeeping alone.
    Without,
    /// Yes: sweeping may run anything, and may panic.
    With,
}

/// What became of a request for one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The caller has just swept it.
    Swept(Reclaimed),
    /// It was swept in this cycle, or born in it; the caller sees what the sweeping wrote.
    AlreadySwept,
    /// Another visitor is sweeping it, or sweeping has not been [opened](Sweeper::open).
    InFlight,
    /// No span begins there.
    NoSpan,
}

/// What a visit swept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Spans swept.
    pub spans_swept: usize,
    /// Of these, spans that were empty and went back.
    pub spans_freed: usize,
    /// Objects found dead.
    pub freed_objects: u64,
    /// Bytes that came free.
    pub freed_bytes: usize,
    /// Whether every index has been taken for this kind. Others may still be sweeping theirs:
    /// [`Sweeper::is_done`] tells.
    pub exhausted: bool,
}

impl Progress {
    fn add(&mut self, tally: Reclaimed) {
        self.spans_freed += tally.spans_freed;
        self.freed_objects += tally.freed_objects;
        self.freed_bytes += tally.freed_bytes;
    }
}

type Panic = Box<dyn Any + Send>;

/// The sweeper of one heap. The heap itself is an argument of each call.
///
/// ```
/// let sweeper = gc_sweep::Sweeper::new();
/// assert!(sweeper.is_done(), "a new heap has nothing to sweep");
/// ```
#[derive(Debug)]
pub struct Sweeper {
    state: State,
    /// One past the last index of this cycle. Written by `begin`, when nobody sweeps.
    end: AtomicU32,
    /// The next index to take, a cursor a kind. Beyond `end` when all were taken; 64 bits, so
    /// that late comers cannot wrap it.
    cursors: [AtomicU64; 2],
    /// Who has claimed what. Cleared by `open`, when nobody sweeps.
    claims: ClaimBits,
    /// Held to wait for the end of a sweep, and to begin one. Never while a port is called.
    gate: Mutex<()>,
    ended: Condvar,
}

impl Default for Sweeper {
    fn default() -> Sweeper {
        Sweeper::new()
    }
}

impl Sweeper {
    /// A sweeper for a heap that was never collected, with nothing to sweep.
    pub fn new() -> Sweeper {
        Sweeper {
            state: State::new(),
            end: AtomicU32::new(0),
            cursors: [AtomicU64::new(0), AtomicU64::new(0)],
            claims: ClaimBits::new(),
            gate: Mutex::new(()),
            ended: Condvar::new(),
        }
    }

    /// The heap's generation: the word that a span is born with, never 0.
    pub fn generation(&self) -> u32 {
        self.state.load().generation().word()
    }

    /// Whether every span is swept and nobody sweeps; all their writes are visible then.
    pub fn is_done(&self) -> bool {
        self.state.load().is_done()
    }

    /// Makes every span unswept and returns the new generation. Marking has ended: the heap's
    /// marks tell the living.
    ///
    /// Every span begins below `spans_end`. From now on spans are born with the new generation,
    /// anywhere.
    ///
    /// # Panics
    ///
    /// If the former sweep is not done: call [`finish`](Self::finish) first.
    pub fn begin(&self, spans_end: u32) -> u32 {
        let generation = self.advance();
        self.open(spans_end);
        generation
    }

    /// The first half of [`begin`](Self::begin), for a heap whose mutators are told one by one:
    /// moves the generation and lets nobody sweep yet. Until [`open`](Self::open) spans may be
    /// born with either generation, and whoever wants one swept is told [`Outcome::InFlight`].
    ///
    /// # Panics
    ///
    /// If the former sweep is not done: call [`finish`](Self::finish) first.
    pub fn advance(&self) -> u32 {
        // The lock makes a second collector, which should not be, find "not done" below.
        let _gate = lock(&self.gate);
        let now = self.state.load();
        assert!(
            now.is_done() && !now.is_closed(),
            "a sweep begins before the former sweep was done: call `finish` first"
        );
        let generation = now.generation().next();
        self.state.advance(generation);
        generation.word()
    }

    /// The second half of [`begin`](Self::begin): sweeping may start. Nobody allocates from a span
    /// of the former generation any more, and all of those begin below `spans_end`.
    ///
    /// Linear in indexes, of which it clears 512 a cache line; takes memory of a bit an index.
    ///
    /// # Panics
    ///
    /// If there was no [`advance`](Self::advance) before.
    pub fn open(&self, spans_end: u32) {
        let now = self.state.load();
        assert!(
            now.is_closed(),
            "`Sweeper::open` without `Sweeper::advance` before"
        );
        // Relaxed: `open` releases them to each visitor.
        self.end.store(spans_end, Ordering::Relaxed);
        for cursor in &self.cursors {
            // Relaxed: as above.
            cursor.store(0, Ordering::Relaxed);
        }
        self.claims.clear(spans_end);
        self.state.open(now.generation());
    }

    /// Sweeps one span, if that is still to be done: lazy sweeping, for an allocator that is
    /// about to use it.
    ///
    /// Never waits. Runs drop glue if the span has some; an allocator therefore asks for spans
    /// without glue only. A caller who races with [`begin`](Self::begin) may get the answer of
    /// the cycle before; what tells mutators of a new cycle is the heap's handshake.
    ///
    /// # Panics
    ///
    /// Goes on with a panic of the heap's `reclaim`. Panics if the span's word is of no
    /// generation that it can have: a promise of [`SweepSpace`] was broken.
    pub fn sweep_span<S>(&self, space: &S, span: u32) -> Outcome
    where
        S: SweepSpace + ?Sized,
    {
        loop {
            let now = self.state.load();
            let generation = now.generation();
            match generation.standing(space.generation(span)) {
                Standing::NoSpan => return Outcome::NoSpan,
                Standing::Swept => return Outcome::AlreadySwept,
                Standing::Unswept if now.is_closed() => return Outcome::InFlight,
                Standing::Unswept if !now.is_done() => {}
                // A cycle may have begun since the state was read: judge again. If none has, the
                // word is wrong, for in a sweep that is done no span is unswept.
                Standing::Unswept | Standing::Foreign => {
                    let unmoved = self.state.load().generation() == generation;
                    if unmoved {
                        misborn(span, generation);
                    }
                    continue;
                }
            }
            let Some(entered) = self.state.enter(now) else {
                continue;
            };
            let _visit = Visit {
                sweeper: self,
                space,
            };
            if entered.generation() != generation {
                continue;
            }
            // Relaxed: as in `take_batch`.
            if span >= self.end.load(Ordering::Relaxed) {
                misborn(span, generation);
            }
            let (first, place) = (span & !63, 1 << (span % 64));
            let mut claims = Claims::of(space, generation, &self.claims, first, place);
            if claims.len() == 0 {
                return Outcome::InFlight;
            }
            let mut tally = Reclaimed::default();
            space.reclaim(&mut claims, &mut tally);
            return Outcome::Swept(tally);
        }
    }

    /// Takes batches of indexes and sweeps the spans of this kind among them, until `spans_max`
    /// are swept or no index is left.
    ///
    /// A batch once taken is swept whole, so that up to 63 spans more may be swept. Any number of
    /// threads may do so at once; each gets other batches. Never waits.
    ///
    /// # Panics
    ///
    /// Goes on with the first panic of the heap's `reclaim`, after the batch is swept: no span is
    /// skipped because another's drop glue panicked.
    pub fn sweep_batch<S>(&self, space: &S, glue: Glue, spans_max: usize) -> Progress
    where
        S: SweepSpace + ?Sized,
    {
        let mut progress = Progress::default();
        if let Err(payload) = self.visit(space, glue, spans_max, &mut progress) {
            panic::resume_unwind(payload);
        }
        progress
    }

    /// Sweeps all that is left, of both kinds, and waits until nobody sweeps. What this thread
    /// swept is the answer; afterwards [`is_done`](Self::is_done) holds until the next `begin`.
    ///
    /// Must not be called from inside a `reclaim` of the same heap: the span that is being swept
    /// would wait for itself.
    ///
    /// # Panics
    ///
    /// Goes on with the first panic of the heap's `reclaim`, after everything is swept.
    pub fn finish<S>(&self, space: &S) -> Progress
    where
        S: SweepSpace + ?Sized,
    {
        let mut progress = Progress::default();
        let mut panicked = Ok(());
        for glue in [Glue::Without, Glue::With] {
            progress.exhausted = false;
            while !progress.exhausted {
                let visited = self.visit(space, glue, usize::MAX, &mut progress);
                panicked = keep_first(panicked, visited);
            }
        }
        self.wait_until_done();
        if let Err(payload) = panicked {
            panic::resume_unwind(payload);
        }
        progress
    }

    /// One visit: enters, sweeps batches until one panicked or there is no need for more, and
    /// leaves.
    fn visit<S>(
        &self,
        space: &S,
        glue: Glue,
        spans_max: usize,
        progress: &mut Progress,
    ) -> Result<(), Panic>
    where
        S: SweepSpace + ?Sized,
    {
        let Some(entered) = self.state.enter_for(glue) else {
            progress.exhausted = true;
            return Ok(());
        };
        let _visit = Visit {
            sweeper: self,
            space,
        };
        let spans_end = progress.spans_swept.saturating_add(spans_max);
        let mut panicked = Ok(());
        while progress.spans_swept < spans_end && panicked.is_ok() {
            let Some(indexes) = self.take_batch(glue) else {
                self.state.set_taken(glue);
                progress.exhausted = true;
                break;
            };
            let (generation, bits) = (entered.generation(), &self.claims);
            panicked = sweep_indexes(space, generation, bits, glue, indexes, progress);
        }
        panicked
    }

    /// The next batch of indexes; `None` when all were taken. The caller is a visitor.
    fn take_batch(&self, glue: Glue) -> Option<Range<u32>> {
        let cursor = match glue {
            Glue::Without => &self.cursors[0],
            Glue::With => &self.cursors[1],
        };
        // Relaxed: constant while anybody is a visitor, and `enter` acquired it.
        let end = self.end.load(Ordering::Relaxed);
        // Relaxed: that no two get the same batch needs no order, and that the sweep is not done
        // before this batch is swept rests on the state word alone (see `state.rs`).
        let from = cursor.fetch_add(BATCH, Ordering::Relaxed);
        let from = u32::try_from(from).ok().filter(|&from| from < end)?;
        Some(from..end.min(from.saturating_add(BATCH as u32)))
    }

    fn wait_until_done(&self) {
        let mut gate = lock(&self.gate);
        // The last visitor makes the state done and only then takes the lock to notify. So either
        // it is done when we look, or we wait before that visitor gets the lock.
        while !self.state.load().is_done() {
            gate = wait(&self.ended, gate);
        }
    }
}

/// A visitor's presence; settles and leaves when it is dropped, by unwinding too.
struct Visit<'s, S: SweepSpace + ?Sized> {
    sweeper: &'s Sweeper,
    space: &'s S,
}

impl<S: SweepSpace + ?Sized> Drop for Visit<'_, S> {
    fn drop(&mut self) {
        self.space.settle();
        if self.sweeper.state.leave() {
            let _gate = lock(&self.sweeper.gate);
            self.sweeper.ended.notify_all();
        }
    }
}

/// Sweeps those spans of a batch that are of the kind and unclaimed, and returns the first panic
/// at its end.
///
/// Spans without drop glue are claimed all at once and swept then, in one call. With drop glue,
/// whose end nobody knows, they are claimed one by one.
fn sweep_indexes<S>(
    space: &S,
    generation: Generation,
    bits: &ClaimBits,
    glue: Glue,
    indexes: Range<u32>,
    progress: &mut Progress,
) -> Result<(), Panic>
where
    S: SweepSpace + ?Sized,
{
    let mut panicked = Ok(());
    let mut tally = Reclaimed::default();
    let first = indexes.start;
    let mut spans = space.spans(first, glue) & u64::MAX >> (BATCH - indexes.len() as u64);
    while spans != 0 {
        let wanted = match glue {
            Glue::Without => spans,
            Glue::With => spans & spans.wrapping_neg(),
        };
        spans ^= wanted;
        let mut claims = Claims::of(space, generation, bits, first, wanted);
        let mut left = claims.len();
        progress.spans_swept += left;
        while left > 0 {
            // Unwind safe: the claims publish their spans, whose content is the heap's to keep
            // whole.
            let reclaiming = AssertUnwindSafe(|| space.reclaim(&mut claims, &mut tally));
            let before = mem::replace(&mut panicked, Ok(()));
            panicked = keep_first(before, panic::catch_unwind(reclaiming));
            // As long as it took some: what is left is published.
            left = if claims.len() < left { claims.len() } else { 0 };
        }
    }
    progress.add(tally);
    panicked
}

/// The first of two panics. A second payload is leaked: dropping it could panic again.
fn keep_first(first: Result<(), Panic>, second: Result<(), Panic>) -> Result<(), Panic> {
    match (first, second) {
        (Ok(()), second) => second,
        (first, Ok(())) => first,
        (first, Err(payload)) => {
            std::mem::forget(payload);
            first
        }
    }
}
