//! The objects of a random program: one type of each sort that the heap knows.

use crate::common::Token;
use runtime::{Collector, Cx, Gc, GcCell, Locked, Root, RwLocked, Trace, Weak, WeakMap};
use std::collections::HashMap;

/// Tokens of one object: an object's own has its number times this.
pub(crate) const TOKENS_MAX: u64 = 16;
/// Words of a large object: more than a size class holds.
pub(crate) const LARGE_WORDS: usize = 4_200;

/// A reference of any kind.
#[derive(Trace, Clone, Copy)]
pub(crate) enum Ref<'gc> {
    Node(Gc<'gc, Node<'gc>>),
    Slice(Gc<'gc, [Item<'gc>]>),
    Large(Gc<'gc, Large<'gc>>),
    Text(Gc<'gc, str>),
    Table(Gc<'gc, Table<'gc>>),
    Cells(Gc<'gc, [GcCell<'gc, Node<'gc>>]>),
    Shelf(Gc<'gc, Shelf<'gc>>),
    Map(Gc<'gc, Map<'gc>>),
}

#[derive(Trace)]
pub(crate) struct Node<'gc> {
    pub(crate) token: Token,
    pub(crate) edges: Locked<Vec<Ref<'gc>>>,
    pub(crate) cell: GcCell<'gc, Node<'gc>>,
    pub(crate) weak: Locked<Option<Weak<'gc, Node<'gc>>>>,
}

#[derive(Trace)]
pub(crate) struct Item<'gc> {
    pub(crate) token: Token,
    pub(crate) to: Ref<'gc>,
}

#[derive(Trace)]
pub(crate) struct Large<'gc> {
    pub(crate) token: Token,
    pub(crate) words: [u64; LARGE_WORDS],
    pub(crate) edges: Locked<Vec<Ref<'gc>>>,
}

/// A map that is locked for readers and writers: the `n`-th edge has the key `n`.
#[derive(Trace)]
pub(crate) struct Table<'gc> {
    pub(crate) token: Token,
    pub(crate) edges: RwLocked<HashMap<usize, Ref<'gc>>>,
}

/// A list behind a `Box`, an array, and a reference to what holds none.
#[derive(Trace)]
pub(crate) struct Shelf<'gc> {
    pub(crate) token: Token,
    pub(crate) numbers: [Gc<'gc, [u64]>; 2],
    pub(crate) edges: Box<Locked<Vec<Ref<'gc>>>>,
}

/// Nodes that belong to other nodes for as long as those live.
#[derive(Trace)]
pub(crate) struct Map<'gc> {
    pub(crate) token: Token,
    pub(crate) pairs: WeakMap<'gc, Node<'gc>, Node<'gc>>,
}

/// A root of any kind.
pub(crate) enum AnyRoot {
    Node(Root<Node<'static>>),
    Slice(Root<[Item<'static>]>),
    Large(Root<Large<'static>>),
    Text(Root<str>),
    Table(Root<Table<'static>>),
    Cells(Root<[GcCell<'static, Node<'static>>]>),
    Shelf(Root<Shelf<'static>>),
    Map(Root<Map<'static>>),
}

impl AnyRoot {
    pub(crate) fn new<'gc, C: Collector>(cx: &Cx<'gc, C>, to: Ref<'gc>) -> Self {
        match to {
            Ref::Node(gc) => Self::Node(cx.root(gc)),
            Ref::Slice(gc) => Self::Slice(cx.root(gc)),
            Ref::Large(gc) => Self::Large(cx.root(gc)),
            Ref::Text(gc) => Self::Text(cx.root(gc)),
            Ref::Table(gc) => Self::Table(cx.root(gc)),
            Ref::Cells(gc) => Self::Cells(cx.root(gc)),
            Ref::Shelf(gc) => Self::Shelf(cx.root(gc)),
            Ref::Map(gc) => Self::Map(cx.root(gc)),
        }
    }

    pub(crate) fn get<'gc, C: Collector>(&self, cx: &Cx<'gc, C>) -> Ref<'gc> {
        match self {
            Self::Node(root) => Ref::Node(root.get(cx)),
            Self::Slice(root) => Ref::Slice(root.get(cx)),
            Self::Large(root) => Ref::Large(root.get(cx)),
            Self::Text(root) => Ref::Text(root.get(cx)),
            Self::Table(root) => Ref::Table(root.get(cx)),
            Self::Cells(root) => Ref::Cells(root.get(cx)),
            Self::Shelf(root) => Ref::Shelf(root.get(cx)),
            Self::Map(root) => Ref::Map(root.get(cx)),
        }
    }
}

/// What the text of an object says.
pub(crate) fn text_of(id: u64) -> String {
    format!("text {id}, {}", "-".repeat(id as usize % 200))
}

/// The `way`-th edge of the object's list.
pub(crate) fn edge<'gc, C: Collector>(cx: &Cx<'gc, C>, at: Ref<'gc>, way: usize) -> Ref<'gc> {
    match at {
        Ref::Node(node) => node.edges.lock(cx)[way],
        Ref::Large(large) => large.edges.lock(cx)[way],
        Ref::Slice(items) => items[way].to,
        Ref::Table(table) => table.edges.read(cx)[&way],
        Ref::Cells(cells) => Ref::Node(cells[way].get().expect("the cell holds a node")),
        Ref::Shelf(shelf) => shelf.edges.lock(cx)[way],
        Ref::Text(_) | Ref::Map(_) => unreachable!("no edges"),
    }
}
