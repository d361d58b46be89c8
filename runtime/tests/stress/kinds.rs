//! The objects of the stress: one type of each sort that the heap knows, each with a canary.
//!
//! A canary is a number and its checksum, written once. Whoever comes to an object looks at it
//! ([`Any::check`]): memory that was dropped has a dead canary, memory that was freed and poisoned
//! or used again has none. Then the process ends with the seed and the object.

use runtime::{Collector, Cx, Gc, GcCell, Locked, Rebrand, Root, RwLocked, Trace, Visitor, Weak};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Words of a slice of cells that is scanned in parts: more than 128 KiB.
pub(crate) const HUGE_CELLS: usize = 16_500;
/// Words of an object that owns its span, and has drop glue.
pub(crate) const BIG_WORDS: usize = 5_000;
/// No slice but those of cells is longer, in elements or bytes.
const LEN_MAX: usize = 1_000;
const DEAD: u64 = 0xDEAD_DEAD_DEAD_DEAD;

/// What a round knows of its objects, and how it ends if one is not as it should be.
#[derive(Default)]
pub(crate) struct Census {
    pub(crate) seed: u64,
    pub(crate) mode: &'static str,
    pub(crate) made: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
}

impl Census {
    /// Ends the process: the heap is corrupt, and every thread's next step may hide it.
    pub(crate) fn corrupt(&self, what: &str) -> ! {
        // Not `eprintln`: the test's harness would keep the line to itself.
        let _ = writeln!(
            std::io::stderr(),
            "stress: CORRUPT mode={} seed={}: {what} (on {:?})",
            self.mode,
            self.seed,
            std::thread::current().name(),
        );
        std::process::abort();
    }

    /// A canary for a new object, and its number.
    pub(crate) fn canary(self: &Arc<Self>) -> Canary {
        let id = self.made.fetch_add(1, Ordering::Relaxed) as u64 + 1;
        Canary {
            id,
            sum: AtomicU64::new(sum_of(id)),
            census: self.clone(),
        }
    }
}

pub(crate) fn sum_of(id: u64) -> u64 {
    id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D
}

/// What tells a living object.
#[derive(Trace)]
#[trace(noscan)]
pub(crate) struct Canary {
    pub(crate) id: u64,
    sum: AtomicU64,
    census: Arc<Census>,
}

impl Canary {
    /// Looks whether the object is alive and itself. `census` is the caller's: the one in a freed
    /// object leads anywhere.
    fn check(&self, census: &Census, kind: &str) {
        let sum = self.sum.load(Ordering::Relaxed);
        if sum != sum_of(self.id) {
            let (id, at) = (self.id, std::ptr::from_ref(self));
            let state = if sum == DEAD { "dropped" } else { "freed" };
            census.corrupt(&format!(
                "a {kind} was {state} and is reachable: id {id:#x}, sum {sum:#x}, at {at:p}"
            ));
        }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let sum = self.sum.swap(DEAD, Ordering::Relaxed);
        if sum != sum_of(self.id) {
            // The census may be gone with the rest.
            let _ = writeln!(
                std::io::stderr(),
                "stress: CORRUPT: id {:#x}, sum {sum:#x} is dropped and was not alive",
                self.id
            );
            std::process::abort();
        }
        self.census.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets the mutators run while the marker is in the middle of the graph, which is small, and
/// marked in a moment otherwise: what they do before it and behind it is the test.
pub(crate) struct Drag(pub(crate) bool);

// SAFETY: holds no reference.
unsafe impl Trace for Drag {
    const NEEDS_TRACE: bool = true;

    fn trace<V: Visitor>(&self, _visitor: &mut V) {
        if self.0 {
            std::thread::yield_now();
        }
    }
}

// SAFETY: no brand.
unsafe impl Rebrand for Drag {
    type With<'to> = Self;
}

/// A reference of any kind.
#[derive(Trace, Clone, Copy)]
pub(crate) enum Any<'gc> {
    Node(Gc<'gc, Node<'gc>>),
    Table(Gc<'gc, Table<'gc>>),
    Shelf(Gc<'gc, Shelf<'gc>>),
    Leaky(Gc<'gc, Leaky<'gc>>),
    Big(Gc<'gc, Big<'gc>>),
    Cells(Gc<'gc, [GcCell<'gc, Node<'gc>>]>),
    Items(Gc<'gc, [Item<'gc>]>),
    Words(Gc<'gc, [u64]>),
    Text(Gc<'gc, str>),
    /// A size class of noscan words by value.
    Block(Gc<'gc, [u64; 6]>),
}

#[derive(Trace)]
pub(crate) struct Node<'gc> {
    pub(crate) canary: Canary,
    pub(crate) drag: Drag,
    pub(crate) cells: [GcCell<'gc, Node<'gc>>; 2],
    pub(crate) list: Locked<Vec<Any<'gc>>>,
    pub(crate) weak: Locked<Option<Weak<'gc, Node<'gc>>>>,
}

#[derive(Trace)]
pub(crate) struct Table<'gc> {
    pub(crate) canary: Canary,
    pub(crate) map: Locked<HashMap<u64, Any<'gc>>>,
}

/// References in an array that never change, and a list behind a `Box` and a lock for readers.
#[derive(Trace)]
pub(crate) struct Shelf<'gc> {
    pub(crate) canary: Canary,
    pub(crate) array: [Option<Any<'gc>>; 3],
    pub(crate) list: Box<RwLocked<Vec<Any<'gc>>>>,
}

/// A list whose guards are leaked now and then: it is never waited for.
#[derive(Trace)]
pub(crate) struct Leaky<'gc> {
    pub(crate) canary: Canary,
    pub(crate) list: Locked<Vec<Any<'gc>>>,
}

/// An object that owns its span.
#[derive(Trace)]
pub(crate) struct Big<'gc> {
    pub(crate) canary: Canary,
    pub(crate) words: [u64; BIG_WORDS],
    pub(crate) cell: GcCell<'gc, Node<'gc>>,
}

