//! Programs by chance, and none of them nice: recursion, closures that capture both ways, pointers
//! to pointers, fields, loops in loops, calls now and later, of the known and the unknown.

use super::language::{At, FIELDS, Func, Left, Name, Program, Right, Stmt, Target, When};
use fastrand::Rng;
use runtime::escape::Size;

/// How large programs get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Functions, not counting closures.
    pub(crate) functions: usize,
    /// Statements in a block, at most.
    pub(crate) statements: usize,
    /// Whether each function may call any, or only its neighbors.
    pub(crate) anywhere: bool,
    /// Closures in closures, at most.
    pub(crate) nesting: usize,
}

/// A program from a seed.
pub(crate) fn program(seed: u64, shape: Shape) -> Program {
    let mut rng = Rng::with_seed(seed);
    let mut program = Program::default();
    for index in 0..shape.functions {
        let (parameters, results) = match index + 1 == shape.functions {
            true => (0, 0),
            false => (rng.usize(0..4), few(&mut rng)),
        };
        program
            .functions
            .push(func(format!("f{index}"), parameters, 0, results));
    }
    // Closures come after, so `main` is moved to the end when all is done.
    for index in 0..shape.functions {
        let mut writer = Writer {
            rng: &mut rng,
            program: &mut program,
            shape,
            nesting: 0,
            home: index,
        };
        writer.define(index);
    }
    let main = shape.functions - 1;
    let last = program.functions.len() - 1;
    swap(&mut program, main, last);
    program
}

fn few(rng: &mut Rng) -> usize {
    match rng.u32(0..8) {
        0..3 => 0,
        3..6 => 1,
        6 => 2,
        _ => 7,
    }
}

fn func(name: String, parameters: usize, captures: usize, results: usize) -> Func {
    let inputs = (0..parameters).map(|i| format!("p{i}"));
    let captured = (0..captures).map(|i| format!("c{i}"));
    let names = inputs
        .chain(captured)
        .chain((0..results).map(|i| format!("r{i}")));
    Func {
        name,
        parameters,
        captures,
        results,
        names: names.collect(),
        body: Vec::new(),
    }
}

struct Writer<'a> {
    rng: &'a mut Rng,
    program: &'a mut Program,
    shape: Shape,
    nesting: usize,
    /// The function around all closures.
    home: usize,
}

/// The function that is being written.
struct Scope {
    index: usize,
    visible: Vec<Name>,
    names: Vec<String>,
    sites: usize,
    line: u32,
    depth: usize,
}

