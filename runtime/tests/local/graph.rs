//! A graph in a local heap and the same graph as numbers, changed in step.

use crate::common::Random;
use crate::objects::{Drops, Node, NodeRoot, node};
use runtime::{Gc, LocalCx};
use std::collections::{BTreeMap, BTreeSet};

/// What the twin knows of a node.
#[derive(Default)]
struct Twin {
    cell: Option<u64>,
    edges: Vec<u64>,
    weak: Option<u64>,
}

/// A program's twin, and its roots.
pub(crate) struct Model {
    twins: BTreeMap<u64, Twin>,
    roots: Vec<(u64, NodeRoot)>,
    pub(crate) random: Random,
    pub(crate) drops: Drops,
}

type Found<'gc> = (u64, Gc<'gc, Node<'gc>>);

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            twins: BTreeMap::new(),
            roots: Vec::new(),
            random: Random::new(seed),
            drops: Drops::default(),
        }
    }

    fn check(&self, id: u64, at: Gc<'_, Node<'_>>) {
        assert_eq!(at.token.id, id, "another object is here");
        assert!(!self.drops.is_dropped(id), "{id} was dropped, reachable");
    }

    /// A random object that the roots reach, by a random way.
    fn walk<'gc>(&mut self, cx: &LocalCx<'gc>) -> Option<Found<'gc>> {
        let start = self.random.below(self.roots.len().max(1));
        let (id, root) = self.roots.get(start)?;
        let (mut id, mut at) = (*id, root.get(cx));
        for _ in 0..self.random.below(30) {
            self.check(id, at);
            let twin = &self.twins[&id];
            let ways = twin.edges.len() + usize::from(twin.cell.is_some());
            if ways == 0 {
                break;
            }
            let way = self.random.below(ways);
            let twin = &self.twins[&id];
            (id, at) = match twin.edges.get(way) {
                Some(&next) => (next, at.edges.borrow()[way]),
                None => (twin.cell?, at.cell.get()?),
            };
        }
        self.check(id, at);
        Some((id, at))
    }

    /// One random step of a program.
    pub(crate) fn step(&mut self, cx: &LocalCx<'_>) {
        match self.random.below(20) {
            0..8 => {
                let id = self.twins.len() as u64;
                let made = node(cx, &self.drops, id);
                self.twins.insert(id, Twin::default());
                match self.walk(cx) {
                    Some(holder) if self.random.below(12) > 0 => self.link(cx, holder, (id, made)),
                    _ => self.roots.push((id, cx.root(made))),
                }
            }
            8..10 => {
                if let (Some(from), Some(to)) = (self.walk(cx), self.walk(cx)) {
                    self.link(cx, from, to);
                }
            }
            10..12 => self.unlink(cx),
            12..15 => {
                if let Some((id, at)) = self.walk(cx) {
                    let to = self.walk(cx).filter(|_| self.random.below(4) > 0);
                    at.cell.set(cx, to.map(|to| to.1));
                    self.twins.entry(id).or_default().cell = to.map(|to| to.0);
                }
            }
            15 => {
                if let Some((id, at)) = self.walk(cx) {
                    self.roots.push((id, cx.root(at)));
                }
            }
            16..18 if self.roots.len() > 12 => {
                let index = self.random.below(self.roots.len());
                self.roots.swap_remove(index);
            }
            18 => {
                if let (Some((id, at)), Some((to, target))) = (self.walk(cx), self.walk(cx)) {
                    *at.weak.borrow_mut(cx) = Some(cx.downgrade(target));
                    self.twins.entry(id).or_default().weak = Some(to);
                }
            }
            _ => self.follow_weak(cx),
        }
    }

    fn link<'gc>(&mut self, cx: &LocalCx<'gc>, (from, at): Found<'gc>, (id, to): Found<'gc>) {
        at.edges.borrow_mut(cx).push(to);
        self.twins.entry(from).or_default().edges.push(id);
    }

    /// Takes an edge away, and half of the time moves it elsewhere.
    fn unlink(&mut self, cx: &LocalCx<'_>) {
        let Some((id, at)) = self.walk(cx) else {
            return;
        };
        let edges = self.twins[&id].edges.len();
        if edges > 0 {
            let way = self.random.below(edges);
            let twin = self.twins.entry(id).or_default();
            let moved = (
                twin.edges.swap_remove(way),
                at.edges.borrow_mut(cx).swap_remove(way),
            );
            match self.walk(cx) {
                Some(to) if self.random.below(2) == 0 => self.link(cx, to, moved),
                _ => {}
            }
        }
    }

    /// Upgrades a weak reference: it finds its target, or that is not reachable.
    fn follow_weak(&mut self, cx: &LocalCx<'_>) {
        let Some((id, at)) = self.walk(cx) else {
            return;
        };
        let Some(target) = self.twins[&id].weak else {
            return;
        };
        let weak = at.weak.borrow().expect("a weak reference");
        match cx.upgrade(weak) {
            Some(found) => {
                self.check(target, found);
                self.link(cx, (id, at), (target, found));
            }
            None => assert!(!self.reachable().contains(&target), "{target} is reachable"),
        }
    }

    /// What the roots reach, by the twins.
    pub(crate) fn reachable(&self) -> BTreeSet<u64> {
        let mut living = BTreeSet::new();
        let mut stack: Vec<u64> = self.roots.iter().map(|root| root.0).collect();
        while let Some(id) = stack.pop() {
            if living.insert(id) {
                let twin = &self.twins[&id];
                stack.extend(twin.edges.iter().chain(&twin.cell));
            }
        }
        living
    }

    /// Walks the whole graph and compares each object with its twin.
    pub(crate) fn verify(&self, cx: &LocalCx<'_>) {
        let mut seen = BTreeSet::new();
        let roots = self.roots.iter().map(|(id, root)| (*id, root.get(cx)));
        let mut stack: Vec<_> = roots.collect();
        while let Some((id, at)) = stack.pop() {
            self.check(id, at);
            if seen.insert(id) {
                let (twin, edges) = (&self.twins[&id], at.edges.borrow());
                assert_eq!(edges.len(), twin.edges.len());
                assert_eq!(at.cell.get().is_some(), twin.cell.is_some());
                stack.extend(twin.edges.iter().copied().zip(edges.iter().copied()));
                stack.extend(twin.cell.zip(at.cell.get()));
            }
        }
    }

    pub(crate) fn drop_roots(&mut self) {
        self.roots.clear();
    }
}
