//! The visitor that marks: what happens at an edge.
//!
//! A [`Tracer`] is compiled for one object model and one kind of sharing, and all of
//! [`visit`](Visitor::visit) is inlined into the loop of a type: where a type's references are of
//! a kind that is known when it is compiled, reporting an edge is "claim the mark, append to that
//! kind's packet". Objects of a noscan kind are marked and go nowhere.
//!
//! A loop's first kind has its packet *at hand* (`near.rs`), where the claims of marks that lie
//! side by side become one. Objects of other kinds are appended to packets in their slots.
//!
//! The append does not branch on the claim's result: it always stores, and advances by the result.
//! That is worth 1.15 times on random graphs, where the result cannot be predicted. (On a plain
//! LIFO the same trick *costs* 1.8 times: there speculation is what overlaps the misses.)

use std::marker::PhantomData;
use std::mem;

use crate::near::Near;
use crate::packet::{Packet, Work};
use crate::port::ObjectModel;
use crate::trace::{Kind, Object, Visitor};
use crate::worker::Local;

/// Objects followed before the worker looks up: other workers may be hungry, a budget spent.
const FOLLOW_MAX: usize = 1024;

/// Whether one worker marks, or many: a type, so that each gets loops of its own.
pub trait Sharing: sealed::Sealed + Sized {
    /// Claims the mark in the way that fits.
    fn claim<M: ObjectModel>(model: &M, object: Object) -> bool;
    /// Claims marks of a word in the way that fits; returns those that were set already.
    fn claim_marks<M: ObjectModel>(model: &M, word: usize, bits: u64) -> u64;
    /// Scans a packet in the way that fits.
    fn scan<M: ObjectModel>(model: &M, packet: Packet<'_>, tracer: &mut Tracer<'_, M, Self>);
    /// Scans a part of a large object in the way that fits.
    fn scan_part<M: ObjectModel>(
        model: &M,
        object: Object,
        kind: Kind,
        part: usize,
        tracer: &mut Tracer<'_, M, Self>,
    );
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Alone {}
    impl Sealed for super::Shared {}
}

/// One worker marks; nobody else touches a mark.
#[derive(Debug)]
pub enum Alone {}

/// Many workers mark, or others claim marks meanwhile.
#[derive(Debug)]
pub enum Shared {}

impl Sharing for Alone {
    #[inline(always)]
    fn claim<M: ObjectModel>(model: &M, object: Object) -> bool {
        model.claim_alone(object)
    }

    #[inline(always)]
    fn claim_marks<M: ObjectModel>(model: &M, word: usize, bits: u64) -> u64 {
        model.claim_marks_alone(word, bits)
    }

    #[inline(always)]
    fn scan<M: ObjectModel>(model: &M, packet: Packet<'_>, tracer: &mut Tracer<'_, M, Alone>) {
        model.scan_alone(packet, tracer);
    }

    #[inline(always)]
    fn scan_part<M: ObjectModel>(
        model: &M,
        object: Object,
        kind: Kind,
        part: usize,
        tracer: &mut Tracer<'_, M, Alone>,
    ) {
        model.scan_part_alone(object, kind, part, tracer);
    }
}

impl Sharing for Shared {
    #[inline(always)]
    fn claim<M: ObjectModel>(model: &M, object: Object) -> bool {
        model.claim(object)
    }

    #[inline(always)]
    fn claim_marks<M: ObjectModel>(model: &M, word: usize, bits: u64) -> u64 {
        // To branch pays here: to write what is written already is a line taken from others.
        if bits == 0 {
            return 0;
        }
        model.claim_marks(word, bits)
    }

    #[inline(always)]
    fn scan<M: ObjectModel>(model: &M, packet: Packet<'_>, tracer: &mut Tracer<'_, M, Shared>) {
        model.scan_shared(packet, tracer);
    }

    #[inline(always)]
    fn scan_part<M: ObjectModel>(
        model: &M,
        object: Object,
        kind: Kind,
        part: usize,
        tracer: &mut Tracer<'_, M, Shared>,
    ) {
        model.scan_part_shared(object, kind, part, tracer);
    }
}

