//! Why a site is on the heap, in sentences about the source.
//!
//! The graph keeps for each object of each node the node it came from and the reason. Read
//! backwards from the node of the escaped they are a path, whose first link is where the address
//! was taken. Go's `-m=2` prints the same path, in its own notation (`flow: p ← &x`), ends at the
//! call through which a value leaks, and cuts cycles. Here each link is a sentence with its own
//! position, a call's link is followed into the callee, and if what holds the pointer is itself on
//! the heap, its reason follows. Paths have no cycles, because only the first reason is kept.

use std::collections::HashSet;
use std::fmt;

use super::flow::{Action, PlaceKind, Position, Site, Size};
use super::graph::{ESCAPED, Kind, NOWHERE, Name, ObjectId, What, Why};
use super::lower::Batch;
use super::program::Known;
use super::report::Report;

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    from: Name,
    to: Name,
    why: Why,
}

/// A path from where an address was taken to where it escapes.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    links: Vec<Link>,
    /// The site in which the last link lies, if that is why.
    within: Option<Site>,
}

/// How the object came to be among the escaped.
pub(super) fn chain(batch: &Batch<'_>, object: ObjectId) -> Chain {
    let graph = &batch.graph;
    let mut links = Vec::new();
    let mut within = None;
    let mut node = ESCAPED;
    while let Some(member) = graph.member(node, object) {
        let why = graph.whys[member.why as usize];
        let from = match member.from {
            NOWHERE => Name::Step,
            from => graph.nodes[from as usize].name,
        };
        let to = graph.nodes[node as usize].name;
        links.push(Link { from, to, why });
        if let What::Content(holder) = why.what
            && let Kind::Site {
                function, place, ..
            } = graph.objects[holder as usize].kind
        {
            let index = place;
            within = Some(Site { function, index });
        }
        node = member.from;
        if node == NOWHERE {
            break;
        }
    }
    links.reverse();
    Chain { links, within }
}

/// One sentence of an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The function that the position is in.
    pub function: Box<str>,
    /// Where it happens.
    pub at: Position,
    /// How many calls, or objects on the heap, it is away from the site.
    pub level: u32,
    /// What happens there.
    pub text: String,
}

/// Why a site is on the heap: what happens to its address, from where it is taken on. Shows itself
/// as text, one line a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What it is about.
    pub title: String,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        for step in &self.steps {
            let indent = 2 + 2 * step.level as usize;
            let Step {
                function, at, text, ..
            } = step;
            write!(f, "\n{:indent$}{function}:{at}: {text}", "")?;
        }
        Ok(())
    }
}

/// Writes explanations from a report's chains.
pub(super) struct Writer<'r, 'p> {
    report: &'r Report<'p>,
    steps: Vec<Step>,
    sites: HashSet<Site>,
    inputs: HashSet<(u32, u32)>,
}

impl<'r, 'p> Writer<'r, 'p> {
    pub(super) fn new(report: &'r Report<'p>) -> Writer<'r, 'p> {
        Writer {
            report,
            steps: Vec::new(),
            sites: HashSet::new(),
            inputs: HashSet::new(),
        }
    }

    /// Why the site is on the heap, unless it is not.
    pub(super) fn site(mut self, site: Site) -> Option<Explanation> {
        let chain = self.report.verdict(site).chain.as_ref()?;
        let place = self.report.place(site);
        let entry = &self.report.program.functions[site.function as usize];
        let title = format!(
            "{}:{}: `{}` is on the heap:",
            entry.name, place.at, place.name
        );
        self.sites.insert(site);
        self.follow(chain, Some(site), 0);
        let steps = self.steps;
        Some(Explanation { title, steps })
    }

    /// How an input leaks, unless it does not.
    pub(super) fn input(mut self, function: u32, input: u32) -> Option<Explanation> {
        let chain = self.report.leak(function, input)?;
        let entry = &self.report.program.functions[function as usize];
        let name = &entry.places[input as usize].name;
        let title = format!("{}: what `{name}` holds leaks to the heap:", entry.name);
        self.inputs.insert((function, input));
        self.follow(chain, None, 0);
        let steps = self.steps;
        Some(Explanation { title, steps })
    }

