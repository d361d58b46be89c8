//! Stacks beside Go's: a push and a pop, growth, deep recursion, idle fibers; and how long a fiber
//! on a deep stack is held while cycles scan it.
//!
//! `cargo bench -p peers --bench stack`, with the word `frames` or `steps` for a part. Rounds
//! alternate between ours and Go's; a row shows the medians, and the median of the rounds' ratios.
//! Without a `go` its columns are left out. The deep frames are of 144 bytes; ours write all of
//! theirs, Go's what the function touches.

use peers::cost::cost;
use peers::random::Random;
use peers::report::{self, median};
use runtime::stack::{EntryPoint, Fibers, FrameKind, Frames, Stack, StackOptions, Stacks};
use runtime::{Gc, Heap, Trace};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::hint::black_box;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;
type Figures = HashMap<String, f64>;

const ROUNDS: usize = 7;
const CALLS: usize = 20_000_000;
/// Frames of the deep recursion: 144 MB of them are 1,000,000.
const DEPTHS: [usize; 2] = [10_000, 400_000];
/// Bytes of the stack whose fiber's steps are timed, and cycles meanwhile.
const DEEP_BYTES: usize = 64 << 20;
const CYCLES: usize = 50;
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

/// The figures that a run of Go's program prints.
fn go(program: &Path, arguments: &[String]) -> Result<Figures, Failure> {
    let output = Command::new(program).args(arguments).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the rival failed: {said}").into());
    }
    let text = String::from_utf8(output.stdout)?;
    let figure = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(figure).collect())
}

/// One row: what, its unit, and how it follows from a round's figures.
type Row = (&'static str, fn(&Figures) -> f64);

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
            let figure = median(figures).filter(|figure| !figure.is_nan());
            figure.map_or("–".to_owned(), |figure| format!("{figure:.2}"))
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

/// How long this thread has been kept waiting for a processor, in nanoseconds.
struct Delay(Option<File>);

impl Delay {
    fn of_this_thread() -> Self {
        Self(File::open("/proc/thread-self/schedstat").ok())
    }

    fn now(&mut self) -> u64 {
        let mut text = String::new();
        let read = self.0.as_mut().and_then(|file| {
            file.seek(SeekFrom::Start(0)).ok()?;
            file.read_to_string(&mut text).ok()
        });
        let delay = read.and_then(|_| text.split_whitespace().nth(1)?.parse().ok());
        delay.unwrap_or(0)
    }
}

fn hold<'gc>(frames: &mut Frames<'_, 'gc>, number: Gc<'gc, u64>) {
    let held = Held {
        number,
        more: [0; 2],
    };
    assert!(frames.push(&HELD, held, 0, ()).is_ok());
}

/// A step: a checkpoint, and a turn that pops some frames and pushes as many.
fn step(fibers: &mut Fibers<'_>, stack: &mut Stack, frames: usize) {
    fibers.checkpoint();
    fibers.turn(stack, |_, stack| {
        let mut number = None;
        for _ in 0..frames {
            let held = stack.pop(&HELD);
            assert_eq!((*held.number, held.more), (7, [0; 2]));
            number = Some(held.number);
        }
        for number in number.into_iter().cycle().take(frames) {
            hold(stack, number);
        }
    });
}

