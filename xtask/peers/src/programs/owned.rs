//! Explicit free and counted references: `Box`, `Rc` and `Arc`, over the process's allocator.

use super::alloc::Alloc;
use super::growth::{DEPTH, Plot, Plots};
use super::ring::{Message, Messages, Table, ends, message};
use super::run::{Lines, System};
use super::trees::Trees;
use super::{Failure, Params, Unknown, counted_packages, growth};
use std::hint::black_box;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

/// A kind of pointer.
pub trait Pointer: 'static {
    /// The pointer to a `T`.
    type To<T>: Deref<Target = T>;

    /// Whether threads can share an object.
    const IS_SHARED: bool = false;

    /// A new object.
    fn new<T>(value: T) -> Self::To<T>;
}

/// `Box`.
#[derive(Debug)]
pub struct Boxes;

/// `Rc`.
#[derive(Debug)]
pub struct Rcs;

/// `Arc`.
#[derive(Debug)]
pub struct Arcs;

impl Pointer for Boxes {
    type To<T> = Box<T>;

    #[inline(always)]
    fn new<T>(value: T) -> Box<T> {
        Box::new(value)
    }
}

impl Pointer for Rcs {
    type To<T> = Rc<T>;

    #[inline(always)]
    fn new<T>(value: T) -> Rc<T> {
        Rc::new(value)
    }
}

impl Pointer for Arcs {
    type To<T> = Arc<T>;

    const IS_SHARED: bool = true;

    #[inline(always)]
    fn new<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }
}

/// Objects that are freed when their last pointer goes.
#[derive(Debug)]
pub struct Owned<P>(PhantomData<fn() -> P>);

/// Explicit free.
pub type Explicit = Owned<Boxes>;

/// Counted references of one thread.
pub type Counted = Owned<Rcs>;

/// Counted references of all threads.
pub type SharedCounted = Owned<Arcs>;

impl<P: Pointer> System for Owned<P> {
    fn start(_: &Params) -> Result<Self, Failure> {
        Ok(Self(PhantomData))
    }

    fn other(&self, params: &Params) -> Result<Lines, Failure> {
        match params.workload.as_str() {
            "growth" => growth::run(self, params),
            // Other pointers have no program: only this one can be shared.
            "packages" if P::IS_SHARED => counted_packages::run(self, params),
            name => Err(Unknown(name.to_owned()).into()),
        }
    }
}

/// 16 B, and what the pointer keeps beside it.
pub struct Node<P: Pointer> {
    left: Option<P::To<Node<P>>>,
    right: Option<P::To<Node<P>>>,
}

fn make<P: Pointer>(depth: u32) -> P::To<Node<P>> {
    let child = || (depth > 0).then(|| make::<P>(depth - 1));
    P::new(Node {
        left: child(),
        right: child(),
    })
}

fn count<P: Pointer>(node: &Node<P>) -> u64 {
    let below = |child: &Option<P::To<Node<P>>>| child.as_ref().map_or(0, |child| count(child));
    1 + below(&node.left) + below(&node.right)
}

impl<P: Pointer> Trees for Owned<P> {
    type Maker<'s> = ();
    type Kept = P::To<Node<P>>;

    fn maker(&self) {}

    fn keep((): &mut (), depth: u32) -> Self::Kept {
        make::<P>(depth)
    }

    fn count((): &mut (), kept: &Self::Kept) -> u64 {
        count(kept)
    }

    fn make_and_count((): &mut (), depth: u32) -> u64 {
        count::<P>(&make::<P>(depth))
    }
}

impl<P: Pointer> Alloc for Owned<P> {
    fn allocate<const WORDS: usize>(&self, objects: u64) -> u64 {
        let mut last = None;
        let mut sum = 0_u64;
        for number in 0..objects {
            let mut words = [0; WORDS];
            words[0] = number;
            let new = black_box(P::new(words));
            sum = sum.wrapping_add(last.replace(new).map_or(0, |old| old[0]));
        }
        sum
    }
}

/// A thread's messages.
pub struct OwnedTable<P: Pointer>(Vec<Option<P::To<Message>>>);

impl<P: Pointer> Messages for Owned<P> {
    type Table<'s> = OwnedTable<P>;

    fn table(&self, places: usize) -> OwnedTable<P> {
        OwnedTable((0..places).map(|_| None).collect())
    }
}

impl<P: Pointer> Table for OwnedTable<P> {
    #[inline]
    fn replace(&mut self, at: usize, number: u64) -> u64 {
        let old = self.0[at].replace(P::new(message(number)));
        old.map_or(0, |old| ends(&old))
    }

    fn first(&mut self, at: usize) -> u64 {
        self.0[at].as_ref().map_or(0, |held| held[0])
    }
}

/// 32 B, and what the pointer keeps beside it.
pub(super) struct Leafy<P: Pointer> {
    #[expect(dead_code, reason = "held, so that it is freed with its tree")]
    left: Option<P::To<Leafy<P>>>,
    right: Option<P::To<Leafy<P>>>,
    number: u64,
    depth: u64,
}

fn make_leafy<P: Pointer>(depth: u32, number: u64) -> P::To<Leafy<P>> {
    let child = || (depth > 0).then(|| make_leafy::<P>(depth - 1, number));
    P::new(Leafy {
        left: child(),
        right: child(),
        number,
        depth: u64::from(depth),
    })
}

/// The number of the leaf that is found by going right.
fn rightmost<P: Pointer>(mut node: &Leafy<P>) -> u64 {
    while let Some(right) = &node.right {
        node = right;
    }
    debug_assert_eq!(node.depth, 0, "a leaf is at depth 0");
    node.number
}

/// A thread's trees.
pub(super) struct OwnedPlot<P: Pointer>(Vec<Option<P::To<Leafy<P>>>>);

impl<P: Pointer> Plots for Owned<P> {
    type Plot<'s> = OwnedPlot<P>;

    fn plot(&self, places: usize) -> OwnedPlot<P> {
        OwnedPlot((0..places).map(|_| None).collect())
    }

    fn settle(&self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<P: Pointer> Plot for OwnedPlot<P> {
    #[inline]
    fn replace(&mut self, at: usize, number: u64) -> u64 {
        let old = self.0[at].replace(make_leafy::<P>(DEPTH, number));
        old.map_or(0, |old| old.number.wrapping_add(rightmost::<P>(&old)))
    }
}
