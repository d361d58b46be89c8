//! A graph in the heap and the same graph as plain data, changed in step.
//!
//! The twin ([`Model`]) knows of each object its edges by number, so what is reachable is a walk
//! over two vectors. Each object's numbers are checked against the twin wherever a program goes.

use crate::common::{Drops, Random, Token};
use crate::objects::{AnyRoot, LARGE_WORDS, Node, Ref, TOKENS_MAX, edge, text_of};
use runtime::{Collector, Cx, Gc, Root};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

/// What the twin knows of an object.
#[derive(Clone, Default)]
pub(crate) struct Twin {
    /// Drop tokens: one, or one an element.
    pub(crate) tokens: u64,
    /// Edges in the order of the list.
    pub(crate) edges: Vec<u64>,
    pub(crate) cell: Option<u64>,
    pub(crate) weak: Option<u64>,
    /// Of a weak map: value by key.
    pub(crate) pairs: BTreeMap<u64, u64>,
}

/// Roots that several threads see: a node's number and a handle to it.
pub(crate) type Board = Mutex<Vec<(u64, Root<Node<'static>>)>>;

/// A program's twin of its part of the heap, and its roots.
pub(crate) struct Model {
    pub(crate) twins: HashMap<u64, Twin>,
    pub(crate) roots: Vec<(u64, AnyRoot)>,
    pub(crate) next_id: u64,
    pub(crate) random: Random,
    pub(crate) drops: Drops,
    /// Cycles run when they like, so that what is unreachable may be gone or not.
    automatic: bool,
}

impl Model {
    pub(crate) fn new(seed: u64, first_id: u64, drops: &Drops, automatic: bool) -> Self {
        Self {
            twins: HashMap::new(),
            roots: Vec::new(),
            next_id: first_id,
            random: Random::new(seed),
            drops: drops.clone(),
            automatic,
        }
    }

    /// Checks that `to` is object `id`, and alive.
    pub(crate) fn check(&self, id: u64, to: Ref<'_>) {
        let alive = |token: &Token, index: u64| {
            assert_eq!(token.id, id * TOKENS_MAX + index, "another object is here");
            assert_eq!(
                self.drops.of(token.id),
                0,
                "{id} was dropped and is reachable"
            );
        };
        match to {
            Ref::Node(node) => alive(&node.token, 0),
            Ref::Slice(items) => (0..)
                .zip(&*items)
                .for_each(|(n, item)| alive(&item.token, n)),
            Ref::Large(large) => {
                alive(&large.token, 0);
                assert!([large.words[0], large.words[LARGE_WORDS - 1]] == [id; 2]);
            }
            Ref::Text(text) => assert_eq!(&*text, text_of(id)),
            Ref::Table(table) => alive(&table.token, 0),
            Ref::Map(map) => alive(&map.token, 0),
            Ref::Cells(cells) => assert_eq!(cells.len(), cells_of(id)),
            Ref::Shelf(shelf) => {
                alive(&shelf.token, 0);
                assert!(shelf.numbers.iter().all(|numbers| numbers[..] == [id; 3]));
            }
        }
    }

    /// A random object that the roots reach, by a random way; `None` without roots.
    pub(crate) fn walk<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>) -> Option<(u64, Ref<'gc>)> {
        if self.roots.is_empty() {
            return None;
        }
        let start = self.random.below(self.roots.len());
        let (mut id, root) = (self.roots[start].0, &self.roots[start].1);
        let mut at = root.get(cx);
        for _ in 0..self.random.below(12) {
            self.check(id, at);
            // What another thread's program made, that thread alone knows.
            let Some(twin) = self.twins.get(&id) else {
                break;
            };
            let ways = twin.edges.len() + usize::from(twin.cell.is_some());
            if ways == 0 {
                break;
            }
            let way = self.random.below(ways);
            let twin = &self.twins[&id];
            match twin.edges.get(way) {
                Some(&next) => (id, at) = (next, edge(cx, at, way)),
                None => {
                    let Ref::Node(node) = at else {
                        unreachable!("a cell outside of a node")
                    };
                    let next = node.cell.get().expect("the cell holds a node");
                    (id, at) = (twin.cell.expect("a cell"), Ref::Node(next));
                }
            }
        }
        self.check(id, at);
        Some((id, at))
    }

    /// As `walk`, to a node that this program made.
    pub(crate) fn walk_to_node<'gc, C: Collector>(
        &mut self,
        cx: &Cx<'gc, C>,
    ) -> Option<(u64, Gc<'gc, Node<'gc>>)> {
        let (id, to) = self.walk(cx)?;
        match to {
            Ref::Node(node) if self.twins.contains_key(&id) => Some((id, node)),
            _ => None,
        }
    }

    /// One random step of a program.
    pub(crate) fn step<C: Collector>(&mut self, cx: &Cx<'_, C>) {
        match self.random.below(22) {
            0..6 => {
                let Some((id, made)) = self.make(cx) else {
                    return;
                };
                let holder = self.walk(cx);
                let held = holder.is_some_and(|holder| self.link(cx, holder, (id, made)));
                if !held && (self.roots.len() < 30 || self.random.below(8) == 0) {
                    self.roots.push((id, AnyRoot::new(cx, made)));
                }
            }
            6..8 => {
                if let (Some(from), Some(to)) = (self.walk(cx), self.walk(cx)) {
                    self.link(cx, from, to);
                }
            }
            8..11 => self.unlink(cx),
            11..14 => self.store(cx),
            14 => {
                if let Some((id, to)) = self.walk(cx) {
                    self.roots.push((id, AnyRoot::new(cx, to)));
                }
            }
            15..17 if self.roots.len() > 2 => {
                let index = self.random.below(self.roots.len());
                self.roots.swap_remove(index);
            }
            17 => {
                if let (Some((id, node)), Some((to, target))) =
                    (self.walk_to_node(cx), self.walk_to_node(cx))
                {
                    *node.weak.lock(cx) = Some(cx.downgrade(target));
                    self.twins.entry(id).or_default().weak = Some(to);
                }
            }
            18 => self.follow_weak(cx),
            19..21 => self.pair(cx),
            _ => (0..10).for_each(|n| _ = cx.try_alloc([n; 9])),
        }
    }

    /// Adds an edge; false if the object has no list.
    fn link<'gc, C: Collector>(
        &mut self,
        cx: &Cx<'gc, C>,
        (from, at): (u64, Ref<'gc>),
        (id, to): (u64, Ref<'gc>),
    ) -> bool {
        let Some(twin) = self.twins.get_mut(&from) else {
            return false;
        };
        match at {
            Ref::Node(node) => node.edges.lock(cx).push(to),
            Ref::Large(large) => large.edges.lock(cx).push(to),
            Ref::Shelf(shelf) => shelf.edges.lock(cx).push(to),
            Ref::Table(table) => _ = table.edges.write(cx).insert(twin.edges.len(), to),
            Ref::Cells(cells) => match (cells.get(twin.edges.len()), to) {
                (Some(cell), Ref::Node(node)) => cell.set(cx, Some(node)),
                _ => return false,
            },
            Ref::Slice(_) | Ref::Text(_) | Ref::Map(_) => return false,
        }
        twin.edges.push(id);
        true
    }

    /// Takes an edge away.
    fn unlink<C: Collector>(&mut self, cx: &Cx<'_, C>) {
        let Some((id, node)) = self.walk_to_node(cx) else {
            return;
        };
        let edges = &mut self.twins.entry(id).or_default().edges;
        if !edges.is_empty() {
            let index = self.random.below(edges.len());
            edges.swap_remove(index);
            node.edges.lock(cx).swap_remove(index);
        }
    }

    /// Changes a cell in one of the ways there are.
    fn store<C: Collector>(&mut self, cx: &Cx<'_, C>) {
        let Some((id, node)) = self.walk_to_node(cx) else {
            return;
        };
        let to = self.walk_to_node(cx);
        let (to_id, to) = (to.map(|to| to.0), to.map(|to| to.1));
        let twin = self.twins.entry(id).or_default();
        let old = node.cell.get();
        match self.random.below(3) {
            0 => node.cell.set(cx, to),
            1 => {
                let swapped = node.cell.swap(cx, to);
                assert_eq!(swapped.map(Gc::address), old.map(Gc::address));
            }
            _ => {
                assert!(node.cell.compare_exchange(cx, old, to).is_ok());
                if let Ok(fresh) = cx.try_alloc(0_u8) {
                    assert_ne!(old.map(Gc::address), Some(Gc::address(fresh)));
                }
            }
        }
        twin.cell = to_id;
    }

    /// Upgrades a weak reference: it finds its target, or the target is gone.
    fn follow_weak<C: Collector>(&mut self, cx: &Cx<'_, C>) {
        let Some((id, node)) = self.walk_to_node(cx) else {
            return;
        };
        let Some(target) = self.twins[&id].weak else {
            return;
        };
        let weak = node.weak.lock(cx).expect("a weak reference");
        match weak.upgrade(cx) {
            Some(found) => {
                self.check(target, Ref::Node(found));
                node.edges.lock(cx).push(Ref::Node(found));
                self.twins.entry(id).or_default().edges.push(target);
            }
            None if self.automatic => {
                assert!(
                    !reachable(&[self]).contains(&target),
                    "{target} is reachable"
                );
            }
            // `settle` forgets what a collection has freed.
            None => assert!(
                !self.twins.contains_key(&target),
                "{target} was not freed yet"
            ),
        }
    }

    /// Shows a node to the other threads, and links one of theirs into our graph.
    pub(crate) fn trade<C: Collector>(&mut self, cx: &Cx<'_, C>, board: &Board) {
        if let Some((id, node)) = self.walk_to_node(cx) {
            let mut board = board.lock().unwrap();
            if board.len() < 40 {
                board.push((id, cx.root(node)));
            } else {
                let index = self.random.below(board.len());
                board[index] = (id, cx.root(node));
            }
        }
        let theirs = {
            let board = board.lock().unwrap();
            let index = self.random.below(board.len().max(1));
            board
                .get(index)
                .map(|(id, root)| (*id, Ref::Node(root.get(cx))))
        };
        if let (Some(own), Some(theirs)) = (self.walk(cx), theirs) {
            self.check(theirs.0, theirs.1);
            self.link(cx, own, theirs);
        }
    }

    /// Walks the whole graph and compares each object with its twin.
    pub(crate) fn verify<C: Collector>(&self, cx: &Cx<'_, C>) {
        let mut seen = HashMap::new();
        let roots = self.roots.iter();
        let mut stack: Vec<_> = roots.map(|(id, root)| (*id, root.get(cx))).collect();
        while !stack.is_empty() {
            while let Some((id, at)) = stack.pop() {
                self.check(id, at);
                let Some(twin) = self.twins.get(&id) else {
                    continue;
                };
                if seen.insert(id, at).is_some() {
                    continue;
                }
                let edges = (0..twin.edges.len()).map(|way| (twin.edges[way], edge(cx, at, way)));
                stack.extend(edges);
                if let Ref::Node(node) = at {
                    assert_eq!(node.edges.lock(cx).len(), twin.edges.len());
                    let cell = node.cell.get();
                    assert_eq!(cell.is_some(), twin.cell.is_some());
                    stack.extend(twin.cell.zip(cell.map(Ref::Node)));
                    self.check_weak(cx, node, twin);
                }
            }
            // What hangs on keys that were seen.
            stack.extend(self.verify_pairs(cx, &seen));
        }
    }

    /// A weak reference upgrades to its target, or that is dead.
    fn check_weak<'gc, C>(&self, cx: &Cx<'gc, C>, node: Gc<'gc, Node<'gc>>, twin: &Twin)
    where
        C: Collector,
    {
        let weak = *node.weak.lock(cx);
        assert_eq!(weak.is_some(), twin.weak.is_some());
        let (Some(weak), Some(target)) = (weak, twin.weak) else {
            return;
        };
        // `settle` forgets what a collection has freed.
        let dead = !self.automatic && !self.twins.contains_key(&target);
        match weak.upgrade(cx) {
            Some(found) => {
                assert!(!dead, "{target} was freed");
                self.check(target, Ref::Node(found));
            }
            None => assert!(dead || self.automatic, "{target} was not freed yet"),
        }
    }

    /// Takes an end of its program: forgets what `dead` says was freed.
    pub(crate) fn settle(&mut self, living: &BTreeSet<u64>) {
        self.twins.retain(|id, _| living.contains(id));
        for twin in self.twins.values_mut() {
            twin.pairs.retain(|key, _| living.contains(key));
        }
    }

    pub(crate) fn drop_roots(&mut self) {
        self.roots.clear();
    }
}

