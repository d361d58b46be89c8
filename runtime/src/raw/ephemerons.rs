//! Ephemerons as the collector sees them: pairs whose value is alive if the pair and its key are.
//!
//! A pair is an object of its own, an [`EphemeronCell`], which reports nothing to the marker.
//! Cells are listed by the mutators that make them, as weak cells are. When marking seems to be
//! over, the list is *resolved*: the values of marked cells with marked keys are marked, and what
//! they reach, until there is no such value that is not marked.
//!
//! # Why that is linear
//!
//! Marking a value may mark the key of another pair, and in a chain of pairs each release the
//! next: looking at the whole list once for each would be quadratic. So a round of marking that
//! begins with a resolution carries a table ([`Waiting`]) from each unmarked key, and each
//! unmarked cell, to the cells that wait for it. Whoever marks an object in that round looks it
//! up, and if cell and key are marked then, the value joins the same round. Two markers that mark
//! cell and key at the same moment may both miss the other's mark; so the list is looked at again
//! after the round, and the value is found then. That costs a look, not an object.
//!
//! # Why nothing is missed beside the mutators
//!
//! A mutator that takes a value out of a pair *upgrades* it, like the target of a weak reference:
//! while marking lasts an unmarked value is logged, and opens the [gate](super::weak_gate) if that
//! is closing. Overwriting takes the old value out in the same way, and before it is gone. What a
//! closure holds is therefore marked, logged, or reachable from such without the help of any pair,
//! and the proof of [`crate::beside`] holds as it stands for all that is reachable without them.
//! Now let a wave that began at S be clean, let the list be looked at after it and hold no unmarked
//! value of a marked cell with a marked key, and let the gate then go from closing to clearing.
//!
//! * At S all that is held, or reachable without pairs from what is marked, is marked. Nobody
//!   marks until the look but by allocating, so the marked objects of S are those of the look.
//! * Every cell that existed at S was listed when the look began: its mutator has handed it over
//!   at the latest when it acknowledged the wave. A newer cell is black, and its key and its value
//!   are held by a mutator after S, hence marked.
//! * Suppose that at S the value v of a marked cell with a marked key is not marked. At the look
//!   it is not there any more, or it would have been found. So it was overwritten in between,
//!   and whoever did so upgraded an unmarked value first, after S, and opened the gate: it cannot
//!   have gone to clearing. (Whoever upgraded it before S had logged it at S, and the wave was not
//!   clean.) So there is no such v, and what is marked at S is closed under
//!   references and under pairs.
//! * While the gate is clearing, the value of a pair whose key is held was marked at the look, or
//!   was stored since, by a mutator that held it: it is marked, and upgrading it succeeds.
//!
//! A cell is cleared when its key is not marked at the end, before anything is swept. Nobody can
//! take its value out by then, since that takes the key; so the value may go in the same sweep.

use crate::ports::mark::MarkModel;
use crate::raw::core::Core;
use crate::raw::log::Entry;
use crate::raw::object_type::{ObjectType, address_of, kind_of, object_at};
use crate::sync::{AtomicPtr, Mutex, Ordering, load_visible_ptr, lock};
use alloc_core::TypeInfo;
use gc_mark::{Object, Roots, Visitor};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// The object behind an ephemeron.
pub(crate) struct EphemeronCell {
    /// Null once it was found dead.
    pub(crate) key: AtomicPtr<u8>,
    value: AtomicPtr<u8>,
    value_info: &'static TypeInfo,
}

impl EphemeronCell {
    pub(crate) fn new(key: NonNull<u8>, value: NonNull<u8>, value_info: &'static TypeInfo) -> Self {
        Self {
            key: AtomicPtr::new(key.as_ptr()),
            value: AtomicPtr::new(value.as_ptr()),
            value_info,
        }
    }

    /// The key, unless it was found dead.
    pub(crate) fn key(&self) -> Option<NonNull<u8>> {
        // Relaxed: never changes but to null, by the collector; who reads it late judges by the
        // mark.
        NonNull::new(self.key.load(Ordering::Relaxed))
    }

    /// The value, if `take` lets the caller have it, who holds the key. `take` is shown what may be
    /// null, and upgrades what is not, as the target of a weak reference.
    pub(crate) fn get<T>(&self, take: impl Fn(*mut u8) -> Option<T>) -> Option<T> {
        // Acquire: pairs with the Release in `swap`; the value is seen as it was when stored.
        let mut value = self.value.load(Ordering::Acquire);
        loop {
            if let Some(found) = take(value) {
                return Some(found);
            }
            // Acquire: as above.
            let again = self.value.load(Ordering::Acquire);
            if again == value {
                return None;
            }
            // Replaced by another mutator since it was read, and found dead for that.
            value = again;
        }
    }

