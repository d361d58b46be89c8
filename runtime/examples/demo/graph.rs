//! The packages as objects of the heap: how they are linked, loaded and dropped.
//!
//! Each package points at what it depends on and at what depends on it, so nearly every pair of
//! neighbors is a cycle of references, whatever the archive's own cycles. The lists of targets
//! are slices of the heap behind a [`GcCell`]: a change copies the slice and the old one becomes
//! garbage. The lists of dependents are ordinary `Vec`s behind a [`Locked`]: `libc6` has 21,840
//! and is not copied whenever one of them changes. They are sorted by index.

use std::collections::HashMap;

use runtime::{Collector, Cx, Gc, GcCell, Locked, Mutator, Root, Trace, Weak};

use super::data::Record;

/// Objects created or relinked within one closure, so that a collector that waits for closures
/// to end does not wait long. Measured on the embedded archive: well under a millisecond each.
pub(crate) const BATCH: usize = 512;

/// A list of packages in the heap, shared until it changes.
pub(crate) type Targets<'gc> = GcCell<'gc, [Gc<'gc, Package<'gc>>]>;
/// The packages that point here, sorted by index.
pub(crate) type Sources<'gc> = Locked<Vec<Gc<'gc, Package<'gc>>>>;

/// One version of a package.
#[derive(Trace)]
pub(crate) struct Package<'gc> {
    pub(crate) id: u32,
    /// How often this package has been replaced.
    pub(crate) serial: u64,
    pub(crate) name: Gc<'gc, str>,
    pub(crate) version: Gc<'gc, str>,
    pub(crate) section: Gc<'gc, str>,
    pub(crate) installed_kib: u64,
    pub(crate) depends: Targets<'gc>,
    pub(crate) recommends: Targets<'gc>,
    pub(crate) dependents: Sources<'gc>,
    pub(crate) recommenders: Sources<'gc>,
}

impl<'gc> Package<'gc> {
    /// Shows `visit` what this package needs.
    pub(crate) fn each_target(
        &self,
        recommends: bool,
        mut visit: impl FnMut(Gc<'gc, Package<'gc>>),
    ) {
        let recommended = if recommends {
            self.recommends.get()
        } else {
            None
        };
        for list in [self.depends.get(), recommended].into_iter().flatten() {
            list.iter().for_each(|package| visit(*package));
        }
    }

    /// Appends what needs this package to `into`; a copy, so that the lock is held for little.
    pub(crate) fn sources<C: Collector>(
        &self,
        cx: &Cx<'gc, C>,
        recommends: bool,
        into: &mut Vec<Gc<'gc, Package<'gc>>>,
    ) {
        into.extend_from_slice(&self.dependents.lock(cx));
        if recommends {
            into.extend_from_slice(&self.recommenders.lock(cx));
        }
    }
}

/// All packages by index: the one object that is rooted.
#[derive(Trace)]
pub(crate) struct Catalog<'gc> {
    pub(crate) packages: Gc<'gc, [GcCell<'gc, Package<'gc>>]>,
    /// Some of the objects that were replaced: the collector is to clear these.
    pub(crate) watched: Locked<Vec<Weak<'gc, Package<'gc>>>>,
}

impl<'gc> Catalog<'gc> {
    /// The present version of a package; none once it has been dropped.
    pub(crate) fn get(&self, id: u32) -> Option<Gc<'gc, Package<'gc>>> {
        self.packages.get(id as usize)?.get()
    }
}

/// Builds the graph in the heap.
pub(crate) fn load<C: Collector>(
    mutator: &mut Mutator<C>,
    records: &[Record],
) -> Root<Catalog<'static>> {
    let catalog = mutator.enter(|cx| {
        let packages = cx.alloc_slice(records.iter().map(|_| GcCell::new(None)));
        cx.root(cx.alloc(Catalog {
            packages,
            watched: Locked::new(Vec::new()),
        }))
    });
    for (batch, part) in records.chunks(BATCH).enumerate() {
        mutator.enter(|cx| create(cx, &catalog.get(cx), batch * BATCH, part));
    }
    for (batch, part) in records.chunks(BATCH).enumerate() {
        mutator.enter(|cx| link(cx, &catalog.get(cx), batch * BATCH, part));
    }
    catalog
}

