//! gc-arena: a collector of one thread whose arena gives way between closures, as ours does.
//!
//! Each closure is followed by `collect_debt`, as its documentation shows. Every place that changes
//! is an object of its own, because a place inside a large table would have the whole table traced
//! again after each store while a cycle marks.

use super::alloc::Alloc;
use super::ring::{Message, Messages, Table, ends, message};
use super::run::{Lines, System};
use super::trees::Trees;
use super::{Failure, Params, Unknown, arena_graph, arena_packages};
use gc_arena::lock::Lock;
use gc_arena::{Arena as GcArena, Collect, Gc, Mutation, Rootable};
use std::hint::black_box;

/// Objects of `alloc` that are made within one closure.
const BATCH: u64 = 1000;

/// Arenas, one a thread.
#[derive(Debug)]
pub struct Arena;

impl System for Arena {
    fn start(_: &Params) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn other(&self, params: &Params) -> Result<Lines, Failure> {
        match params.workload.as_str() {
            "graph" if params.threads()? == 1 => arena_graph::run(params),
            "packages" => arena_packages::run(self, params),
            name => Err(Unknown(name.to_owned()).into()),
        }
    }
}

/// 16 B, and the arena's own two words.
#[derive(Collect)]
#[collect(no_drop)]
struct Node<'gc> {
    left: Option<Gc<'gc, Node<'gc>>>,
    right: Option<Gc<'gc, Node<'gc>>>,
}

fn make<'gc>(mc: &Mutation<'gc>, depth: u32) -> Gc<'gc, Node<'gc>> {
    let child = || (depth > 0).then(|| make(mc, depth - 1));
    let node = Node {
        left: child(),
        right: child(),
    };
    Gc::new(mc, node)
}

fn count(node: Gc<'_, Node<'_>>) -> u64 {
    let below = |child: Option<_>| child.map_or(0, count);
    1 + below(node.left) + below(node.right)
}

type Held<'gc> = Option<Gc<'gc, Node<'gc>>>;

/// An arena with at most one tree that is held.
pub struct Forest(GcArena<Rootable![Held<'_>]>);

impl Trees for Arena {
    type Maker<'s> = Forest;
    type Kept = ();

    fn maker(&self) -> Forest {
        Forest(GcArena::new(|_| None))
    }

    fn keep(forest: &mut Forest, depth: u32) {
        let Forest(arena) = forest;
        arena.mutate_root(|mc, root| *root = Some(make(mc, depth)));
        arena.collect_debt();
    }

    fn count(forest: &mut Forest, (): &()) -> u64 {
        forest.0.mutate(|_, root| root.map_or(0, count))
    }

    fn make_and_count(forest: &mut Forest, depth: u32) -> u64 {
        let nodes = forest.0.mutate(|mc, _| count(make(mc, depth)));
        forest.0.collect_debt();
        nodes
    }
}

impl Alloc for Arena {
    fn allocate<const WORDS: usize>(&self, objects: u64) -> u64 {
        let mut arena = GcArena::<Rootable![Option<Gc<'_, [u64; WORDS]>>]>::new(|_| None);
        let (mut sum, mut number) = (0_u64, 0);
        while number < objects {
            let end = objects.min(number + BATCH);
            arena.mutate_root(|mc, last| {
                for number in number..end {
                    let mut words = [0; WORDS];
                    words[0] = number;
                    let new = black_box(Gc::new(mc, words));
                    sum = sum.wrapping_add(last.replace(new).map_or(0, |old| old[0]));
                }
            });
            arena.collect_debt();
            number = end;
        }
        sum
    }
}

type Place<'gc> = Gc<'gc, Lock<Option<Gc<'gc, Message>>>>;

type Places<'gc> = Vec<Place<'gc>>;

/// An arena with a thread's messages.
pub struct ArenaTable(GcArena<Rootable![Places<'_>]>);

impl Messages for Arena {
    type Table<'s> = ArenaTable;

    fn table(&self, places: usize) -> ArenaTable {
        ArenaTable(GcArena::new(|mc| {
            let place = |_| Gc::new(mc, Lock::new(None));
            (0..places).map(place).collect()
        }))
    }
}

impl Table for ArenaTable {
    #[inline]
    fn replace(&mut self, at: usize, number: u64) -> u64 {
        let old = self.0.mutate(|mc, places| {
            let new = Gc::new(mc, message(number));
            let place = places[at];
            let old = place.get().map_or(0, |old| ends(&old));
            place.set(mc, Some(new));
            old
        });
        self.0.collect_debt();
        old
    }

    fn first(&mut self, at: usize) -> u64 {
        self.0
            .mutate(|_, places| places[at].get().map_or(0, |held| held[0]))
    }
}
