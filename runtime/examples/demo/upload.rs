//! The writer's side: packages are replaced by new versions of themselves.
//!
//! The new object takes over name and edges, and whoever pointed at the old one is relinked, in
//! batches of a closure each. While that is under way a reader may meet the old object here and
//! the new one there; both have the same name and edges, so that every answer, as a set of names,
//! stays what it was.
//!
//! Packages are replaced in groups of neighbors. The old objects of a group keep pointing at each
//! other, by dependency one way and by list of dependents the other, and once all else is
//! relinked nothing points at them: garbage with cycles. There is one writer; two would lose each
//! other's relinking.

use runtime::{Collector, Cx, Gc, GcCell, Locked, Mutator, Root};

use super::graph::{BATCH, Catalog, Package, Sources, Targets};

/// The longest list of watched objects.
const WATCHED_MAX: usize = 4096;

/// A package and some of what it needs: a group that is replaced at once. Packages with many
/// dependents are left to be drawn themselves, or they would be part of every group.
pub(crate) fn draw_group<C: Collector>(
    mutator: &mut Mutator<C>,
    catalog: &Root<Catalog<'static>>,
    seed: u32,
) -> Vec<u32> {
    const GROUP_MAX: usize = 8;
    const DEPENDENTS_MAX: usize = 200;
    mutator.enter(|cx| {
        let mut group = vec![seed];
        if let Some(package) = catalog.get(cx).get(seed) {
            package.each_target(true, |target| {
                let few = target.dependents.lock(cx).len() <= DEPENDENTS_MAX;
                if few && group.len() < GROUP_MAX && !group.contains(&target.id) {
                    group.push(target.id);
                }
            });
        }
        group
    })
}

/// Replaces the packages of a group by new versions of themselves. With `watch`, a weak
/// reference to one of the old objects is kept.
pub(crate) fn replace<C: Collector>(
    mutator: &mut Mutator<C>,
    catalog: &Root<Catalog<'static>>,
    group: &[u32],
    watch: bool,
) -> u64 {
    let serial = mutator.enter(|cx| {
        let catalog = catalog.get(cx);
        let olds: Vec<_> = group.iter().filter_map(|id| catalog.get(*id)).collect();
        let mut watched = catalog.watched.lock(cx);
        if let Some(old) = olds.first()
            && watch
            && watched.len() < WATCHED_MAX
        {
            watched.push(cx.downgrade(*old));
        }
        drop(watched);
        let news: Vec<_> = olds.iter().map(|old| cx.alloc(old.rebuilt(cx))).collect();
        for new in &news {
            settle(cx, new, &news);
            catalog.packages[new.id as usize].set(cx, Some(*new));
        }
        news.iter().map(|new| new.serial).max().unwrap_or(0)
    });
    for id in group {
        let mut done = 0;
        while mutator.enter(|cx| relink_sources(cx, &catalog.get(cx), *id, group, &mut done)) {}
    }
    serial
}

/// Points a new object's edges at the new objects of its group, and its targets' lists of
/// dependents at it. Who depends on it is relinked later, in batches.
fn settle<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    new: &Gc<'gc, Package<'gc>>,
    group: &[Gc<'gc, Package<'gc>>],
) {
    relink(cx, &new.depends, group);
    relink(cx, &new.recommends, group);
    for other in group {
        swap_source(cx, &new.dependents, other);
        swap_source(cx, &new.recommenders, other);
    }
    for target in new.depends.get().iter().flat_map(|list| list.iter()) {
        swap_source(cx, &target.dependents, new);
    }
    for target in new.recommends.get().iter().flat_map(|list| list.iter()) {
        swap_source(cx, &target.recommenders, new);
    }
}

/// Puts `new` in the place of its older version, if that is in the list.
fn swap_source<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    sources: &Sources<'gc>,
    new: &Gc<'gc, Package<'gc>>,
) {
    let mut sources = sources.lock(cx);
    if let Ok(place) = sources.binary_search_by_key(&new.id, |source| source.id) {
        sources[place] = *new;
    }
}

/// Copies the list with the new objects in the places of their older versions; leaves it alone
/// where it has none of them.
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

/// Relinks the next batch of those that point at the package; says whether more are left.
fn relink_sources<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    catalog: &Catalog<'gc>,
    id: u32,
    group: &[u32],
    done: &mut usize,
) -> bool {
    let Some(package) = catalog.get(id) else {
        return false;
    };
    let news: Vec<_> = group.iter().filter_map(|id| catalog.get(*id)).collect();
    let mut batch: Vec<Gc<'gc, Package<'gc>>> = Vec::new();
    let all = {
        let (dependents, recommenders) =
            (package.dependents.lock(cx), package.recommenders.lock(cx));
        batch.extend(
            dependents
                .iter()
                .chain(recommenders.iter())
                .skip(*done)
                .take(BATCH),
        );
        dependents.len() + recommenders.len()
    };
    for source in &batch {
        relink(cx, &source.depends, &news);
        relink(cx, &source.recommends, &news);
    }
    *done += batch.len();
    *done < all
}

impl<'gc> Package<'gc> {
    /// A new version: the same name, the same edges.
    fn rebuilt<C: Collector>(&self, cx: &Cx<'gc, C>) -> Package<'gc> {
        let first = self.version.strip_suffix(&suffix(self.serial));
        let serial = self.serial + 1;
        let version = format!("{}{}", first.unwrap_or(&self.version), suffix(serial));
        Package {
            id: self.id,
            serial,
            name: self.name,
            version: cx.alloc_str(&version),
            section: self.section,
            installed_kib: self.installed_kib,
            depends: GcCell::new(self.depends.get()),
            recommends: GcCell::new(self.recommends.get()),
            dependents: Locked::new(self.dependents.lock(cx).clone()),
            recommenders: Locked::new(self.recommenders.lock(cx).clone()),
        }
    }
}

/// What a version ends with once it has been replaced; nothing before.
fn suffix(serial: u64) -> String {
    if serial == 0 {
        String::new()
    } else {
        format!("+r{serial}")
    }
}
