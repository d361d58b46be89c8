//! `packages` with `Arc`: what one writes in Rust without a collector.
//!
//! References would leak, because nearly every pair of neighbors is a cycle. So edges are numbers,
//! each of a place in the catalog that holds the present version, and an answer is one vector whose
//! steps name each other by number; a step's `Arc` keeps the version that it met. Who needs a
//! package need not be told that it was replaced. What that gives up: a number says nothing of
//! whether its package is still there, and every hop takes a lock and counts.

use super::packages::{DEPENDENTS_MAX, GROUP_MAX, KEPT, Kind, Question, Record, Seen};
use super::packages::{Server, run as serve, worth};
use super::run::{Lines, System};
use super::{Failure, Params};
use std::sync::{Arc, PoisonError, RwLock};

/// A version of a package. Its lists are the same in all versions.
#[derive(Debug)]
struct Package {
    id: u32,
    serial: u64,
    version: String,
    constant: Arc<Constant>,
}

/// What a replacement takes over.
#[derive(Debug)]
#[expect(dead_code, reason = "held, as by the others")]
struct Texts {
    name: String,
    section: String,
    installed_kib: u64,
}

#[derive(Debug)]
struct Constant {
    _texts: Texts,
    depends: Vec<u32>,
    recommends: Vec<u32>,
    dependents: Vec<u32>,
    recommenders: Vec<u32>,
}

type Catalog = Arc<[RwLock<Arc<Package>>]>;

/// A package that a walk has met, and the place of the step before.
struct Step {
    package: Arc<Package>,
    previous: Option<u32>,
    depth: u32,
}

struct CountedServer {
    catalog: Catalog,
    kept: Vec<Vec<Step>>,
    seen: Seen,
}

fn at(catalog: &Catalog, package: u32) -> Arc<Package> {
    let place = catalog[package as usize].read();
    Arc::clone(&place.unwrap_or_else(PoisonError::into_inner))
}

fn load(records: &[Record]) -> Catalog {
    let mut dependents = vec![Vec::new(); records.len()];
    let mut recommenders = dependents.clone();
    for (from, record) in (0_u32..).zip(records) {
        let needed = record.depends.iter();
        needed.for_each(|to| dependents[*to as usize].push(from));
        let recommended = record.recommends.iter();
        recommended.for_each(|to| recommenders[*to as usize].push(from));
    }
    let mut lists = dependents.into_iter().zip(recommenders);
    let package = |(id, record): (u32, &Record)| {
        let (dependents, recommenders) = lists.next().unwrap_or_default();
        let constant = Constant {
            _texts: Texts {
                name: record.name.clone(),
                section: record.section.clone(),
                installed_kib: record.installed_kib,
            },
            depends: record.depends.clone(),
            recommends: record.recommends.clone(),
            dependents,
            recommenders,
        };
        RwLock::new(Arc::new(Package {
            id,
            serial: 0,
            version: record.version.clone(),
            constant: Arc::new(constant),
        }))
    };
    (0..).zip(records).map(package).collect()
}

/// A walk, as far as it has come.
struct Walk<'w> {
    catalog: &'w Catalog,
    seen: &'w mut Seen,
    steps: Vec<Step>,
}

impl<'w> Walk<'w> {
    fn from(catalog: &'w Catalog, seen: &'w mut Seen, package: u32) -> Self {
        seen.begin();
        let steps = Vec::new();
        let mut walk = Self {
            catalog,
            seen,
            steps,
        };
        walk.meet(package, None);
        walk
    }

    /// Adds a step, if the package is new; whether it was.
    fn meet(&mut self, package: u32, previous: Option<u32>) -> bool {
        let is_new = self.seen.is_first(package);
        if is_new {
            let depth = previous.map_or(0, |step| self.steps[step as usize].depth + 1);
            self.steps.push(Step {
                package: at(self.catalog, package),
                previous,
                depth,
            });
        }
        is_new
    }

