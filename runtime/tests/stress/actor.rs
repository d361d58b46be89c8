//! What one mutator does in the stress: random operations on a graph that it shares with others.
//!
//! A closure holds up to sixteen references that it came by on its walks. It stores them, hides
//! them, waits with them while cycles go on, and at its end looks at all of them once more: none
//! may be gone, wherever it was hidden meanwhile.

use crate::common::Random;
use crate::kinds::{
    Any, AnyRoot, BIG_WORDS, Big, Census, HUGE_CELLS, Item, Leaky, Node, Shelf, Table, step_of,
    text_of, words_of,
};
use runtime::{Cx, Gc, GcCell, Heap, Locked, Mutator, RwLocked};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// References that a closure holds at most.
const HELD_MAX: usize = 16;

/// What all threads of a round share.
pub(crate) struct Common {
    pub(crate) heap: Heap,
    pub(crate) census: Arc<Census>,
    /// Roots that everybody sees.
    pub(crate) board: Vec<Mutex<Option<AnyRoot>>>,
    pub(crate) until: Instant,
}

impl Common {
    /// Puts a root up, or takes one down; what was there.
    pub(crate) fn show(&self, at: usize, root: Option<AnyRoot>) -> Option<AnyRoot> {
        let slot = &self.board[at % self.board.len()];
        std::mem::replace(
            &mut *slot.lock().unwrap_or_else(PoisonError::into_inner),
            root,
        )
    }

    fn look<'gc>(&self, cx: &Cx<'gc>, at: usize) -> Option<Any<'gc>> {
        let slot = self.board[at].lock();
        let slot = slot.unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|root| root.get(cx))
    }
}

/// One thread's part.
pub(crate) struct Actor<'a> {
    pub(crate) common: &'a Common,
    pub(crate) random: Random,
    pub(crate) roots: Vec<AnyRoot>,
    /// A thread that is no mutator, and drops or shows what it is sent.
    pub(crate) dropper: Sender<AnyRoot>,
}

