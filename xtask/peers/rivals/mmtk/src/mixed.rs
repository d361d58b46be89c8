//! Marking: objects of several types, two of them with vectors, in units of eight. Everything of a
//! unit leads to its neighbors, or to other units at random.
//!
//! References stand first in an object, then its words; `FOLDER_LINKS` is null where it has none.

use crate::graph::collections;
use crate::local::{HEADER, Local, Object, Table};
use crate::params::{Params, Random};

const UNIT: u64 = 8;
const ITEMS: usize = 3;
const LINKS_END: usize = 8;
const ROOTS: usize = 16;

const FOLDER_ITEMS: usize = 0;
const FOLDER_LINKS: usize = 1;
const FOLDER_NOTE: usize = 2;
const FOLDER_WORD: usize = 3;

const ITEM_VALUE: usize = 0;
const ITEM_NOTE: usize = 1;
const ITEM_WORD: usize = 2;

const NOTE_ABOUT: usize = 0;
const NOTE_WORD: usize = 1;

const VALUE_WORD: usize = 0;

/// An object with so many references, all null, and words, all given.
fn object(local: &Local, references: usize, words: &[u64]) -> Object {
    let made = local.allocate(HEADER + 8 * (references + words.len()), references);
    (0..references).for_each(|at| made.init(at, 0));
    for (at, word) in words.iter().enumerate() {
        made.init(references + at, *word);
    }
    made
}

/// Each part is pushed when it is there, because the next may move it; the folder is returned.
fn make(local: &Local, unit: u64) -> Object {
    let word = unit * UNIT;
    for place in 1..=ITEMS as u64 {
        local.push(object(
            local,
            0,
            &[word + 3 + place, word, word, word, word],
        ));
        let item = object(local, 2, &[word + place]);
        item.init(ITEM_VALUE, local.pop().0 as u64);
        local.push(item);
    }
    local.push(object(local, 1, &[word + 7]));
    let items = object(local, ITEMS, &[]);
    let note = local.pop();
    for at in (0..ITEMS).rev() {
        items.init(at, local.pop().0 as u64);
    }
    local.push(items);
    local.push(note);
    let folder = object(local, 3, &[word]);
    folder.init(FOLDER_NOTE, local.pop().0 as u64);
    folder.init(FOLDER_ITEMS, local.pop().0 as u64);
    folder
}

/// Makes all units, then the references between them, and returns the roots.
fn build(local: &Local, units: usize, mut random: Random) -> Table {
    let folders = Table::new(units);
    for unit in 0..units {
        folders.set(unit, make(local, unit as u64));
    }
    for unit in 0..units {
        for at in 0..ITEMS {
            let item = folders.get(unit).edge(FOLDER_ITEMS).edge(at);
            let to = folders.get(random.below(units));
            local.set(item, ITEM_NOTE, to.edge(FOLDER_NOTE));
        }
        let about = folders.get(random.below(units));
        local.set(folders.get(unit).edge(FOLDER_NOTE), NOTE_ABOUT, about);
        let count = random.below(LINKS_END);
        if count > 0 {
            let links = object(local, count, &[]);
            local.set(folders.get(unit), FOLDER_LINKS, links);
            for at in 0..count {
                local.set(links, at, folders.get(random.below(units)));
            }
        }
    }
    let kept = Table::new(ROOTS.min(units));
    (0..kept.len()).for_each(|at| kept.set(at, folders.get(at)));
    kept
}

struct Walk {
    seen: Vec<u64>,
    reached: u64,
    words: u64,
}

impl Walk {
    fn is_new(&mut self, word: u64) -> bool {
        let (at, bit) = (word as usize / 64, 1 << (word % 64));
        let is_new = self.seen[at] & bit == 0;
        if is_new {
            self.seen[at] |= bit;
            self.reached += 1;
            self.words ^= word;
        }
        is_new
    }
}

/// Finds what the roots reach, and makes a number of it.
fn walk(roots: &Table, units: usize) -> u64 {
    let mut walk = Walk {
        seen: vec![0; units * UNIT as usize / 64 + 1],
        reached: 0,
        words: 0,
    };
    let mut stack: Vec<Object> = (0..roots.len()).map(|at| roots.get(at)).collect();
    while let Some(folder) = stack.pop() {
        if !walk.is_new(folder.get(FOLDER_WORD)) {
            continue;
        }
        let links = folder.edge(FOLDER_LINKS);
        if links != Object::NULL {
            stack.extend((0..links.references()).map(|at| links.edge(at)));
        }
        let items = [0, 1, 2].map(|at| folder.edge(FOLDER_ITEMS).edge(at));
        let notes = items.map(|item| item.edge(ITEM_NOTE));
        for note in notes.into_iter().chain([folder.edge(FOLDER_NOTE)]) {
            if walk.is_new(note.get(NOTE_WORD)) {
                stack.push(note.edge(NOTE_ABOUT));
            }
        }
        for item in items {
            walk.is_new(item.get(ITEM_WORD));
            walk.is_new(item.edge(ITEM_VALUE).get(VALUE_WORD));
        }
    }
    walk.reached * 31 + walk.words
}

pub(crate) fn run(params: &Params, nodes: usize) {
    let units = nodes / UNIT as usize;
    Local::attached(|local| {
        let roots = build(local, units, Random(params.number("seed", 1)));
        collections(local, || walk(&roots, units));
    });
}
