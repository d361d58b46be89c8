//! The whole demo on a small archive, with each collector.

mod archives;
mod judge;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use runtime::{Collector, NoGc, Runtime, StopTheWorld};

use crate::data::{self, Archive};
use crate::measure::Outcome;
use crate::serve::{self, Options};
use crate::{page, reader, report};

/// Packages that depend on one another at random, so that most lie on cycles; one on itself.
fn archive(count: u32) -> Archive {
    let mut random = fastrand::Rng::with_seed(3);
    let mut text = String::from("self\t1\tmain\t1\tself p1 ghost\tself\n");
    for id in 1..count {
        write!(text, "p{id}\t1.{id}-2\tmain\t{id}\t").expect("a String takes all");
        for end in ["\t", "\n"] {
            let targets: Vec<_> = (0..random.u32(0..4))
                .map(|_| format!("p{}", random.u32(1..count)))
                .collect();
            text += &targets.join(" ");
            text += end;
        }
    }
    data::parse("test.tsv", text.as_bytes()).expect("well-formed")
}

fn run<C: Collector>(heap: &Runtime<C>, count: u32, reclaims: bool) -> Outcome {
    let options = Options {
        duration: Duration::from_millis(600),
        watch: Duration::from_millis(60),
        threads: 2,
        seed: 5,
        heap_bytes_max: 1 << 30,
        progress: false,
        collector: "tested",
        reclaims,
    };
    serve::run(heap, archive(count), &options).expect("runs")
}

fn assert_good(outcome: &Outcome) {
    let texts: Vec<_> = report::mismatches(outcome).collect();
    assert!(outcome.good(), "{}: {texts:?}", report::verdict(outcome));
    let answers = outcome.latencies.merged().len();
    assert!(
        answers > 0 && outcome.checked.answers == answers,
        "{answers} answers"
    );
    assert_eq!(outcome.checked.by_kind.iter().sum::<u64>(), answers);
    assert!(outcome.checked_after.answers > 0);
    assert!(outcome.written.serial_max > 0 && outcome.written.replaced_in_cycles > 0);
    assert_eq!(outcome.about.unknown_edges, 1);
}

#[test]
fn a_collected_heap_answers_right_and_reclaims_what_was_replaced() {
    let heap = Runtime::<StopTheWorld>::builder().build().expect("a heap");
    let outcome = run(&heap, 300, true);
    assert_good(&outcome);
    assert!(
        outcome.watched > 0 && outcome.watched_alive == 0,
        "{}",
        outcome.watched
    );
    assert!(outcome.last().cycles > 0);

    let json = report::json(&outcome);
    assert_eq!(json["good"], true);
    assert_eq!(json["queries"].as_array().map(Vec::len), Some(4));
    let text = report::text(&outcome);
    assert!(
        text.contains("all agree") && text.contains("half dropped, collected"),
        "{text}"
    );
    let html = page::html(&outcome).expect("draws");
    assert_eq!(html.matches("<svg").count(), 3);
    for fetching in ["src=", "href=", "@import", "url("] {
        assert!(!html.contains(fetching), "the page has {fetching}");
    }
}

#[test]
fn a_heap_that_is_never_collected_answers_the_same() {
    let heap = Runtime::<NoGc>::builder().build().expect("a heap");
    let outcome = run(&heap, 300, false);
    assert_good(&outcome);
    assert_eq!(outcome.last().cycles, 0);
    assert_eq!(outcome.watched, outcome.watched_alive);
}

#[test]
fn an_archive_of_one_package_is_enough() {
    let heap = Runtime::<StopTheWorld>::builder().build().expect("a heap");
    let outcome = run(&heap, 1, true);
    assert!(outcome.good(), "{}", report::verdict(&outcome));
    assert!(outcome.written.serial_max > 0);
}

/// A judge that finds nothing wrong is worth something only if the exit status would tell.
#[test]
fn one_mismatch_or_one_leak_makes_the_outcome_bad() {
    let heap = Runtime::<StopTheWorld>::builder().build().expect("a heap");
    let mut outcome = run(&heap, 50, true);
    assert!(outcome.good());
    outcome.watched_alive = 1;
    assert!(!outcome.good() && report::verdict(&outcome).contains("NOT RECLAIMED"));
    outcome.watched_alive = 0;
    outcome
        .checked
        .mismatch("closure of p1: 3 where 4 are right".to_owned());
    assert!(!outcome.good() && report::verdict(&outcome).contains("1 DIFFER"));
    assert!(report::text(&outcome).contains("mismatch: closure of p1: 3 where 4 are right"));
    assert!(
        page::html(&outcome)
            .expect("draws")
            .contains("closure of p1")
    );
}

/// `cargo xtask fuzz data --seconds N` looks for more.
#[test]
fn the_corpus_reads_alike() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/data");
    let entries = std::fs::read_dir(folder).expect("the corpus is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("the corpus can be read").path())
        .collect();
    paths.sort();
    assert!(paths.len() > 10, "a corpus of {} inputs", paths.len());
    for path in paths {
        println!("{}", path.display());
        reader::run_input(&std::fs::read(&path).expect("the corpus can be read"));
    }
}

#[test]
fn random_archives_read_alike() {
    let mut archives = 0;
    for seed in 0..1000 {
        println!("string {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let len = random.usize(0..100);
        // Small bytes are words, which seldom make a row: some strings have none.
        let words = random.u8(0..5);
        let mut bytes: Vec<u8> = (0..len)
            .map(|_| random.u8(16..) >> random.u8(0..=words))
            .collect();
        bytes.insert(0, random.u8(..));
        archives += usize::from(reader::run_input(&bytes));
    }
    assert!(
        (100..600).contains(&archives),
        "{archives} of 1000 were archives"
    );
}