    fn follow(&mut self, chain: &'r Chain, about: Option<Site>, level: u32) {
        for link in &chain.links {
            let Some(text) = self.sentence(link, about) else {
                continue;
            };
            let (function, at) = match (link.why.what, chain.within) {
                (What::Content(_), Some(holder)) => (holder.function, self.report.place(holder).at),
                _ => (link.why.function, link.why.at),
            };
            // Some links stand nowhere themselves: they follow from the one before.
            let before = self.steps.last().map(|step| step.at);
            let nowhere = at == Position::default();
            let at = if nowhere { before.unwrap_or(at) } else { at };
            let name = self.report.program.functions.get(function as usize);
            let function = name.map_or("", |entry| &entry.name).into();
            self.steps.push(Step {
                function,
                at,
                level,
                text,
            });
            if let What::Summary { callee, input } = link.why.what
                && link.to == Name::Heap
                && self.inputs.insert((callee, input))
                && let Some(inner) = self.report.leak(callee, input)
            {
                self.follow(inner, None, level + 1);
            }
        }
        if let Some(holder) = chain.within
            && self.sites.insert(holder)
            && let Some(outer) = self.report.verdict(holder).chain.as_ref()
        {
            self.follow(outer, Some(holder), level + 1);
        }
    }

    /// What a link says, unless it is a step inside of one place.
    fn sentence(&self, link: &Link, about: Option<Site>) -> Option<String> {
        let (from, to) = (self.name(link.from), self.name(link.to));
        let callee = |callee: u32| match self.report.program.functions.get(callee as usize) {
            Some(entry) => format!("`{}`", entry.name),
            None => "an unknown function".to_owned(),
        };
        let input = |of: u32, index: u32| {
            let entry = &self.report.program.functions[of as usize];
            entry.places[index as usize].name.clone()
        };
        Some(match link.why.what {
            What::Entered => return None,
            What::Assigned if from == to || link.to == Name::Step => return None,
            What::Assigned if matches!(link.to, Name::Result { .. }) => return None,
            What::Assigned if self.returned(link.to) => format!("{from} is returned as {to}"),
            What::Assigned => format!("{from} is assigned to {to}"),
            What::Taken => format!("{to} gets its address"),
            What::Loaded => format!("{to} is loaded from {from}"),
            What::Stored(pointer) => {
                let pointer = input(link.why.function, pointer);
                format!("{from} is stored through `{pointer}` into {to}")
            }
            What::Argument { callee: of, index } => {
                let name = input(of, index);
                format!("{from} is passed to {} as its `{name}`", callee(of))
            }
            What::Result { callee: of } => format!("{} returns it to {to}", callee(of)),
            What::Summary {
                callee: of,
                input: index,
            } => {
                let (name, callee) = (input(of, index), callee(of));
                match link.to {
                    Name::Heap => format!("{from} is passed to {callee} as `{name}`, which leaks"),
                    _ => format!("{callee} takes what it is passed as `{name}` to {to}"),
                }
            }
            What::Captured { body } => format!("{} captures it", callee(body)),
            What::Deferred => "it waits for the end of the function".to_owned(),
            What::Spawned => format!("{from} is passed to what runs on another stack"),
            What::UnknownCall => format!("{from} is passed to unknown code"),
            What::Told(index) => self.told(link.why.function, index)?,
            What::Content(_) => format!("{from} is on the heap, or may be, with all it holds:"),
            What::Outlives => self.outlives(link.from, about),
            What::TooLarge => self.large(about),
        })
    }

    fn returned(&self, to: Name) -> bool {
        matches!(to, Name::Place { function, place }
            if self.report.program.functions[function as usize].places[place as usize].kind
                == PlaceKind::Result)
    }

    fn told(&self, function: u32, index: u32) -> Option<String> {
        let Known::Defined(flows) = &self.report.program.functions[function as usize].known else {
            return None;
        };
        match &flows.get(index as usize)?.action {
            Action::Leak { how, .. } => Some(format!("it is {how}")),
            _ => None,
        }
    }

    fn outlives(&self, from: Name, about: Option<Site>) -> String {
        let name = self.name(from);
        match from {
            Name::Result { .. } => format!("{name} goes to the caller, when the frame is gone"),
            Name::Memory { .. } => format!("{name} belongs to the caller, and outlives the frame"),
            _ => {
                let site = about.map(|site| self.report.place(site).name.clone());
                let site = site.unwrap_or_default();
                format!("{name} outlives the round of the loop in which `{site}` is made")
            }
        }
    }

    fn large(&self, about: Option<Site>) -> String {
        match about.map(|site| self.report.place(site).size) {
            Some(Size::Bytes(bytes)) => format!("its {bytes} bytes are too many for a frame"),
            _ => "its size is known at run time only".to_owned(),
        }
    }

    fn name(&self, name: Name) -> String {
        let functions = &self.report.program.functions;
        let place = |function: u32, place: u32| {
            let places = &functions[function as usize].places;
            format!("`{}`", places[place as usize].name)
        };
        match name {
            Name::Place { function, place: p } | Name::Field { function, place: p } => {
                place(function, p)
            }
            Name::Memory { function, input } => {
                format!("what {} points to", place(function, input))
            }
            Name::Result { function, index } => {
                place(function, functions[function as usize].result(index))
            }
            Name::Heap => "the heap".to_owned(),
            Name::Step => "it".to_owned(),
        }
    }
}
