//! Our heap, through the safe API, as its users would write it.
//!
//! A thread has a mutator. A tree is made, counted and dropped within one closure, because it is
//! one step of a program; messages are replaced in one closure each, as by a program that serves
//! requests; a thousand objects of `alloc` are made in one.

use super::alloc::Alloc;
use super::ring::{Message, Messages, Table, ends, message};
use super::run::{Lines, System, Used};
use super::trees::Trees;
use super::{Failure, Params, Unknown};
use super::{growth, heap_graph, heap_packages};
use crate::process::cpu_of_threads;
use runtime::{Builder, Collector, Cx, Gc, GcCell, Mutator, OnTheFly, Root, Runtime};
use runtime::{StopTheWorld, Trace};
use std::hint::black_box;

/// Objects of `alloc` that are made within one closure.
const BATCH: u64 = 1000;

/// A heap with the collector `C`.
#[derive(Debug)]
pub struct Collected<C: Collector> {
    heap: Runtime<C>,
    /// Whether its limit is hard, so that allocations can fail.
    is_hard: bool,
}

impl<C: Collector> Collected<C> {
    /// The heap.
    pub(super) fn heap(&self) -> &Runtime<C> {
        &self.heap
    }
}

/// A collector that a run can choose, and how many markers it has.
pub trait Chosen: Collector {
    /// The collector; with as many markers as it thinks right, if not told.
    fn chosen(markers: Option<usize>) -> Self;
}

impl Chosen for OnTheFly {
    fn chosen(markers: Option<usize>) -> Self {
        markers.map_or_else(Self::default, Self::with_markers)
    }
}

impl Chosen for StopTheWorld {
    fn chosen(markers: Option<usize>) -> Self {
        markers.map_or_else(Self::default, Self::with_markers)
    }
}

/// Of a stopped world the time by the wall, because a mutator's own thread collects then; of a
/// collector that works beside the mutators its threads. What mutators do for it is not in it:
/// assists, and sweeping a span that they want.
pub(super) fn used<C: Collector>(heap: &Runtime<C>) -> Used {
    let stats = heap.stats();
    Used {
        collections: stats.cycles,
        cpu: cpu_of_threads("heapwright") + stats.pause_total,
    }
}

impl<C: Chosen> System for Collected<C> {
    /// `percent`: growth between cycles; `limit`: the limit in MiB, in the workload `limit`, soft
    /// if not `hard=1`; `threads`: markers, in the workload `graph`.
    fn start(params: &Params) -> Result<Self, Failure> {
        let markers = match params.workload.as_str() {
            "graph" => Some(params.threads()?),
            _ => None,
        };
        let percent = params.number("percent", 100)?;
        let mut builder = Builder::new(C::chosen(markers)).gc_percent(percent);
        let is_limited = params.workload == "limit";
        let is_hard = is_limited && params.number("hard", 0)? == 1;
        let limit_mib: usize = params.number("limit", 512)?;
        if is_hard {
            builder = builder.limit_bytes(limit_mib << 20);
        }
        let heap = builder.build()?;
        if is_limited {
            heap.set_memory_limit(Some(limit_mib << 20));
        }
        Ok(Self { heap, is_hard })
    }

    fn used(&self) -> Option<Used> {
        Some(used(&self.heap))
    }

    fn other(&self, params: &Params) -> Result<Lines, Failure> {
        match params.workload.as_str() {
            "graph" => heap_graph::run(&self.heap, params),
            "growth" => growth::run(self, params),
            "packages" => heap_packages::run(self, &self.heap, params),
            name => Err(Unknown(name.to_owned()).into()),
        }
    }
}

/// 16 B.
#[derive(Trace)]
pub struct Node<'gc> {
    left: Option<Gc<'gc, Node<'gc>>>,
    right: Option<Gc<'gc, Node<'gc>>>,
}

fn make<'gc, C: Collector>(cx: &Cx<'gc, C>, depth: u32) -> Gc<'gc, Node<'gc>> {
    let child = || (depth > 0).then(|| make(cx, depth - 1));
    cx.alloc(Node {
        left: child(),
        right: child(),
    })
}

