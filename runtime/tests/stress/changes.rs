//! The operations of the stress: everything that a program can do to a graph.

use crate::actor::Actor;
use crate::kinds::{Any, AnyRoot, Item, Node, step_of};
use runtime::{Cx, GcCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

impl Actor<'_> {
    /// One operation.
    pub(crate) fn operation<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
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
        // Overwritten first and stored then, or the other way round.
        let first = self.random.below(2) == 0;
        if first {
            self.empty(cx, cell);
        }
        match self.random.below(5) {
            0 | 1 => {
                let fresh = self.new_node(cx, Some(node));
                self.remember(held, Any::Node(fresh));
                self.attach(cx, held, Any::Node(fresh));
            }
            2 => {
                let to = self.node(cx, held);
                to.cells[self.random.below(2)].set(cx, Some(node));
            }
            3 => {
                let to = self.node(cx, held);
                to.list.lock(cx).push(Any::Node(node));
            }
            _ => {
                let root = AnyRoot::new(cx, Any::Node(node));
                self.keep(root);
            }
        }
        if !first {
            self.empty(cx, cell);
        }
    }

    /// Empties a cell in one of the three ways there are.
    fn empty<'gc>(&mut self, cx: &Cx<'gc>, cell: &GcCell<'gc, Node<'gc>>) {
        match self.random.below(3) {
            0 => cell.set(cx, None),
            1 => _ = cell.swap(cx, None),
            _ => _ = cell.compare_exchange(cx, cell.get(), None),
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
