//! What one mutator does in the stress: random operations on a graph that it shares with others.
//!
//! A closure holds up to sixteen references that it came by on its walks. It stores them, hides
//! them, waits with them while cycles go on, and at its end looks at all of them once more: none
//! may be gone, wherever it was hidden meanwhile.

use crate::common::Random;
use crate::kinds::{
    Any, AnyRoot, BIG_WORDS, Big, Census, Drag, HUGE_CELLS, Item, Leaky, Node, Shelf, Table,
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

    pub(crate) fn check(&self, held: &[Any<'_>]) {
        held.iter().for_each(|any| any.check(&self.common.census));
    }

    pub(crate) fn remember<'gc>(&mut self, held: &mut Vec<Any<'gc>>, any: Any<'gc>) {
        if held.len() < HELD_MAX {
            held.push(any);
        } else {
            held[self.random.below(HELD_MAX)] = any;
        }
    }

    /// Goes some edges from a root, and looks at each object.
    pub(crate) fn walk<'gc>(&mut self, cx: &Cx<'gc>, held: &mut Vec<Any<'gc>>) {
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
    pub(crate) fn node<'gc>(
        &mut self,
        cx: &Cx<'gc>,
        held: &mut Vec<Any<'gc>>,
    ) -> Gc<'gc, Node<'gc>> {
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

    pub(crate) fn any<'gc>(&mut self, held: &[Any<'gc>]) -> Option<Any<'gc>> {
        (!held.is_empty()).then(|| held[self.random.below(held.len())])
    }

    pub(crate) fn new_node<'gc>(
        &self,
        cx: &Cx<'gc>,
        to: Option<Gc<'gc, Node<'gc>>>,
    ) -> Gc<'gc, Node<'gc>> {
        let canary = self.common.census.canary();
        cx.alloc(Node {
            drag: Drag(canary.id.is_multiple_of(8)),
            canary,
            cells: [GcCell::new(to), GcCell::empty()],
            list: Locked::default(),
            weak: Locked::default(),
        })
    }

    /// An object of a random kind that refers to what is held.
    pub(crate) fn make<'gc>(&mut self, cx: &Cx<'gc>, held: &[Any<'gc>]) -> Any<'gc> {
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
}