impl Actor<'_> {
    /// One closure of random operations.
    pub(crate) fn act(&mut self, mutator: &mut Mutator) {
        mutator.enter(|cx| self.operate(cx));
    }

    /// A closure inside the closure of another mutator of the same thread.
    pub(crate) fn act_nested(&mut self, outer: &mut Mutator, inner: &mut Mutator) {
        outer.enter(|cx| {
            let mut held = Vec::new();
            self.walk(cx, &mut held);
            let shown = self.make(cx, &held);
            let root = AnyRoot::new(cx, shown);
            inner.enter(|cx| {
                root.get(cx).check(&self.common.census);
                self.operate(cx);
            });
            self.operation(cx, &mut held);
            self.check(&held);
        });
    }

    /// A closure that panics, with a guard in its hands.
    pub(crate) fn act_and_panic(&mut self, mutator: &mut Mutator) {
        let closure = AssertUnwindSafe(|| {
            mutator.enter(|cx| {
                let mut held = Vec::new();
                self.walk(cx, &mut held);
                let node = self.node(cx, &mut held);
                let mut list = node.list.lock(cx);
                list.extend(held.pop());
                // No hook, no message.
                resume_unwind(Box::new("planned"));
            })
        });
        assert!(catch_unwind(closure).is_err());
    }

    fn operate<'gc>(&mut self, cx: &Cx<'gc>) {
        let mut held = Vec::new();
        self.walk(cx, &mut held);
        for _ in 0..1 + self.random.below(24) {
            self.operation(cx, &mut held);
        }
        self.check(&held);
    }

    fn check(&self, held: &[Any<'_>]) {
        held.iter().for_each(|any| any.check(&self.common.census));
    }

    fn remember<'gc>(&mut self, held: &mut Vec<Any<'gc>>, any: Any<'gc>) {
        if held.len() < HELD_MAX {
            held.push(any);
        } else {
            held[self.random.below(HELD_MAX)] = any;
        }
    }

    /// Goes some edges from a root, and looks at each object.
    fn walk<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        let start = self
            .random
            .below(self.roots.len() + self.common.board.len());
        let start = match self.roots.get(start) {
            Some(root) => Some(root.get(cx)),
            None => self.common.look(cx, start - self.roots.len()),
        };
        let Some(mut at) = start else { return };
        for _ in 0..self.random.below(8) {
            at.check(&self.common.census);
            self.remember(held, at);
            let edges = at.edges(cx);
            if edges.is_empty() {
                return;
            }
            at = edges[self.random.below(edges.len())];
        }
        at.check(&self.common.census);
        self.remember(held, at);
    }

    /// A node of those that are held, or a new one.
    fn node<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) -> Gc<'gc, Node<'gc>> {
        let from = self.random.below(HELD_MAX);
        let nodes = held.iter().cycle().skip(from).take(held.len());
        let node = nodes.copied().find_map(|any| match any {
            Any::Node(node) => Some(node),
            _ => None,
        });
        node.unwrap_or_else(|| {
            let node = self.new_node(cx, None);
            self.remember(held, Any::Node(node));
            node
        })
    }

    fn any<'gc>(&mut self, held: &[Any<'gc>]) -> Option<Any<'gc>> {
        (!held.is_empty()).then(|| held[self.random.below(held.len())])
    }

    fn new_node<'gc>(&self, cx: &Cx<'gc>, to: Option<Gc<'gc, Node<'gc>>>) -> Gc<'gc, Node<'gc>> {
        cx.alloc(Node {
            canary: self.common.census.canary(),
            cells: [GcCell::new(to), GcCell::empty()],
            list: Locked::default(),
            weak: Locked::default(),
        })
    }

    /// An object of a random kind that refers to what is held.
    fn make<'gc>(&mut self, cx: &Cx<'gc>, held: &[Any<'gc>]) -> Any<'gc> {
        let canary = || self.common.census.canary();
        let id = self.random.clone().next() % 1_000_000;
        let to = self.any(held);
        match self.random.below(64) {
            0 => {
                let canary = canary();
                Any::Big(cx.alloc(Big {
                    words: [canary.id; BIG_WORDS],
                    canary,
                    cell: GcCell::empty(),
                }))
            }
            1 => Any::Cells(cx.alloc_slice((0..HUGE_CELLS).map(|_| GcCell::empty()))),
            2..8 => Any::Cells(cx.alloc_slice((0..7).map(|_| GcCell::empty()))),
            8..14 => {
                let items: Vec<_> = held.iter().take(5).copied().collect();
                let items = items.into_iter().map(|to| Item {
                    canary: self.common.census.canary(),
                    to,
                });
                Any::Items(cx.alloc_slice(items))
            }
            14..18 => Any::Words(cx.alloc_slice(words_of(id, (id % 90) as usize))),
            18..22 => Any::Text(cx.alloc_str(&text_of(id))),
            22..25 => {
                let words: Vec<u64> = words_of(id, 6).collect();
                Any::Block(cx.alloc([words[0], words[1], words[2], words[3], words[4], words[5]]))
            }
            25..31 => Any::Table(cx.alloc(Table {
                canary: canary(),
                map: Locked::new(to.into_iter().map(|to| (id % 16, to)).collect()),
            })),
            31..37 => Any::Shelf(cx.alloc(Shelf {
                canary: canary(),
                array: [to, None, held.first().copied()],
                list: Box::new(RwLocked::new(held.iter().take(3).copied().collect())),
            })),
            37..40 => Any::Leaky(cx.alloc(Leaky {
                canary: canary(),
                list: Locked::new(held.iter().take(2).copied().collect()),
            })),
            _ => Any::Node(self.new_node(
                cx,
                held.iter().find_map(|any| match any {
                    Any::Node(node) => Some(*node),
                    _ => None,
                }),
            )),
        }
    }

    fn operation<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        match self.random.below(36) {
            0..5 => self.walk(cx, held),
            5..9 => {
                let made = self.make(cx, held);
                self.remember(held, made);
                self.attach(cx, held, made);
            }
            9..12 => self.store(cx, held),
            12..16 => self.hide(cx, held),
            16..18 => self.change_list(cx, held),
            18 => self.move_list(cx, held),
            19 => self.change_any(cx, held),
            20 => self.leak(cx, held),
            21 => {
                let (node, target) = (self.node(cx, held), self.node(cx, held));
                *node.weak.lock(cx) = Some(cx.downgrade(target));
            }
            22..25 => self.follow_weak(cx, held),
            25..28 => self.handle(cx, held),
            28..30 => self.prune(cx, held),
            30..32 => self.linger(cx, held),
            32 => self.break_slice(cx, held),
            33 => cx.poll(),
            _ => (0..self.random.below(200) as u64).for_each(|n| _ = cx.alloc([n; 9])),
        }
    }

    /// Makes an object reachable, in one of the ways there are.
    fn attach<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>, made: Any<'gc>) {
        let node = self.node(cx, held);
        match made {
            Any::Node(made) if self.random.below(2) == 0 => {
                node.cells[self.random.below(2)].set(cx, Some(made));
            }
            _ => {
                let mut list = node.list.lock(cx);
                if list.len() < 6 {
                    list.push(made);
                } else {
                    list[self.random.below(6)] = made;
                }
            }
        }
    }

    /// Changes a cell in one of the ways there are.
    fn store<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        let (from, to) = (self.node(cx, held), self.node(cx, held));
        let to = (self.random.below(5) > 0).then_some(to);
        let cell = &from.cells[self.random.below(2)];
        match self.random.below(3) {
            0 => cell.set(cx, to),
            1 => {
                if let Some(old) = cell.swap(cx, to) {
                    self.remember(held, Any::Node(old));
                }
            }
            _ => {
                let seen = cell.get();
                if let Err(Some(found)) = cell.compare_exchange(cx, seen, to) {
                    self.remember(held, Any::Node(found));
                }
            }
        }
    }

    /// Takes the last reference to a node, as far as the graph goes, waits, and puts it where a
    /// marker has been already or will not go: into a new object, another cell, a list.
    fn hide<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        let from = self.node(cx, held);
        let cell = &from.cells[self.random.below(2)];
        let Some(node) = cell.get() else {
            let node = self.new_node(cx, None);
            let deep = self.new_node(cx, Some(node));
            cell.set(cx, Some(deep));
            return;
        };
        if self.random.below(4) == 0 {
            (0..self.random.below(40)).for_each(|_| cx.poll());
        }
        match self.random.below(5) {
            // Overwritten first, stored then; and the other way round.
            0 => {
                cell.set(cx, None);
                let fresh = self.new_node(cx, Some(node));
                self.remember(held, Any::Node(fresh));
                self.attach(cx, held, Any::Node(fresh));
            }
            1 => {
                let to = self.node(cx, held);
                to.cells[self.random.below(2)].set(cx, cell.swap(cx, None));
            }
            2 => {
                let to = self.node(cx, held);
                to.list.lock(cx).push(Any::Node(node));
                cell.set(cx, node.cells[0].get());
            }
            3 => {
                let root = AnyRoot::new(cx, Any::Node(node));
                let _ = cell.compare_exchange(cx, Some(node), None);
                self.keep(root);
            }
            _ => {
                cell.set(cx, None);
                self.remember(held, Any::Node(node));
            }
        }
    }

    fn change_list<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        let node = self.node(cx, held);
        let any = self.any(held);
        let mut list = node.list.lock(cx);
        match self.random.below(5) {
            0 => list.extend(any),
            1 => {
                if let Some(any) = list.pop() {
                    drop(list);
                    self.remember(held, any);
                }
            }
            2 => list.clear(),
            3 => list.truncate(1),
            // Under the guard, over the end of a cycle, and written afterwards.
            _ => {
                for n in 0..self.random.below(300) as u64 {
                    cx.alloc([n; 3]);
                    cx.poll();
                }
                list.extend(any);
                if list.len() > 8 {
                    list.drain(..4);
                }
            }
        }
    }

    /// Moves what one list holds into another, both locked.
    fn move_list<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        let (from, to) = (self.node(cx, held), self.new_node(cx, None));
        let mut source = from.list.lock(cx);
        // Never waits with a guard in its hands.
        if let Some(mut list) = to.list.try_lock(cx) {
            match self.random.below(3) {
                0 => list.append(&mut source),
                1 => std::mem::swap(&mut *list, &mut *source),
                _ => *list = std::mem::take(&mut *source),
            }
        }
        drop(source);
        from.cells[0].set(cx, Some(to));
    }

    /// Changes an object of whatever kind is at hand.
    fn change_any<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        let node = self.node(cx, held);
        let Some(any) = self.any(held) else { return };
        for at in held.clone() {
            match at {
                Any::Table(table) => {
                    let mut map = table.map.lock(cx);
                    match self.random.below(3) {
                        0 => _ = map.insert(self.random.next() % 16, any),
                        1 => map.clear(),
                        _ => map.retain(|key, _| key % 2 == 0),
                    }
                }
                Any::Shelf(shelf) => {
                    let mut list = shelf.list.write(cx);
                    list.push(any);
                    if list.len() > 6 {
                        let taken = std::mem::take(&mut *list);
                        drop(list);
                        self.remember(held, taken[0]);
                    }
                }
                Any::Cells(cells) => {
                    let at = self.random.below(7) * step_of(cells.len());
                    let old = cells[at].swap(cx, Some(node));
                    old.into_iter()
                        .for_each(|old| self.remember(held, Any::Node(old)));
                }
                Any::Big(big) => big.cell.set(cx, Some(node)),
                _ => {}
            }
        }
    }

    /// Locks a list for ever, with something new in it.
    fn leak<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        for at in held.clone() {
            let (Any::Leaky(leaky), Some(any)) = (at, self.any(held)) else {
                continue;
            };
            if let Some(mut list) = leaky.list.try_lock(cx) {
                list.clear();
                list.push(any);
                if self.random.below(2) == 0 {
                    std::mem::forget(list);
                }
            }
        }
    }

    /// Takes the strong references to a node away and comes back by the weak one.
    fn follow_weak<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        let node = self.node(cx, held);
        let weak = *node.weak.lock(cx);
        let Some(weak) = weak else {
            if let Some(target) = node.cells[0].swap(cx, None) {
                *node.weak.lock(cx) = Some(cx.downgrade(target));
            }
            return;
        };
        if let Some(target) = weak.upgrade(cx) {
            Any::Node(target).check(&self.common.census);
            self.remember(held, Any::Node(target));
            if self.random.below(3) == 0 {
                self.attach(cx, held, Any::Node(target));
            }
        } else {
            assert!(weak.upgrade(cx).is_none(), "back from the dead");
        }
    }

    /// Keeps a root for itself, for all, or for the thread that drops.
    fn keep(&mut self, root: AnyRoot) {
        match self.random.below(4) {
            0 => self.roots.push(root),
            1 => _ = self.dropper.send(root),
            _ => drop(self.common.show(self.random.below(1_000), Some(root))),
        }
        if self.roots.len() > 12 {
            let index = self.random.below(self.roots.len());
            self.roots.swap_remove(index);
        }
    }

    fn handle<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        match self.random.below(6) {
            0 if !self.roots.is_empty() => {
                let index = self.random.below(self.roots.len());
                let root = self.roots.swap_remove(index);
                self.remember(held, root.get(cx));
                if self.random.below(2) == 0 {
                    let clone = root.clone();
                    self.keep(clone);
                }
            }
            // Taken down, held, dropped.
            1 => {
                let root = self.common.show(self.random.below(1_000), None);
                if let Some(root) = root {
                    self.remember(held, root.get(cx));
                }
            }
            _ => {
                if let Some(any) = self.any(held) {
                    self.keep(AnyRoot::new(cx, any));
                }
            }
        }
    }

    /// Cuts a node's edges, so that the graph stays small.
    fn prune<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        let node = self.node(cx, held);
        node.cells.iter().for_each(|cell| cell.set(cx, None));
        let taken = std::mem::take(&mut *node.list.lock(cx));
        taken
            .into_iter()
            .take(2)
            .for_each(|any| self.remember(held, any));
    }

    /// A closure that runs for long and polls, so that cycles end inside it.
    fn linger<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        for n in 0..self.random.below(600) as u64 {
            cx.poll();
            cx.alloc([n; 5]);
        }
        self.check(held);
    }

    /// A slice whose elements stop coming half-way.
    fn break_slice<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
        let Some(to) = self.any(held) else { return };
        let stop = self.random.below(6);
        let items = (0..6).map(|n| {
            if n == stop {
                resume_unwind(Box::new("planned"));
            }
            Item {
                canary: self.common.census.canary(),
                to,
            }
        });
        let made = catch_unwind(AssertUnwindSafe(|| cx.alloc_slice(items)));
        assert!(made.is_err());
    }
}
