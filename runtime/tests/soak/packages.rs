//! The demo's package graph in the soak: one thread asks, another replaces packages, both come and
//! go, and each answer is judged when it has lived for a while.
//!
//! Memory that does not reach for an answer costs that answer. Where it does not reach for a
//! replacement, the graph is right still, but old packages may hold older ones: it is built anew.

use crate::common::Random;
use crate::demo::data::{Record, read};
use crate::demo::graph::{Catalog, load};
use crate::demo::oracle::{Oracle, Work};
use crate::demo::queries::{Answer, Seen, answer};
use crate::demo::query::Query;
use crate::demo::upload::{draw_group, replace};
use crate::work::{Common, add, goes_on, is_exhaustion};
use runtime::{Mutator, Root};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// So many packages of the archive take part, or a few more: what can be loaded beside all else.
const PACKAGES: usize = 4_000;
/// One in so many is taken with what it needs, until there are enough.
const SPREAD: usize = 101;
/// Answers that wait for their judgement.
const KEPT: usize = 64;

/// The graph as it must be.
pub(crate) struct Packages {
    records: Vec<Record>,
    oracle: Oracle,
}

impl Packages {
    /// Packages of the embedded archive from all over it, with what they need.
    pub(crate) fn read() -> Self {
        let all = read(None).expect("embedded").packages;
        let mut places = HashMap::new();
        let mut met: Vec<u32> = Vec::new();
        for start in (0..all.len() as u32).step_by(SPREAD) {
            let mut next = met.len();
            meet(start, &mut places, &mut met);
            while let Some(id) = met.get(next) {
                let record = &all[*id as usize];
                next += 1;
                for target in record.depends.iter().chain(&record.recommends) {
                    meet(*target, &mut places, &mut met);
                }
            }
            if met.len() >= PACKAGES {
                break;
            }
        }
        let within = |ids: &[u32]| {
            ids.iter()
                .filter_map(|id| places.get(id))
                .copied()
                .collect()
        };
        let record = |id: &u32| {
            let record = &all[*id as usize];
            Record {
                name: record.name.clone(),
                version: record.version.clone(),
                section: record.section.clone(),
                installed_kib: record.installed_kib,
                depends: within(&record.depends),
                recommends: within(&record.recommends),
            }
        };
        let records: Vec<Record> = met.iter().map(record).collect();
        assert!(records.len() >= PACKAGES, "{} packages", records.len());
        let oracle = Oracle::new(&records, records.len());
        Self { records, oracle }
    }
}

/// Gives a package its place, if it has none.
fn meet(id: u32, places: &mut HashMap<u32, u32>, met: &mut Vec<u32>) {
    places.entry(id).or_insert_with(|| {
        met.push(id);
        met.len() as u32 - 1
    });
}

/// What `call` returns; `None`, which is counted, if there was no memory.
fn unless_exhausted<T>(common: &Common, call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(payload) if is_exhaustion(&*payload) => {
            add(&common.counts.refused, 1);
            None
        }
        Err(payload) => resume_unwind(payload),
    }
}

/// Loads the graph and replaces packages, while another thread asks.
pub(crate) fn packages(common: &Common, random: &mut Random, until: Instant) {
    let mut mutator = common.heap.mutator_named("packages");
    let records = &common.packages.records;
    while goes_on(common, until) {
        let loaded = unless_exhausted(common, || load(&mut mutator, records));
        let Some(catalog) = loaded else {
            mutator.collect().expect("no trace panics");
            continue;
        };
        let is_whole = AtomicBool::new(true);
        let mut asking = Random::new(random.next());
        let go_on = || goes_on(common, until) && is_whole.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| ask(common, &catalog, &mut asking, &go_on));
            while go_on() {
                let seed = random.below(records.len()) as u32;
                let watch = random.below(16) == 0;
                let replaced = unless_exhausted(common, || {
                    let group = draw_group(&mut mutator, &catalog, seed);
                    replace(&mut mutator, &catalog, &group, watch);
                    group.len()
                });
                add(&common.counts.replaced, replaced.unwrap_or(0) as u64);
                is_whole.store(replaced.is_some(), Ordering::Relaxed);
            }
        });
    }
}

/// Asks, and judges what was answered some questions ago.
fn ask(
    common: &Common,
    catalog: &Root<Catalog<'static>>,
    random: &mut Random,
    go_on: &impl Fn() -> bool,
) {
    let oracle = &common.packages.oracle;
    let mut random = fastrand::Rng::with_seed(random.next());
    let mut mutator = common.heap.mutator_named("asking");
    let mut seen = Seen::new(oracle.len());
    let mut work = Work::default();
    let mut kept: VecDeque<(Query, Root<Answer<'static>>)> = VecDeque::new();
    while go_on() {
        let query = Query::draw(oracle, &mut random);
        let answered = unless_exhausted(common, || {
            mutator.enter(|cx| {
                let from = catalog.get(cx).get(query.from).expect("none is dropped");
                cx.root(answer(cx, from, &query, &mut seen))
            })
        });
        kept.extend(answered.map(|answer| (query, answer)));
        if kept.len() > KEPT
            && let Some(oldest) = kept.pop_front()
        {
            judge(common, &mut mutator, &mut work, &oldest);
        }
    }
    for one in &kept {
        judge(common, &mut mutator, &mut work, one);
    }
}

/// The answer is that of the oracle, whatever has been replaced and collected since.
fn judge(
    common: &Common,
    mutator: &mut Mutator,
    work: &mut Work,
    (query, answer): &(Query, Root<Answer<'static>>),
) {
    let oracle = &common.packages.oracle;
    let verdict = mutator.enter(|cx| oracle.check(query, answer.get(cx).members(), work));
    if let Err(difference) = verdict {
        panic!("{}: {difference}", query.describe(oracle));
    }
    add(&common.counts.answers, 1);
}
