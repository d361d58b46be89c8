//! The answers, computed without the heap: the judge of what the heap's readers say.
//!
//! Nothing here knows `Gc`. The graph is an array of targets with an array of starts, forwards
//! and backwards, once with the `depends` edges alone and once with `recommends` too. The
//! algorithms differ from the readers' where they can: the readers find the packages that lie
//! on a cycle with one another by walking both ways from one of them, this file by Tarjan's
//! strongly connected components (R. Tarjan, 1972), iteratively, for the whole graph at once.
//!
//! The writer replaces packages but keeps the graph's shape, so an answer, as a set of names
//! with distances, is the same at every moment, and a comparison is exact and not a bound.

use super::adjacency::{Edges, FAR, components};
use super::data::Record;
use super::query::{Kind, Query};

/// One package of an answer, as the heap's objects tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) id: u32,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) serial: u64,
    pub(crate) depth: u32,
}

/// The graph over one choice of edges.
struct View {
    forward: Edges,
    backward: Edges,
    /// The strongly connected component of each package, and the size of each component.
    component: Vec<u32>,
    component_sizes: Vec<u32>,
}

impl View {
    fn new(count: usize, pairs: &[(u32, u32)]) -> Self {
        let flipped: Vec<(u32, u32)> = pairs.iter().map(|(a, b)| (*b, *a)).collect();
        let forward = Edges::new(count, pairs);
        let (component, component_sizes) = components(&forward);
        View {
            forward,
            backward: Edges::new(count, &flipped),
            component,
            component_sizes,
        }
    }
}

/// The graph as it must be, and the packages' names and first versions.
pub(crate) struct Oracle {
    names: Vec<String>,
    versions: Vec<String>,
    /// Without and with `recommends`.
    views: [View; 2],
}

impl Oracle {
    /// The graph of the first `count` packages and the edges among them.
    pub(crate) fn new(packages: &[Record], count: usize) -> Self {
        let packages = &packages[..count.min(packages.len())];
        let count = packages.len();
        let pairs = |recommends: bool| {
            let mut pairs = Vec::new();
            for (id, package) in (0_u32..).zip(packages) {
                let more = if recommends {
                    &package.recommends[..]
                } else {
                    &[]
                };
                let targets = package.depends.iter().chain(more);
                pairs.extend(targets.filter(|t| (**t as usize) < count).map(|t| (id, *t)));
            }
            pairs
        };
        Oracle {
            names: packages.iter().map(|p| p.name.clone()).collect(),
            versions: packages.iter().map(|p| p.version.clone()).collect(),
            views: [
                View::new(count, &pairs(false)),
                View::new(count, &pairs(true)),
            ],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, id: u32) -> &str {
        &self.names[id as usize]
    }

    /// A package drawn by the number of its dependents, so that hubs are asked for; any
    /// package where nothing depends on anything.
    pub(crate) fn draw_target(&self, random: &mut fastrand::Rng) -> u32 {
        let targets = &self.views[1].forward.targets;
        match targets.len() {
            0 => random.u32(0..self.len() as u32),
            edges => targets[random.usize(0..edges)],
        }
    }

    /// Components of more than one package, and the packages in them, with `recommends`.
    pub(crate) fn cyclic(&self) -> (usize, usize) {
        let sizes = self.views[1].component_sizes.iter();
        let cyclic = sizes.filter(|size| **size > 1);
        cyclic.fold((0, 0), |(n, sum), size| (n + 1, sum + *size as usize))
    }

    /// Judges an answer; the error says what differs.
    pub(crate) fn check<'a>(
        &self,
        query: &Query,
        members: impl Iterator<Item = Member<'a>>,
        work: &mut Work,
    ) -> Result<(), String> {
        let view = &self.views[usize::from(query.recommends)];
        work.answer.clear();
        for member in members {
            self.check_member(&member)?;
            work.answer.push((member.id, member.depth));
        }
        match query.kind {
            Kind::Closure => {
                work.walk(&view.forward, query.from);
                work.same_distances()
            }
            Kind::Dependents => {
                work.walk(&view.backward, query.from);
                work.same_distances()
            }
            Kind::Path => {
                work.walk(&view.forward, query.from);
                work.shortest(&view.forward, query)
            }
            Kind::Cycle => work.same_component(view, query.from),
        }
    }