/// The visitor that a scan reports to: marks what it is shown, and queues what must be scanned.
pub struct Tracer<'t, M, S> {
    model: &'t M,
    local: &'t mut Local,
    /// Objects that may be followed before the worker looks up,
    follows_max: usize,
    /// and how many of them are left.
    follows_left: usize,
    /// The open packet that is at hand.
    near: Near,
    sharing: PhantomData<S>,
}

impl<'t, M: ObjectModel, S: Sharing> Tracer<'t, M, S> {
    /// A tracer that follows at most `follows_max` objects, and never very many.
    pub(crate) fn new(model: &'t M, local: &'t mut Local, follows_max: usize) -> Self {
        let follows_max = follows_max.min(FOLLOW_MAX);
        Tracer {
            model,
            local,
            follows_max,
            follows_left: follows_max,
            near: Near::default(),
            sharing: PhantomData,
        }
    }

    /// The object model that is being marked.
    #[inline]
    pub fn model(&self) -> &'t M {
        self.model
    }

    /// Puts a large object off: instead of being scanned now, in one go, it becomes `parts` pieces
    /// of work of their own (oblets), numbered from zero, that other workers may steal.
    ///
    /// For an object of more than about 128 KiB: a part should take about as long as a packet.
    /// Call it from a scan of that object, once. With `parts` zero nothing will be scanned.
    #[inline(always)]
    pub fn defer_parts(&mut self, object: Object, kind: Kind, parts: usize) {
        self.local.queue(Work::Parts {
            object,
            kind,
            parts: 0..parts,
        });
    }

    /// A tracer for the loop over a packet: a value of the loop's own, to live in registers.
    #[inline(always)]
    pub(crate) fn in_loop(&mut self, model: &'t M) -> Tracer<'_, M, S> {
        self.leave();
        Tracer {
            model,
            local: &mut *self.local,
            follows_max: self.follows_max,
            follows_left: self.follows_left,
            near: Near::default(),
            sharing: PhantomData,
        }
    }

    /// The loop is over: returns how many objects may still be followed.
    #[inline(always)]
    pub(crate) fn end_loop(mut self) -> usize {
        self.leave();
        self.follows_left
    }

    /// Counts what a loop has followed.
    #[inline(always)]
    pub(crate) fn set_follows_left(&mut self, follows_left: usize) {
        self.follows_left = follows_left;
    }

    /// Puts the packet at hand back.
    #[inline(always)]
    pub(crate) fn leave(&mut self) {
        if !self.near.is_none() {
            self.near.settle::<M, S>(self.model);
            let near = mem::take(&mut self.near);
            self.local.put_back(near.into_parts());
        }
    }

    /// The next object of a list: see [`Packet::drain`].
    #[inline(always)]
    pub(crate) fn follow(&mut self, kind: Kind) -> Option<Object> {
        let left = self.follows_left.checked_sub(1)?;
        let object = if self.near.is_of(kind) {
            self.near.pop_if_few::<M, S>(self.model)?
        } else {
            self.local.open.pop_if_few(kind)?
        };
        self.follows_left = left;
        Some(object)
    }

    /// Does one item of work and takes its room back.
    pub(crate) fn run(mut self, work: Work) {
        self.run_item(work);
        self.leave();
        self.local.counts.objects += self.follows_max - self.follows_left;
    }

    fn run_item(&mut self, work: Work) {
        match work {
            Work::Packet { kind, len, space } => {
                self.local.counts.packets += 1;
                self.local.counts.objects += len;
                S::scan(self.model, Packet::new(kind, &space[..len]), self);
                self.local.open.recycle(space);
            }
            Work::Mixed(objects) => {
                self.local.counts.packets += 1;
                self.run_mixed(&objects);
                self.local.open.recycle_mixed(objects);
            }
            Work::Parts {
                object,
                kind,
                mut parts,
            } => {
                let Some(part) = parts.next() else {
                    return;
                };
                if !parts.is_empty() {
                    self.local.queue(Work::Parts {
                        object,
                        kind,
                        parts,
                    });
                }
                self.local.counts.parts += 1;
                S::scan_part(self.model, object, kind, part, self);
            }
        }
    }

    fn run_mixed(&mut self, objects: &[(Object, Kind)]) {
        self.local.counts.objects += objects.len();
        for (object, _) in objects.iter().take(crate::PREFETCH_AHEAD) {
            self.model.prefetch(*object);
        }
        for (place, &(object, kind)) in objects.iter().enumerate() {
            if let Some((ahead, _)) = objects.get(place + crate::PREFETCH_AHEAD) {
                self.model.prefetch(*ahead);
            }
            S::scan(self.model, Packet::new(kind, &[object]), self);
        }
    }
}