/// How long the steps of a fiber on a deep stack take while cycles follow each other, in
/// microseconds: the median, one in a thousand, the longest; the longest in which the system's
/// scheduler did not keep the thread waiting; and the cycles.
fn held(frames_bytes: usize) -> Result<Figures, Failure> {
    let heap = Heap::builder().gc_off().build()?;
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stack(&stacks);
    let (mut mutator, stop) = (heap.mutator(), AtomicBool::new(false));
    let mut times: Vec<u64> = Vec::new();
    let mut held_longest = 10_000;
    mutator.fibers(|fibers| {
        fibers.turn(&mut stack, |cx, frames| {
            let number = cx.alloc(7);
            while frames.used_bytes() < frames_bytes {
                hold(frames, number);
            }
        });
    });
    let cycles = std::thread::scope(|scope| {
        let cycles = scope.spawn(|| {
            let cycles = (0..CYCLES).take_while(|_| heap.collect().is_ok()).count();
            stop.store(true, Relaxed);
            cycles
        });
        let (mut random, mut delay) = (Random::new(7), Delay::of_this_thread());
        mutator.fibers(|fibers| {
            let mut waited = delay.now();
            while !stop.load(Relaxed) {
                let frames = random.below(300);
                let begun = Instant::now();
                step(fibers, &mut stack, frames);
                let took = begun.elapsed().as_nanos() as u64;
                times.push(took);
                if took > 10_000 {
                    // A step that another thread's time slice is part of says nothing of the heap.
                    let before = std::mem::replace(&mut waited, delay.now());
                    if waited - before < 1000 {
                        held_longest = held_longest.max(took);
                    }
                }
            }
        });
        cycles.join()
    });
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    let figures = [
        ("median", at(0.5)),
        ("thousandth", at(0.999)),
        ("longest", at(1.0)),
        ("held", held_longest as f64 / 1000.0),
        ("cycles", cycles.unwrap_or(0) as f64),
    ];
    Ok(figures.map(|(name, value)| (name.to_owned(), value)).into())
}

/// A kind of push and pop; in Go all are calls.
fn call(figures: &Figures, name: &str) -> f64 {
    figures
        .get(name)
        .map_or(figures["push_pop"], |figure| *figure)
}

/// Rounds that alternate between ours and Go's, and their table.
fn rounds(
    rows: &[Row],
    rounds: usize,
    program: Option<&Path>,
    arguments: &[String],
    ours: impl Fn() -> Result<Figures, Failure>,
) -> Result<String, Failure> {
    let mut all = Vec::new();
    for _ in 0..rounds {
        let go = program.map(|program| go(program, arguments));
        all.push((ours()?, go.transpose()?));
    }
    Ok(table(rows, &all))
}

fn main() -> Result<(), Failure> {
    let program = peers::go::build("stack")?;
    let program = program.as_deref();
    let rows: [Row; 7] = [
        ("push and pop, ns", |f| f["push_pop"]),
        ("the same of five words, ns", |f| call(f, "push_pop_five")),
        ("a scope in a scope, ns", |f| call(f, "scopes")),
        ("deep once, ns a frame", |f| f["once"]),
        ("deep again, ns a frame", |f| f["again"]),
        ("growth, ns a byte", |f| (f["once"] - f["again"]) / 144.0),
        ("an idle fiber, bytes", |f| f["idle"]),
    ];
    let mut all = String::new();
    let mut tell = |what: String| {
        println!("{what}");
        all.push_str(&what);
    };
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wants = |part: &str| {
        let mut named = words.iter().filter(|word| *word != "--bench").peekable();
        named.peek().is_none() || named.any(|word| word == part)
    };
    for depth in DEPTHS.into_iter().filter(|_| wants("frames")) {
        let arguments = [
            format!("-depth={depth}"),
            format!("-calls={CALLS}"),
            format!("-fibers={FIBERS}"),
        ];
        let table = rounds(&rows, ROUNDS, program, &arguments, || ours(depth))?;
        tell(format!("{depth} frames of 144 bytes\n\n{table}\n"));
    }
    if wants("steps") {
        let rows: [Row; 5] = [
            ("a step, median, µs", |f| f["median"]),
            ("one in a thousand, µs", |f| f["thousandth"]),
            ("the longest, µs", |f| f["longest"]),
            ("the longest that kept its processor, µs", |f| {
                f.get("held").copied().unwrap_or(f64::NAN)
            }),
            ("cycles meanwhile", |f| f["cycles"]),
        ];
        let arguments = [format!("-deep={DEEP_BYTES}"), format!("-cycles={CYCLES}")];
        let table = rounds(&rows, ROUNDS, program, &arguments, || held(DEEP_BYTES))?;
        let mib = DEEP_BYTES >> 20;
        tell(format!(
            "steps on a stack of {mib} MiB beside cycles\n\n{table}"
        ));
    }
    report::finish_table("stack", &all)?;
    Ok(())
}