    /// An object's fields belong together: id to name, serial to version.
    fn check_member(&self, member: &Member<'_>) -> Result<(), String> {
        let id = member.id as usize;
        let Some(name) = self.names.get(id) else {
            return Err(format!(
                "package {id} `{}` is none of the graph",
                member.name
            ));
        };
        if name != member.name {
            return Err(format!(
                "package {id} is `{name}`, the answer says `{}`",
                member.name
            ));
        }
        let rebuild = member.version.strip_prefix(self.versions[id].as_str());
        let serial = match rebuild {
            Some("") => Some(0),
            Some(rest) => rest
                .strip_prefix("+r")
                .and_then(|digits| digits.parse().ok()),
            None => None,
        };
        if serial != Some(member.serial) {
            return Err(format!(
                "`{name}` of serial {} has version `{}`, first `{}`",
                member.serial, member.version, self.versions[id],
            ));
        }
        Ok(())
    }
}

/// The scratch of one checking thread. What a walk or an answer has touched is stamped with its
/// number, so that nothing has to be cleared: most answers have far fewer members than the graph.
#[derive(Default)]
pub(crate) struct Work {
    answer: Vec<(u32, u32)>,
    /// The number of the walk that reached each package last, and the distance then.
    reached: Vec<(u64, u32)>,
    walk: u64,
    queue: Vec<u32>,
    /// The number of the answer that each package was in last.
    seen: Vec<u64>,
    answers: u64,
}

impl Work {
    /// Distances of all packages from `from`; `queue` holds those that are reached.
    fn walk(&mut self, edges: &Edges, from: u32) {
        self.walk += 1;
        self.reached.resize(edges.len(), (0, FAR));
        self.queue.clear();
        self.queue.push(from);
        self.reached[from as usize] = (self.walk, 0);
        let mut next = 0;
        while let Some(v) = self.queue.get(next).copied() {
            next += 1;
            let distance = self.reached[v as usize].1 + 1;
            for target in edges.of(v) {
                let reached = &mut self.reached[*target as usize];
                if reached.0 != self.walk {
                    *reached = (self.walk, distance);
                    self.queue.push(*target);
                }
            }
        }
    }

    fn distance(&self, id: u32) -> u32 {
        match self.reached[id as usize] {
            (walk, distance) if walk == self.walk => distance,
            _ => FAR,
        }
    }

    /// Each member once, at its distance, and as many as are reached: then the sets are equal.
    fn same_distances(&mut self) -> Result<(), String> {
        self.distinct()?;
        for (id, depth) in &self.answer {
            let distance = self.distance(*id);
            if distance != *depth {
                return Err(format!(
                    "package {id}: distance {depth}, should be {distance}"
                ));
            }
        }
        same_count(self.answer.len(), self.queue.len())
    }

    fn same_component(&mut self, view: &View, from: u32) -> Result<(), String> {
        self.distinct()?;
        let component = view.component[from as usize];
        for (id, _) in &self.answer {
            if view.component[*id as usize] != component {
                return Err(format!("package {id} lies on no cycle with {from}"));
            }
        }
        same_count(
            self.answer.len(),
            view.component_sizes[component as usize] as usize,
        )
    }

    fn shortest(&mut self, edges: &Edges, query: &Query) -> Result<(), String> {
        let distance = self.distance(query.to);
        let (first, last) = match (self.answer.first(), self.answer.last()) {
            (Some(first), Some(last)) => (first.0, last.0),
            _ if distance == FAR => return Ok(()),
            _ => return Err(format!("no path, there is one of {distance} steps")),
        };
        if (first, last) != (query.from, query.to) {
            return Err(format!("a path from {first} to {last}"));
        }
        for pair in self.answer.windows(2) {
            if !edges.of(pair[0].0).contains(&pair[1].0) {
                return Err(format!("no edge leads from {} to {}", pair[0].0, pair[1].0));
            }
        }
        same_count(self.answer.len() - 1, distance as usize)
    }

    fn distinct(&mut self) -> Result<(), String> {
        self.answers += 1;
        let most = self.answer.iter().map(|(id, _)| *id as usize + 1).max();
        self.seen.resize(most.unwrap_or(0).max(self.seen.len()), 0);
        for (id, _) in &self.answer {
            if std::mem::replace(&mut self.seen[*id as usize], self.answers) == self.answers {
                return Err(format!("package {id} is in the answer twice"));
            }
        }
        Ok(())
    }
}

fn same_count(got: usize, want: usize) -> Result<(), String> {
    match got == want {
        true => Ok(()),
        false => Err(format!("{got} where {want} are right")),
    }
}