#[derive(Trace)]
pub(crate) struct Item<'gc> {
    pub(crate) canary: Canary,
    pub(crate) to: Any<'gc>,
}

/// The words of noscan objects: a number, its checksum, the same again.
pub(crate) fn words_of(id: u64, count: usize) -> impl ExactSizeIterator<Item = u64> {
    (0..count).map(move |n| if n % 2 == 0 { id } else { sum_of(id) })
}

/// A text that is its own checksum.
pub(crate) fn text_of(id: u64) -> String {
    let len = (id % 150) as usize;
    format!("{id}:{:\u{b7}<len$}", "")
}

fn words_are_whole(words: &[u64]) -> bool {
    let whole = |(n, word): (usize, &u64)| *word == words[n % 2];
    let sums = words.len() < 2 || words[1] == sum_of(words[0]);
    sums && words.iter().enumerate().all(whole)
}

fn text_is_whole(text: &str) -> bool {
    let id = text.split_once(':').map(|(id, _)| id.parse().ok());
    id.flatten().is_some_and(|id| text_of(id) == text)
}

impl<'gc> Any<'gc> {
    /// Looks whether the object is alive and itself.
    pub(crate) fn check(self, census: &Census) {
        // First the lengths: what is freed and poisoned has none that could be followed.
        let len = match self {
            Self::Items(gc) => gc.len(),
            Self::Words(gc) => gc.len(),
            Self::Text(gc) => gc.len(),
            _ => 0,
        };
        if len > LEN_MAX {
            census.corrupt(&format!(
                "a slice was freed and is reachable: length {len:#x}"
            ));
        }
        match self {
            Self::Node(gc) => gc.canary.check(census, "node"),
            Self::Table(gc) => gc.canary.check(census, "table"),
            Self::Shelf(gc) => gc.canary.check(census, "shelf"),
            Self::Leaky(gc) => gc.canary.check(census, "leaky list"),
            Self::Big(gc) => {
                gc.canary.check(census, "big object");
                if gc.words != [gc.canary.id; BIG_WORDS] {
                    census.corrupt("a big object's words changed");
                }
            }
            Self::Cells(gc) if gc.len() != 7 && gc.len() != HUGE_CELLS => {
                census.corrupt(&format!("a slice of {:#x} cells is reachable", gc.len()));
            }
            Self::Cells(_) => {}
            Self::Items(gc) => gc.iter().for_each(|item| item.canary.check(census, "item")),
            Self::Words(gc) if !words_are_whole(&gc) => census.corrupt("words changed"),
            Self::Block(gc) if !words_are_whole(&*gc) => census.corrupt("a block changed"),
            Self::Text(gc) if !text_is_whole(&gc) => census.corrupt("a text changed"),
            Self::Words(_) | Self::Block(_) | Self::Text(_) => {}
        }
    }

