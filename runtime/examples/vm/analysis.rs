//! What the compiler would do: each function's instructions as the analysis reads them, and where
//! each allocation site's object goes then.
//!
//! A register is a variable, declared in the innermost loop that all its uses are in, if the first
//! of them writes it; so an object that a round of a loop makes for itself can be in the frame.

use crate::code::{Function, Op, Reg};
use runtime::escape::{Body, Callee, Capture, Decision, Field, Options, Program, Site, Size, Var};

/// For each function and each of its sites: whether the object is in the frame.
pub(crate) type Placement = Vec<Vec<bool>>;

/// Everything on the heap.
pub(crate) fn nowhere(functions: &[Function]) -> Placement {
    functions
        .iter()
        .map(|function| vec![false; function.sites.len()])
        .collect()
}

/// What the analysis decides, and the reasons for what stays on the heap.
pub(crate) fn analyze(functions: &[Function]) -> (Placement, Vec<String>) {
    let mut program = Program::new();
    let all: Vec<_> = functions
        .iter()
        .map(|function| {
            let names = |count| vec!["value"; count as usize];
            let (parameters, captures) = (names(function.parameters), names(function.captures));
            program.declare_closure(function.name, &parameters, &captures, 1)
        })
        .collect();
    let sites: Vec<Vec<Site>> = functions
        .iter()
        .zip(&all)
        .map(|(function, id)| {
            let loops = Loops::of(function);
            let mut translation = Translation {
                body: program.define(*id),
                vars: vec![Var::NONE; function.registers as usize],
                sites: Vec::new(),
                all: &all,
            };
            translation.run(function, &loops);
            translation.sites
        })
        .collect();
    let report = program.analyze(&Options::default());
    let placed = |site: &Site| report.decision(*site) == Decision::Frame;
    let placement = sites
        .iter()
        .map(|sites| sites.iter().map(placed).collect())
        .collect();
    let reasons = sites
        .iter()
        .flatten()
        .filter_map(|site| report.explain(*site))
        .map(|reason| reason.to_string())
        .collect();
    (placement, reasons)
}

/// In which loop a register is declared: where that begins, for each that is not the function's.
struct Loops(Vec<Option<usize>>);

/// What an instruction reads, and what it writes.
fn uses(op: &Op) -> (Vec<Reg>, Option<Reg>) {
    match op {
        Op::Int(to, _) | Op::New(to, ..) | Op::Receive(to, _) => (vec![], Some(*to)),
        Op::Move(to, from) | Op::Load(to, from, _) => (vec![*from], Some(*to)),
        Op::Add(to, a, b) | Op::Sub(to, a, b) | Op::Less(to, a, b) => (vec![*a, *b], Some(*to)),
        Op::Close(to, _, from, _) | Op::Call(to, _, from) => (from.clone(), Some(*to)),
        Op::CallClosure(to, closure, from) => {
            (from.iter().chain([closure]).copied().collect(), Some(*to))
        }
        Op::Store(object, _, from) => (vec![*object, *from], None),
        Op::Return(from) | Op::While(from, _) | Op::Unless(from, _) | Op::Send(_, from) => {
            (vec![*from], None)
        }
        Op::Spawn(_, from) | Op::Print(_, from) => (vec![*from], None),
        Op::Loop | Op::EndLoop(_) => (vec![], None),
    }
}

impl Loops {
    fn of(function: &Function) -> Self {
        let mut ranges = Vec::new();
        for (end, op) in function.code.iter().enumerate() {
            if let Op::EndLoop(begin) = op {
                ranges.push((*begin, end));
            }
        }
        let declared = |reg: Reg| {
            let mut first_writes = None;
            let (mut first, mut last) = (usize::MAX, 0);
            for (at, op) in function.code.iter().enumerate() {
                let (reads, writes) = uses(op);
                let is_read = reads.contains(&reg);
                if is_read || writes == Some(reg) {
                    first_writes = first_writes.or(Some(!is_read));
                    (first, last) = (first.min(at), at);
                }
            }
            if first_writes != Some(true) || reg < function.parameters + function.captures {
                return None;
            }
            // Inner loops end, and so come, first.
            let around = |&&(begin, end): &&(usize, usize)| begin < first && last < end;
            ranges.iter().find(around).map(|(begin, _)| *begin)
        };
        Self((0..function.registers).map(declared).collect())
    }
}

