//! Stacks beside Go's: a push and a pop, growth, deep recursion, idle fibers; and how long a fiber
//! on a deep stack is held while cycles scan it.
//!
//! `cargo bench -p peers --bench stack`. Rounds alternate between ours and Go's; a row shows the
//! medians, and the median of the rounds' ratios. Without a `go` its columns are left out. Both
//! use frames of 144 bytes; ours write all of theirs, Go's what the function touches.

use peers::cost::cost;
use peers::report::{self, median};
use runtime::stack::{EntryPoint, FrameKind, Frames, Stack, StackOptions, Stacks};
use runtime::{Gc, Heap, Trace};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;
type Figures = HashMap<String, f64>;

const ROUNDS: usize = 7;
const CALLS: usize = 20_000_000;
/// Frames of the deep recursion: 144 MB of them are 1,000,000.
const DEPTHS: [usize; 2] = [10_000, 400_000];
const FIBERS: usize = 100_000;

/// 16 bytes of header, 8 of head, 15 slots: 144 bytes.
static FRAME: FrameKind<u64, u64> = FrameKind::new("frame");
static WORD: FrameKind<u64> = FrameKind::new("word");
static LEAF: FrameKind<[u64; 5]> = FrameKind::new("leaf");
static HELD: FrameKind<Held<'static>> = FrameKind::new("held");

#[derive(Trace)]
struct Held<'gc> {
    number: Gc<'gc, u64>,
    more: [u64; 2],
}

fn stack(stacks: &Stacks) -> Stack {
    // An entry point that has learned nothing.
    stacks
        .stack(&EntryPoint::new("bench"))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn stacks() -> Result<Stacks, Failure> {
    Ok(Stacks::new(StackOptions::default())?)
}

/// Processor time of `act`, in nanoseconds a piece.
fn each_ns(pieces: usize, act: impl FnOnce() -> u64) -> f64 {
    let (result, cost) = cost(act);
    black_box(result);
    cost.each(pieces).cpu
}

/// A frame of one word, and one of five as Go's leaf has.
#[inline(never)]
fn push_pop(frames: &mut Frames<'_, '_>) -> u64 {
    let mut sum = 0;
    for call in 0..CALLS as u64 {
        assert!(frames.push(&WORD, black_box(call), 0, ()).is_ok());
        sum += frames.pop(&WORD);
    }
    sum
}

#[inline(never)]
fn push_pop_five(frames: &mut Frames<'_, '_>) -> u64 {
    let mut sum = 0;
    for call in 0..CALLS as u64 {
        assert!(frames.push(&LEAF, [black_box(call); 5], 0, ()).is_ok());
        sum += frames.pop(&LEAF)[1];
    }
    sum
}

/// Four scopes in each other, each with a value that is read at the end.
#[inline(never)]
fn nested(frames: &mut Frames<'_, '_>) -> u64 {
    let mut sum = 0;
    for call in 0..(CALLS / 4) as u64 {
        let first = frames.with(&WORD, black_box(call), |frames, first| {
            let second = frames.with(&WORD, call, |frames, second| {
                let third = frames.with(&WORD, call, |frames, third| {
                    let fourth = frames.with(&WORD, call, |frames, word| *frames.value(&word));
                    fourth.unwrap_or(0) + frames.value(&third)
                });
                third.unwrap_or(0) + frames.value(&second)
            });
            second.unwrap_or(0) + frames.value(&first)
        });
        sum += first.unwrap_or(0);
    }
    sum
}

#[inline(never)]
fn down(frames: &mut Frames<'_, '_>, depth: usize) {
    for number in 0..depth as u64 {
        let pushed = frames.push(&FRAME, black_box(number), 15, number);
        assert!(pushed.is_ok());
    }
}

#[inline(never)]
fn up(frames: &mut Frames<'_, '_>, depth: usize) -> u64 {
    (0..depth).map(|_| frames.pop(&FRAME)).sum()
}

/// Down and up again, twice, on a stack that has begun small: nanoseconds a frame.
fn deep(depth: usize) -> Result<[f64; 2], Failure> {
    let stacks = stacks()?;
    let mut stack = stack(&stacks);
    Ok(stack.run(|frames| {
        [(); 2].map(|()| {
            each_ns(depth, || {
                down(frames, depth);
                up(frames, depth)
            })
        })
    }))
}

/// What of this process is resident.
fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4096.0
}

/// Bytes a fiber that has one frame and waits.
fn idle() -> Result<f64, Failure> {
    let stacks = stacks()?;
    let entry = EntryPoint::new("idle");
    let mut fibers = Vec::with_capacity(FIBERS);
    let before = resident_bytes();
    for _ in 0..FIBERS {
        let mut stack = stacks.stack(&entry)?;
        stack.run(|frames| down(frames, 1));
        fibers.push(stack);
    }
    Ok((resident_bytes() - before) / FIBERS as f64)
}

