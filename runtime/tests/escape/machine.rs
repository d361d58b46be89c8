//! A machine that runs programs and watches their frames: the oracle of the soundness test.
//!
//! Objects live where the analysis decided. When a round of a loop or a function ends, what lived
//! in its frame is dead, and the machine searches everything that is still to be seen (frames,
//! globals, pending calls, values on their way to a caller) for a pointer to the dead. It also
//! refuses each pointer from the heap to a frame. Either is a verdict against the analysis.
//!
//! The language is untyped, and the machine picks at random where the analysis must not care:
//! which branch is taken, how often a loop runs, which cell of an object serves as a pointer, what
//! unknown code does with what it is passed.

use super::language::{FIELDS, Func, Left, Lowered, Name, Program, Right, Stmt, Target, When};
use fastrand::Rng;
use runtime::escape::{Decision, Report, Site};

#[path = "memory.rs"]
mod memory;

type Id = usize;
pub(crate) type Cells = [Value; FIELDS];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Nil,
    /// To the whole of an object, or into its middle.
    Pointer(Id, Option<usize>),
    Function(usize),
}

const NIL: Cells = [Value::Nil; FIELDS];

#[derive(Debug)]
struct Object {
    cells: Cells,
    /// Of a closure: its body and what it captured.
    closure: Option<(usize, Vec<Cells>)>,
    on_heap: bool,
    dead: bool,
    site: Option<Site>,
}

struct Frame {
    variables: Vec<Option<Id>>,
    /// Objects in the frame, by the loop that ends them; the first are the function's.
    scopes: Vec<Vec<Id>>,
    deferred: Vec<(Resolved, Vec<Cells>)>,
}

#[derive(Clone, Debug)]
enum Resolved {
    Function(usize),
    Closure(Id),
    Unknown,
}

/// What goes wrong, with the site that was in a frame and should not have been.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) site: Site,
    pub(crate) what: String,
}

type Run<T> = Result<T, Fault>;

/// Whether statements go on.
#[derive(PartialEq)]
enum Flow {
    On,
    Return,
}

pub(crate) struct Machine<'a> {
    program: &'a Program,
    lowered: &'a Lowered,
    decide: &'a dyn Fn(Site) -> Decision,
    rng: Rng,
    objects: Vec<Object>,
    frames: Vec<Frame>,
    globals: Vec<Value>,
    spawned: Vec<(Resolved, Vec<Cells>)>,
    /// Values between a callee's end and its caller's variables.
    flying: Vec<Vec<Cells>>,
    fuel: u32,
}

/// Runs the last function of the program once.
pub(crate) fn run(program: &Program, lowered: &Lowered, report: &Report<'_>, seed: u64) -> Run<()> {
    run_as(
        program,
        lowered,
        &|site| report.decision(site),
        seed,
        RunFrom::Last,
    )
}

/// Which function is run.
#[derive(Clone, Copy)]
pub(crate) enum RunFrom {
    Last,
    Function(usize),
}

/// Runs it with decisions from elsewhere.
pub(crate) fn run_as(
    program: &Program,
    lowered: &Lowered,
    decide: &dyn Fn(Site) -> Decision,
    seed: u64,
    from: RunFrom,
) -> Run<()> {
    let mut machine = Machine {
        program,
        lowered,
        decide,
        rng: Rng::with_seed(seed),
        objects: Vec::new(),
        frames: Vec::new(),
        globals: Vec::new(),
        spawned: Vec::new(),
        flying: Vec::new(),
        fuel: 400,
    };
    let main = match from {
        RunFrom::Last => program.functions.len() - 1,
        RunFrom::Function(index) => index,
    };
    machine.call(&Resolved::Function(main), &[])?;
    while let Some((callee, arguments)) = machine.spawned.pop() {
        machine.call(&callee, &arguments)?;
    }
    Ok(())
}

