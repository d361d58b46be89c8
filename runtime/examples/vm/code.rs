//! The machine's programs: functions of instructions over registers, and a builder that reads
//! almost like one.

/// A register of a function.
pub(crate) type Reg = u32;
/// A function of a program.
pub(crate) type Func = u32;

/// What one instruction does. The first register is the one that is written.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Int(Reg, i64),
    Move(Reg, Reg),
    Add(Reg, Reg, Reg),
    Sub(Reg, Reg, Reg),
    /// One if less, else zero.
    Less(Reg, Reg, Reg),
    /// An object with so many fields: the allocation site of this number.
    New(Reg, u32, usize),
    Load(Reg, Reg, u32),
    Store(Reg, u32, Reg),
    /// A closure with these captures: an allocation site too.
    Close(Reg, Func, Vec<Reg>, usize),
    Call(Reg, Func, Vec<Reg>),
    CallClosure(Reg, Reg, Vec<Reg>),
    Return(Reg),
    /// Repeats the instructions up to `EndLoop` while the register is not zero, which it is asked
    /// by `While`.
    Loop,
    While(Reg, usize),
    EndLoop(usize),
    /// Jumps if the register is zero.
    Unless(Reg, usize),
    /// Sends to a channel, or waits until there is room.
    Send(u32, Reg),
    /// Receives from a channel, or waits.
    Receive(Reg, u32),
    /// A fiber that begins at a function, with a number as its argument.
    Spawn(Func, Reg),
    Print(&'static str, Reg),
}

/// A function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) parameters: u32,
    /// Of a closure's body: they follow the parameters.
    pub(crate) captures: u32,
    pub(crate) registers: u32,
    /// Fields of each allocation site, a closure's function included.
    pub(crate) sites: Vec<u32>,
    pub(crate) code: Vec<Op>,
}

/// A function that is being written.
pub(crate) struct Writer {
    function: Function,
}

impl Writer {
    pub(crate) fn new(name: &'static str, parameters: u32, captures: u32) -> Self {
        let function = Function {
            name,
            parameters,
            captures,
            registers: parameters + captures,
            sites: Vec::new(),
            code: Vec::new(),
        };
        Self { function }
    }

    /// A register that nothing else uses.
    pub(crate) fn reg(&mut self) -> Reg {
        self.function.registers += 1;
        self.function.registers - 1
    }

    fn op(&mut self, op: Op) {
        self.function.code.push(op);
    }

    fn fresh(&mut self, op: impl FnOnce(Reg) -> Op) -> Reg {
        let to = self.reg();
        self.op(op(to));
        to
    }

    pub(crate) fn int(&mut self, value: i64) -> Reg {
        self.fresh(|to| Op::Int(to, value))
    }

    pub(crate) fn set(&mut self, to: Reg, from: Reg) {
        self.op(Op::Move(to, from));
    }

    pub(crate) fn add(&mut self, a: Reg, b: Reg) -> Reg {
        self.fresh(|to| Op::Add(to, a, b))
    }

    pub(crate) fn sub(&mut self, a: Reg, b: Reg) -> Reg {
        self.fresh(|to| Op::Sub(to, a, b))
    }

    pub(crate) fn less(&mut self, a: Reg, b: Reg) -> Reg {
        self.fresh(|to| Op::Less(to, a, b))
    }

    /// An object with these fields.
    pub(crate) fn object(&mut self, fields: &[Reg]) -> Reg {
        let site = self.function.sites.len();
        self.function.sites.push(fields.len() as u32);
        let object = self.fresh(|to| Op::New(to, fields.len() as u32, site));
        for (field, from) in (0..).zip(fields) {
            self.store(object, field, *from);
        }
        object
    }

    pub(crate) fn load(&mut self, object: Reg, field: u32) -> Reg {
        self.fresh(|to| Op::Load(to, object, field))
    }

    pub(crate) fn store(&mut self, object: Reg, field: u32, from: Reg) {
        self.op(Op::Store(object, field, from));
    }

    pub(crate) fn close(&mut self, function: Func, captures: &[Reg]) -> Reg {
        let site = self.function.sites.len();
        self.function.sites.push(captures.len() as u32 + 1);
        self.fresh(|to| Op::Close(to, function, captures.to_vec(), site))
    }

    pub(crate) fn call(&mut self, function: Func, arguments: &[Reg]) -> Reg {
        self.fresh(|to| Op::Call(to, function, arguments.to_vec()))
    }

    pub(crate) fn call_closure(&mut self, closure: Reg, arguments: &[Reg]) -> Reg {
        self.fresh(|to| Op::CallClosure(to, closure, arguments.to_vec()))
    }

    pub(crate) fn give(&mut self, value: Reg) {
        self.op(Op::Return(value));
    }

    /// `while condition { body }`.
    pub(crate) fn repeat(
        &mut self,
        condition: impl FnOnce(&mut Self) -> Reg,
        body: impl FnOnce(&mut Self),
    ) {
        let begin = self.function.code.len();
        self.op(Op::Loop);
        let condition = condition(self);
        let test = self.function.code.len();
        self.op(Op::While(condition, 0));
        body(self);
        self.op(Op::EndLoop(begin));
        let end = self.function.code.len();
        self.function.code[test] = Op::While(condition, end);
    }

    /// `if condition { body }`.
    pub(crate) fn when(&mut self, condition: Reg, body: impl FnOnce(&mut Self)) {
        let test = self.function.code.len();
        self.op(Op::Unless(condition, 0));
        body(self);
        let end = self.function.code.len();
        self.function.code[test] = Op::Unless(condition, end);
    }

    pub(crate) fn send(&mut self, channel: u32, value: Reg) {
        self.op(Op::Send(channel, value));
    }

    pub(crate) fn receive(&mut self, channel: u32) -> Reg {
        self.fresh(|to| Op::Receive(to, channel))
    }

    pub(crate) fn spawn(&mut self, function: Func, argument: Reg) {
        self.op(Op::Spawn(function, argument));
    }

    pub(crate) fn print(&mut self, what: &'static str, value: Reg) {
        self.op(Op::Print(what, value));
    }

    pub(crate) fn end(self) -> Function {
        self.function
    }
}