/// Our figures of one round.
fn ours(depth: usize) -> Result<Figures, Failure> {
    let stacks = stacks()?;
    let mut stack = stack(&stacks);
    let push_pop = each_ns(CALLS, || stack.run(push_pop));
    let push_pop_five = each_ns(CALLS, || stack.run(push_pop_five));
    let scopes = each_ns(CALLS, || stack.run(nested));
    let [once, again] = deep(depth)?;
    let idle = idle()?;
    let figures = [
        ("push_pop", push_pop),
        ("push_pop_five", push_pop_five),
        ("scopes", scopes),
        ("once", once),
        ("again", again),
        ("idle", idle),
    ];
    Ok(figures.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Go's figures of one round.
fn go(program: &PathBuf, depth: usize) -> Result<Figures, Failure> {
    let output = Command::new(program)
        .arg(format!("-depth={depth}"))
        .arg(format!("-calls={CALLS}"))
        .arg(format!("-fibers={FIBERS}"))
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "the rival failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    let text = String::from_utf8(output.stdout)?;
    let figure = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(figure).collect())
}

/// One row: what, its unit, and how it follows from a round's figures.
type Row = (String, fn(&Figures) -> f64);

fn table(rows: &[Row], rounds: &[(Figures, Option<Figures>)]) -> String {
    let mut table =
        "| what | ours | least to largest | Go's | ours / Go's |\n|---|--:|--:|--:|--:|\n"
            .to_owned();
    for (what, figure) in rows {
        let ours: Vec<f64> = rounds.iter().map(|(ours, _)| figure(ours)).collect();
        let least = ours.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = ours.iter().copied().fold(0.0, f64::max);
        let both = rounds.iter().filter_map(|(ours, go)| {
            let go = figure(go.as_ref()?);
            Some((go, figure(ours) / go))
        });
        let (go, ratio) = both.unzip();
        let cell = |figures: Vec<f64>| {
            median(figures).map_or("–".to_owned(), |figure| format!("{figure:.2}"))
        };
        let (ours, go, ratio) = (cell(ours), cell(go), cell(ratio));
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {what} | {ours} | {least:.2} to {largest:.2} | {go} | {ratio} |"
        );
    }
    table
}

/// How long the steps of a fiber on a deep stack take while cycles follow each other: each is a
/// checkpoint, a turn and a pop. In microseconds: the median, one in ten thousand, the longest.
fn held(frames_bytes: usize) -> Result<[f64; 3], Failure> {
    let heap = Heap::builder().gc_off().build()?;
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stack(&stacks);
    let (mut mutator, stop) = (heap.mutator(), AtomicBool::new(false));
    let mut times: Vec<u64> = Vec::new();
    std::thread::scope(|scope| {
        mutator.fibers(|fibers| {
            fibers.turn(&mut stack, |cx, frames| {
                let number = cx.alloc(7);
                while frames.used_bytes() < frames_bytes {
                    let held = Held {
                        number,
                        more: [0; 2],
                    };
                    let pushed = frames.push(&HELD, held, 0, ());
                    assert!(pushed.is_ok());
                }
            });
        });
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                if heap.collect().is_err() {
                    return;
                }
            }
        });
        mutator.fibers(|fibers| {
            while stack.depth() > 1000 {
                let begun = Instant::now();
                fibers.checkpoint();
                fibers.turn(&mut stack, |_, frames| {
                    let held = frames.pop(&HELD);
                    assert_eq!((*held.number, held.more), (7, [0; 2]));
                });
                times.push(begun.elapsed().as_nanos() as u64);
            }
        });
        stop.store(true, Relaxed);
    });
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    Ok([at(0.5), at(0.9999), at(1.0)])
}

fn main() -> Result<(), Failure> {
    let program = peers::go::build("stack")?;
    let rows: [Row; 7] = [
        ("push and pop, ns".to_owned(), |f| f["push_pop"]),
        (
            "the same of five words, ns".to_owned(),
            |f| f["push_pop_five"],
        ),
        ("a scope in a scope, ns".to_owned(), |f| f["scopes"]),
        ("deep once, ns a frame".to_owned(), |f| f["once"]),
        ("deep again, ns a frame".to_owned(), |f| f["again"]),
        ("growth, ns a byte".to_owned(), |f| {
            (f["once"] - f["again"]) / 144.0
        }),
        ("an idle fiber, bytes".to_owned(), |f| f["idle"]),
    ];
    let mut all = String::new();
    for depth in DEPTHS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let go = program.as_ref().map(|program| go(program, depth));
            rounds.push((ours(depth)?, go.transpose()?));
        }
        let table = table(&rows, &rounds);
        println!("{depth} frames of 144 bytes\n\n{table}");
        let _ = writeln!(all, "{depth} frames of 144 bytes\n\n{table}");
    }
    let mut rounds = Vec::new();
    for _ in 0..5 {
        rounds.push(held(64 << 20)?);
    }
    for (at, what) in ["median", "one in 10,000", "longest"].iter().enumerate() {
        let figure = median(rounds.iter().map(|round| round[at]).collect()).unwrap_or(0.0);
        let line = format!("a step on a stack of 64 MiB beside cycles, {what}: {figure:.2} µs");
        let _ = writeln!(all, "{line}");
        println!("{line}");
    }
    report::finish_table("stack", &all)?;
    Ok(())
}
