//! The machine: fibers on stacks, which take turns of so many instructions, with a checkpoint
//! between two turns.

use crate::analysis::Placement;
use crate::code::{Func, Function, Op, Reg};
use anyhow::{Context as _, Result, bail};
use runtime::stack::{
    EntryPoint, Fibers, FrameAt, FrameKind, Frames, Stack, StackError, StackOptions, Stacks,
};
use runtime::{Cx, Gc, Heap, Locked, Root, Trace};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Instructions in a turn.
const TURN: usize = 2_000;
/// Fields that an object may have.
const FIELDS: usize = 4;
/// Values that a channel holds.
const CHANNEL: usize = 16;
/// Channels of a program.
const CHANNELS: u32 = 2;

/// What a register or a field holds.
#[derive(Clone, Copy, Trace)]
enum Value<'gc> {
    Int(i64),
    Heap(Gc<'gc, Object<'gc>>),
    /// An object in the frame of a call of this function, from this slot on.
    Frame(FrameAt, Func, u32),
}

/// An object on the heap.
#[derive(Trace)]
struct Object<'gc> {
    fields: Locked<[Value<'gc>; FIELDS]>,
}

#[derive(Trace)]
struct Channel<'gc> {
    queue: Locked<VecDeque<Value<'gc>>>,
}

/// What a call goes back to.
#[derive(Clone, Copy, Trace)]
struct Call {
    function: Func,
    next: usize,
    result: Reg,
}

type Kind = FrameKind<Call, Value<'static>>;

/// A function as the machine runs it.
struct Loaded<'p> {
    function: &'p Function,
    kind: &'static Kind,
    /// Registers, and behind them room for each site's object.
    slots: usize,
    /// Where that is.
    sites: Vec<u32>,
}

struct Fiber {
    stack: Stack,
    /// It has not begun, and is to begin with this.
    argument: Option<i64>,
    function: Func,
    next: usize,
}

/// How a turn ended.
enum Outcome {
    /// There is more to do, now or when another fiber has run.
    Yield,
    Done,
    Overflow(StackError),
}

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) output: Vec<String>,
    pub(crate) heap_objects: u64,
    pub(crate) frame_objects: u64,
    pub(crate) cycles: u64,
    pub(crate) took: Duration,
}

struct Machine<'p> {
    functions: Vec<Loaded<'p>>,
    placement: &'p Placement,
    channels: Vec<Root<Channel<'static>>>,
    spawned: Vec<(Func, i64)>,
    run: Run,
}

/// Runs a program, which begins at its first function.
pub(crate) fn run(
    functions: &[Function],
    placement: &Placement,
    limit_bytes: usize,
) -> Result<Run> {
    let heap = Heap::new()?;
    let options = StackOptions {
        limit_bytes,
        ..StackOptions::default()
    };
    let stacks = Stacks::of(&heap, options);
    let entries: Vec<EntryPoint> = functions
        .iter()
        .map(|function| EntryPoint::new(function.name))
        .collect();
    let mut mutator = heap.mutator();
    let channels = (0..CHANNELS).map(|_| {
        mutator.enter(|cx| {
            cx.root(cx.alloc(Channel {
                queue: Locked::default(),
            }))
        })
    });
    let mut machine = Machine {
        channels: channels.collect(),
        functions: functions.iter().map(load).collect(),
        placement,
        spawned: vec![(0, 0)],
        run: Run::default(),
    };
    let begun = Instant::now();
    mutator.fibers(|fibers| -> Result<()> {
        let mut ready = VecDeque::new();
        let mut idle = 0;
        loop {
            for (function, argument) in machine.spawned.drain(..) {
                ready.push_back(Fiber {
                    stack: stacks.stack(&entries[function as usize])?,
                    argument: Some(argument),
                    function,
                    next: 0,
                });
            }
            let Some(mut fiber) = ready.pop_front() else {
                return Ok(());
            };
            let before = fiber.next;
            match machine.turn(fibers, &mut fiber)? {
                Outcome::Yield => {
                    idle = if fiber.next == before { idle + 1 } else { 0 };
                    ready.push_back(fiber);
                }
                Outcome::Done => idle = 0,
                Outcome::Overflow(cause) => machine.run.output.push(cause.to_string()),
            }
            if idle > 10_000 {
                bail!("every fiber waits for another");
            }
            fibers.checkpoint();
        }
    })?;
    machine.run.took = begun.elapsed();
    machine.run.cycles = heap.stats().cycles;
    Ok(machine.run)
}

