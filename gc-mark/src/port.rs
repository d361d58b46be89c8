//! What the marker asks of a heap: [`ObjectModel`] for its objects, [`Roots`] for where to begin.
//!
//! The marker never follows an [`Object`]: it carries the word from the edge that reported it to
//! the call that scans it. Whether the word is an address or an index, where marks are kept and
//! how an object's references are found is all on the implementer's side of these two traits.
//!
//! Both are called with no lock held. A panic in either ends the marking ([`Aborted`]) and goes no
//! further.
//!
//! [`Aborted`]: crate::Aborted

use crate::packet::Packet;
use crate::trace::{Kind, Object, Visitor};
use crate::tracer::{Alone, Shared, Tracer};

/// A heap's objects, as the marker needs them: claim a mark, scan a packet of objects.
///
/// A model whose [`claim`](Self::claim) is sound between threads is `Sync`, and can then be marked
/// by many workers ([`Marker::round`]). A heap of one thread need not be: [`Marker::mark`] and
/// [`Marker::mark_some`] call the `_alone` half only.
///
/// [`Marker::round`]: crate::Marker::round
/// [`Marker::mark`]: crate::Marker::mark
/// [`Marker::mark_some`]: crate::Marker::mark_some
///
/// # Safety
///
/// The marker's promise to the heap is that after a drained round every object reachable from the
/// roots is marked, so that what is unmarked may be freed. It holds only if:
///
/// * An object's mark stays set from the claim that set it until the cycle is over, and of all
///   claims of one object in a cycle (by all four methods together) exactly one is won.
/// * Two objects have two marks ([`mark_of`](Self::mark_of)), and an object's stays the same.
/// * The scan calls report *every* reference of *every* object of the packet to the tracer, or
///   hand the object to [`Tracer::defer_parts`]; the parts of an object together report every
///   reference of it.
/// * A reference is reported with the kind that its object has, and two objects of one
///   [`Kind::id`] may be scanned by the same loop.
/// * An object stays valid, and its kind the same, while the cycle lasts.
pub unsafe trait ObjectModel: Sized {
    /// Marks the object: true for exactly one caller a cycle. Called by many workers at once.
    ///
    /// A relaxed test followed by a relaxed `fetch_or` is enough for the marker: the winner hands
    /// the object on through queues that synchronize, and the losers never look at it. What the
    /// *scan* reads needs its own ordering: if mutators publish new objects while the marker runs,
    /// the load of the reference in the scan is the one that must acquire.
    fn claim(&self, object: Object) -> bool;

    /// As [`claim`](Self::claim), where no other worker marks: no atomic read-modify-write needed.
    fn claim_alone(&self, object: Object) -> bool;

    /// The number of the object's mark, if marks are bits of words: mark `n` is bit `n % 64` of
    /// word `n / 64`. As provided, and then so are the next three, an object's word is its number
    /// and marks are claimed one by one.
    ///
    /// Objects that are met one after another are then claimed together if their marks lie in one
    /// word. With a claim an object, a heap in order takes half as long again to mark.
    #[inline(always)]
    fn mark_of(&self, object: Object) -> usize {
        object.0
    }

    /// The marks of a word that are set, or some of them: only of a word that
    /// [`mark_of`](Self::mark_of) has told.
    #[inline(always)]
    fn marks(&self, word: usize) -> u64 {
        let _ = word;
        0
    }

    /// As [`claim`](Self::claim) for each mark in `bits`, all of one word; returns those that were
    /// set already.
    #[inline]
    fn claim_marks(&self, word: usize, bits: u64) -> u64 {
        lost(word, bits, |object| self.claim(object))
    }

    /// As [`claim_marks`](Self::claim_marks), where no other worker marks. `bits` may be zero.
    #[inline]
    fn claim_marks_alone(&self, word: usize, bits: u64) -> u64 {
        lost(word, bits, |object| self.claim_alone(object))
    }

    /// Hints that the object, already marked, will be scanned soon. May do nothing.
    ///
    /// Used where objects of many kinds share a packet, and for the first objects of one that will
    /// probably be the next; the loop over one kind brings its own hint ([`Packet::drain`]).
    fn prefetch(&self, object: Object);

    /// Scans the objects of one packet, all of one kind; one worker marks.
    ///
    /// One call a packet, so this is the place to dispatch on `packet.kind()` to a loop that was
    /// compiled for the type, around [`Packet::drain`].
    fn scan_alone(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Alone>);

    /// As [`scan_alone`](Self::scan_alone), where many workers mark.
    fn scan_shared(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Shared>);

    /// Scans one part of an object that a scan gave to [`Tracer::defer_parts`].
    ///
    /// # Panics
    ///
    /// As provided: a model that defers parts must say how to scan one.
    fn scan_part_alone(
        &self,
        object: Object,
        kind: Kind,
        part: usize,
        tracer: &mut Tracer<'_, Self, Alone>,
    ) {
        let _ = tracer;
        panic!("part {part} of {object:?} ({kind:?}) was deferred by a model without scan_part");
    }

    /// As [`scan_part_alone`](Self::scan_part_alone), where many workers mark.
    ///
    /// # Panics
    ///
    /// As provided, like `scan_part_alone`.
    fn scan_part_shared(
        &self,
        object: Object,
        kind: Kind,
        part: usize,
        tracer: &mut Tracer<'_, Self, Shared>,
    ) {
        let _ = tracer;
        panic!("part {part} of {object:?} ({kind:?}) was deferred by a model without scan_part");
    }
}

/// Claims objects by their numbers: the marks that were set already.
#[inline]
fn lost(word: usize, bits: u64, claim: impl Fn(Object) -> bool) -> u64 {
    let mut left = bits;
    let mut lost = 0;
    while left != 0 {
        let bit = left.trailing_zeros();
        left &= left - 1;
        lost |= u64::from(!claim(Object(word * 64 + bit as usize))) << bit;
    }
    lost
}

/// Where marking begins: references from outside of the heap, in independent jobs.
///
/// # Safety
///
/// The jobs `0..jobs()` together report every root of the round, with the kind that each object
/// has. (What is a root is the heap's affair: stacks and tables at first, later the logs of what
/// mutators have overwritten meanwhile.)
pub unsafe trait Roots {
    /// The number of jobs. Asked once a round, before the first job.
    fn jobs(&self) -> usize;

    /// Reports the roots of one job. Each job is asked for once a round, by any worker.
    fn scan<V: Visitor>(&self, job: usize, visitor: &mut V);
}

/// No roots: a round that takes up what an earlier one left queued.
// SAFETY: there are no jobs, so there is nothing to report.
unsafe impl Roots for () {
    fn jobs(&self) -> usize {
        0
    }

    fn scan<V: Visitor>(&self, _job: usize, _visitor: &mut V) {}
}

/// A slice of references is one job.
// SAFETY: the only job reports every element, with the kind it was given.
unsafe impl Roots for [(Object, Kind)] {
    fn jobs(&self) -> usize {
        1
    }

    fn scan<V: Visitor>(&self, _job: usize, visitor: &mut V) {
        for &(object, kind) in self {
            visitor.visit(object, kind);
        }
    }
}
