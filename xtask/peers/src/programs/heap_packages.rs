//! `packages` on our heap: lists that are replaced are slices of the heap in a `GcCell`, lists that
//! change in place are `Vec`s behind a `Locked`. A question is a closure, a replacement one and one
//! more for each batch of those that are relinked.

use super::packages::{BATCH, DEPENDENTS_MAX, GROUP_MAX, KEPT, Kind, Question, Record, Seen};
use super::packages::{Server, run as serve, worth};
use super::run::{Lines, System};
use super::{Failure, Params};
use runtime::{Collector, Cx, Gc, GcCell, Locked, Mutator, Root, Runtime, Trace};
use std::sync::Arc;

type Targets<'gc> = GcCell<'gc, [Gc<'gc, Package<'gc>>]>;
type Sources<'gc> = Locked<Vec<Gc<'gc, Package<'gc>>>>;

/// A version of a package.
#[derive(Trace)]
struct Package<'gc> {
    id: u32,
    serial: u64,
    name: Gc<'gc, str>,
    version: Gc<'gc, str>,
    section: Gc<'gc, str>,
    installed_kib: u64,
    depends: Targets<'gc>,
    recommends: Targets<'gc>,
    dependents: Sources<'gc>,
    recommenders: Sources<'gc>,
}

impl<'gc> Package<'gc> {
    fn each_target(&self, recommends: bool, mut visit: impl FnMut(Gc<'gc, Package<'gc>>)) {
        let recommended = recommends.then(|| self.recommends.get()).flatten();
        for list in [self.depends.get(), recommended].into_iter().flatten() {
            list.iter().for_each(|package| visit(*package));
        }
    }

    fn each_source<C: Collector>(
        &self,
        cx: &Cx<'gc, C>,
        recommends: bool,
        mut visit: impl FnMut(Gc<'gc, Package<'gc>>),
    ) {
        self.dependents
            .lock(cx)
            .iter()
            .for_each(|package| visit(*package));
        if recommends {
            self.recommenders
                .lock(cx)
                .iter()
                .for_each(|package| visit(*package));
        }
    }
}

/// A package that a walk has met.
#[derive(Trace)]
struct Step<'gc> {
    package: Gc<'gc, Package<'gc>>,
    previous: Option<Gc<'gc, Step<'gc>>>,
    depth: u32,
}

type Steps<'gc> = Vec<Gc<'gc, Step<'gc>>>;

#[derive(Trace)]
struct Answer<'gc> {
    steps: Gc<'gc, [Gc<'gc, Step<'gc>>]>,
}

/// All packages by number: the one root of the graph.
type Catalog<'gc> = [GcCell<'gc, Package<'gc>>];

type Kept<'gc> = [GcCell<'gc, Answer<'gc>>];

struct HeapServer<C: Collector> {
    mutator: Mutator<C>,
    catalog: Arc<Root<Catalog<'static>>>,
    kept: Root<Kept<'static>>,
    seen: Seen,
}

/// The present version.
fn at<'gc>(catalog: &Catalog<'gc>, package: u32) -> Gc<'gc, Package<'gc>> {
    let package = catalog[package as usize].get();
    package.expect("every place of the catalog was filled when the graph was built")
}

fn load<C: Collector>(heap: &Runtime<C>, records: &[Record]) -> Root<Catalog<'static>> {
    let mut mutator = heap.mutator();
    let catalog = mutator.enter(|cx| {
        let empty = records.iter().map(|_| GcCell::<Package<'_>>::empty());
        cx.root(cx.alloc_slice(empty))
    });
    let batches = || (0..).step_by(BATCH).zip(records.chunks(BATCH));
    for (first, part) in batches() {
        mutator.enter(|cx| create(cx, &catalog.get(cx), first, part));
    }
    for (first, part) in batches() {
        mutator.enter(|cx| link(cx, &catalog.get(cx), first, part));
    }
    catalog
}

fn create<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    catalog: &Catalog<'gc>,
    first: usize,
    records: &[Record],
) {
    for (id, record) in (first..).zip(records) {
        let package = cx.alloc(Package {
            id: id as u32,
            serial: 0,
            name: cx.alloc_str(&record.name),
            version: cx.alloc_str(&record.version),
            section: cx.alloc_str(&record.section),
            installed_kib: record.installed_kib,
            depends: GcCell::empty(),
            recommends: GcCell::empty(),
            dependents: Locked::new(Vec::new()),
            recommenders: Locked::new(Vec::new()),
        });
        catalog[id].set(cx, Some(package));
    }
}