fn load(function: &Function) -> Loaded<'_> {
    let mut slots = function.registers;
    let mut sites = Vec::new();
    for fields in &function.sites {
        sites.push(slots);
        slots += fields;
    }
    Loaded {
        function,
        kind: Kind::leak(function.name),
        slots: slots as usize,
        sites,
    }
}

impl Machine<'_> {
    fn turn(&mut self, fibers: &mut Fibers<'_>, fiber: &mut Fiber) -> Result<Outcome> {
        let Fiber {
            stack,
            argument,
            function,
            next,
        } = fiber;
        fibers.turn(stack, |cx, frames| {
            if let Some(argument) = argument.take() {
                let caller = Call {
                    function: 0,
                    next: 0,
                    result: 0,
                };
                let pushed = self.push(frames, *function, caller, &[Value::Int(argument)]);
                if let Err(cause) = pushed {
                    return Ok(Outcome::Overflow(cause));
                }
            }
            let mut step = Step {
                machine: self,
                cx,
                frames,
                function: *function,
                next: *next,
            };
            let outcome = step.run();
            (*function, *next) = (step.function, step.next);
            outcome
        })
    }

    /// Begins a call; only as many arguments as the function has registers for are passed.
    fn push<'gc>(
        &self,
        frames: &mut Frames<'_, 'gc>,
        function: Func,
        caller: Call,
        arguments: &[Value<'gc>],
    ) -> Result<(), StackError> {
        let callee = &self.functions[function as usize];
        frames
            .push(callee.kind, caller, callee.slots, Value::Int(0))
            .map_err(|refused| refused.cause)?;
        let (_, slots) = frames.top_mut(callee.kind);
        let inputs = (callee.function.parameters + callee.function.captures) as usize;
        let passed = arguments.len().min(inputs);
        slots[..passed].copy_from_slice(&arguments[..passed]);
        Ok(())
    }
}

/// A fiber in the middle of a turn.
struct Step<'s, 'p, 'f, 'gc> {
    machine: &'s mut Machine<'p>,
    cx: &'s Cx<'gc>,
    frames: &'s mut Frames<'f, 'gc>,
    function: Func,
    next: usize,
}