    /// Replaces the value, for one who holds the key; `take` as for [`Self::get`], and it is shown
    /// the old value even if nobody wants that: others may have taken it out.
    ///
    /// It is taken *before* it is replaced. Else the collector could find the pair empty in
    /// between, and close the gate over a value whose key is held.
    pub(crate) fn swap<T>(&self, new: *mut u8, take: impl Fn(*mut u8) -> Option<T>) -> Option<T> {
        // Acquire: as in `get`. Visible, so that a model tries who else looks on either side of the
        // exchange.
        let mut old = load_visible_ptr(&self.value);
        loop {
            let taken = take(old);
            // AcqRel: Release pairs with the Acquire in `get` and `value`. Acquire, both: as in
            // `get`, for what was there.
            let (order, on_failure) = (Ordering::AcqRel, Ordering::Acquire);
            match self.value.compare_exchange(old, new, order, on_failure) {
                Ok(_) => return taken,
                Err(replaced) => old = replaced,
            }
        }
    }

    /// The value as the marker knows it.
    fn value(&self) -> Option<Entry> {
        // Acquire: pairs with the Release of `swap`; what it stored is initialised.
        let value = NonNull::new(self.value.load(Ordering::Acquire))?;
        Some((object_at(value), kind_of(self.value_info)))
    }
}

// SAFETY: holds its key weakly, and its value too, as far as the marker's walk is concerned: it
// reports nothing, and is cleared before either is freed.
unsafe impl ObjectType for EphemeronCell {
    const SIZE: usize = size_of::<Self>();
    const ALIGN: usize = align_of::<Self>();
    const NOSCAN: bool = true;
    const NEEDS_DROP: bool = false;

    unsafe fn trace<V: Visitor>(_object: NonNull<u8>, _visitor: &mut V) {}

    unsafe fn drop(_object: NonNull<u8>) {}
}

/// A cell's pair, and the cell, as the collector judges them.
struct Pair {
    cell: Object,
    key: Object,
    value: Entry,
}

/// The ephemerons of a heap: all cells that were made and handed over and not found dead.
#[derive(Debug, Default)]
pub(crate) struct EphemeronList {
    cells: Mutex<Vec<usize>>,
}

impl EphemeronList {
    /// Takes over cells that a mutator has made.
    pub(crate) fn add(&self, cells: &mut Vec<usize>) {
        if !cells.is_empty() {
            lock(&self.cells).append(cells);
        }
    }

    /// How many cells there are, those apart that mutators have not handed over.
    pub(crate) fn len(&self) -> usize {
        lock(&self.cells).len()
    }

    /// Calls `act` with each cell, with no lock held, and forgets those that it answers false for.
    fn retain(&self, mut act: impl FnMut(Object, &EphemeronCell) -> bool) {
        let mut cells = std::mem::take(&mut *lock(&self.cells));
        cells.retain(|&cell| {
            let object = Object(cell);
            // SAFETY: listed since it was initialised; a cell leaves the list before it is freed.
            act(object, unsafe { address_of(object).cast().as_ref() })
        });
        let mut listed = lock(&self.cells);
        cells.append(&mut listed);
        *listed = cells;
    }

    /// Calls `act` with each pair whose value is not marked.
    fn for_each_unmarked(&self, is_marked: impl Fn(Object) -> bool, mut act: impl FnMut(Pair)) {
        self.retain(|object, cell| {
            let Some((key, value)) = cell.key().zip(cell.value()) else {
                return true;
            };
            if !is_marked(value.0) {
                act(Pair {
                    cell: object,
                    key: object_at(key),
                    value,
                });
            }
            true
        });
    }

    /// The values that must be marked now: of marked cells with marked keys.
    pub(crate) fn ready(&self, is_marked: impl Fn(Object) -> bool) -> Vec<Entry> {
        let mut ready = Vec::new();
        self.for_each_unmarked(&is_marked, |pair| {
            if is_marked(pair.cell) && is_marked(pair.key) {
                ready.push(pair.value);
            }
        });
        ready
    }

    /// What the others wait for, while nobody marks.
    pub(crate) fn waiting(&self, is_marked: impl Fn(Object) -> bool) -> Waiting {
        let mut waiting = Waiting::default();
        self.for_each_unmarked(&is_marked, |pair| {
            for awaited in [pair.cell, pair.key] {
                if !is_marked(awaited) {
                    waiting.add(awaited, pair.cell);
                }
            }
        });
        waiting
    }