fn create<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    catalog: &Catalog<'gc>,
    first: usize,
    records: &[Record],
) {
    let mut sections: HashMap<&str, Gc<'gc, str>> = HashMap::new();
    for (id, record) in (first..).zip(records) {
        let section = *sections
            .entry(&record.section)
            .or_insert_with(|| cx.alloc_str(&record.section));
        let package = cx.alloc(Package {
            id: id as u32,
            serial: 0,
            name: cx.alloc_str(&record.name),
            version: cx.alloc_str(&record.version),
            section,
            installed_kib: record.installed_kib,
            depends: GcCell::new(None),
            recommends: GcCell::new(None),
            dependents: Locked::new(Vec::new()),
            recommenders: Locked::new(Vec::new()),
        });
        catalog.packages[id].set(cx, Some(package));
    }
}

fn link<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    catalog: &Catalog<'gc>,
    first: usize,
    records: &[Record],
) {
    let targets = |ids: &[u32]| -> Vec<Gc<'gc, Package<'gc>>> {
        ids.iter().filter_map(|id| catalog.get(*id)).collect()
    };
    for (id, record) in (first..).zip(records) {
        let Some(package) = catalog.get(id as u32) else {
            continue;
        };
        let (depends, recommends) = (targets(&record.depends), targets(&record.recommends));
        // Indices rise from call to call, so the lists of dependents come out sorted.
        for target in &depends {
            target.dependents.lock(cx).push(package);
        }
        for target in &recommends {
            target.recommenders.lock(cx).push(package);
        }
        store(cx, &package.depends, depends);
        store(cx, &package.recommends, recommends);
    }
}

fn store<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    cell: &Targets<'gc>,
    list: Vec<Gc<'gc, Package<'gc>>>,
) {
    let list = if list.is_empty() {
        None
    } else {
        Some(cx.alloc_slice(list))
    };
    cell.set(cx, list);
}

/// The serials of all packages together: how many replacements the graph remembers.
pub(crate) fn serials<C: Collector>(
    mutator: &mut Mutator<C>,
    catalog: &Root<Catalog<'static>>,
) -> u64 {
    mutator.enter(|cx| {
        let catalog = catalog.get(cx);
        let packages = catalog.packages.iter().filter_map(|cell| cell.get());
        packages.map(|package| package.serial).sum()
    })
}

/// Drops all packages from index `keep` on, and the edges that lead there.
pub(crate) fn drop_from<C: Collector>(
    mutator: &mut Mutator<C>,
    catalog: &Root<Catalog<'static>>,
    count: usize,
    keep: usize,
) {
    for first in (0..count).step_by(BATCH) {
        mutator.enter(|cx| {
            let catalog = catalog.get(cx);
            for id in first..count.min(first + BATCH) {
                if id >= keep {
                    catalog.packages[id].set(cx, None);
                } else if let Some(package) = catalog.get(id as u32) {
                    for cell in [&package.depends, &package.recommends] {
                        retain_targets(cx, cell, keep);
                    }
                    for list in [&package.dependents, &package.recommenders] {
                        let mut list = list.lock(cx);
                        list.retain(|source| (source.id as usize) < keep);
                        list.shrink_to_fit();
                    }
                }
            }
        });
    }
}

fn retain_targets<'gc, C: Collector>(cx: &Cx<'gc, C>, cell: &Targets<'gc>, keep: usize) {
    let Some(list) = cell.get() else { return };
    let kept: Vec<_> = list
        .iter()
        .copied()
        .filter(|p| (p.id as usize) < keep)
        .collect();
    if kept.len() < list.len() {
        store(cx, cell, kept);
    }
}

/// The watched objects: how many there were, and how many the collector has not reclaimed.
pub(crate) fn watched<C: Collector>(
    mutator: &mut Mutator<C>,
    catalog: &Root<Catalog<'static>>,
) -> (u64, u64) {
    mutator.enter(|cx| {
        let catalog = catalog.get(cx);
        let watched = catalog.watched.lock(cx);
        let alive = watched
            .iter()
            .filter(|weak| weak.upgrade(cx).is_some())
            .count();
        (watched.len() as u64, alive as u64)
    })
}
