//! What the soak's threads do: each comes, works for a while, and goes.

use crate::common::{Drops, Random};
use crate::graph::{Model, reachable, tokens};
use crate::heap_program::run_input;
use crate::packages::Packages;
use runtime::{Gc, GcCell, Heap, Mutator, Root, Trace};
use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Messages that are there at once.
const RING: usize = 8_192;
/// Nodes of the largest graph.
const NODES_MAX: usize = 20_000;
/// After so many steps a random program begins anew, so that its twin stays small.
const STEPS: usize = 3_000;
/// Bytes of a random program at most.
const PROGRAM_MAX: usize = 600;

/// What all threads count.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) made: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
    /// Allocations that failed as values, and panics of calls that have no other way to say it.
    pub(crate) refused: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) graphs: AtomicU64,
    /// Answers about packages that were judged, and packages that were replaced.
    pub(crate) answers: AtomicU64,
    pub(crate) replaced: AtomicU64,
    pub(crate) steps: AtomicU64,
    pub(crate) programs: AtomicU64,
    pub(crate) threads: AtomicU64,
    /// The longest closure of the ring, in nanoseconds.
    pub(crate) slowest: AtomicU64,
}

pub(crate) fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Ordering::Relaxed);
}

/// What a soak's threads share.
pub(crate) struct Common {
    pub(crate) heap: Heap,
    pub(crate) counts: Arc<Counts>,
    pub(crate) packages: Packages,
    pub(crate) is_over: AtomicBool,
}

/// Counts an object, and tells a living one.
#[derive(Trace)]
#[trace(noscan)]
struct Tracked {
    id: u64,
    check: AtomicU64,
    counts: Arc<Counts>,
}

impl Tracked {
    fn new(id: u64, counts: &Arc<Counts>) -> Self {
        counts.made.fetch_add(1, Ordering::Relaxed);
        Self {
            id,
            check: AtomicU64::new(!id),
            counts: counts.clone(),
        }
    }

    fn assert_alive(&self, id: u64) {
        let check = self.check.load(Ordering::Relaxed);
        assert_eq!((self.id, check), (id, !id), "freed, and reachable");
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let check = self.check.swap(0, Ordering::Relaxed);
        assert_eq!(check, !self.id, "dropped, and was not alive");
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Trace)]
struct Message {
    tracked: Tracked,
    words: [u64; 12],
}

#[derive(Trace)]
struct Node<'gc> {
    tracked: Tracked,
    next: GcCell<'gc, Node<'gc>>,
    others: [GcCell<'gc, Node<'gc>>; 2],
}

/// One thread after the other, until the time is over.
pub(crate) fn keep_coming(common: &Common, seed: u64, work: fn(&Common, &mut Random, Instant)) {
    let mut random = Random::new(seed);
    while !common.is_over.load(Ordering::Relaxed) {
        let until = Instant::now() + Duration::from_millis(50 + random.below(500) as u64);
        let mut own = Random::new(random.next());
        let thread = std::thread::scope(|scope| {
            let thread = scope.spawn(|| work(common, &mut own, until));
            thread.join()
        });
        thread.unwrap_or_else(|payload| resume_unwind(payload));
        add(&common.counts.threads, 1);
    }
}

pub(crate) fn goes_on(common: &Common, until: Instant) -> bool {
    Instant::now() < until && !common.is_over.load(Ordering::Relaxed)
}

/// The latency ring: each message takes the place of the one that came `RING` before.
pub(crate) fn ring(common: &Common, _: &mut Random, until: Instant) {
    let counts = &common.counts;
    let mut mutator = common.heap.mutator_named("ring");
    let made = mutator.enter(|cx| {
        let slots = (0..RING).map(|_| GcCell::<Message>::empty());
        cx.try_alloc_slice(slots).ok().map(|ring| cx.root(ring))
    });
    let Some(root) = made else {
        return add(&counts.refused, 1);
    };
    let mut ids = vec![0_u64; RING];
    let mut number = 0;
    while goes_on(common, until) {
        let start = Instant::now();
        mutator.enter(|cx| {
            let ring = root.get(cx);
            for _ in 0..64 {
                number += 1;
                let at = number as usize % RING;
                let old = ring[at].get();
                assert_eq!(old.is_some(), ids[at] != 0);
                if let Some(old) = old {
                    old.tracked.assert_alive(ids[at]);
                    assert_eq!(old.words, [ids[at]; 12]);
                }
                let fresh = cx.try_alloc(Message {
                    tracked: Tracked::new(number, counts),
                    words: [number; 12],
                });
                add(&counts.refused, u64::from(fresh.is_err()));
                ids[at] = if fresh.is_ok() { number } else { 0 };
                ring[at].set(cx, fresh.ok());
            }
        });
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        counts.slowest.fetch_max(nanoseconds, Ordering::Relaxed);
        add(&counts.messages, 64);
    }
}