impl Machine<'_> {
    fn call(&mut self, callee: &Resolved, arguments: &[Cells]) -> Run<Vec<Cells>> {
        let (function, captured) = match callee {
            Resolved::Unknown => return self.unknown(arguments),
            Resolved::Function(function) => (*function, Vec::new()),
            Resolved::Closure(id) => self.objects[*id].closure.clone().unwrap_or_default(),
        };
        if self.frames.len() > 7 || self.fuel == 0 {
            return Ok(Vec::new());
        }
        let func = &self.program.functions[function];
        // More arguments than there are parameters go where nobody knows.
        for value in arguments.iter().skip(func.parameters).flatten() {
            self.publish(*value)?;
        }
        self.frames.push(Frame {
            variables: vec![None; func.names.len()],
            scopes: vec![Vec::new()],
            deferred: Vec::new(),
        });
        let inputs = func.parameters + func.captures;
        for name in 0..inputs + func.results {
            self.declare(function, name);
        }
        for (name, cells) in (0..func.parameters).zip(arguments) {
            self.assign(name, *cells)?;
        }
        for (name, cells) in (func.parameters..inputs).zip(captured) {
            self.assign(name, cells)?;
        }
        self.stmts(function, &func.body)?;
        let deferred = std::mem::take(&mut self.frame().deferred);
        for (callee, arguments) in deferred.into_iter().rev() {
            self.flying.push(arguments.clone());
            self.call(&callee, &arguments)?;
            self.flying.pop();
        }
        let results: Vec<Cells> = (inputs..inputs + func.results)
            .map(|name| self.variable(name))
            .collect();
        self.flying.push(results.clone());
        self.end_scope()?;
        self.frames.pop();
        self.check()?;
        self.flying.pop();
        Ok(results.into_iter().chain([self.spread_global()]).collect())
    }

    fn stmts(&mut self, function: usize, stmts: &[Stmt]) -> Run<Flow> {
        for stmt in stmts {
            if self.fuel == 0 {
                return Ok(Flow::Return);
            }
            self.fuel -= 1;
            if self.stmt(function, stmt)? == Flow::Return {
                return Ok(Flow::Return);
            }
        }
        Ok(Flow::On)
    }

    fn stmt(&mut self, function: usize, stmt: &Stmt) -> Run<Flow> {
        match stmt {
            Stmt::Local(name, ..) => self.declare(function, *name),
            Stmt::Assign(left, right, _) => self.assignment(function, left, right)?,
            Stmt::Call {
                callee,
                arguments,
                results,
                when,
                ..
            } => self.any_call(callee, arguments, results, *when)?,
            Stmt::Return(names, _) => {
                let cells: Vec<Cells> = names.iter().map(|name| self.maybe(*name)).collect();
                let func = &self.program.functions[function];
                for (name, cells) in (func.parameters + func.captures..).zip(cells) {
                    self.assign(name, cells)?;
                }
                return Ok(Flow::Return);
            }
            Stmt::Loop(stmts) => {
                for _ in 0..self.rng.u32(1..4) {
                    self.frame().scopes.push(Vec::new());
                    let flow = self.stmts(function, stmts)?;
                    for stmt in stmts {
                        if let Stmt::Local(name, ..) = stmt {
                            self.frame().variables[*name] = None;
                        }
                    }
                    // A function that ends takes its rounds with it.
                    if flow == Flow::Return {
                        let scope = self.frame().scopes.pop().unwrap_or_default();
                        self.frame().scopes[0].extend(scope);
                        return Ok(Flow::Return);
                    }
                    self.end_scope()?;
                    self.check()?;
                }
            }
            Stmt::If(stmts) => {
                if self.rng.bool() {
                    return self.stmts(function, stmts);
                }
            }
        }
        Ok(Flow::On)
    }

    fn any_call(
        &mut self,
        callee: &Target,
        arguments: &[Option<Name>],
        results: &[Option<Name>],
        when: When,
    ) -> Run<()> {
        let cells: Vec<Cells> = arguments.iter().map(|name| self.maybe(*name)).collect();
        let callee = match callee {
            Target::Static(function) => Some(Resolved::Function(*function)),
            Target::OneOf(all) => Some(Resolved::Function(all[self.rng.usize(..all.len())])),
            Target::Unknown => Some(Resolved::Unknown),
            Target::Value(name) => {
                let value = self.pick(*name);
                self.resolve(value)
            }
        };
        let Some(callee) = callee else { return Ok(()) };
        match when {
            When::Deferred => self.frame().deferred.push((callee, cells)),
            When::Spawned => {
                let closure = match callee {
                    Resolved::Closure(id) => [Value::Pointer(id, None), Value::Nil, Value::Nil],
                    _ => NIL,
                };
                for value in cells.iter().chain([&closure]).flatten() {
                    self.may_be_on_heap(*value)?;
                }
                self.spawned.push((callee, cells));
            }
            When::Now => {
                let got = self.call(&callee, &cells)?;
                for (name, cells) in results.iter().zip(got) {
                    if let Some(name) = name {
                        self.assign(*name, cells)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn resolve(&self, value: Value) -> Option<Resolved> {
        match value {
            Value::Function(function) => Some(Resolved::Function(function)),
            Value::Pointer(id, None) if self.objects[id].closure.is_some() => {
                Some(Resolved::Closure(id))
            }
            _ => None,
        }
    }

    /// Code of which nothing is known does its worst with what it gets.
    fn unknown(&mut self, arguments: &[Cells]) -> Run<Vec<Cells>> {
        for value in arguments.iter().flatten() {
            self.publish(*value)?;
        }
        for _ in 0..self.rng.u32(..4) {
            let value = self.global();
            match value {
                Value::Pointer(id, _) if self.rng.bool() => {
                    let inside = Some(self.rng.usize(..FIELDS));
                    let (place, from) = (self.rng.usize(..FIELDS), self.global());
                    let reached = self.objects[id].cells[place];
                    self.publish(reached)?;
                    self.publish(Value::Pointer(id, inside))?;
                    self.put(id, place, from)?;
                }
                value => {
                    if let Some(callee) = self.resolve(value) {
                        let arguments = [self.spread_global(), self.spread_global()];
                        for cells in self.call(&callee, &arguments)? {
                            for value in cells {
                                self.publish(value)?;
                            }
                        }
                    }
                }
            }
        }
        Ok((0..4).map(|_| self.spread_global()).collect())
    }

    fn assignment(&mut self, function: usize, left: &Left, right: &Right) -> Run<()> {
        let cells = self.read(function, right)?;
        match left {
            Left::Var(name) => self.assign(*name, cells),
            Left::Field(name, field) => {
                let value = self.pick_of(cells);
                match self.frame().variables[*name] {
                    Some(id) => self.put(id, *field, value),
                    None => Ok(()),
                }
            }
            Left::Star(name) => match self.pick(*name) {
                Value::Pointer(id, None) => self.put_all(id, cells),
                Value::Pointer(id, Some(inside)) => {
                    let value = self.pick_of(cells);
                    self.put(id, inside, value)
                }
                _ => Ok(()),
            },
            Left::Through(name, field) => match self.pick(*name) {
                Value::Pointer(id, inside) => {
                    let value = self.pick_of(cells);
                    self.put(id, inside.unwrap_or(*field), value)
                }
                _ => Ok(()),
            },
            Left::Global => {
                let value = self.pick_of(cells);
                self.publish(value)
            }
        }
    }

    fn read(&mut self, function: usize, right: &Right) -> Run<Cells> {
        let value = match right {
            Right::Var(name) => return Ok(self.variable(*name)),
            Right::Field(name, field) => self.variable(*name)[*field],
            Right::Address(name) => self.address(*name, None),
            Right::AddressField(name, field) => self.address(*name, Some(*field)),
            Right::Load(name, derefs) => {
                let mut value = self.pick(*name);
                for _ in 1..*derefs {
                    let cells = self.target(value);
                    value = self.pick_of(cells);
                }
                return Ok(self.target(value));
            }
            Right::Through(name, field) => match self.pick(*name) {
                Value::Pointer(id, inside) => self.objects[id].cells[inside.unwrap_or(*field)],
                _ => Value::Nil,
            },
            Right::Inside(name, field) => match self.pick(*name) {
                Value::Pointer(id, inside) if self.objects[id].closure.is_none() => {
                    Value::Pointer(id, inside.or(Some(*field)))
                }
                other => other,
            },
            Right::New(number, ..) => {
                let id = self.make(self.lowered.sites[function][*number], None);
                Value::Pointer(id, None)
            }
            Right::Closure(number, body, captures) => {
                let captured = captures
                    .iter()
                    .map(|(name, by_reference)| match by_reference {
                        true => self.address(*name, None),
                        false => Value::Nil,
                    });
                let addresses: Vec<Value> = captured.collect();
                let captured = addresses.iter().zip(captures).map(|(address, (name, by))| {
                    if *by {
                        [*address, Value::Nil, Value::Nil]
                    } else {
                        self.variable(*name)
                    }
                });
                let captured: Vec<Cells> = captured.collect();
                let site = self.lowered.sites[function][*number];
                let id = self.make(site, Some((*body, captured.clone())));
                for value in captured.into_iter().flatten() {
                    self.may_hold(id, value)?;
                }
                Value::Pointer(id, None)
            }
            Right::Function(index) => Value::Function(*index),
            Right::Global => self.global(),
        };
        Ok(self.spread(value))
    }
}

/// The name of a site's function, for messages.
pub(crate) fn function_of<'p>(program: &'p Program, lowered: &Lowered, site: Site) -> &'p Func {
    let index = lowered.functions.iter().position(|f| *f == site.function());
    &program.functions[index.expect("a site is in a function of the program")]
}
