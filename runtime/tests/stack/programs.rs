//! Programs by chance: what they do to stacks and the heap is done to a twin in plain Rust as well,
//! and compared. Frames are poisoned when they are popped and objects when they are swept, and at
//! every call there is a collection, or one that goes on all the time.

use runtime::stack::{EntryPoint, FrameAt, FrameKind, Frames, Stack, StackOptions, Stacks};
use runtime::{Builder, Collector, Cx, Debug, Gc, GcCell, Mutator, OnTheFly, Runtime};
use runtime::{StopTheWorld, Trace};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

static CALL: FrameKind<Call<'static>, Value<'static>> = FrameKind::new("call");

#[derive(Trace)]
struct Call<'gc> {
    number: u64,
    this: Option<Gc<'gc, Thing<'gc>>>,
}

#[derive(Clone, Copy, Trace)]
enum Value<'gc> {
    Nothing,
    Number(u64),
    Thing(Gc<'gc, Thing<'gc>>),
}

#[derive(Trace)]
struct Thing<'gc> {
    id: u64,
    check: u64,
    next: GcCell<'gc, Thing<'gc>>,
}

/// What a slot should hold: a thing by its id.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Twin {
    Nothing,
    Number(u64),
    Thing(u64),
}

struct TwinFrame {
    at: FrameAt,
    number: u64,
    this: Option<u64>,
    slots: Vec<Twin>,
}

/// A program: its random choices, its stack's twin and its heap's.
struct Program {
    random: fastrand::Rng,
    frames: Vec<TwinFrame>,
    /// The thing that a thing's `next` is, by id.
    next: Vec<Option<u64>>,
    reads: u64,
}

type Shown<'gc> = (Gc<'gc, Thing<'gc>>, u64);