    fn forward(&mut self, recommends: bool, until: Option<u32>) {
        let mut next = 0;
        let mut met = until == Some(self.steps[0].package.id);
        while let Some(step) = self.steps.get(next)
            && !met
        {
            let constant = Arc::clone(&step.package.constant);
            let more = if recommends {
                &constant.recommends[..]
            } else {
                &[]
            };
            for to in constant.depends.iter().chain(more) {
                met = met || (self.meet(*to, Some(next as u32)) && until == Some(*to));
            }
            next += 1;
        }
    }

    fn backward(&mut self, recommends: bool, only: Option<u32>) {
        let mut next = 0;
        while let Some(step) = self.steps.get(next) {
            let constant = Arc::clone(&step.package.constant);
            let more = if recommends {
                &constant.recommenders[..]
            } else {
                &[]
            };
            for from in constant.dependents.iter().chain(more) {
                if only.is_none_or(|walk| self.seen.was_in(walk, *from)) {
                    self.meet(*from, Some(next as u32));
                }
            }
            next += 1;
        }
    }

    /// What leads to the last step, if that is the package; nothing else is left.
    fn keep_path(&mut self, to: u32) {
        let last = self.steps.len() as u32 - 1;
        let mut next = Some(last).filter(|last| self.steps[*last as usize].package.id == to);
        let mut path = Vec::new();
        while let Some(place) = next {
            path.push(place as usize);
            next = self.steps[place as usize].previous;
        }
        path.reverse();
        let steps = std::mem::take(&mut self.steps).into_iter().enumerate();
        let mut path = path.into_iter().peekable();
        let on_path = steps.filter(|(place, _)| path.next_if_eq(place).is_some());
        self.steps = on_path.map(|(_, step)| step).collect();
        for (place, step) in self.steps.iter_mut().enumerate() {
            step.previous = place.checked_sub(1).map(|place| place as u32);
        }
    }
}

impl Server for CountedServer {
    fn ask(&mut self, question: &Question, place: usize) {
        let (recommends, from) = (question.recommends, question.from as u32);
        let mut walk = Walk::from(&self.catalog, &mut self.seen, from);
        match question.kind {
            Kind::Closure => walk.forward(recommends, None),
            Kind::Dependents => walk.backward(recommends, None),
            Kind::Path => {
                walk.forward(recommends, Some(question.to));
                walk.keep_path(question.to);
            }
            Kind::Cycle => {
                walk.forward(recommends, None);
                let reached = walk.seen.walk;
                walk = Walk::from(&self.catalog, &mut self.seen, from);
                walk.backward(recommends, Some(reached));
            }
        }
        self.kept[place] = walk.steps;
    }

    fn worth(&mut self, place: usize) -> u64 {
        let steps = self.kept[place].iter();
        steps.map(|step| worth(step.package.id, step.depth)).sum()
    }

    fn replace(&mut self, package: u32) {
        let constant = Arc::clone(&at(&self.catalog, package).constant);
        let mut group = vec![package];
        for to in constant.depends.iter().chain(&constant.recommends) {
            let is_few = at(&self.catalog, *to).constant.dependents.len() <= DEPENDENTS_MAX;
            if is_few && group.len() < GROUP_MAX && !group.contains(to) {
                group.push(*to);
            }
        }
        for id in group {
            let old = at(&self.catalog, id);
            let serial = old.serial + 1;
            let first = old.version.split("+r").next().unwrap_or_default();
            let new = Arc::new(Package {
                id,
                serial,
                version: format!("{first}+r{serial}"),
                constant: Arc::clone(&old.constant),
            });
            let place = self.catalog[id as usize].write();
            *place.unwrap_or_else(PoisonError::into_inner) = new;
        }
    }

    fn serials(&mut self) -> u64 {
        let packages = 0..self.catalog.len() as u32;
        packages.map(|id| at(&self.catalog, id).serial).sum()
    }
}

/// Runs the workload.
pub(super) fn run(system: &impl System, params: &Params) -> Result<Lines, Failure> {
    serve(system, params, |records| {
        let (catalog, packages) = (load(records), records.len());
        Box::new(move || CountedServer {
            catalog: Arc::clone(&catalog),
            kept: (0..KEPT).map(|_| Vec::new()).collect(),
            seen: Seen::new(packages),
        })
    })
}