/// Cyclic graphs, of which some are kept for a while.
pub(crate) fn churn(common: &Common, random: &mut Random, until: Instant) {
    let mut mutator = common.heap.mutator_named("churn");
    let mut kept: Vec<(u64, Root<Node<'static>>)> = Vec::new();
    while goes_on(common, until) {
        let len = 2 + random.below(NODES_MAX) as u64;
        match graph(common, random, &mut mutator, len) {
            Some(root) => kept.push((len, root)),
            None => {
                add(&common.counts.refused, 1);
                mutator.collect().expect("no trace panics");
            }
        }
        if kept.len() > 3 {
            kept.swap_remove(random.below(kept.len()));
        }
        for (len, root) in &kept {
            mutator.enter(|cx| {
                let mut node = root.get(cx);
                for id in 0..*len {
                    node.tracked.assert_alive(id);
                    node = node.next.get().expect("a ring has no end");
                }
                node.tracked.assert_alive(0);
            });
        }
        add(&common.counts.graphs, 1);
    }
}

/// A ring of nodes, with edges across; `None` if the memory does not reach for all.
fn graph(
    common: &Common,
    random: &mut Random,
    mutator: &mut Mutator,
    len: u64,
) -> Option<Root<Node<'static>>> {
    mutator.enter(|cx| {
        let node = |id| {
            let node = cx.try_alloc(Node {
                tracked: Tracked::new(id, &common.counts),
                next: GcCell::empty(),
                others: Default::default(),
            });
            node.ok()
        };
        let first = node(0)?;
        let mut nodes: Vec<Gc<'_, Node<'_>>> = vec![first];
        for id in 1..len {
            let fresh = node(id)?;
            nodes[id as usize - 1].next.set(cx, Some(fresh));
            let far = nodes[random.below(nodes.len())];
            fresh.others[0].set(cx, Some(far));
            far.others[1].set(cx, Some(fresh));
            nodes.push(fresh);
        }
        nodes[nodes.len() - 1].next.set(cx, Some(first));
        Some(cx.root(first))
    })
}

/// A random program beside its twin, on the heap that all share.
pub(crate) fn program(common: &Common, random: &mut Random, until: Instant) {
    let drops = Drops::default();
    let mut model = Model::new(random.next(), 1, &drops, true);
    let mut mutator = common.heap.mutator_named("program");
    let mut taken = 0;
    while goes_on(common, until) {
        let steps = 1 + random.below(40);
        let closure = AssertUnwindSafe(|| {
            mutator.enter(|cx| (0..steps).for_each(|_| model.step(cx)));
        });
        if let Err(payload) = catch_unwind(closure) {
            assert!(is_exhaustion(&*payload), "another panic");
            add(&common.counts.refused, 1);
        }
        add(&common.counts.steps, steps as u64);
        taken += steps;
        if taken > STEPS {
            end(&mut mutator, &mut model, &drops);
            taken = 0;
        }
        match random.below(64) {
            0 => mutator = common.heap.mutator(),
            1..5 => mutator.enter(|cx| model.verify(cx)),
            _ => {}
        }
    }
    end(&mut mutator, &mut model, &drops);
}

/// A random program's graph is as its twin says, and goes.
fn end(mutator: &mut Mutator, model: &mut Model, drops: &Drops) {
    mutator.enter(|cx| model.verify(cx));
    compare(mutator, model, drops);
    model.drop_roots();
    compare(mutator, model, drops);
    assert_eq!(drops.totals(), (0, 0), "tokens that are left");
}

/// What was dropped is what the twin says is unreachable.
fn compare(mutator: &mut Mutator, model: &mut Model, drops: &Drops) {
    mutator.collect().expect("no trace panics");
    let living = reachable(&[model]);
    let (all, kept) = tokens(&[model], &living);
    let expected: BTreeSet<u64> = all.difference(&kept).copied().collect();
    assert!(drops.take_dropped() == expected, "dropped, and unreachable");
    model.settle(&living);
}

/// Byte strings as programs, each on a heap of its own.
pub(crate) fn strings(common: &Common, random: &mut Random, until: Instant) {
    while goes_on(common, until) {
        let len = 20 + random.below(PROGRAM_MAX);
        let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        run_input(&bytes);
        add(&common.counts.programs, 1);
    }
}

/// Takes what memory there is, holds it for a moment, and lets it go.
pub(crate) fn hoard(common: &Common, random: &mut Random, until: Instant) {
    let mut mutator = common.heap.mutator_named("hoard");
    let mut roots = Vec::new();
    let mut refused = 0;
    while refused < 3 && goes_on(common, until) {
        mutator.enter(|cx| match cx.try_alloc_slice(vec![[7_u64; 1024]; 64]) {
            Ok(part) => roots.push(cx.root(part)),
            Err(_) => refused += 1,
        });
    }
    add(&common.counts.refused, refused);
    std::thread::sleep(Duration::from_millis(random.below(30) as u64));
    drop(roots);
    while goes_on(common, until) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a panic says that there was no memory.
pub(crate) fn is_exhaustion(payload: &(dyn Any + Send)) -> bool {
    let text = payload.downcast_ref::<String>();
    text.is_some_and(|text| text.starts_with("no memory for"))
}