    /// Forgets the cells that are not marked, unless `keep_cells`, and clears those whose key is
    /// not. One whose value is not marked in spite of its key, because a collector did not ask,
    /// loses it.
    ///
    /// # Safety
    ///
    /// Marking is over, nothing has been swept since, and mutators that do not know so judge keys
    /// and values by their marks.
    pub(crate) unsafe fn clear_dead(&self, is_marked: impl Fn(Object) -> bool, keep_cells: bool) {
        self.retain(|object, cell| {
            let lives = is_marked(object);
            if !lives && !keep_cells {
                return false;
            }
            let Some(key) = cell.key() else {
                return false;
            };
            let is_kept = |entry: Entry| !lives || is_marked(entry.0);
            if is_marked(object_at(key)) && cell.value().is_none_or(is_kept) {
                return true;
            }
            // Relaxed, both: as for weak cells.
            cell.key.store(null_mut(), Ordering::Relaxed);
            cell.value.store(null_mut(), Ordering::Relaxed);
            false
        });
    }

    /// The slow, obvious way, for checks: the values that `seen` says are not reachable and should
    /// be, since their cell and their key are.
    pub(crate) fn reachable(&self, seen: impl Fn(Object) -> bool) -> Vec<Entry> {
        let mut found = Vec::new();
        self.retain(|object, cell| {
            if let Some((key, value)) = cell.key().zip(cell.value())
                && seen(object)
                && seen(object_at(key))
                && !seen(value.0)
            {
                found.push(value);
            }
            true
        });
        found
    }
}

/// Spreads addresses over a table: a multiplication, Knuth's, of which the high bits are good.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|&byte| self.write_usize(usize::from(byte)));
    }

    fn write_usize(&mut self, word: usize) {
        let mixed = (self.0 ^ word as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// A table by address.
pub(crate) type ByAddress<T> = HashMap<usize, T, BuildHasherDefault<AddressHasher>>;

/// No link.
const NONE: u32 = u32::MAX;

/// Cells that wait for an object to be marked, for one round of marking.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// For each unmarked cell or key the first of the links.
    first: ByAddress<u32>,
    /// A cell, and the next link.
    links: Vec<(Object, u32)>,
    /// Values whose cell and key were marked in this round.
    released: Mutex<Vec<Entry>>,
}

impl Waiting {
    fn add(&mut self, awaited: Object, cell: Object) {
        let link = self.links.len() as u32;
        let next = self.first.insert(awaited.0, link).unwrap_or(NONE);
        self.links.push((cell, next));
    }

    /// Somebody has just marked `object`.
    #[cold]
    #[inline(never)]
    pub(crate) fn note(&self, object: Object, is_marked: impl Fn(Object) -> bool) {
        let mut link = self.first.get(&object.0).copied();
        while let Some(&(cell, next)) = link.and_then(|link| self.links.get(link as usize)) {
            // SAFETY: listed when the round began, and nothing is freed before its end.
            let pair = unsafe { address_of(cell).cast::<EphemeronCell>().as_ref() };
            if let Some((key, value)) = pair.key().zip(pair.value())
                && is_marked(cell)
                && is_marked(object_at(key))
            {
                lock(&self.released).push(value);
            }
            link = Some(next);
        }
    }

    /// Visits the values that were released, and those that visiting them releases.
    pub(crate) fn visit_released<V: Visitor>(&self, visitor: &mut V) {
        loop {
            let Some((object, kind)) = lock(&self.released).pop() else {
                return;
            };
            visitor.visit(object, kind);
        }
    }
}

/// Values to begin a round with, and what they release.
pub(crate) struct Released {
    ready: Vec<Entry>,
    waiting: Arc<Waiting>,
}

impl Released {
    /// A round in which `model` is to mark; `None` if no value is ready.
    pub(crate) fn round(core: &Core, model: &mut MarkModel) -> Option<Self> {
        model.waiting = None;
        let released = Self::of(&core.ephemerons, |object| core.is_marked(object))?;
        model.waiting = Some(released.waiting.clone());
        Some(released)
    }

    /// What a round begins with, while nobody marks; `None` if no value is ready.
    pub(crate) fn of(list: &EphemeronList, is_marked: impl Fn(Object) -> bool) -> Option<Self> {
        let ready = list.ready(&is_marked);
        if ready.is_empty() {
            return None;
        }
        let waiting = Arc::new(list.waiting(is_marked));
        Some(Self { ready, waiting })
    }

    /// What whoever marks in the round looks an object up in.
    #[cfg(all(test, heapwright_loom))]
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Values of a job.
    const JOB: usize = 1024;
}

// SAFETY: each entry is in one job, with the kind that it was allocated with.
unsafe impl Roots for Released {
    fn jobs(&self) -> usize {
        self.ready.len().div_ceil(Self::JOB)
    }

    fn scan<V: Visitor>(&self, job: usize, visitor: &mut V) {
        let entries = self.ready.chunks(Self::JOB).nth(job);
        for &(object, kind) in entries.unwrap_or_default() {
            visitor.visit(object, kind);
        }
        self.waiting.visit_released(visitor);
    }
}