impl Program {
    fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            frames: Vec::new(),
            next: Vec::new(),
            reads: 0,
        }
    }

    fn make<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>) -> Shown<'gc> {
        let id = self.next.len() as u64;
        self.next.push(None);
        let thing = Thing {
            id,
            check: !id,
            next: GcCell::empty(),
        };
        (cx.alloc(thing), id)
    }

    /// A thing is what its twin says, and so are some that it leads to.
    fn check<'gc>(&mut self, thing: Gc<'gc, Thing<'gc>>, id: u64) {
        let (mut thing, mut id) = (thing, id);
        for _ in 0..4 {
            assert!(
                thing.id == id && thing.check == !id,
                "dead memory: {id} is {}",
                thing.id
            );
            self.reads += 1;
            match (thing.next.get(), self.next[id as usize]) {
                (None, None) => return,
                (Some(next), Some(next_id)) => (thing, id) = (next, next_id),
                (found, wanted) => panic!("{:?} is not {wanted:?}", found.map(|found| found.id)),
            }
        }
    }

    fn read<'gc>(&mut self, frames: &Frames<'_, 'gc>, frame: usize, slot: usize) -> Value<'gc> {
        let value = frames.get(&CALL, self.frames[frame].at, slot);
        match (value, self.frames[frame].slots[slot]) {
            (Value::Nothing, Twin::Nothing) => {}
            (Value::Number(number), Twin::Number(twin)) => assert_eq!(number, twin),
            (Value::Thing(thing), Twin::Thing(id)) => self.check(thing, id),
            (_, twin) => panic!("a slot is not {twin:?}"),
        }
        value
    }

    /// A slot anywhere, more often near the top.
    fn slot(&mut self) -> Option<(usize, usize)> {
        let depth = self.frames.len();
        let near = depth.saturating_sub(4);
        let from = if self.random.u8(..4) == 0 { 0 } else { near };
        let frame = from + self.random.usize(..(depth - from).max(1));
        let slots = self.frames.get(frame)?.slots.len();
        (slots > 0).then(|| (frame, self.random.usize(..slots)))
    }

    fn push<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>, frames: &mut Frames<'_, 'gc>) {
        let this = self.random.bool().then(|| self.make(cx));
        let number = self.random.u64(..);
        let slots = self.random.usize(..6);
        let head = Call {
            number,
            this: this.map(|this| this.0),
        };
        let at = frames.push(&CALL, head, slots, Value::Nothing).unwrap();
        self.frames.push(TwinFrame {
            at,
            number,
            this: this.map(|this| this.1),
            slots: vec![Twin::Nothing; slots],
        });
    }

    fn pop(&mut self, frames: &mut Frames<'_, '_>) {
        let Some(last) = self.frames.len().checked_sub(1) else {
            return assert!(!frames.discard());
        };
        for slot in 0..self.frames[last].slots.len() {
            self.read(frames, last, slot);
        }
        let head = frames.pop(&CALL);
        let twin = self.frames.remove(last);
        assert_eq!(
            (head.number, head.this.is_some()),
            (twin.number, twin.this.is_some())
        );
        if let (Some(this), Some(id)) = (head.this, twin.this) {
            self.check(this, id);
        }
    }

    fn write<'gc>(&mut self, frames: &mut Frames<'_, 'gc>, to: (usize, usize), value: Value<'gc>) {
        let twin = match value {
            Value::Nothing => Twin::Nothing,
            Value::Number(number) => Twin::Number(number),
            Value::Thing(thing) => Twin::Thing(thing.id),
        };
        self.frames[to.0].slots[to.1] = twin;
        if to.0 + 1 == self.frames.len() && self.random.bool() {
            frames.top_mut(&CALL).1[to.1] = value;
        } else {
            frames.set(&CALL, self.frames[to.0].at, to.1, value);
        }
    }

    /// Some steps between two calls.
    fn steps<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>, frames: &mut Frames<'_, 'gc>) {
        for _ in 0..self.random.usize(1..5) {
            let (Some(from), Some(to)) = (self.slot(), self.slot()) else {
                continue;
            };
            let value = self.read(frames, from.0, from.1);
            match self.random.u8(..8) {
                0 | 1 => {
                    let (thing, _) = self.make(cx);
                    self.write(frames, to, Value::Thing(thing));
                }
                2 => self.write(frames, to, Value::Number(from.0 as u64)),
                3 => self.write(frames, to, Value::Nothing),
                4 => self.write(frames, to, value),
                5 => {
                    if let (Value::Thing(thing), Value::Thing(other)) =
                        (value, self.read(frames, to.0, to.1))
                    {
                        thing.next.set(cx, Some(other));
                        self.next[thing.id as usize] = Some(other.id);
                    }
                }
                6 => {
                    // Takes out of the heap what may be known to nobody else then.
                    if let Value::Thing(thing) = value
                        && let Some(next) = thing.next.get()
                    {
                        self.write(frames, to, Value::Thing(next));
                        thing.next.set(cx, None);
                        self.next[thing.id as usize] = None;
                    }
                }
                _ => {
                    let (thing, id) = self.make(cx);
                    if let Value::Thing(other) = value {
                        thing.next.set(cx, Some(other));
                        self.next[id as usize] = Some(other.id);
                    }
                    self.write(frames, to, Value::Thing(thing));
                }
            }
        }
    }

    /// One call or return, and what comes before the next.
    fn call<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>, frames: &mut Frames<'_, 'gc>) {
        match self.random.u8(..16) {
            0..8 => self.push(cx, frames),
            8..14 => self.pop(frames),
            14 => (0..self.random.usize(..300)).for_each(|_| self.push(cx, frames)),
            _ => {
                let pops = self.random.usize(..300).min(self.frames.len());
                (0..pops).for_each(|_| self.pop(frames));
            }
        }
        self.steps(cx, frames);
    }
}

const ENTRY: &str = "program";

fn debug() -> Debug {
    Debug {
        poison: true,
        ..Debug::default()
    }
}

fn build<C: Collector>(builder: Builder<C>) -> Runtime<C> {
    builder.gc_off().debug(debug()).build().unwrap()
}

const POISONED: StackOptions = StackOptions {
    limit_bytes: 1 << 24,
    poison: true,
};

fn stack_of(stacks: &Stacks) -> Stack {
    stacks.stack(&EntryPoint::new(ENTRY)).unwrap()
}

