//! `packages` on gc-arena: one arena of one thread, which collects after each closure.
//!
//! What changes is behind a lock, as its users write it: whatever is written to while a cycle marks
//! is traced again, so the long lists, and each place of the catalog and of the answers, are
//! objects of their own.

use super::packages::{DEPENDENTS_MAX, GROUP_MAX, KEPT, Kind, Question, Record, Seen};
use super::packages::{Server, run_alone, worth};
use super::run::{Lines, System};
use super::{Failure, Params};
use gc_arena::lock::{Lock, RefLock};
use gc_arena::{Arena as GcArena, Collect, Gc, Mutation, Rootable, barrier::unlock};

type Link<'gc> = Gc<'gc, Package<'gc>>;

/// A list that is replaced as a whole, and shared by versions.
type Targets<'gc> = Gc<'gc, Vec<Link<'gc>>>;

/// A list that changes in place.
type Sources<'gc> = Gc<'gc, RefLock<Vec<Link<'gc>>>>;

/// A version of a package; what texts and lists hold is of `malloc`.
#[derive(Collect)]
#[collect(no_drop)]
struct Package<'gc> {
    id: u32,
    serial: u64,
    name: Gc<'gc, String>,
    version: String,
    section: Gc<'gc, String>,
    installed_kib: u64,
    depends: Lock<Targets<'gc>>,
    recommends: Lock<Targets<'gc>>,
    dependents: Sources<'gc>,
    recommenders: Sources<'gc>,
}

impl<'gc> Package<'gc> {
    fn each_target(&self, recommends: bool, mut visit: impl FnMut(Link<'gc>)) {
        self.depends
            .get()
            .iter()
            .for_each(|package| visit(*package));
        if recommends {
            self.recommends
                .get()
                .iter()
                .for_each(|package| visit(*package));
        }
    }

    fn sources(&self, recommends: bool, into: &mut Vec<Link<'gc>>) {
        into.extend_from_slice(&self.dependents.borrow());
        if recommends {
            into.extend_from_slice(&self.recommenders.borrow());
        }
    }
}

/// A package that a walk has met.
#[derive(Collect)]
#[collect(no_drop)]
struct Step<'gc> {
    package: Link<'gc>,
    previous: Option<Gc<'gc, Step<'gc>>>,
    depth: u32,
}

type Steps<'gc> = Vec<Gc<'gc, Step<'gc>>>;

type Kept<'gc> = Gc<'gc, Lock<Option<Gc<'gc, Steps<'gc>>>>>;

/// The catalog, and the answers that live.
#[derive(Collect)]
#[collect(no_drop)]
struct World<'gc> {
    catalog: Vec<Gc<'gc, Lock<Link<'gc>>>>,
    kept: Vec<Kept<'gc>>,
}

/// An arena with the graph, and what its one thread needs.
struct ArenaServer {
    arena: GcArena<Rootable![World<'_>]>,
    seen: Seen,
}

fn load<'gc>(mc: &Mutation<'gc>, records: &[Record]) -> World<'gc> {
    let none = Gc::new(mc, Vec::new());
    let package = |(id, record): (usize, &Record)| {
        let package = Package {
            id: id as u32,
            serial: 0,
            name: Gc::new(mc, record.name.clone()),
            version: record.version.clone(),
            section: Gc::new(mc, record.section.clone()),
            installed_kib: record.installed_kib,
            depends: Lock::new(none),
            recommends: Lock::new(none),
            dependents: Gc::new(mc, RefLock::new(Vec::new())),
            recommenders: Gc::new(mc, RefLock::new(Vec::new())),
        };
        Gc::new(mc, package)
    };
    let catalog: Vec<Link<'gc>> = records.iter().enumerate().map(package).collect();
    for (from, record) in catalog.iter().zip(records) {
        let all = |ids: &[u32]| -> Vec<_> { ids.iter().map(|id| catalog[*id as usize]).collect() };
        let (depends, recommends) = (all(&record.depends), all(&record.recommends));
        for target in &depends {
            target.dependents.borrow_mut(mc).push(*from);
        }
        for target in &recommends {
            target.recommenders.borrow_mut(mc).push(*from);
        }
        let write = Gc::write(mc, *from);
        unlock!(write, Package, depends).set(Gc::new(mc, depends));
        unlock!(write, Package, recommends).set(Gc::new(mc, recommends));
    }
    let places = catalog
        .iter()
        .map(|package| Gc::new(mc, Lock::new(*package)));
    World {
        catalog: places.collect(),
        kept: (0..KEPT).map(|_| Gc::new(mc, Lock::new(None))).collect(),
    }
}

/// A walk, as far as it has come.
struct Walk<'w, 'gc> {
    mc: &'w Mutation<'gc>,
    seen: &'w mut Seen,
    steps: Steps<'gc>,
}

impl<'w, 'gc> Walk<'w, 'gc> {
    fn from(mc: &'w Mutation<'gc>, seen: &'w mut Seen, package: Link<'gc>) -> Self {
        seen.begin();
        let steps = Vec::new();
        let mut walk = Self { mc, seen, steps };
        walk.meet(package, None);
        walk
    }

    /// Adds a step, if the package is new; whether it was.
    fn meet(&mut self, package: Link<'gc>, previous: Option<Gc<'gc, Step<'gc>>>) -> bool {
        let is_new = self.seen.is_first(package.id);
        if is_new {
            let depth = previous.map_or(0, |previous| previous.depth + 1);
            let step = Step {
                package,
                previous,
                depth,
            };
            self.steps.push(Gc::new(self.mc, step));
        }
        is_new
    }

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

