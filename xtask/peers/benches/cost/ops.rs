//! The operations of the heap, each in batches, and the heap on which they run.

use crate::Failure;
use crate::rivals::{self, Rivals};
use peers::Random;
use runtime::{Collector, Gc, GcCell, Locked, Mutator, Root, Runtime, Trace, Weak};
use std::hint::black_box;

/// Operations of one batch.
pub(crate) const BATCH: usize = 4096;
/// Cells of the hot set; objects that cells refer to.
pub(crate) const HOT: usize = 64;
/// Cells of the cold set: 8 MiB.
pub(crate) const COLD: usize = 1 << 20;
/// Objects that every collection has to mark.
const LIVE: usize = 1_000_000;

/// What cells, roots and weak references refer to.
type Leaf = [u64; 2];
/// 64 bytes without references.
type Block = [u64; 8];

/// 32 B with two edges, so that marking takes its time.
#[derive(Trace)]
struct Node<'gc> {
    left: GcCell<'gc, Node<'gc>>,
    right: GcCell<'gc, Node<'gc>>,
    words: [u64; 2],
}

/// The places of one batch after the other: of the hot set round and round, of the cold one in
/// random order.
pub(crate) struct Places {
    hot: Vec<u32>,
    cold: Vec<u32>,
    turn: usize,
}

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            hot: (0..BATCH).map(|at| (at % HOT) as u32).collect(),
            cold: Random::new(3).permutation(COLD),
            turn: 0,
        }
    }

    /// The next batch, and a number that changes from one to the next, so that each stores what
    /// was not there.
    #[inline]
    pub(crate) fn next<const IS_COLD: bool>(&mut self) -> (&[u32], usize) {
        self.turn += 1;
        let places = if IS_COLD {
            let batch = self.turn % (COLD / BATCH);
            &self.cold[batch * BATCH..][..BATCH]
        } else {
            &self.hot
        };
        (places, self.turn)
    }
}