/// A program with a cycle at each call, on the thread that calls.
fn collecting<C: Collector>(mutator: &mut Mutator<C>, stacks: &Stacks, seed: u64) -> u64 {
    let mut program = Program::new(seed);
    let mut stack = stack_of(stacks);
    for _ in 0..program.random.usize(2..12) {
        mutator.fibers(|fibers| {
            fibers.turn(&mut stack, |cx, frames| program.call(cx, frames));
        });
        mutator.collect().unwrap();
    }
    program.reads
}

/// A program with a checkpoint at each call, beside cycles that never end.
fn beside<C: Collector>(mutator: &mut Mutator<C>, stacks: &Stacks, seed: u64) -> u64 {
    let mut program = Program::new(seed);
    let mut stacks_of_program = [stack_of(stacks), stack_of(stacks)];
    mutator.fibers(|fibers| {
        for _ in 0..program.random.usize(2..40) {
            fibers.turn(&mut stacks_of_program[0], |cx, frames| {
                program.call(cx, frames);
            });
            fibers.checkpoint();
            if program.random.u8(..8) == 0 {
                // Another fiber's turn, which ends in the middle of a cycle or not.
                fibers.turn(&mut stacks_of_program[1], |cx, frames| {
                    let mut other = Program::new(seed);
                    (0..50).for_each(|_| other.push(cx, frames));
                    (0..50).for_each(|_| other.pop(frames));
                });
            }
        }
    });
    program.reads
}

/// Runs `programs` programs from `seed` on in each of three ways; how many reads they compared.
fn run(seed: u64, programs: u64) -> u64 {
    let mut reads = 0;
    let stopped = build(Runtime::<StopTheWorld>::builder());
    let (stacks, mut mutator) = (Stacks::of(&stopped, POISONED), stopped.mutator());
    for seed in seed..seed + programs {
        reads += replayable(seed, || collecting(&mut mutator, &stacks, seed));
    }
    let heap = build(Runtime::<OnTheFly>::builder());
    let (stacks, mut mutator) = (Stacks::of(&heap, POISONED), heap.mutator());
    for seed in seed..seed + programs / 4 {
        reads += replayable(seed, || collecting(&mut mutator, &stacks, seed));
    }
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Relaxed) {
                heap.collect().unwrap();
            }
        });
        for seed in seed..seed + programs {
            reads += replayable(seed, || beside(&mut mutator, &stacks, seed));
        }
        ended.store(true, Relaxed);
    });
    reads
}

/// Names the program whose run panics.
fn replayable<R>(seed: u64, run: impl FnOnce() -> R) -> R {
    struct Blame(u64);
    impl Drop for Blame {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("stack programs: FAILED seed={}", self.0);
            }
        }
    }
    let _blame = Blame(seed);
    run()
}

#[test]
fn programs_by_chance_lose_nothing() {
    let seed = std::env::var("HEAPWRIGHT_SEED").map_or(1, |seed| seed.parse().unwrap());
    let reads = run(seed, 1500);
    assert!(reads > 10_000, "{reads} reads compare too little");
}

/// As many programs as `HEAPWRIGHT_STACK_PROGRAMS` says: `cargo xtask stress --programs N`.
#[test]
#[ignore = "runs for as long as it is told to"]
fn many_programs() {
    let wanted = std::env::var("HEAPWRIGHT_STACK_PROGRAMS");
    let wanted: u64 = wanted.map_or(10_000, |wanted| wanted.parse().unwrap());
    let first = std::env::var("HEAPWRIGHT_SEED").map_or(1, |seed| seed.parse().unwrap());
    let begun = Instant::now();
    let (mut done, mut reads) = (0, 0);
    while done < wanted {
        eprintln!("stress: begin mode=stack seed={}", first + done);
        let programs = 4000.min(wanted - done).max(4);
        reads += run(first + done, programs);
        done += programs;
        let seconds = begun.elapsed().as_secs();
        eprintln!("stress: ok    mode=stack programs={done} reads={reads} seconds={seconds}");
    }
}