/// Marks and queues an object whose kind's packet is not at hand.
#[inline(never)]
fn visit_far<M: ObjectModel, S: Sharing>(model: &M, local: &mut Local, object: Object, kind: Kind) {
    let claim = || S::claim(model, object);
    if !local.open.append_if(object, kind, claim) && claim() {
        local.push(object, kind);
    }
}

/// Marks and queues an object where no packet is at hand, or a full one.
///
/// The packet is passed by value and returned: if its address were, it could not be in registers.
#[cold]
#[inline(never)]
fn visit_without_room<M: ObjectModel, S: Sharing>(
    model: &M,
    local: &mut Local,
    mut near: Near,
    object: Object,
    kind: Kind,
) -> Near {
    if near.is_none() {
        let Some(parts) = local.lend(kind) else {
            visit_far::<M, S>(model, local, object, kind);
            return near;
        };
        near = Near::new(model, model.mark_of(object) / 64, parts);
    }
    near.settle::<M, S>(model);
    if near.is_full() {
        // Probably the next packet: its loop would begin with a miss that nothing hides.
        near.head().for_each(|object| model.prefetch(object));
        local.renew(&mut near, kind);
    }
    near.append::<M, S>(model, object);
    near
}

impl<M: ObjectModel, S: Sharing> Visitor for Tracer<'_, M, S> {
    #[inline(always)]
    fn visit(&mut self, object: Object, kind: Kind) {
        let model = self.model;
        if kind.noscan {
            self.local.counts.objects += usize::from(S::claim(model, object));
        } else if self.near.is_of(kind) {
            if !self.near.append::<M, S>(model, object) {
                let near = mem::take(&mut self.near);
                self.near = visit_without_room::<M, S>(model, self.local, near, object, kind);
            }
        } else if self.near.is_none() {
            let near = mem::take(&mut self.near);
            self.near = visit_without_room::<M, S>(model, self.local, near, object, kind);
        } else {
            visit_far::<M, S>(model, self.local, object, kind);
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::PREFETCH_AHEAD;

    /// What a model was asked for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Asked {
        Hint(Object),
        Scan(Object, Kind),
    }

    /// Writes down what it is asked for, and refers to nothing.
    #[derive(Default)]
    struct Scribe(RefCell<Vec<Asked>>);

    // SAFETY: its objects hold no references; each is claimed once, as the test names it once.
    unsafe impl ObjectModel for Scribe {
        fn claim(&self, _object: Object) -> bool {
            true
        }

        fn claim_alone(&self, _object: Object) -> bool {
            true
        }

        fn prefetch(&self, object: Object) {
            self.0.borrow_mut().push(Asked::Hint(object));
        }

        fn scan_alone(&self, packet: Packet<'_>, _tracer: &mut Tracer<'_, Self, Alone>) {
            let scans = packet
                .objects()
                .iter()
                .map(|&o| Asked::Scan(o, packet.kind()));
            self.0.borrow_mut().extend(scans);
        }

        fn scan_shared(&self, _packet: Packet<'_>, _tracer: &mut Tracer<'_, Self, Shared>) {
            unreachable!("one worker marks");
        }
    }

    #[test]
    fn of_a_mixed_packet_each_object_is_hinted_at_and_then_scanned() {
        let kind = |id| Kind { id, noscan: false };
        let objects: Vec<_> = (0..40).map(|id| (Object(100 + id), kind(id))).collect();
        let hint = |&(object, _): &(Object, Kind)| Asked::Hint(object);
        let mut expected: Vec<_> = objects[..PREFETCH_AHEAD].iter().map(hint).collect();
        for (place, &(object, kind)) in objects.iter().enumerate() {
            expected.extend(objects.get(place + PREFETCH_AHEAD).map(hint));
            expected.push(Asked::Scan(object, kind));
        }
        let (model, mut local) = (Scribe::default(), Local::new(0));
        Tracer::<_, Alone>::new(&model, &mut local, 1).run(Work::Mixed(objects));
        assert_eq!(*model.0.borrow(), expected);
        assert_eq!((local.counts.objects, local.counts.packets), (40, 1));
    }
}
