//! `packages`: the package graph of a Linux distribution, queried while packages are replaced.
//!
//! The demo of this project as a program that each system can have: the same archive, the same
//! questions, the same way to replace a package, but as many of each as the parameters say, drawn
//! from a seed, so that all systems must have the same answer.
//!
//! A row of the archive is name, version, section, size, and two lists of names, separated by
//! tabs: what the package depends on, and what it recommends. Names that no row has, and those
//! repeated in a list, are skipped. Each package points at what it needs, and has two lists, sorted
//! by number, of those that need it; the graph is built, and not measured, in the rows' order.
//!
//! A *question* walks breadth first and allocates a step for each package that it meets: the
//! package, the step before, the depth. Of ten questions four are for all that a package needs
//! (0 to 3), two for all that need it (4, 5), three for a shortest path to another one (6 to 8),
//! and one for all that lie on a cycle with it (9: whoever needs it, of what it needs). The answer
//! is an object with a vector of its steps. The last 1024 answers live; what is in an answer is
//! added up only when the next one takes its place, or at the end. Each question is timed.
//!
//! A *replacement* draws a package, and with it up to seven of what it needs that have at most 200
//! dependents. New objects take the numbers, names and edges of the old, with a new version, and
//! whoever pointed at an old one gets a new list: the old ones, which point at each other, are
//! garbage with cycles. Where many depend on a package, it takes as many new lists.
//!
//! With one thread there is a replacement after each question; with two, one thread asks and the
//! other replaces, as fast as each can. Answers do not depend on it, because the graph's shape is
//! always the same. The result is the sum over all steps of all answers of 31 times the package's
//! number plus one, and the depth; and 1,000,003 times the sum of all packages' serial numbers.

use super::params::SplitMix;
use super::ring::recorder;
use super::run::{Clocks, Lines, System};
use super::{Failure, Params, Unknown};
use hdrhistogram::Histogram;
use std::collections::HashMap;
use std::time::Instant;

/// Answers that live.
pub(super) const KEPT: usize = 1024;

/// Packages that are replaced together, at most.
pub(super) const GROUP_MAX: usize = 8;

/// Dependents of a package that is replaced with others, at most.
pub(super) const DEPENDENTS_MAX: usize = 200;

/// Packages that need the one at hand and are relinked in one closure.
pub(super) const BATCH: usize = 512;

/// A row of the archive, its names resolved.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) section: String,
    pub(super) installed_kib: u64,
    pub(super) depends: Vec<u32>,
    pub(super) recommends: Vec<u32>,
}

/// The archive at the path `data`.
fn read(params: &Params) -> Result<Vec<Record>, Failure> {
    let path = params.text("data", "");
    let text = std::fs::read_to_string(path).map_err(|error| format!("data={path}: {error}"))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Record>, Failure> {
    let rows = text.lines().map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        <[&str; 6]>::try_from(columns).map_err(|_| format!("`{row}` has not six columns"))
    });
    let rows: Vec<[&str; 6]> = rows.collect::<Result<_, _>>()?;
    let names = rows.iter().map(|row| row[0]).zip(0_u32..);
    let numbers: HashMap<&str, u32> = names.collect();
    let targets = |list: &str| {
        let mut targets = Vec::new();
        for number in list.split(' ').filter_map(|name| numbers.get(name)) {
            if !targets.contains(number) {
                targets.push(*number);
            }
        }
        targets
    };
    let record = |[name, version, section, kib, depends, recommends]: &[&str; 6]| {
        Ok(Record {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            section: (*section).to_owned(),
            installed_kib: kib.parse()?,
            depends: targets(depends),
            recommends: targets(recommends),
        })
    };
    rows.iter().map(record).collect()
}

/// What a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Closure,
    Dependents,
    Path,
    Cycle,
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) kind: Kind,
    pub(super) from: usize,
    /// The end of a path.
    pub(super) to: u32,
    /// Whether what is recommended counts as needed.
    pub(super) recommends: bool,
}

/// Draws questions.
struct Questions {
    random: SplitMix,
    packages: usize,
    /// Where all edges lead: whoever is needed by many is asked for often.
    targets: Vec<u32>,
}

impl Questions {
    fn new(records: &[Record], random: SplitMix) -> Self {
        let both = |record: &Record| [record.depends.clone(), record.recommends.clone()].concat();
        Self {
            random,
            packages: records.len(),
            targets: records.iter().flat_map(both).collect(),
        }
    }

    fn draw(&mut self) -> Question {
        let kind = match self.random.below(10) {
            0..4 => Kind::Closure,
            4..6 => Kind::Dependents,
            6..9 => Kind::Path,
            _ => Kind::Cycle,
        };
        Question {
            kind,
            from: self.random.below(self.packages),
            to: self.targets[self.random.below(self.targets.len())],
            recommends: self.random.below(2) == 1,
        }
    }
}

/// What a step adds to the result.
pub(super) fn worth(package: u32, depth: u32) -> u64 {
    31 * (u64::from(package) + 1) + u64::from(depth)
}

/// Which packages a walk has seen: those stamped with its number.
pub(super) struct Seen {
    stamps: Vec<u32>,
    pub(super) walk: u32,
}