    pub(crate) fn address(self) -> usize {
        match self {
            Self::Node(gc) => Gc::address(gc),
            Self::Table(gc) => Gc::address(gc),
            Self::Shelf(gc) => Gc::address(gc),
            Self::Leaky(gc) => Gc::address(gc),
            Self::Big(gc) => Gc::address(gc),
            Self::Cells(gc) => Gc::address(gc),
            Self::Items(gc) => Gc::address(gc),
            Self::Words(gc) => Gc::address(gc),
            Self::Text(gc) => Gc::address(gc),
            Self::Block(gc) => Gc::address(gc),
        }
    }

    /// All references that the object holds, but those behind a lock that somebody has.
    pub(crate) fn edges<C: Collector>(self, cx: &Cx<'gc, C>) -> Vec<Any<'gc>> {
        match self {
            Self::Node(gc) => {
                let cells = gc.cells.iter().filter_map(GcCell::get).map(Any::Node);
                let mut edges: Vec<_> = cells.collect();
                edges.extend(gc.list.try_lock(cx).iter().flat_map(|list| list.iter()));
                edges
            }
            Self::Table(gc) => {
                let map = gc.map.try_lock(cx);
                map.iter().flat_map(|map| map.values().copied()).collect()
            }
            Self::Shelf(gc) => {
                let list = gc.list.try_read(cx);
                let list = list.iter().flat_map(|list| list.iter().copied());
                gc.array.iter().flatten().copied().chain(list).collect()
            }
            Self::Leaky(gc) => gc
                .list
                .try_lock(cx)
                .map_or(Vec::new(), |list| list.to_vec()),
            Self::Big(gc) => gc.cell.get().map(Any::Node).into_iter().collect(),
            Self::Cells(gc) => {
                let cells = gc.iter().step_by(step_of(gc.len()));
                cells.filter_map(GcCell::get).map(Any::Node).collect()
            }
            Self::Items(gc) => gc.iter().map(|item| item.to).collect(),
            Self::Words(_) | Self::Text(_) | Self::Block(_) => Vec::new(),
        }
    }
}

/// Of so many cells only each `step`-th is used, so that a walk through them is short.
pub(crate) fn step_of(len: usize) -> usize {
    if len == HUGE_CELLS { 1_500 } else { 1 }
}

/// A root of any kind.
#[derive(Clone)]
pub(crate) enum AnyRoot {
    Node(Root<Node<'static>>),
    Table(Root<Table<'static>>),
    Shelf(Root<Shelf<'static>>),
    Leaky(Root<Leaky<'static>>),
    Big(Root<Big<'static>>),
    Cells(Root<[GcCell<'static, Node<'static>>]>),
    Items(Root<[Item<'static>]>),
    Words(Root<[u64]>),
    Text(Root<str>),
    Block(Root<[u64; 6]>),
}

impl AnyRoot {
    pub(crate) fn new<'gc, C: Collector>(cx: &Cx<'gc, C>, to: Any<'gc>) -> Self {
        match to {
            Any::Node(gc) => Self::Node(cx.root(gc)),
            Any::Table(gc) => Self::Table(cx.root(gc)),
            Any::Shelf(gc) => Self::Shelf(cx.root(gc)),
            Any::Leaky(gc) => Self::Leaky(cx.root(gc)),
            Any::Big(gc) => Self::Big(cx.root(gc)),
            Any::Cells(gc) => Self::Cells(cx.root(gc)),
            Any::Items(gc) => Self::Items(cx.root(gc)),
            Any::Words(gc) => Self::Words(cx.root(gc)),
            Any::Text(gc) => Self::Text(cx.root(gc)),
            Any::Block(gc) => Self::Block(cx.root(gc)),
        }
    }

    pub(crate) fn get<'gc, C: Collector>(&self, cx: &Cx<'gc, C>) -> Any<'gc> {
        match self {
            Self::Node(root) => Any::Node(root.get(cx)),
            Self::Table(root) => Any::Table(root.get(cx)),
            Self::Shelf(root) => Any::Shelf(root.get(cx)),
            Self::Leaky(root) => Any::Leaky(root.get(cx)),
            Self::Big(root) => Any::Big(root.get(cx)),
            Self::Cells(root) => Any::Cells(root.get(cx)),
            Self::Items(root) => Any::Items(root.get(cx)),
            Self::Words(root) => Any::Words(root.get(cx)),
            Self::Text(root) => Any::Text(root.get(cx)),
            Self::Block(root) => Any::Block(root.get(cx)),
        }
    }
}
