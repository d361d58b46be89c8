//! The objects of these tests: values that belong to one thread, and report their drop.

use runtime::{Gc, LocalCell, LocalCx, LocalRefCell, LocalRoot, Trace, Weak};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::thread::ThreadId;

/// Which tokens were dropped, how often, and where. Not `Send`.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<RefCell<BTreeMap<u64, Vec<ThreadId>>>>);

impl Drops {
    pub(crate) fn token(&self, id: u64) -> Token {
        let before = self.0.borrow_mut().insert(id, Vec::new());
        assert!(before.is_none(), "two tokens {id}");
        Token {
            id,
            drops: self.clone(),
        }
    }

    /// The tokens that were dropped: each once, by this thread.
    pub(crate) fn dropped(&self) -> Vec<u64> {
        let here = std::thread::current().id();
        let table = self.0.borrow();
        let dropped = table.iter().filter(|(_, by)| !by.is_empty());
        dropped
            .map(|(id, by)| {
                assert_eq!(by, &[here], "drops of token {id}");
                *id
            })
            .collect()
    }

    pub(crate) fn is_dropped(&self, id: u64) -> bool {
        !self.0.borrow()[&id].is_empty()
    }

    pub(crate) fn made(&self) -> Vec<u64> {
        self.0.borrow().keys().copied().collect()
    }
}

/// A value that reports its drop.
#[derive(Trace)]
#[trace(noscan)]
pub(crate) struct Token {
    pub(crate) id: u64,
    drops: Drops,
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut table = self.drops.0.borrow_mut();
        let by = table.get_mut(&self.id).expect("a token that was made");
        by.push(std::thread::current().id());
    }
}

/// A node with each sort of place.
#[derive(Trace)]
pub(crate) struct Node<'gc> {
    pub(crate) token: Token,
    pub(crate) cell: LocalCell<'gc, Node<'gc>>,
    pub(crate) edges: LocalRefCell<Vec<Gc<'gc, Node<'gc>>>>,
    pub(crate) weak: LocalRefCell<Option<Weak<'gc, Node<'gc>>>>,
}

pub(crate) type NodeRoot = LocalRoot<Node<'static>>;

/// A node that holds nothing.
pub(crate) fn node<'gc>(cx: &LocalCx<'gc>, drops: &Drops, id: u64) -> Gc<'gc, Node<'gc>> {
    cx.alloc(Node {
        token: drops.token(id),
        cell: LocalCell::empty(),
        edges: LocalRefCell::default(),
        weak: LocalRefCell::default(),
    })
}
