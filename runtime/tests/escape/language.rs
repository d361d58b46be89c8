//! A small language in which the tests write programs: its tree, and its way into the analysis.
//!
//! The machine runs the tree, the analysis sees what [`Program::lower`] writes down of it. Text
//! comes in by `parse.rs` and goes out by `print.rs`.

use runtime::escape::{self, Body, Callee, Capture, Field, Function, Site, Size, Var};

/// Cells of an object: the fields that a program can name, and elements are the last.
pub(crate) const FIELDS: usize = 3;

pub(crate) type Name = usize;

#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) functions: Vec<Func>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Func {
    pub(crate) name: String,
    pub(crate) parameters: usize,
    pub(crate) captures: usize,
    pub(crate) results: usize,
    /// Parameters, captures, results, locals.
    pub(crate) names: Vec<String>,
    pub(crate) body: Vec<Stmt>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct At {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Stmt {
    Local(Name, Size, At),
    Assign(Left, Right, At),
    Call {
        callee: Target,
        arguments: Vec<Option<Name>>,
        results: Vec<Option<Name>>,
        when: When,
        at: At,
    },
    Return(Vec<Option<Name>>, At),
    Loop(Vec<Stmt>),
    /// Taken or not.
    If(Vec<Stmt>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Now,
    Deferred,
    Spawned,
}

#[derive(Clone, Debug)]
pub(crate) enum Target {
    Static(usize),
    OneOf(Vec<usize>),
    Value(Name),
    Unknown,
}

#[derive(Clone, Debug)]
pub(crate) enum Left {
    Var(Name),
    Field(Name, usize),
    Star(Name),
    Through(Name, usize),
    Global,
}

#[derive(Clone, Debug)]
pub(crate) enum Right {
    Var(Name),
    Field(Name, usize),
    Address(Name),
    AddressField(Name, usize),
    Load(Name, u32),
    Through(Name, usize),
    Inside(Name, usize),
    /// The number of the site in its function, its name, its size.
    New(usize, String, Size),
    /// The number of the site, the body, and what it captures, by reference where true.
    Closure(usize, usize, Vec<(Name, bool)>),
    Function(usize),
    Global,
}

/// A program as the analysis sees it, and the sites of its statements in the order of the tree.
pub(crate) struct Lowered {
    pub(crate) program: escape::Program,
    pub(crate) functions: Vec<Function>,
    pub(crate) vars: Vec<Vec<Option<Var>>>,
    /// Of the allocations and closures of each function.
    pub(crate) sites: Vec<Vec<Site>>,
}

impl Program {
    pub(crate) fn lower(&self) -> Lowered {
        let mut program = escape::Program::new();
        let declare = |program: &mut escape::Program, func: &Func| {
            let names: Vec<&str> = func.names.iter().map(|name| name.as_str()).collect();
            let inputs = func.parameters + func.captures;
            let (parameters, captures) = names[..inputs].split_at(func.parameters);
            program.declare_closure(&func.name, parameters, captures, func.results as u32)
        };
        let declared = self
            .functions
            .iter()
            .map(|func| declare(&mut program, func));
        let functions: Vec<Function> = declared.collect();
        let mut lowered = (Vec::new(), Vec::new());
        for (func, function) in self.functions.iter().zip(&functions) {
            let body = program.define(*function);
            let mut lower = Lower::new(body, func, &functions);
            lower.stmts(&func.body);
            lowered.0.push(lower.vars);
            lowered.1.push(lower.sites);
        }
        let (vars, sites) = lowered;
        Lowered {
            program,
            functions,
            vars,
            sites,
        }
    }
}

struct Lower<'a> {
    body: Body<'a>,
    func: &'a Func,
    functions: &'a [Function],
    vars: Vec<Option<Var>>,
    sites: Vec<Site>,
}

fn field(index: usize) -> Field {
    if index + 1 == FIELDS {
        Field::ELEMENTS
    } else {
        Field(index as u32)
    }
}

impl<'a> Lower<'a> {
    fn new(body: Body<'a>, func: &'a Func, functions: &'a [Function]) -> Lower<'a> {
        let (p, c, r) = (func.parameters, func.captures, func.results);
        let var = |index: usize| {
            let at = index as u32;
            Some(match index {
                _ if index < p => body.parameter(at),
                _ if index < p + c => body.captured(at - p as u32),
                _ if index < p + c + r => body.result(at - (p + c) as u32),
                _ => return None,
            })
        };
        let vars = (0..func.names.len()).map(var).collect();
        let sites = Vec::new();
        Lower {
            body,
            func,
            functions,
            vars,
            sites,
        }
    }

    fn var(&self, name: Name) -> Var {
        let var = self.vars[name];
        var.unwrap_or_else(|| panic!("`{}` is not declared before its use", self.func.names[name]))
    }

    fn some(&self, name: Option<Name>) -> Var {
        name.map_or(Var::NONE, |name| self.var(name))
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Local(name, size, at) => {
                self.body.at(at.line, at.column);
                self.vars[*name] = Some(self.body.local(&self.func.names[*name], *size));
            }
            Stmt::Assign(left, right, at) => {
                self.body.at(at.line, at.column);
                self.assign(left, right);
            }
            Stmt::Call {
                callee,
                arguments,
                results,
                when,
                at,
            } => {
                self.body.at(at.line, at.column);
                let callee = self.callee(callee);
                let vars = |names: &[Option<Name>]| names.iter().map(|n| self.some(*n)).collect();
                let (arguments, results): (Vec<Var>, Vec<Var>) = (vars(arguments), vars(results));
                match when {
                    When::Now => self.body.call(callee, &arguments, &results),
                    When::Deferred => self.body.defer(callee, &arguments),
                    When::Spawned => self.body.spawn(callee, &arguments),
                };
            }
            Stmt::Return(names, at) => {
                self.body.at(at.line, at.column);
                let vars: Vec<Var> = names.iter().map(|name| self.some(*name)).collect();
                self.body.give_back(&vars);
            }
            Stmt::Loop(stmts) => {
                self.body.enter_loop();
                self.stmts(stmts);
                self.body.leave_loop();
            }
            Stmt::If(stmts) => self.stmts(stmts),
        }
    }

    fn callee(&self, callee: &Target) -> Callee {
        match callee {
            Target::Static(index) => Callee::Static(self.functions[*index]),
            Target::OneOf(all) => Callee::OneOf(all.iter().map(|i| self.functions[*i]).collect()),
            Target::Value(name) => Callee::Value(self.var(*name)),
            Target::Unknown => Callee::Unknown,
        }
    }

    /// What is no plain variable on the left is written from a temporary.
    fn assign(&mut self, left: &Left, right: &Right) {
        let from = match (left, right) {
            (Left::Var(_), _) => Var::NONE,
            (_, Right::Var(name)) => self.var(*name),
            _ => {
                let temporary = self.body.local("temporary", Size::Bytes(8));
                self.read(temporary, right);
                temporary
            }
        };
        match left {
            Left::Var(name) => {
                let to = self.var(*name);
                self.read(to, right);
            }
            Left::Field(name, index) => {
                let to = self.var(*name);
                self.body.set(to, field(*index), from);
            }
            Left::Star(name) => {
                let pointer = self.var(*name);
                self.body.store_whole(pointer, from);
            }
            Left::Through(name, index) => {
                let pointer = self.var(*name);
                self.body.store(pointer, field(*index), from);
            }
            Left::Global => {
                self.body.set_global("global", from);
            }
        }
    }

    fn read(&mut self, to: Var, right: &Right) {
        match right {
            Right::Var(name) => self.body.assign(to, 0, self.var(*name)),
            Right::Field(name, index) => self.body.get(to, self.var(*name), field(*index)),
            Right::Address(name) => self.body.assign(to, -1, self.var(*name)),
            Right::AddressField(name, index) => {
                let of = self.var(*name);
                self.body.address_of_field(to, of, field(*index))
            }
            Right::Load(name, derefs) => self.body.assign(to, *derefs as i32, self.var(*name)),
            Right::Through(name, index) => self.body.load(to, self.var(*name), field(*index)),
            Right::Inside(name, index) => self.body.inside(to, self.var(*name), field(*index)),
            Right::New(number, name, size) => {
                assert_eq!(*number, self.sites.len());
                self.sites.push(self.body.allocate(to, name, *size));
                &mut self.body
            }
            Right::Closure(number, body, captures) => {
                assert_eq!(*number, self.sites.len());
                let capture = |(name, by_reference): &(Name, bool)| match by_reference {
                    true => Capture::Reference(self.var(*name)),
                    false => Capture::Value(self.var(*name)),
                };
                let captures: Vec<Capture> = captures.iter().map(capture).collect();
                let site = self.body.closure(to, self.functions[*body], &captures);
                self.sites.push(site);
                &mut self.body
            }
            Right::Function(index) => self.body.function_value(to, self.functions[*index]),
            Right::Global => self.body.arrive(to),
        };
    }
}