/// The heap, and what the operations need of it.
pub(crate) struct Fixture<C: Collector> {
    pub(crate) mutator: Mutator<C>,
    leaves: Root<[Gc<'static, Leaf>]>,
    weak: Root<[Weak<'static, Leaf>]>,
    hot: Root<[GcCell<'static, Leaf>]>,
    cold: Root<[GcCell<'static, Leaf>]>,
    locked: Root<Locked<Vec<Gc<'static, Leaf>>>>,
    places: Places,
    _live: Root<[Gc<'static, Node<'static>>]>,
}

impl<C: Collector + Default> Fixture<C> {
    pub(crate) fn new() -> Result<Self, Failure> {
        let heap = Runtime::<C>::builder().gc_off().build()?;
        let mut mutator = heap.mutator();
        Ok(mutator.enter(|cx| {
            let leaves: Vec<_> = (0..HOT).map(|n| cx.alloc([n as u64; 2])).collect();
            let weak: Vec<_> = leaves.iter().map(|leaf| cx.downgrade(*leaf)).collect();
            let cells = |len: usize| {
                let cell = |at: usize| GcCell::new(Some(leaves[at % HOT]));
                cx.root(cx.alloc_slice((0..len).map(cell)))
            };
            let node = |_| {
                cx.alloc(Node {
                    left: GcCell::empty(),
                    right: GcCell::empty(),
                    words: [0; 2],
                })
            };
            let nodes: Vec<_> = (0..LIVE).map(node).collect();
            let mut random = Random::new(1);
            for node in &nodes {
                node.left.set(cx, Some(nodes[random.below(LIVE)]));
                node.right.set(cx, Some(nodes[random.below(LIVE)]));
            }
            Fixture {
                mutator: heap.mutator(),
                weak: cx.root(cx.alloc_slice(weak)),
                hot: cells(HOT),
                cold: cells(COLD),
                locked: cx.root(cx.alloc(Locked::new(leaves[..4].to_vec()))),
                leaves: cx.root(cx.alloc_slice(leaves)),
                places: Places::new(),
                _live: cx.root(cx.alloc_slice(nodes)),
            }
        }))
    }
}

/// An operation.
pub(crate) struct Op<C: Collector> {
    pub(crate) name: &'static str,
    /// One batch of it.
    pub(crate) run: fn(&mut Fixture<C>),
    /// What the rival is called.
    pub(crate) beside: &'static str,
    /// One batch of the rival.
    pub(crate) rival: Option<fn(&mut Rivals)>,
}

/// Every operation.
pub(crate) fn all<C: Collector>() -> Vec<Op<C>> {
    let mut ops = places();
    ops.extend(handles());
    ops.push(op(
        "enter and leave",
        enter,
        "store, SeqCst fence, load",
        rivals::fence,
    ));
    ops.push(Op {
        name: "Cx::alloc, 64 B",
        run: alloc,
        beside: "–",
        rival: None,
    });
    ops
}

fn op<C: Collector>(
    name: &'static str,
    run: fn(&mut Fixture<C>),
    beside: &'static str,
    rival: fn(&mut Rivals),
) -> Op<C> {
    Op {
        name,
        run,
        beside,
        rival: Some(rival),
    }
}

/// Those on places inside objects.
fn places<C: Collector>() -> Vec<Op<C>> {
    let (store, load) = ("AtomicPtr::store", "AtomicPtr::load");
    let (hot, cold) = (rivals::store::<false>, rivals::store::<true>);
    let (hot_load, cold_load) = (rivals::load::<false>, rivals::load::<true>);
    vec![
        op("GcCell::set, 64 cells", set::<C, false>, store, hot),
        op("GcCell::set, 1 M cells", set::<C, true>, store, cold),
        op("GcCell::get, 64 cells", get::<C, false>, load, hot_load),
        op("GcCell::get, 1 M cells", get::<C, true>, load, cold_load),
        op(
            "Locked::lock, write, unlock",
            lock,
            "parking_lot::Mutex",
            rivals::lock,
        ),
    ]
}

/// Those on references from elsewhere.
fn handles<C: Collector>() -> Vec<Op<C>> {
    let (arc, weak) = ("Arc::downgrade and drop", "Weak::upgrade and drop");
    vec![
        op(
            "Cx::root and drop",
            root,
            "Arc::clone and drop",
            rivals::clone,
        ),
        op("Cx::downgrade", downgrade, arc, rivals::downgrade),
        op("Weak::upgrade", upgrade, weak, rivals::upgrade),
    ]
}

fn enter<C: Collector>(fixture: &mut Fixture<C>) {
    for at in 0..BATCH {
        fixture.mutator.enter(|cx| {
            black_box(cx);
            black_box(at);
        });
    }
}

fn set<C: Collector, const IS_COLD: bool>(fixture: &mut Fixture<C>) {
    let cells = if IS_COLD { &fixture.cold } else { &fixture.hot };
    let (places, turn) = fixture.places.next::<IS_COLD>();
    fixture.mutator.enter(|cx| {
        let (cells, leaves) = (Gc::get(cells.get(cx)), Gc::get(fixture.leaves.get(cx)));
        for &at in places {
            let leaf = leaves[(at as usize + turn) % HOT];
            cells[at as usize].set(cx, Some(leaf));
        }
    });
}

fn get<C: Collector, const IS_COLD: bool>(fixture: &mut Fixture<C>) {
    let cells = if IS_COLD { &fixture.cold } else { &fixture.hot };
    let (places, _) = fixture.places.next::<IS_COLD>();
    let sum = fixture.mutator.enter(|cx| {
        let cells = Gc::get(cells.get(cx));
        places.iter().fold(0, |sum, &at| {
            let address = cells[at as usize].get().map_or(0, Gc::address);
            sum ^ address
        })
    });
    black_box(sum);
}

fn lock<C: Collector>(fixture: &mut Fixture<C>) {
    fixture.mutator.enter(|cx| {
        let locked = Gc::get(fixture.locked.get(cx));
        let leaves = Gc::get(fixture.leaves.get(cx));
        for at in 0..BATCH {
            locked.lock(cx)[at % 4] = leaves[at % HOT];
        }
    });
}

fn root<C: Collector>(fixture: &mut Fixture<C>) {
    fixture.mutator.enter(|cx| {
        let leaves = Gc::get(fixture.leaves.get(cx));
        for at in 0..BATCH {
            drop(black_box(cx.root(leaves[at % HOT])));
        }
    });
}

fn downgrade<C: Collector>(fixture: &mut Fixture<C>) {
    fixture.mutator.enter(|cx| {
        let leaves = Gc::get(fixture.leaves.get(cx));
        for at in 0..BATCH {
            black_box(cx.downgrade(leaves[at % HOT]));
        }
    });
}

fn upgrade<C: Collector>(fixture: &mut Fixture<C>) {
    fixture.mutator.enter(|cx| {
        let weak = Gc::get(fixture.weak.get(cx));
        for at in 0..BATCH {
            black_box(weak[at % HOT].upgrade(cx));
        }
    });
}

fn alloc<C: Collector>(fixture: &mut Fixture<C>) {
    fixture.mutator.enter(|cx| {
        for at in 0..BATCH {
            let block: Block = [at as u64; 8];
            black_box(cx.alloc(block));
        }
    });
}