impl Writer<'_> {
    fn define(&mut self, index: usize) {
        let func = &self.program.functions[index];
        let mut scope = Scope {
            index,
            visible: (0..func.names.len()).collect(),
            names: func.names.clone(),
            sites: 0,
            line: 0,
            depth: 0,
        };
        let mut body = Vec::new();
        for _ in 0..3 {
            body.push(self.local(&mut scope));
        }
        body.extend(self.block(&mut scope));
        let func = &mut self.program.functions[index];
        (func.body, func.names) = (body, scope.names);
    }

    fn block(&mut self, scope: &mut Scope) -> Vec<Stmt> {
        let outer = scope.visible.len();
        let count = self.rng.usize(2..=self.shape.statements);
        let stmts = (0..count).map(|_| self.stmt(scope)).collect();
        scope.visible.truncate(outer);
        stmts
    }

    fn local(&mut self, scope: &mut Scope) -> Stmt {
        let name = scope.names.len();
        scope.names.push(format!("v{name}"));
        scope.visible.push(name);
        let size = self.size(256 << 10);
        Stmt::Local(name, size, self.at(scope))
    }

    fn stmt(&mut self, scope: &mut Scope) -> Stmt {
        match self.rng.u32(0..40) {
            0..3 => self.local(scope),
            3..6 if scope.depth < 3 => {
                scope.depth += 1;
                let stmts = self.block(scope);
                scope.depth -= 1;
                if self.rng.u32(0..3) > 0 {
                    Stmt::Loop(stmts)
                } else {
                    Stmt::If(stmts)
                }
            }
            6..15 => self.call(scope),
            15 if self.rng.bool() => {
                let results = self.program.functions[scope.index].results;
                let names = (0..results).map(|_| Some(self.any(scope))).collect();
                let at = self.at(scope);
                // Behind a branch, so that what follows is not dead.
                Stmt::If(vec![Stmt::Return(names, at)])
            }
            _ => {
                let left = self.left(scope);
                let right = self.right(scope);
                let at = self.at(scope);
                Stmt::Assign(left, right, at)
            }
        }
    }

    fn left(&mut self, scope: &mut Scope) -> Left {
        let name = self.any(scope);
        match self.rng.u32(0..20) {
            0..10 => Left::Var(name),
            10..12 => Left::Field(name, self.field()),
            12..16 => Left::Star(name),
            16..19 => Left::Through(name, self.field()),
            _ if self.rng.u32(0..3) == 0 => Left::Global,
            _ => Left::Var(name),
        }
    }

    fn right(&mut self, scope: &mut Scope) -> Right {
        let name = self.any(scope);
        match self.rng.u32(0..28) {
            0..4 => Right::Var(name),
            4..6 => Right::Field(name, self.field()),
            6..13 => Right::Address(name),
            13 => Right::AddressField(name, self.field()),
            14..16 => Right::Load(name, self.rng.u32(1..4)),
            16..18 => Right::Through(name, self.field()),
            18 => Right::Inside(name, self.field()),
            19..23 => {
                let number = scope.sites;
                scope.sites += 1;
                Right::New(number, format!("new{number}"), self.size(128 << 10))
            }
            23..26 if self.nesting < self.shape.nesting => self.closure(scope),
            26 => Right::Function(self.callee()),
            27 if self.rng.u32(0..3) == 0 => Right::Global,
            _ => Right::Address(name),
        }
    }

    fn closure(&mut self, scope: &mut Scope) -> Right {
        let captures: Vec<(Name, bool)> = (0..self.rng.usize(0..4))
            .map(|_| (self.any(scope), self.rng.u32(0..3) > 0))
            .collect();
        let (parameters, results) = (self.rng.usize(0..3), self.rng.usize(0..2));
        let index = self.program.functions.len();
        let name = format!("closure{index}");
        let captured = captures.len();
        self.program
            .functions
            .push(func(name, parameters, captured, results));
        self.nesting += 1;
        self.define(index);
        self.nesting -= 1;
        let number = scope.sites;
        scope.sites += 1;
        Right::Closure(number, index, captures)
    }

    fn call(&mut self, scope: &mut Scope) -> Stmt {
        let callee = match self.rng.u32(0..10) {
            0..5 => Target::Static(self.callee()),
            5 => Target::OneOf(vec![self.callee(), self.callee()]),
            6..9 => Target::Value(self.any(scope)),
            _ if self.rng.u32(0..3) == 0 => Target::Unknown,
            _ => Target::Value(self.any(scope)),
        };
        let when = match self.rng.u32(0..20) {
            0..2 => When::Deferred,
            2 => When::Spawned,
            _ => When::Now,
        };
        let some = |writer: &mut Self, least: usize| -> Vec<Option<Name>> {
            let count = writer.rng.usize(least..4);
            let one = |writer: &mut Self| match writer.rng.u32(0..12) {
                0 => None,
                _ => Some(writer.any(scope)),
            };
            (0..count).map(|_| one(writer)).collect()
        };
        let arguments = some(self, 1);
        let results = if when == When::Now {
            some(self, 0)
        } else {
            Vec::new()
        };
        let at = self.at(scope);
        Stmt::Call {
            callee,
            arguments,
            results,
            when,
            at,
        }
    }

    fn callee(&mut self) -> usize {
        let functions = self.shape.functions;
        if self.shape.anywhere {
            return self.rng.usize(..functions);
        }
        // Callees stand before their callers, but for a few that form small groups.
        match self.rng.u32(0..12) {
            0 => self.home,
            1 => (self.home / 4 * 4 + self.rng.usize(..4)).min(functions - 1),
            _ => self.rng.usize(..=self.home.min(functions - 1)),
        }
    }

    fn any(&mut self, scope: &Scope) -> Name {
        // The youngest are used most, or programs say little.
        let length = scope.visible.len();
        match self.rng.bool() {
            true => scope.visible[self.rng.usize(..length)],
            false => scope.visible[length - 1 - self.rng.usize(..length.min(4))],
        }
    }

    fn field(&mut self) -> usize {
        self.rng.usize(..FIELDS)
    }

    fn size(&mut self, large: u64) -> Size {
        match self.rng.u32(0..24) {
            0 => Size::Bytes(large),
            1 | 2 => Size::Unknown,
            _ => Size::Bytes(24),
        }
    }

    fn at(&self, scope: &mut Scope) -> At {
        scope.line += 1;
        At {
            line: scope.line,
            column: 1,
        }
    }
}

/// Two functions change places.
fn swap(program: &mut Program, one: usize, two: usize) {
    let change = |index: &mut usize| {
        *index = match *index {
            index if index == one => two,
            index if index == two => one,
            index => index,
        }
    };
    program.functions.swap(one, two);
    for func in &mut program.functions {
        each(&mut func.body, &change);
    }
}

fn each(stmts: &mut [Stmt], change: &impl Fn(&mut usize)) {
    for stmt in stmts {
        match stmt {
            Stmt::Loop(stmts) | Stmt::If(stmts) => each(stmts, change),
            Stmt::Call { callee, .. } => match callee {
                Target::Static(index) => change(index),
                Target::OneOf(all) => all.iter_mut().for_each(change),
                _ => {}
            },
            Stmt::Assign(_, Right::Closure(_, body, _), _) => change(body),
            Stmt::Assign(_, Right::Function(index), _) => change(index),
            _ => {}
        }
    }
}