struct Translation<'a> {
    body: Body<'a>,
    vars: Vec<Var>,
    sites: Vec<Site>,
    all: &'a [runtime::escape::Function],
}

impl Translation<'_> {
    fn declare(&mut self, loops: &Loops, begin: Option<usize>) {
        for reg in 0..self.vars.len() {
            if loops.0[reg] == begin && self.vars[reg] == Var::NONE {
                self.vars[reg] = self.body.local(&format!("r{reg}"), Size::Bytes(8));
            }
        }
    }

    fn var(&self, reg: Reg) -> Var {
        self.vars[reg as usize]
    }

    fn vars(&self, regs: &[Reg]) -> Vec<Var> {
        regs.iter().map(|reg| self.var(*reg)).collect()
    }

    fn run(&mut self, function: &Function, loops: &Loops) {
        for input in 0..function.parameters + function.captures {
            self.vars[input as usize] = match input.checked_sub(function.parameters) {
                None => self.body.parameter(input),
                Some(capture) => self.body.captured(capture),
            };
        }
        self.declare(loops, None);
        for (at, op) in function.code.iter().enumerate() {
            self.body.at(at as u32 + 1, 1);
            if let Op::Loop = op {
                self.body.enter_loop();
                self.declare(loops, Some(at));
            }
            self.op(op);
        }
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::Move(to, from) => {
                let (to, from) = (self.var(*to), self.var(*from));
                self.body.assign(to, 0, from);
            }
            Op::New(to, fields, _) => {
                let (to, size) = (self.var(*to), Size::Bytes(8 * u64::from(*fields)));
                self.sites.push(self.body.allocate(to, "object", size));
            }
            Op::Load(to, object, field) => {
                let (to, object) = (self.var(*to), self.var(*object));
                self.body.load(to, object, Field(*field));
            }
            Op::Store(object, field, from) => {
                let (object, from) = (self.var(*object), self.var(*from));
                self.body.store(object, Field(*field), from);
            }
            Op::Close(to, function, captures, _) => {
                let captures: Vec<Capture> = self
                    .vars(captures)
                    .into_iter()
                    .map(Capture::Value)
                    .collect();
                let (to, body) = (self.var(*to), self.all[*function as usize]);
                self.sites.push(self.body.closure(to, body, &captures));
            }
            Op::Call(to, function, arguments) => {
                let callee = Callee::Static(self.all[*function as usize]);
                let (arguments, to) = (self.vars(arguments), self.var(*to));
                self.body.call(callee, &arguments, &[to]);
            }
            Op::CallClosure(to, closure, arguments) => {
                let (arguments, to) = (self.vars(arguments), self.var(*to));
                let callee = Callee::Value(self.var(*closure));
                self.body.call(callee, &arguments, &[to]);
            }
            Op::Return(from) => {
                let from = self.var(*from);
                self.body.give_back(&[from]);
            }
            Op::Send(_, from) => {
                let from = self.var(*from);
                self.body.leak(from, "sent to another fiber");
            }
            Op::Receive(to, _) => {
                let to = self.var(*to);
                self.body.arrive(to);
            }
            Op::EndLoop(_) => {
                self.body.leave_loop();
            }
            // Numbers, which the analysis does not follow, and what is no assignment.
            Op::Int(..) | Op::Add(..) | Op::Sub(..) | Op::Less(..) | Op::Print(..) => {}
            Op::Loop | Op::While(..) | Op::Unless(..) | Op::Spawn(..) => {}
        }
    }
}
