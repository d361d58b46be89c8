//! The readers' side: questions answered by walking the heap, answers that are heap objects.
//!
//! A walk goes breadth first and allocates a [`Step`] for every package it reaches: where it is,
//! where it came from, how far it is. The answer is a slice of steps. Which packages were seen
//! is remembered by index in the reader's own scratch, so a package that is replaced in the
//! midst of a walk is still visited once.

use runtime::{Collector, Cx, Gc, Trace};

use super::graph::Package;
use super::oracle::Member;
use super::query::{Kind, Query};

/// One package that a walk reached.
#[derive(Trace)]
pub(crate) struct Step<'gc> {
    package: Gc<'gc, Package<'gc>>,
    previous: Option<Gc<'gc, Step<'gc>>>,
    depth: u32,
}

/// What a query came to.
#[derive(Trace)]
pub(crate) struct Answer<'gc> {
    steps: Gc<'gc, [Gc<'gc, Step<'gc>>]>,
}

impl Answer<'_> {
    /// The packages of the answer.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.steps.iter().map(|step| Member {
            id: step.package.id,
            name: &step.package.name,
            version: &step.package.version,
            serial: step.package.serial,
            depth: step.depth,
        })
    }
}

/// Which packages a walk has seen: those stamped with its number.
pub(crate) struct Seen {
    stamps: Vec<u32>,
    walk: u32,
}

impl Seen {
    pub(crate) fn new(count: usize) -> Self {
        Seen {
            stamps: vec![0; count],
            walk: 0,
        }
    }

    fn begin(&mut self) -> u32 {
        if self.walk == u32::MAX {
            self.stamps.fill(0);
            self.walk = 0;
        }
        self.walk += 1;
        self.walk
    }

    /// Whether this is the first time in this walk.
    fn first(&mut self, id: u32) -> bool {
        std::mem::replace(&mut self.stamps[id as usize], self.walk) != self.walk
    }

    fn was_in(&self, walk: u32, id: u32) -> bool {
        self.stamps[id as usize] == walk
    }
}

/// Answers a query about `from`, the package that it starts at.
pub(crate) fn answer<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    from: Gc<'gc, Package<'gc>>,
    query: &Query,
    seen: &mut Seen,
) -> Gc<'gc, Answer<'gc>> {
    let steps = match query.kind {
        Kind::Closure => forward(cx, from, query.recommends, None, seen),
        Kind::Dependents => backward(cx, from, query.recommends, seen, |_, _| true),
        Kind::Path => {
            let steps = forward(cx, from, query.recommends, Some(query.to), seen);
            path(
                steps
                    .last()
                    .copied()
                    .filter(|last| last.package.id == query.to),
            )
        }
        Kind::Cycle => {
            // What it reaches and is reached from: only the former can be among the latter.
            forward(cx, from, query.recommends, None, seen);
            let reached = seen.walk;
            backward(cx, from, query.recommends, seen, |seen, id| {
                seen.was_in(reached, id)
            })
        }
    };
    cx.alloc(Answer {
        steps: cx.alloc_slice(steps),
    })
}

/// Breadth first along the dependencies; ends when it has met `until`.
fn forward<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    from: Gc<'gc, Package<'gc>>,
    recommends: bool,
    until: Option<u32>,
    seen: &mut Seen,
) -> Vec<Gc<'gc, Step<'gc>>> {
    seen.begin();
    seen.first(from.id);
    let mut steps = vec![cx.alloc(Step {
        package: from,
        previous: None,
        depth: 0,
    })];
    let mut next = 0;
    let mut met = until == Some(from.id);
    while let Some(step) = steps.get(next).copied()
        && !met
    {
        next += 1;
        step.package.each_target(recommends, |package| {
            if !met && seen.first(package.id) {
                let (previous, depth) = (Some(step), step.depth + 1);
                steps.push(cx.alloc(Step {
                    package,
                    previous,
                    depth,
                }));
                met = until == Some(package.id);
            }
        });
    }
    steps
}

/// Breadth first against the dependencies, through packages that `admit` lets pass.
fn backward<'gc, C: Collector>(
    cx: &Cx<'gc, C>,
    from: Gc<'gc, Package<'gc>>,
    recommends: bool,
    seen: &mut Seen,
    admit: impl Fn(&Seen, u32) -> bool,
) -> Vec<Gc<'gc, Step<'gc>>> {
    seen.begin();
    seen.first(from.id);
    let mut steps = vec![cx.alloc(Step {
        package: from,
        previous: None,
        depth: 0,
    })];
    let mut sources = Vec::new();
    let mut next = 0;
    while let Some(step) = steps.get(next).copied() {
        next += 1;
        step.package.sources(cx, recommends, &mut sources);
        for package in sources.drain(..) {
            if admit(seen, package.id) && seen.first(package.id) {
                let (previous, depth) = (Some(step), step.depth + 1);
                steps.push(cx.alloc(Step {
                    package,
                    previous,
                    depth,
                }));
            }
        }
    }
    steps
}

/// The steps that lead to `last`, first to last; none if there is no last.
fn path<'gc>(last: Option<Gc<'gc, Step<'gc>>>) -> Vec<Gc<'gc, Step<'gc>>> {
    let mut steps: Vec<_> = std::iter::successors(last, |step| step.previous).collect();
    steps.reverse();
    steps
}