fn link<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    catalog: &Catalog<'gc>,
    first: usize,
    records: &[Record],
) {
    let targets = |ids: &[u32]| -> Vec<_> { ids.iter().map(|id| at(catalog, *id)).collect() };
    for (id, record) in (first..).zip(records) {
        let package = at(catalog, id as u32);
        let (depends, recommends) = (targets(&record.depends), targets(&record.recommends));
        for target in &depends {
            target.dependents.lock(cx).push(package);
        }
        for target in &recommends {
            target.recommenders.lock(cx).push(package);
        }
        for (cell, list) in [
            (&package.depends, depends),
            (&package.recommends, recommends),
        ] {
            if !list.is_empty() {
                cell.set(cx, Some(cx.alloc_slice(list)));
            }
        }
    }
}

/// A walk, as far as it has come.
struct Walk<'w, 'gc, C: Collector> {
    cx: &'w Cx<'gc, C>,
    seen: &'w mut Seen,
    steps: Steps<'gc>,
}

impl<'w, 'gc, C: Collector> Walk<'w, 'gc, C> {
    fn from(cx: &'w Cx<'gc, C>, seen: &'w mut Seen, package: Gc<'gc, Package<'gc>>) -> Self {
        seen.begin();
        let mut walk = Self {
            cx,
            seen,
            steps: Vec::new(),
        };
        walk.meet(package, None);
        walk
    }

    /// Adds a step, if the package is new; whether it was.
    fn meet(&mut self, package: Gc<'gc, Package<'gc>>, from: Option<Gc<'gc, Step<'gc>>>) -> bool {
        let is_new = self.seen.is_first(package.id);
        if is_new {
            let depth = from.map_or(0, |from| from.depth + 1);
            let previous = from;
            self.steps.push(self.cx.alloc(Step {
                package,
                previous,
                depth,
            }));
        }
        is_new
    }

    /// Along the dependencies, to the end or until it has met a package.
    fn forward(&mut self, recommends: bool, until: Option<u32>) {
        let mut next = 0;
        let mut met = until == Some(self.steps[0].package.id);
        while let Some(step) = self.steps.get(next).copied()
            && !met
        {
            next += 1;
            step.package.each_target(recommends, |package| {
                met = met || (self.meet(package, Some(step)) && until == Some(package.id));
            });
        }
    }

    /// Against the dependencies; only by packages of another walk, if one is named.
    fn backward(&mut self, recommends: bool, only: Option<u32>) {
        let (mut next, mut sources) = (0, Vec::new());
        while let Some(step) = self.steps.get(next).copied() {
            next += 1;
            // A copy, so that no lock is held while steps are allocated.
            let package = step.package;
            package.each_source(self.cx, recommends, |source| sources.push(source));
            for package in sources.drain(..) {
                if only.is_none_or(|walk| self.seen.was_in(walk, package.id)) {
                    self.meet(package, Some(step));
                }
            }
        }
    }
}

fn answer<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    from: Gc<'gc, Package<'gc>>,
    question: &Question,
    seen: &mut Seen,
) -> Gc<'gc, Answer<'gc>> {
    let recommends = question.recommends;
    let mut walk = Walk::from(cx, seen, from);
    match question.kind {
        Kind::Closure => walk.forward(recommends, None),
        Kind::Dependents => walk.backward(recommends, None),
        Kind::Path => {
            walk.forward(recommends, Some(question.to));
            let last = walk.steps.last().copied();
            let last = last.filter(|last| last.package.id == question.to);
            walk.steps = std::iter::successors(last, |step| step.previous).collect();
            walk.steps.reverse();
        }
        Kind::Cycle => {
            walk.forward(recommends, None);
            let reached = walk.seen.walk;
            walk = Walk::from(cx, seen, from);
            walk.backward(recommends, Some(reached));
        }
    }
    let steps = cx.alloc_slice(walk.steps);
    cx.alloc(Answer { steps })
}

impl<C: Collector> Server for HeapServer<C> {
    fn ask(&mut self, question: &Question, place: usize) {
        self.mutator.enter(|cx| {
            let from = at(&self.catalog.get(cx), question.from as u32);
            let answer = answer(cx, from, question, &mut self.seen);
            self.kept.get(cx)[place].set(cx, Some(answer));
        });
    }

    fn worth(&mut self, place: usize) -> u64 {
        self.mutator.enter(|cx| {
            let answer = self.kept.get(cx)[place].get();
            let steps = answer.iter().flat_map(|answer| answer.steps.iter());
            steps.map(|step| worth(step.package.id, step.depth)).sum()
        })
    }

    fn replace(&mut self, package: u32) {
        let catalog = &*self.catalog;
        let group = self
            .mutator
            .enter(|cx| renew(cx, &catalog.get(cx), package));
        for id in &group {
            let mut done = 0;
            while self.mutator.enter(|cx| {
                let catalog = catalog.get(cx);
                let news: Vec<_> = group.iter().map(|id| at(&catalog, *id)).collect();
                relink_batch(cx, at(&catalog, *id), &news, &mut done)
            }) {}
        }
    }