    fn backward(&mut self, recommends: bool, only: Option<u32>) {
        let (mut next, mut sources) = (0, Vec::new());
        while let Some(step) = self.steps.get(next).copied() {
            next += 1;
            step.package.sources(recommends, &mut sources);
            for package in sources.drain(..) {
                if only.is_none_or(|walk| self.seen.was_in(walk, package.id)) {
                    self.meet(package, Some(step));
                }
            }
        }
    }
}

fn answer<'gc>(
    mc: &Mutation<'gc>,
    from: Link<'gc>,
    question: &Question,
    seen: &mut Seen,
) -> Steps<'gc> {
    let recommends = question.recommends;
    let mut walk = Walk::from(mc, seen, from);
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
            walk = Walk::from(mc, seen, from);
            walk.backward(recommends, Some(reached));
        }
    }
    walk.steps
}

/// Puts new objects in the places of a package and its group, and relinks who needs them.
fn replace<'gc>(mc: &Mutation<'gc>, world: &World<'gc>, package: u32) {
    let first = world.catalog[package as usize].get();
    let mut olds = vec![first];
    first.each_target(true, |target| {
        let is_known = olds.iter().any(|old| old.id == target.id);
        let is_few = target.dependents.borrow().len() <= DEPENDENTS_MAX;
        if is_few && olds.len() < GROUP_MAX && !is_known {
            olds.push(target);
        }
    });
    let news: Vec<_> = olds.iter().map(|old| rebuilt(mc, old)).collect();
    for new in &news {
        settle(mc, *new, &news);
        world.catalog[new.id as usize].set(mc, *new);
    }
    let mut sources = Vec::new();
    for new in &news {
        new.sources(true, &mut sources);
        sources
            .drain(..)
            .for_each(|source| relink(mc, source, &news));
    }
}

fn rebuilt<'gc>(mc: &Mutation<'gc>, old: &Package<'gc>) -> Link<'gc> {
    let serial = old.serial + 1;
    let first = old.version.split("+r").next().unwrap_or_default();
    let copy = |list: Sources<'gc>| Gc::new(mc, RefLock::new(list.borrow().clone()));
    let package = Package {
        id: old.id,
        serial,
        name: old.name,
        version: format!("{first}+r{serial}"),
        section: old.section,
        installed_kib: old.installed_kib,
        depends: Lock::new(old.depends.get()),
        recommends: Lock::new(old.recommends.get()),
        dependents: copy(old.dependents),
        recommenders: copy(old.recommenders),
    };
    Gc::new(mc, package)
}

/// A new object's edges lead to the new ones of its group, and its targets' lists to it.
fn settle<'gc>(mc: &Mutation<'gc>, new: Link<'gc>, group: &[Link<'gc>]) {
    relink(mc, new, group);
    for other in group {
        put(mc, new.dependents, *other);
        put(mc, new.recommenders, *other);
    }
    for target in new.depends.get().iter() {
        put(mc, target.dependents, new);
    }
    for target in new.recommends.get().iter() {
        put(mc, target.recommenders, new);
    }
}

/// Puts a new object in the place of the old one, if that is in the list.
fn put<'gc>(mc: &Mutation<'gc>, sources: Sources<'gc>, new: Link<'gc>) {
    let place = sources
        .borrow()
        .binary_search_by_key(&new.id, |source| source.id);
    if let Ok(place) = place {
        sources.borrow_mut(mc)[place] = new;
    }
}

/// Copies those lists of a package that have old objects, with the new ones in their places.
fn relink<'gc>(mc: &Mutation<'gc>, package: Link<'gc>, news: &[Link<'gc>]) {
    let newer = |package: &Link<'gc>| {
        let new = news.iter().find(|new| new.id == package.id)?;
        (!Gc::ptr_eq(*new, *package)).then_some(*new)
    };
    let relinked = |list: Targets<'gc>| {
        let has_old = list.iter().any(|package| newer(package).is_some());
        let copy = || {
            list.iter()
                .map(|package| newer(package).unwrap_or(*package))
        };
        has_old.then(|| Gc::new(mc, copy().collect::<Vec<_>>()))
    };
    if let Some(list) = relinked(package.depends.get()) {
        unlock!(Gc::write(mc, package), Package, depends).set(list);
    }
    if let Some(list) = relinked(package.recommends.get()) {
        unlock!(Gc::write(mc, package), Package, recommends).set(list);
    }
}

impl Server for ArenaServer {
    fn ask(&mut self, question: &Question, place: usize) {
        self.arena.mutate(|mc, world| {
            let from = world.catalog[question.from].get();
            let steps = answer(mc, from, question, &mut self.seen);
            world.kept[place].set(mc, Some(Gc::new(mc, steps)));
        });
        self.arena.collect_debt();
    }

    fn worth(&mut self, place: usize) -> u64 {
        self.arena.mutate(|_, world| {
            let answer = world.kept[place].get();
            let steps = answer.iter().flat_map(|steps| steps.iter());
            steps.map(|step| worth(step.package.id, step.depth)).sum()
        })
    }

    fn replace(&mut self, package: u32) {
        self.arena.mutate(|mc, world| replace(mc, world, package));
        self.arena.collect_debt();
    }

    fn serials(&mut self) -> u64 {
        let serials = |world: &World<'_>| world.catalog.iter().map(|at| at.get().serial).sum();
        self.arena.mutate(|_, world| serials(world))
    }
}

/// Runs the workload.
pub(super) fn run(system: &impl System, params: &Params) -> Result<Lines, Failure> {
    run_alone(system, params, |records| {
        let mut arena = GcArena::new(|mc| load(mc, records));
        arena.finish_cycle();
        ArenaServer {
            arena,
            seen: Seen::new(records.len()),
        }
    })
}
