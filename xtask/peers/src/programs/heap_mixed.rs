//! `graph kind=mixed` on our heap: a type of Rust for each of the shape's.

use super::graph::Walk;
use super::heap_graph::collections;
use super::mixed::{Mixed, ROOTS, UNIT};
use super::run::Lines;
use super::{Failure, Params};
use runtime::{Collector, Cx, Gc, GcCell, Root, Runtime, Trace};

/// 40 B without references.
#[derive(Trace)]
struct Value {
    word: u64,
    content: [u64; 4],
}

/// 24 B.
#[derive(Trace)]
struct Item<'gc> {
    value: Gc<'gc, Value>,
    note: GcCell<'gc, Note<'gc>>,
    word: u64,
}

/// 16 B.
#[derive(Trace)]
struct Note<'gc> {
    about: GcCell<'gc, Folder<'gc>>,
    word: u64,
}

type Folders<'gc> = [Gc<'gc, Folder<'gc>>];

/// Two references to vectors and one to a note.
#[derive(Trace)]
struct Folder<'gc> {
    items: Gc<'gc, [Gc<'gc, Item<'gc>>]>,
    links: GcCell<'gc, Folders<'gc>>,
    note: Gc<'gc, Note<'gc>>,
    word: u64,
}

fn make<'gc, C: Collector>(cx: &Cx<'gc, C>, unit: usize) -> Gc<'gc, Folder<'gc>> {
    let word = (unit * UNIT) as u64;
    let items = [1, 2, 3].map(|place| {
        let value = cx.alloc(Value {
            word: word + 3 + place,
            content: [word; 4],
        });
        let note = GcCell::empty();
        let word = word + place;
        cx.alloc(Item { value, note, word })
    });
    let note = cx.alloc(Note {
        about: GcCell::empty(),
        word: word + 7,
    });
    cx.alloc(Folder {
        items: cx.alloc_slice(items),
        links: GcCell::empty(),
        note,
        word,
    })
}

fn build<C: Collector>(cx: &Cx<'_, C>, shape: &mut Mixed) -> Root<Folders<'static>> {
    let folders: Vec<_> = (0..shape.units).map(|unit| make(cx, unit)).collect();
    for folder in &folders {
        let links = shape.draw();
        for (item, unit) in folder.items.iter().zip(links.notes) {
            item.note.set(cx, Some(folders[unit].note));
        }
        folder.note.about.set(cx, Some(folders[links.about]));
        if !links.folders.is_empty() {
            let to = links.folders.iter().map(|unit| folders[*unit]);
            folder.links.set(cx, Some(cx.alloc_slice(to)));
        }
    }
    let heads = folders.iter().take(ROOTS).copied();
    cx.root(cx.alloc_slice(heads))
}

/// The walk, and how many vectors it has met.
fn walk<C: Collector>(cx: &Cx<'_, C>, heads: &Root<Folders<'static>>, nodes: usize) -> (Walk, u64) {
    let (mut walk, mut vectors) = (Walk::new(nodes), 0);
    let mut stack: Vec<_> = heads.get(cx).to_vec();
    while let Some(folder) = stack.pop() {
        if !walk.is_new(folder.word) {
            continue;
        }
        let links = folder.links.get();
        vectors += 1 + u64::from(links.is_some());
        stack.extend(links.iter().flat_map(|links| links.iter().copied()));
        let of_items = folder.items.iter().filter_map(|item| item.note.get());
        for note in of_items.chain([folder.note]) {
            if walk.is_new(note.word) {
                stack.extend(note.about.get());
            }
        }
        for item in folder.items.iter() {
            walk.is_new(item.word);
            walk.is_new(item.value.word);
        }
    }
    (walk, vectors)
}

/// Runs the workload.
pub(super) fn run<C: Collector>(heap: &Runtime<C>, params: &Params) -> Result<Lines, Failure> {
    let mut shape = Mixed::new(params)?;
    let mut mutator = heap.mutator();
    let heads = mutator.enter(|cx| build(cx, &mut shape));
    let mut lines = collections(&mut mutator)?;
    let nodes = shape.units * UNIT;
    let (walk, vectors) = mutator.enter(|cx| walk(cx, &heads, nodes));
    lines.add("answer", walk.answer());
    lines.add("reached", walk.reached + vectors);
    Ok(lines)
}