/// How many cells a slice of them has: most few, some enough to be scanned in parts.
pub(crate) fn cells_of(id: u64) -> usize {
    if id % 64 == 7 { 17_000 } else { 5 }
}

/// What the roots of all models reach, by the twins.
pub(crate) fn reachable(models: &[&Model]) -> BTreeSet<u64> {
    reachable_from(models, &[])
}

/// As `reachable`, with roots beside those of the models.
pub(crate) fn reachable_from(models: &[&Model], more: &[u64]) -> BTreeSet<u64> {
    let mut living = BTreeSet::new();
    let roots = models
        .iter()
        .flat_map(|model| model.roots.iter().map(|root| root.0));
    let mut stack: Vec<u64> = roots.chain(more.iter().copied()).collect();
    while !stack.is_empty() {
        while let Some(id) = stack.pop() {
            if living.insert(id) {
                // None: it is of a program that was not asked for.
                let twin = models.iter().find_map(|model| model.twins.get(&id));
                stack.extend(
                    twin.iter()
                        .flat_map(|twin| twin.edges.iter().chain(&twin.cell)),
                );
            }
        }
        // Values whose maps and keys live, until there are no more.
        let twins = models.iter().flat_map(|model| &model.twins);
        let maps = twins.filter(|(id, _)| living.contains(id));
        let pairs = maps.flat_map(|(_, map)| &map.pairs);
        let held = pairs.filter(|(key, value)| living.contains(key) && !living.contains(value));
        stack.extend(held.map(|(_, value)| *value));
    }
    living
}

/// The tokens of all twins, and those of the living.
pub(crate) fn tokens(models: &[&Model], living: &BTreeSet<u64>) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut all, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for (id, twin) in models.iter().flat_map(|model| &model.twins) {
        let tokens = (0..twin.tokens).map(|index| id * TOKENS_MAX + index);
        all.extend(tokens.clone());
        if living.contains(id) {
            kept.extend(tokens);
        }
    }
    (all, kept)
}