impl<'gc> Step<'_, '_, '_, 'gc> {
    fn kind(&self) -> &'static Kind {
        self.machine.functions[self.function as usize].kind
    }

    fn get(&self, reg: Reg) -> Value<'gc> {
        self.frames.top(self.kind()).1[reg as usize]
    }

    fn int(&self, reg: Reg) -> Result<i64> {
        match self.get(reg) {
            Value::Int(int) => Ok(int),
            _ => bail!("register {reg} holds no number"),
        }
    }

    fn set(&mut self, reg: Reg, value: Value<'gc>) {
        let kind = self.kind();
        self.frames.top_mut(kind).1[reg as usize] = value;
    }

    fn run(&mut self) -> Result<Outcome> {
        for _ in 0..TURN {
            let code = self.machine.functions[self.function as usize].function;
            let op = code
                .code
                .get(self.next)
                .context("a function does not return")?;
            self.next += 1;
            match op {
                Op::Call(to, function, arguments) => {
                    let arguments: Vec<_> = arguments.iter().map(|reg| self.get(*reg)).collect();
                    if let Some(overflow) = self.call(*to, *function, &arguments) {
                        return Ok(overflow);
                    }
                }
                Op::CallClosure(to, closure, arguments) => {
                    let closure = self.get(*closure);
                    let Value::Int(function) = self.load(closure, 0)? else {
                        bail!("no closure is called");
                    };
                    let function = function as Func;
                    let callee = self.machine.functions[function as usize].function;
                    let mut values: Vec<_> = arguments.iter().map(|reg| self.get(*reg)).collect();
                    for capture in 0..callee.captures {
                        values.push(self.load(closure, capture + 1)?);
                    }
                    if let Some(overflow) = self.call(*to, function, &values) {
                        return Ok(overflow);
                    }
                }
                Op::Return(from) => {
                    let value = self.get(*from);
                    let caller = self.frames.pop(self.kind());
                    if self.frames.depth() == 0 {
                        return Ok(Outcome::Done);
                    }
                    (self.function, self.next) = (caller.function, caller.next);
                    self.set(caller.result, value);
                }
                Op::Send(channel, from) => {
                    if !self.send(*channel, *from)? {
                        self.next -= 1;
                        return Ok(Outcome::Yield);
                    }
                }
                Op::Receive(to, channel) => {
                    let channel = self.machine.channels[*channel as usize].get(self.cx);
                    let Some(value) = channel.queue.lock(self.cx).pop_front() else {
                        self.next -= 1;
                        return Ok(Outcome::Yield);
                    };
                    self.set(*to, value);
                }
                other => self.simple(other)?,
            }
        }
        Ok(Outcome::Yield)
    }

    fn call(&mut self, to: Reg, function: Func, arguments: &[Value<'gc>]) -> Option<Outcome> {
        let caller = Call {
            function: self.function,
            next: self.next,
            result: to,
        };
        let pushed = self.machine.push(self.frames, function, caller, arguments);
        if let Err(cause) = pushed {
            return Some(Outcome::Overflow(cause));
        }
        (self.function, self.next) = (function, 0);
        None
    }

    fn simple(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Int(to, int) => self.set(*to, Value::Int(*int)),
            Op::Move(to, from) => self.set(*to, self.get(*from)),
            Op::Add(to, a, b) => {
                self.set(*to, Value::Int(self.int(*a)?.wrapping_add(self.int(*b)?)))
            }
            Op::Sub(to, a, b) => {
                self.set(*to, Value::Int(self.int(*a)?.wrapping_sub(self.int(*b)?)))
            }
            Op::Less(to, a, b) => {
                self.set(*to, Value::Int(i64::from(self.int(*a)? < self.int(*b)?)));
            }
            Op::New(to, fields, site) => {
                let object = self.object(*site, *fields)?;
                self.set(*to, object);
            }
            Op::Close(to, function, captures, site) => {
                let object = self.object(*site, captures.len() as u32 + 1)?;
                self.store(object, 0, Value::Int(i64::from(*function)))?;
                for (field, capture) in (1..).zip(captures) {
                    self.store(object, field, self.get(*capture))?;
                }
                self.set(*to, object);
            }
            Op::Load(to, object, field) => {
                let value = self.load(self.get(*object), *field)?;
                self.set(*to, value);
            }
            Op::Store(object, field, from) => {
                self.store(self.get(*object), *field, self.get(*from))?;
            }
            Op::While(condition, end) | Op::Unless(condition, end)
                if self.int(*condition)? == 0 =>
            {
                self.next = *end;
            }
            Op::EndLoop(begin) => self.next = *begin,
            Op::Spawn(function, argument) => {
                let argument = self.int(*argument)?;
                self.machine.spawned.push((*function, argument));
            }
            Op::Print(what, value) => {
                let line = format!("{what} {}", self.int(*value)?);
                self.machine.run.output.push(line);
            }
            _ => {}
        }
        Ok(())
    }

    /// A new object, where the site's objects go.
    fn object(&mut self, site: usize, fields: u32) -> Result<Value<'gc>> {
        if self.machine.placement[self.function as usize][site] {
            let at = self.frames.here().context("no frame")?;
            let slot = self.machine.functions[self.function as usize].sites[site];
            self.machine.run.frame_objects += 1;
            return Ok(Value::Frame(at, self.function, slot));
        }
        if fields as usize > FIELDS {
            bail!("an object has {fields} fields, {FIELDS} at most");
        }
        self.machine.run.heap_objects += 1;
        let object = self.cx.try_alloc(Object {
            fields: Locked::new([Value::Int(0); FIELDS]),
        });
        Ok(Value::Heap(object.map_err(|full| full.cause)?))
    }

    fn load(&self, object: Value<'gc>, field: u32) -> Result<Value<'gc>> {
        match object {
            Value::Heap(object) => Ok(object.fields.lock(self.cx)[field as usize]),
            Value::Frame(at, function, slot) => {
                let kind = self.machine.functions[function as usize].kind;
                Ok(self.frames.get(kind, at, (slot + field) as usize))
            }
            Value::Int(_) => bail!("a number has no fields"),
        }
    }

    fn store(&mut self, object: Value<'gc>, field: u32, value: Value<'gc>) -> Result<()> {
        match (object, value) {
            (Value::Heap(_), Value::Frame(..)) => {
                bail!("unsound: a frame's object is stored on the heap");
            }
            (Value::Heap(object), value) => object.fields.lock(self.cx)[field as usize] = value,
            (Value::Frame(at, function, slot), value) => {
                let kind = self.machine.functions[function as usize].kind;
                self.frames.set(kind, at, (slot + field) as usize, value);
            }
            (Value::Int(_), _) => bail!("a number has no fields"),
        }
        Ok(())
    }

    fn send(&mut self, channel: u32, from: Reg) -> Result<bool> {
        let value = self.get(from);
        if let Value::Frame(..) = value {
            bail!("unsound: a frame's object is sent to another fiber");
        }
        let channel = self.machine.channels[channel as usize].get(self.cx);
        let mut queue = channel.queue.lock(self.cx);
        if queue.len() == CHANNEL {
            return Ok(false);
        }
        queue.push_back(value);
        Ok(true)
    }
}
