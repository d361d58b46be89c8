//! The corpus: Go source that both analyses judge, Go's compiler in a recorded file.
//!
//! Go is run without inlining (`-m -l`), since what we see is not inlined either. If there is a
//! `go` in `target/go/bin` or named by `HEAPWRIGHT_GO`, the record is compared with what it says,
//! and with `HEAPWRIGHT_BLESS` written anew. A function in which the decisions differ says why in
//! a comment `// differs: …`, and no other has one.

use super::language::Lowered;
use super::machine::{self, RunFrom};
use super::parse::{Parsed, parse};
use runtime::escape::{Decision, Options, PlaceKind, Report};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [&str; 6] = [
    "basics.go",
    "calls.go",
    "closures.go",
    "fields.go",
    "loops.go",
    "stores.go",
];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/corpus")
}

fn text(file: &str) -> String {
    let path = corpus().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What Go says of one function's sites.
#[derive(Default, Debug)]
struct Verdict {
    sites: u32,
    /// Sites that are in a frame with us and on the heap with Go, and the other way round.
    better: Vec<String>,
    worse: Vec<String>,
}

/// Go's messages by file and line.
type Messages = BTreeMap<(String, u32), Vec<String>>;

fn messages(record: &str) -> Messages {
    let mut messages = Messages::new();
    for line in record.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.splitn(3, ':');
        let mut part = || parts.next().unwrap_or_default().trim().to_owned();
        let (file, at, message) = (part(), part(), part());
        let at = at.parse().expect("a line number");
        messages.entry((file, at)).or_default().push(message);
    }
    messages
}

/// Judges every function of a file.
fn judge(file: &str, messages: &mut Messages) -> Vec<(String, u32, Verdict)> {
    let Parsed { program, lines } = parse(&text(file));
    let lowered = program.lower();
    let report = lowered.program.analyze(&Options::default());
    let mut verdicts = Vec::new();
    for (index, func) in program.functions.iter().enumerate() {
        let mut verdict = Verdict::default();
        for (_, name, at, kind, decision) in report.sites(lowered.functions[index]) {
            let line = if at.line == 0 { lines[index] } else { at.line };
            let said = messages.entry((file.to_owned(), line)).or_default();
            let heap = match kind {
                PlaceKind::Allocation | PlaceKind::Closure => {
                    let is = |m: &String| m.ends_with("escapes to heap");
                    let not = |m: &String| m.ends_with("does not escape");
                    let found = said.iter().position(|m| is(m) || not(m));
                    let found = found
                        .unwrap_or_else(|| panic!("{file}:{line}: Go says nothing of `{name}`"));
                    is(&said.remove(found))
                }
                _ => {
                    let moved = format!("moved to heap: {name}");
                    let found = said.iter().position(|m| *m == moved);
                    found.map(|found| said.remove(found)).is_some()
                }
            };
            verdict.sites += 1;
            match (decision == Decision::Heap, heap) {
                (false, true) => verdict.better.push(name.to_owned()),
                (true, false) => verdict.worse.push(name.to_owned()),
                _ => {}
            }
        }
        verdicts.push((func.name.clone(), lines[index], verdict));
    }
    verdicts
}

/// On nearly every function at least as many frames as Go, and every difference explained.
#[test]
fn no_worse_than_go() {
    let mut messages = messages(&text("go.txt"));
    let mut unexplained = Vec::new();
    let (mut equal, mut better, mut worse, mut sites, mut gained) = (0, 0, 0, 0, 0);
    for file in FILES {
        let source = text(file);
        let lines: Vec<&str> = source.lines().collect();
        let verdicts = judge(file, &mut messages);
        for (name, line, verdict) in &verdicts {
            // The reason stands before the function, on the line of its head, or next to it.
            let above = lines[..*line as usize - 1].iter().rev();
            let mut comment = above.take_while(|line| line.trim_start().starts_with("//"));
            let explained = comment.any(|line| line.contains("// differs:"));
            let differs = !verdict.better.is_empty() || !verdict.worse.is_empty();
            if explained != differs {
                unexplained.push(format!("{file}:{line}: `{name}` {verdict:?}"));
            }
            sites += verdict.sites;
            gained += verdict.better.len();
            match (verdict.worse.is_empty(), verdict.better.is_empty()) {
                (false, _) => worse += 1,
                (true, false) => better += 1,
                (true, true) => equal += 1,
            }
        }
    }
    assert!(
        unexplained.is_empty(),
        "a difference has a `// differs:` before it, and nothing else has:\n{}",
        unexplained.join("\n")
    );
    let left = messages
        .iter()
        .flat_map(|(at, m)| m.iter().map(move |m| (at, m)));
    let left: Vec<_> = left
        .filter(|(_, m)| m.contains("heap") && !m.contains("leak"))
        .collect();
    assert!(
        left.is_empty(),
        "Go speaks of sites that the flows leave out: {left:?}"
    );
    let all = equal + better + worse;
    println!("{all} functions, {sites} sites: {equal} equal, {better} better, {worse} worse; ");
    println!("{gained} sites in frames that Go puts on the heap");
    assert!(all >= 120 && worse * 20 <= all);
}

/// The corpus runs on the machine too, each function as if it were called from nowhere.
#[test]
fn corpus_is_sound() {
    for file in FILES {
        let Parsed { program, .. } = parse(&text(file));
        let lowered: Lowered = program.lower();
        let report: Report<'_> = lowered.program.analyze(&Options::default());
        for (index, func) in program.functions.iter().enumerate() {
            if func.captures > 0 {
                continue;
            }
            for seed in 0..60 {
                let from = RunFrom::Function(index);
                let decide = |site| report.decision(site);
                if let Err(fault) = machine::run_as(&program, &lowered, &decide, seed, from) {
                    panic!("{file}: `{}`: {fault:?}", func.name);
                }
            }
        }
    }
}

/// The record is what Go says, where there is a Go.
#[test]
fn record_is_what_go_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/go/bin/go");
    let go = std::env::var_os("HEAPWRIGHT_GO").map_or(root, PathBuf::from);
    if !go.exists() {
        println!("skipped: no `go` in target/go/bin, and none in HEAPWRIGHT_GO");
        return;
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&go);
        let output = command.current_dir(corpus()).args(arguments).output();
        let output = output.expect("go runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // Go removes what it was to write if it fails, so this is a file of our own.
    let object = concat!(env!("CARGO_TARGET_TMPDIR"), "/escape-corpus.o").to_owned();
    let version = run(&["version"]);
    let mut record = format!("# go tool compile -m -l: {version}");
    for file in FILES {
        let said = run(&[
            "tool", "compile", "-p", "corpus", "-m", "-l", "-o", &object, file,
        ]);
        for line in said.lines() {
            // The column is left out: an entry has a line for each site.
            let parts: Vec<&str> = line.splitn(4, ':').collect();
            let [file, line, _, message] = parts[..] else {
                continue;
            };
            let file = file.rsplit('/').next().unwrap_or(file);
            record.push_str(&format!("{file}:{line}:{message}\n"));
        }
    }
    if std::env::var_os("HEAPWRIGHT_BLESS").is_some() {
        std::fs::write(corpus().join("go.txt"), &record).expect("the record is written");
    }
    let body = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(body(&text("go.txt")), body(&record));
}
