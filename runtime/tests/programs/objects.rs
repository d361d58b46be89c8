//! The objects of a random program: one type of each sort that the heap knows.

use crate::common::Token;
use runtime::{Collector, Cx, Gc, GcCell, Locked, Root, Trace, Weak};

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

/// A root of any kind.
pub(crate) enum AnyRoot {
    Node(Root<Node<'static>>),
    Slice(Root<[Item<'static>]>),
    Large(Root<Large<'static>>),
    Text(Root<str>),
}

impl AnyRoot {
    pub(crate) fn new<'gc, C: Collector>(cx: &Cx<'gc, C>, to: Ref<'gc>) -> Self {
        match to {
            Ref::Node(gc) => Self::Node(cx.root(gc)),
            Ref::Slice(gc) => Self::Slice(cx.root(gc)),
            Ref::Large(gc) => Self::Large(cx.root(gc)),
            Ref::Text(gc) => Self::Text(cx.root(gc)),
        }
    }

    pub(crate) fn get<'gc, C: Collector>(&self, cx: &Cx<'gc, C>) -> Ref<'gc> {
        match self {
            Self::Node(root) => Ref::Node(root.get(cx)),
            Self::Slice(root) => Ref::Slice(root.get(cx)),
            Self::Large(root) => Ref::Large(root.get(cx)),
            Self::Text(root) => Ref::Text(root.get(cx)),
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
        Ref::Text(_) => unreachable!("a text has no edges"),
    }
}