    fn serials(&mut self) -> u64 {
        self.mutator.enter(|cx| {
            let catalog = self.catalog.get(cx);
            let packages = catalog.iter().filter_map(GcCell::get);
            packages.map(|package| package.serial).sum()
        })
    }
}

/// Puts new objects in the places of a package and its group, whose numbers it returns.
fn renew<'gc, C: Collector>(cx: &Cx<'gc, C>, catalog: &Catalog<'gc>, package: u32) -> Vec<u32> {
    let mut olds = vec![at(catalog, package)];
    at(catalog, package).each_target(true, |target| {
        let is_known = olds.iter().any(|old| old.id == target.id);
        let is_few = target.dependents.lock(cx).len() <= DEPENDENTS_MAX;
        if is_few && olds.len() < GROUP_MAX && !is_known {
            olds.push(target);
        }
    });
    let news: Vec<_> = olds.iter().map(|old| cx.alloc(rebuilt(cx, old))).collect();
    for new in &news {
        settle(cx, *new, &news);
        catalog[new.id as usize].set(cx, Some(*new));
    }
    news.iter().map(|new| new.id).collect()
}

fn rebuilt<'gc, C: Collector>(cx: &Cx<'gc, C>, old: &Package<'gc>) -> Package<'gc> {
    let serial = old.serial + 1;
    let first = old.version.split("+r").next().unwrap_or_default();
    Package {
        id: old.id,
        serial,
        name: old.name,
        version: cx.alloc_str(&format!("{first}+r{serial}")),
        section: old.section,
        installed_kib: old.installed_kib,
        depends: GcCell::new(old.depends.get()),
        recommends: GcCell::new(old.recommends.get()),
        dependents: Locked::new(old.dependents.lock(cx).clone()),
        recommenders: Locked::new(old.recommenders.lock(cx).clone()),
    }
}

/// A new object's edges lead to the new ones of its group, and its targets' lists to it.
fn settle<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    new: Gc<'gc, Package<'gc>>,
    group: &[Gc<'gc, Package<'gc>>],
) {
    relink(cx, &new.depends, group);
    relink(cx, &new.recommends, group);
    for other in group {
        put(cx, &new.dependents, *other);
        put(cx, &new.recommenders, *other);
    }
    for target in new.depends.get().iter().flat_map(|list| list.iter()) {
        put(cx, &target.dependents, new);
    }
    for target in new.recommends.get().iter().flat_map(|list| list.iter()) {
        put(cx, &target.recommenders, new);
    }
}

/// Puts a new object in the place of the old one, if that is in the list.
fn put<'gc, C: Collector>(cx: &Cx<'gc, C>, sources: &Sources<'gc>, new: Gc<'gc, Package<'gc>>) {
    let mut sources = sources.lock(cx);
    if let Ok(place) = sources.binary_search_by_key(&new.id, |source| source.id) {
        sources[place] = new;
    }
}

/// Copies a list with new objects in the places of the old, if it has any of them.
fn relink<'gc, C: Collector>(cx: &Cx<'gc, C>, cell: &Targets<'gc>, news: &[Gc<'gc, Package<'gc>>]) {
    let Some(list) = cell.get() else { return };
    let newer = |package: &Gc<'gc, Package<'gc>>| {
        let new = news.iter().find(|new| new.id == package.id)?;
        (!Gc::ptr_eq(*new, *package)).then_some(*new)
    };
    if list.iter().any(|package| newer(package).is_some()) {
        let copy = list
            .iter()
            .map(|package| newer(package).unwrap_or(*package));
        cell.set(cx, Some(cx.alloc_slice(copy)));
    }
}

/// Relinks the next of those that point at a package; whether more are left.
fn relink_batch<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    package: Gc<'gc, Package<'gc>>,
    news: &[Gc<'gc, Package<'gc>>],
    done: &mut usize,
) -> bool {
    let (mut batch, mut all) = (Vec::new(), 0);
    package.each_source(cx, true, |source| {
        if (*done..*done + BATCH).contains(&all) {
            batch.push(source);
        }
        all += 1;
    });
    for source in &batch {
        relink(cx, &source.depends, news);
        relink(cx, &source.recommends, news);
    }
    *done += batch.len();
    *done < all
}

/// Runs the workload.
pub(super) fn run<C: Collector>(
    system: &impl System,
    heap: &Runtime<C>,
    params: &Params,
) -> Result<Lines, Failure> {
    serve(system, params, |records| {
        let catalog = Arc::new(load(heap, records));
        let (heap, packages) = (heap.clone(), records.len());
        Box::new(move || {
            let mut mutator = heap.mutator();
            let kept = mutator.enter(|cx| {
                let empty = (0..KEPT).map(|_| GcCell::<Answer<'_>>::empty());
                cx.root(cx.alloc_slice(empty))
            });
            HeapServer {
                mutator,
                catalog: Arc::clone(&catalog),
                kept,
                seen: Seen::new(packages),
            }
        })
    })
}
