//! `growth` on our heap: a tree is made in one closure, and its root stored in a table of cells.

use super::Failure;
use super::growth::{DEPTH, Plot, Plots};
use super::heap::{Chosen, Collected};
use runtime::{Collector, Cx, Gc, GcCell, Mutator, Root, Trace};

/// 32 B.
#[derive(Trace)]
pub(super) struct Leafy<'gc> {
    left: Option<Gc<'gc, Leafy<'gc>>>,
    right: Option<Gc<'gc, Leafy<'gc>>>,
    number: u64,
    depth: u64,
}

fn make<'gc, C: Collector>(cx: &Cx<'gc, C>, depth: u32, number: u64) -> Gc<'gc, Leafy<'gc>> {
    let child = || (depth > 0).then(|| make(cx, depth - 1, number));
    cx.alloc(Leafy {
        left: child(),
        right: child(),
        number,
        depth: u64::from(depth),
    })
}

fn rightmost<'gc>(mut node: Gc<'gc, Leafy<'gc>>) -> Gc<'gc, Leafy<'gc>> {
    while let Some(right) = node.right {
        node = right;
    }
    node
}

/// A thread's trees.
#[derive(Debug)]
pub(super) struct HeapPlot<C: Collector> {
    mutator: Mutator<C>,
    places: Root<[GcCell<'static, Leafy<'static>>]>,
}

impl<C: Chosen> Plots for Collected<C> {
    type Plot<'s> = HeapPlot<C>;

    fn plot(&self, places: usize) -> HeapPlot<C> {
        let mut mutator = self.heap().mutator();
        let places = mutator.enter(|cx| {
            let empty = (0..places).map(|_| GcCell::<Leafy<'_>>::empty());
            cx.root(cx.alloc_slice(empty))
        });
        HeapPlot { mutator, places }
    }

    fn settle(&self) -> Result<(), Failure> {
        self.heap().mutator().collect()?;
        Ok(())
    }
}

impl<C: Collector> Plot for HeapPlot<C> {
    #[inline]
    fn replace(&mut self, at: usize, number: u64) -> u64 {
        self.mutator.enter(|cx| {
            let new = make(cx, DEPTH, number);
            let place = &self.places.get(cx)[at];
            let old = place.get();
            place.set(cx, Some(new));
            old.map_or(0, |old| old.number.wrapping_add(rightmost(old).number))
        })
    }
}