fn count(node: Gc<'_, Node<'_>>) -> u64 {
    let below = |child: Option<_>| child.map_or(0, count);
    1 + below(node.left) + below(node.right)
}

impl<C: Chosen> Trees for Collected<C> {
    type Maker<'s> = Mutator<C>;
    type Kept = Root<Node<'static>>;

    fn maker(&self) -> Mutator<C> {
        self.heap.mutator()
    }

    fn keep(mutator: &mut Mutator<C>, depth: u32) -> Self::Kept {
        mutator.enter(|cx| cx.root(make(cx, depth)))
    }

    fn count(mutator: &mut Mutator<C>, kept: &Self::Kept) -> u64 {
        mutator.enter(|cx| count(kept.get(cx)))
    }

    fn make_and_count(mutator: &mut Mutator<C>, depth: u32) -> u64 {
        mutator.enter(|cx| count(make(cx, depth)))
    }
}

impl<C: Chosen> Alloc for Collected<C> {
    fn allocate<const WORDS: usize>(&self, objects: u64) -> u64 {
        let mut mutator = self.heap.mutator();
        let place = mutator.enter(|cx| cx.root(cx.alloc(GcCell::<[u64; WORDS]>::empty())));
        let (mut sum, mut number) = (0_u64, 0);
        while number < objects {
            let end = objects.min(number + BATCH);
            mutator.enter(|cx| {
                let place = place.get(cx);
                let mut last = place.get();
                for number in number..end {
                    let mut words = [0; WORDS];
                    words[0] = number;
                    let new = black_box(cx.alloc(words));
                    sum = sum.wrapping_add(last.replace(new).map_or(0, |old| old[0]));
                }
                place.set(cx, last);
            });
            number = end;
        }
        sum
    }
}

/// A thread's messages.
#[derive(Debug)]
pub struct HeapTable<C: Collector> {
    mutator: Mutator<C>,
    places: Root<[GcCell<'static, Message>]>,
    is_hard: bool,
}

/// Collections in a row after which a heap that is still full is given up.
const ATTEMPTS: usize = 8;

impl<C: Collector> HeapTable<C> {
    /// Puts the message of this number at a place, unless there is no room.
    fn try_replace(&mut self, at: usize, number: u64) -> Option<u64> {
        self.mutator.enter(|cx| {
            let new = cx.try_alloc(message(number)).ok()?;
            let place = &self.places.get(cx)[at];
            let old = place.get().map_or(0, |old| ends(&old));
            place.set(cx, Some(new));
            Some(old)
        })
    }

    /// What a program does that has a hard limit: it collects, and tries again.
    fn replace_within(&mut self, at: usize, number: u64) -> u64 {
        for _ in 0..ATTEMPTS {
            if let Some(old) = self.try_replace(at, number) {
                return old;
            }
            if let Err(error) = self.mutator.collect() {
                panic!("a cycle failed: {error}");
            }
        }
        panic!("the heap is full of what lives");
    }
}

impl<C: Chosen> Messages for Collected<C> {
    type Table<'s> = HeapTable<C>;

    fn table(&self, places: usize) -> HeapTable<C> {
        let mut mutator = self.heap.mutator();
        let places = mutator.enter(|cx| {
            let empty = (0..places).map(|_| GcCell::<Message>::empty());
            cx.root(cx.alloc_slice(empty))
        });
        HeapTable {
            mutator,
            places,
            is_hard: self.is_hard,
        }
    }
}

impl<C: Collector> Table for HeapTable<C> {
    #[inline]
    fn replace(&mut self, at: usize, number: u64) -> u64 {
        if self.is_hard {
            return self.replace_within(at, number);
        }
        self.mutator.enter(|cx| {
            let new = cx.alloc(message(number));
            let place = &self.places.get(cx)[at];
            let old = place.get().map_or(0, |old| ends(&old));
            place.set(cx, Some(new));
            old
        })
    }

    fn first(&mut self, at: usize) -> u64 {
        self.mutator
            .enter(|cx| self.places.get(cx)[at].get().map_or(0, |held| held[0]))
    }
}