impl Seen {
    pub(super) fn new(packages: usize) -> Self {
        Self {
            stamps: vec![0; packages],
            walk: 0,
        }
    }

    /// Begins a walk.
    pub(super) fn begin(&mut self) {
        self.walk += 1;
    }

    /// Whether the package is seen for the first time.
    pub(super) fn is_first(&mut self, package: u32) -> bool {
        std::mem::replace(&mut self.stamps[package as usize], self.walk) != self.walk
    }

    /// Whether the package was seen last in that walk.
    pub(super) fn was_in(&self, walk: u32, package: u32) -> bool {
        self.stamps[package as usize] == walk
    }
}

/// What a thread does with the graph.
pub(super) trait Server {
    /// Answers, and lets the answer live in place of another.
    fn ask(&mut self, question: &Question, place: usize);

    /// What the answer in that place is worth; nothing if there is none.
    fn worth(&mut self, place: usize) -> u64;

    /// Replaces a package and its group.
    fn replace(&mut self, package: u32);

    /// All packages' serial numbers together.
    fn serials(&mut self) -> u64;
}

/// Asks so many questions, each followed by what `then` does.
fn ask<S: Server>(
    server: &mut S,
    mut questions: Questions,
    count: usize,
    mut then: impl FnMut(&mut S),
) -> (u64, Histogram<u64>) {
    let (mut sum, mut latency) = (0_u64, recorder());
    for number in 0..count {
        let (question, place) = (questions.draw(), number % KEPT);
        sum = sum.wrapping_add(server.worth(place));
        let begun = Instant::now();
        server.ask(&question, place);
        latency.saturating_record(begun.elapsed().as_nanos() as u64);
        then(server);
    }
    (sum, latency)
}

/// What the parameters say.
struct Job {
    records: Vec<Record>,
    questions: Questions,
    random: SplitMix,
    count: usize,
}

impl Job {
    fn new(params: &Params, threads_max: usize) -> Result<Self, Failure> {
        if params.threads()? > threads_max {
            return Err(Unknown("packages with so many threads".to_owned()).into());
        }
        let records = read(params)?;
        Ok(Self {
            questions: Questions::new(&records, params.random(0)?),
            random: params.random(1)?,
            count: params.number("count", 20_000)?,
            records,
        })
    }

    /// Measures `act`, which has a server ask; then adds up what is left.
    fn measure<S: Server>(
        system: &impl System,
        asking: &mut S,
        act: impl FnOnce(&mut S) -> (u64, Histogram<u64>),
    ) -> Lines {
        let clocks = Clocks::start(|| system.used());
        let (mut sum, latency) = act(asking);
        for place in 0..KEPT {
            sum = sum.wrapping_add(asking.worth(place));
        }
        let mut lines = clocks.stop_unanswered();
        let serials = asking.serials().wrapping_mul(1_000_003);
        lines.add("answer", sum.wrapping_add(serials));
        lines.add_latency(&latency);
        lines
    }

    /// One thread, which asks and replaces in turn.
    fn in_turn<S: Server>(self, system: &impl System, mut server: S) -> Lines {
        let (packages, mut random) = (self.records.len(), self.random);
        drop(self.records);
        let replace = |server: &mut S| server.replace(random.below(packages) as u32);
        Self::measure(system, &mut server, |server| {
            ask(server, self.questions, self.count, replace)
        })
    }
}

/// Runs the workload on a system of one thread.
pub(super) fn run_alone<S: Server>(
    system: &impl System,
    params: &Params,
    load: impl FnOnce(&[Record]) -> S,
) -> Result<Lines, Failure> {
    let job = Job::new(params, 1)?;
    let server = load(&job.records);
    Ok(job.in_turn(system, server))
}

/// Runs the workload; what `load` returns makes a thread's own server.
pub(super) fn run<S: Server + Send>(
    system: &impl System,
    params: &Params,
    load: impl FnOnce(&[Record]) -> Box<dyn Fn() -> S>,
) -> Result<Lines, Failure> {
    let job = Job::new(params, 2)?;
    let server = load(&job.records);
    let mut asking = server();
    if params.threads()? == 1 {
        return Ok(job.in_turn(system, asking));
    }
    let Job {
        records,
        questions,
        mut random,
        count,
    } = job;
    let packages = records.len();
    drop(records);
    let mut replacing = server();
    let replace = move || (0..count).for_each(|_| replacing.replace(random.below(packages) as u32));
    Ok(Job::measure(system, &mut asking, |asking| {
        std::thread::scope(|scope| {
            scope.spawn(replace);
            ask(asking, questions, count, |_| {})
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_and_unknown_or_repeated_ones_skipped() {
        let records = parse("a\t1\tx\t7\tb c b nobody\t\nb\t2\tx\t8\t\ta\nc\t3\ty\t9\tc\tb\n");
        let records = records.unwrap();
        assert_eq!(records[0].depends, [1, 2]);
        assert_eq!(records[1].recommends, [0]);
        assert_eq!(records[2].installed_kib, 9);
        assert!(parse("a\t1\n").is_err());
    }
}
