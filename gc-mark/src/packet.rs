//! The unit of mark work: a packet of objects of one kind, and what else can be queued.
//!
//! An object is queued after its mark was won, in the open packet of its kind; a full packet
//! goes to the worker's deque, so that a queue operation is paid once for 256 objects and a
//! stolen packet is worth the theft. It is scanned front to back with the object 16 places ahead
//! prefetched: with that many misses in flight a marker runs near the memory's own speed.
//!
//! 256 and 16 are measured (2 M to 40 M nodes of 32 B, random edges, Zen 4): packets of 64 or a
//! distance of 8 cost 1.6 to 1.8 times as much, because the pipeline of misses is drained at each
//! packet's end; more of either gains nothing there, and 32 costs a tenth. A tree whose parents
//! were made after their children, where an object takes a quarter of the time, gains a tenth by a
//! prefetch of the object 48 places ahead; so that one is made where numbers say it is near.

use std::ops::Range;

use crate::port::ObjectModel;
use crate::trace::{Kind, Object};
use crate::tracer::{Sharing, Tracer};

/// Objects in a full packet.
#[cfg(not(heapwright_loom))]
pub const PACKET_OBJECTS: usize = 256;
/// Objects in a full packet (of the model: full packets must be few steps away).
#[cfg(heapwright_loom)]
pub const PACKET_OBJECTS: usize = 2;

/// How many objects ahead of the one being scanned [`Packet::drain`] prefetches.
pub const PREFETCH_AHEAD: usize = 16;
/// How many objects ahead it prefetches as well, if objects lie in order: these take so little time
/// each that 16 of them pass before a line is there.
const PREFETCH_FAR: usize = 48;
/// Objects whose numbers differ by less than this, the later one's being greater, lie in order.
const FAR_BELOW: usize = 64 * 1024;

/// Objects of one kind, marked and waiting to be scanned.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'p> {
    kind: Kind,
    objects: &'p [Object],
}

impl<'p> Packet<'p> {
    pub(crate) fn new(kind: Kind, objects: &'p [Object]) -> Packet<'p> {
        Packet { kind, objects }
    }

    /// The kind of every object in the packet.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The objects, for a model that wants a loop of its own instead of [`drain`](Self::drain).
    #[inline]
    pub fn objects(&self) -> &'p [Object] {
        self.objects
    }

    /// Scans the packet: `scan` once for each object, front to back, and `prefetch` for each
    /// object [`PREFETCH_AHEAD`] places before that, and for some still earlier.
    ///
    /// Afterwards, as long as the worker's open packet of this kind holds fewer than four objects,
    /// these are scanned too, newest first: a list is followed from node to node without a
    /// packet's cost a node.
    ///
    /// Both closures are inlined here, so that a call with a type's trace function in `scan` is
    /// the loop compiled for that type.
    #[inline]
    pub fn drain<M, S, P, F>(self, tracer: &mut Tracer<'_, M, S>, prefetch: P, scan: F)
    where
        M: ObjectModel,
        S: Sharing,
        P: FnMut(Object),
        F: FnMut(Object, &mut Tracer<'_, M, S>),
    {
        let left = self.run(tracer.model(), tracer, prefetch, scan);
        tracer.set_follows_left(left);
    }

    /// The loop. A function of its own with the model among its arguments, so that the compiler
    /// knows that no store in the loop changes the model, and loads its fields once.
    #[inline(never)]
    fn run<'t, M, S, P, F>(
        self,
        model: &'t M,
        tracer: &mut Tracer<'t, M, S>,
        mut prefetch: P,
        mut scan: F,
    ) -> usize
    where
        M: ObjectModel,
        S: Sharing,
        P: FnMut(Object),
        F: FnMut(Object, &mut Tracer<'_, M, S>),
    {
        let mut tracer = tracer.in_loop(model);
        for &object in self.objects.iter().take(PREFETCH_AHEAD) {
            prefetch(object);
        }
        let mut windows = self.objects.windows(PREFETCH_FAR + 1);
        let tail = self.objects.len().saturating_sub(PREFETCH_FAR);
        let mut tail = self.objects[tail..].iter();
        loop {
            // One loop for all, so that `scan` is called, and inlined, in one place.
            let object = if let Some(window) = windows.next() {
                let (object, far) = (window[0], window[PREFETCH_FAR]);
                prefetch(window[PREFETCH_AHEAD]);
                if far.0.wrapping_sub(object.0) < FAR_BELOW {
                    prefetch(far);
                }
                object
            } else if let Some(&object) = tail.next() {
                if let Some(&ahead) = tail.as_slice().get(PREFETCH_AHEAD - 1) {
                    prefetch(ahead);
                }
                object
            } else if let Some(object) = tracer.follow(self.kind) {
                object
            } else {
                break;
            };
            scan(object, &mut tracer);
        }
        tracer.end_loop()
    }
}

/// The space of a packet: [`PACKET_OBJECTS`] words, or none yet.
pub(crate) type Space = Box<[Object]>;

/// One item of a deque.
pub(crate) enum Work {
    /// The first `len` objects of `space`, all of one kind.
    Packet {
        kind: Kind,
        len: usize,
        space: Space,
    },
    /// Objects of many kinds, each with its own.
    Mixed(Vec<(Object, Kind)>),
    /// Parts of one large object.
    Parts {
        object: Object,
        kind: Kind,
        parts: Range<usize>,
    },
}
