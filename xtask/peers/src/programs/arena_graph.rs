//! `graph` on gc-arena: a closure builds it, and cycles are run to their end between closures.

use super::graph::{COLLECTIONS, Shape, Walk};
use super::mixed::{Mixed, ROOTS as MIXED_ROOTS, UNIT};
use super::run::{Clocks, Lines};
use super::{Failure, Params};
use crate::cost;
use gc_arena::lock::{Lock, RefLock};
use gc_arena::{Arena as GcArena, Collect, Gc, Mutation, Rootable, barrier::unlock};

/// 24 B, and the arena's own two words.
#[derive(Clone, Copy, Collect)]
#[collect(no_drop)]
struct Vertex<'gc> {
    edges: [Option<Gc<'gc, Lock<Vertex<'gc>>>>; 2],
    word: u64,
}

type Heads<'gc> = Vec<Gc<'gc, Lock<Vertex<'gc>>>>;

fn build<'gc>(mc: &Mutation<'gc>, shape: &mut Shape) -> Heads<'gc> {
    let vertex = |word| {
        let edges = [None; 2];
        Gc::new(mc, Lock::new(Vertex { edges, word }))
    };
    let table: Heads<'gc> = (0..shape.nodes as u64).map(vertex).collect();
    shape.link(|from, to| {
        let word = from as u64;
        let edges = to.map(|to| to.map(|to| table[to]));
        table[from].set(mc, Vertex { edges, word });
    });
    shape.roots().into_iter().map(|at| table[at]).collect()
}

fn walk(heads: &Heads<'_>, nodes: usize) -> Walk {
    let mut walk = Walk::new(nodes);
    let mut stack = heads.clone();
    while let Some(vertex) = stack.pop() {
        let vertex = vertex.get();
        if walk.is_new(vertex.word) {
            stack.extend(vertex.edges.into_iter().flatten());
        }
    }
    walk
}

/// Runs the workload.
pub(super) fn run(params: &Params) -> Result<Lines, Failure> {
    if params.text("kind", "random") == "mixed" {
        return run_mixed(params);
    }
    let mut shape = Shape::new(params)?;
    let mut arena = GcArena::<Rootable![Heads<'_>]>::new(|mc| build(mc, &mut shape));
    let nodes = shape.nodes;
    drop(shape);
    let mut lines = collections(&mut arena);
    let walk = arena.mutate(|_, heads| walk(heads, nodes));
    lines.add("answer", walk.answer());
    lines.add("reached", walk.reached);
    Ok(lines)
}

/// Collects once, then as often as is measured.
fn collections<R>(arena: &mut GcArena<R>) -> Lines
where
    R: for<'gc> Rootable<'gc>,
    for<'gc> <R as Rootable<'gc>>::Root: Collect<'gc>,
{
    arena.finish_cycle();
    let clocks = Clocks::start(|| None);
    let collections = [(); COLLECTIONS].map(|()| cost(|| arena.finish_cycle()).1);
    let mut lines = clocks.stop_unanswered();
    for cost in collections {
        lines.add("collect_ns", cost.wall.as_nanos());
        lines.add("collect_cpu_ns", cost.cpu.as_nanos());
    }
    lines
}

/// 40 B without references.
#[derive(Collect)]
#[collect(require_static)]
struct Value {
    word: u64,
    _content: [u64; 4],
}

#[derive(Collect)]
#[collect(no_drop)]
struct Item<'gc> {
    value: Gc<'gc, Value>,
    note: Lock<Option<Gc<'gc, Note<'gc>>>>,
    word: u64,
}

#[derive(Collect)]
#[collect(no_drop)]
struct Note<'gc> {
    about: Lock<Option<Gc<'gc, Folder<'gc>>>>,
    word: u64,
}

/// The vectors are `Vec`s, as a user writes them; their places are of `malloc`.
#[derive(Collect)]
#[collect(no_drop)]
struct Folder<'gc> {
    items: Vec<Gc<'gc, Item<'gc>>>,
    links: RefLock<Folders<'gc>>,
    note: Gc<'gc, Note<'gc>>,
    word: u64,
}

type Folders<'gc> = Vec<Gc<'gc, Folder<'gc>>>;

fn folder<'gc>(mc: &Mutation<'gc>, unit: usize) -> Gc<'gc, Folder<'gc>> {
    let word = (unit * UNIT) as u64;
    let items = [1, 2, 3].map(|place| {
        let value = Value {
            word: word + 3 + place,
            _content: [word; 4],
        };
        let item = Item {
            value: Gc::new(mc, value),
            note: Lock::new(None),
            word: word + place,
        };
        Gc::new(mc, item)
    });
    let note = Note {
        about: Lock::new(None),
        word: word + 7,
    };
    let folder = Folder {
        note: Gc::new(mc, note),
        items: items.to_vec(),
        links: RefLock::new(Vec::new()),
        word,
    };
    Gc::new(mc, folder)
}

fn build_mixed<'gc>(mc: &Mutation<'gc>, shape: &mut Mixed) -> Folders<'gc> {
    let folders: Folders<'gc> = (0..shape.units).map(|unit| folder(mc, unit)).collect();
    for folder in &folders {
        let links = shape.draw();
        for (item, unit) in folder.items.iter().zip(links.notes) {
            let note = Some(folders[unit].note);
            unlock!(Gc::write(mc, *item), Item, note).set(note);
        }
        let about = Some(folders[links.about]);
        unlock!(Gc::write(mc, folder.note), Note, about).set(about);
        let to = links.folders.iter().map(|unit| folders[*unit]);
        let own = unlock!(Gc::write(mc, *folder), Folder, links);
        *own.borrow_mut() = to.collect();
    }
    folders.into_iter().take(MIXED_ROOTS).collect()
}

fn walk_mixed(heads: &Folders<'_>, nodes: usize) -> Walk {
    let mut walk = Walk::new(nodes);
    let mut stack = heads.clone();
    while let Some(folder) = stack.pop() {
        if !walk.is_new(folder.word) {
            continue;
        }
        stack.extend(folder.links.borrow().iter().copied());
        let of_items = folder.items.iter().filter_map(|item| item.note.get());
        for note in of_items.chain([folder.note]) {
            if walk.is_new(note.word) {
                stack.extend(note.about.get());
            }
        }
        for item in &folder.items {
            walk.is_new(item.word);
            walk.is_new(item.value.word);
        }
    }
    walk
}

fn run_mixed(params: &Params) -> Result<Lines, Failure> {
    let mut shape = Mixed::new(params)?;
    let mut arena = GcArena::<Rootable![Folders<'_>]>::new(|mc| build_mixed(mc, &mut shape));
    let nodes = shape.units * UNIT;
    let mut lines = collections(&mut arena);
    let walk = arena.mutate(|_, heads| walk_mixed(heads, nodes));
    lines.add("answer", walk.answer());
    Ok(lines)
}
