//! The programs of the comparison agree: every workload, in small, on our collectors, on explicit
//! free, on counted references and on the collectors from crates.

use std::process::{Command, Output};

const OURS: &str = env!("CARGO_BIN_EXE_ours");
const EXPLICIT: &str = env!("CARGO_BIN_EXE_explicit");
const COUNTED: &str = env!("CARGO_BIN_EXE_counted");

fn run(program: &str, words: &str) -> Output {
    let mut command = Command::new(program);
    command.args(words.split_whitespace());
    command.output().expect("the program starts")
}

/// The figure of a line, in what the program has printed.
fn figure(program: &str, words: &str, name: &str) -> u64 {
    let output = run(program, words);
    assert!(output.status.success(), "{program} {words}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("{program} {words} has no {name}: {text}"));
    line.trim().parse().expect("a number")
}

/// All of these systems have the same answer, which is returned.
fn agree(words: &str, systems: &[(&str, &str)]) -> u64 {
    let answers = systems
        .iter()
        .map(|(program, args)| figure(program, &format!("{words} {args}"), "answer "));
    let answers: Vec<u64> = answers.collect();
    let is_same = answers.windows(2).all(|pair| pair[0] == pair[1]);
    assert!(is_same, "{words}: {answers:?}");
    answers[0]
}

const EVERY: [(&str, &str); 7] = [
    (OURS, ""),
    (OURS, "collector=stop-the-world"),
    (EXPLICIT, ""),
    (COUNTED, "system=rc"),
    (COUNTED, "system=arc"),
    (COUNTED, "system=dumpster"),
    (COUNTED, "system=gc-arena"),
];

#[test]
fn trees_agree_and_count_every_node() {
    // 63 of the stretch tree, 16 of 31 at depth 4 times 4, 31 held.
    assert_eq!(agree("trees depth=4", &EVERY), 63 + 4 * 16 * 31 + 31);
    let of_one = agree("trees depth=8", &EVERY[..2]);
    assert_eq!(agree("trees depth=8 threads=2", &EVERY), of_one);
}

#[test]
fn allocation_agrees_on_each_size() {
    for size in [16, 32, 64, 128, 512, 4096] {
        let words = format!("alloc size={size} count=2500");
        // The last one is never replaced.
        assert_eq!(agree(&words, &EVERY), (0..2499).sum());
    }
    let words = "alloc size=32 count=2500 threads=2";
    assert_eq!(agree(words, &EVERY[..3]), 2 * (0..2499).sum::<u64>());
}

#[test]
fn messages_agree() {
    let floor = (OURS, "system=floor");
    let all: Vec<_> = EVERY.into_iter().chain([floor]).collect();
    agree("ring live=50 count=1000", &all);
    agree("ring live=50 count=1000 threads=2", &all);
    agree("ring live=50 count=200 rate=100000", &all);
    agree("limit live=1 limit=256 count=3000", &EVERY);
}

#[test]
fn a_spike_leaves_the_same_messages() {
    let words = "spike live=1 drop=1 seconds=1";
    agree(words, &EVERY[..3]);
    assert!(figure(OURS, words, "rss 500 ") > 0);
}

#[test]
fn graphs_agree_with_a_collector_from_a_crate() {
    let systems = [EVERY[0], EVERY[1], EVERY[6]];
    for kind in ["random", "tree", "shuffled", "lists", "mixed"] {
        agree(&format!("graph kind={kind} nodes=3000"), &systems);
    }
    // All nodes of a tree are reached: 31 times their number, and the words' exclusive or.
    let words = (0..3000).fold(0, |all: u64, word| all ^ word);
    let answer = agree("graph kind=tree nodes=3000", &systems);
    assert_eq!(answer, 3000 * 31 + words);
    assert_eq!(figure(OURS, "graph kind=tree nodes=3000", "reached "), 3000);
}

/// A small archive: each package needs some before and after it, the first one is a hub.
fn archive() -> String {
    let row = |id: u32| {
        let near = [id * 7 % 200, (id + 13) % 200, 0];
        let names = near.map(|to| format!("p{to}")).join(" ");
        let recommends = if id.is_multiple_of(3) {
            "p1 nobody"
        } else {
            ""
        };
        format!("p{id}\t1.{id}\tmisc\t{id}\t{names}\t{recommends}\n")
    };
    let path = format!("{}/archive.tsv", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, (0..200).map(row).collect::<String>()).expect("a file is written");
    path
}

#[test]
fn packages_agree_whoever_replaces_them() {
    let words = format!("packages data={} count=400", archive());
    let of_one = agree(&words, &[EVERY[0], EVERY[1], EVERY[4], EVERY[6]]);
    let systems = [EVERY[0], EVERY[1], EVERY[4]];
    assert_eq!(agree(&format!("{words} threads=2"), &systems), of_one);
    assert_eq!(run(OURS, "packages data=/nowhere").status.code(), Some(1));
}

#[test]
fn plots_agree_on_any_number_of_threads() {
    let systems = [EVERY[0], EVERY[1], EVERY[2], EVERY[3]];
    for threads in [1, 3] {
        let words = format!("growth live=2 count=6000 threads={threads}");
        agree(&words, &systems);
        assert_eq!(figure(OURS, &words, "allocated_bytes "), 6000 * 992);
    }
}

#[test]
fn what_a_program_does_not_know_it_says_by_its_exit_code() {
    assert_eq!(run(EXPLICIT, "graph").status.code(), Some(3));
    assert_eq!(run(OURS, "nothing").status.code(), Some(3));
    assert_eq!(run(OURS, "trees depth=x").status.code(), Some(1));
}
