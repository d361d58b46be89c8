//! Writing a function down: one call for each assignment, in the order of the source.
//!
//! A [`Body`] keeps the position and the depth of loops, so that a compiler says each once while it
//! walks its tree. Numbers and other values without pointers need not be mentioned at all.

use super::flow::{
    Action, Callee, Capture, Field, Flow, Function, Place, PlaceKind, Position, Site, Size, Slot,
    Var, When,
};
use super::program::{Entry, Known, Program, count};

/// The bytes of a closure's record without its captures, and of each of these.
const WORD_BYTES: u64 = 8;

/// A function that is being written down. See the [module](super) for an example.
///
/// Variables belong to their function: each method panics if it is given one of another.
#[derive(Debug)]
pub struct Body<'a> {
    program: &'a mut Program,
    function: Function,
    at: Position,
    depth: u32,
}

impl<'a> Body<'a> {
    pub(super) fn new(program: &'a mut Program, function: Function) -> Body<'a> {
        let at = Position::default();
        Body {
            program,
            function,
            at,
            depth: 0,
        }
    }

    /// What follows stands there in the source.
    pub fn at(&mut self, line: u32, column: u32) -> &mut Self {
        self.at = Position { line, column };
        self
    }

    /// What follows is repeated: the body of a loop, or what a jump backwards repeats. A local
    /// declared there is a new one in each round.
    pub fn enter_loop(&mut self) -> &mut Self {
        self.depth += 1;
        self
    }

    /// The innermost loop ends.
    ///
    /// # Panics
    /// Outside of a loop.
    pub fn leave_loop(&mut self) -> &mut Self {
        assert!(self.depth > 0, "no loop to leave");
        self.depth -= 1;
        self
    }

    /// Parameter `index`, from 0.
    pub fn parameter(&self, index: u32) -> Var {
        assert!(index < self.entry().parameters, "no such parameter");
        self.var(index)
    }

    /// What the closure took as its capture `index`: a value, or a pointer if by reference.
    pub fn captured(&self, index: u32) -> Var {
        assert!(index < self.entry().captures, "no such capture");
        self.var(self.entry().parameters + index)
    }

    /// Result `index`, a variable like another, whose value at the end is what the caller gets.
    pub fn result(&self, index: u32) -> Var {
        assert!(index < self.entry().results, "no such result");
        self.var(self.entry().result(index))
    }

    /// A variable, declared here.
    pub fn local(&mut self, name: &str, size: Size) -> Var {
        let index = self.place(name, PlaceKind::Local, size);
        self.var(index)
    }

    /// An allocation, whose address `to` gets; `name` is how a message calls it.
    pub fn allocate(&mut self, to: Var, name: &str, size: Size) -> Site {
        let of = self.place(name, PlaceKind::Allocation, size);
        if let Some(to) = self.slot(to, None) {
            self.act(Action::Take { to, of });
        }
        self.site(of)
    }

    /// `to = from` with so many dereferences: −1 is `to = &from`, 0 `to = from`, 1 `to = *from`.
    ///
    /// # Panics
    /// Below −1: an address has no address.
    pub fn assign(&mut self, to: Var, derefs: i32, from: Var) -> &mut Self {
        assert!(derefs >= -1, "the address of an address does not exist");
        match u32::try_from(derefs) {
            Err(_) => self.address_of(to, from),
            Ok(0) => self.copy(to, None, from, None),
            Ok(derefs) => self.dereference(to, from, derefs, None),
        }
    }

    /// `to = &of`.
    pub fn address_of(&mut self, to: Var, of: Var) -> &mut Self {
        self.with(to, None, of, None, |to, of| Action::Take {
            to,
            of: of.place,
        })
    }

    /// `to = &of.field`. From then on the fields of `of` are one.
    pub fn address_of_field(&mut self, to: Var, of: Var, field: Field) -> &mut Self {
        self.with(to, None, of, Some(field), |to, of| Action::TakeInside {
            to,
            of: of.place,
        })
    }

    /// `to = from.field`, of the variable itself.
    pub fn get(&mut self, to: Var, from: Var, field: Field) -> &mut Self {
        self.copy(to, None, from, Some(field))
    }

    /// `to.field = from`, of the variable itself.
    pub fn set(&mut self, to: Var, field: Field, from: Var) -> &mut Self {
        self.copy(to, Some(field), from, None)
    }

    /// `to = pointer.field`, through a pointer.
    pub fn load(&mut self, to: Var, pointer: Var, field: Field) -> &mut Self {
        self.dereference(to, pointer, 1, Some(field))
    }

    /// `pointer.field = from`, through a pointer.
    pub fn store(&mut self, pointer: Var, field: Field, from: Var) -> &mut Self {
        self.with(pointer, None, from, None, |pointer, from| Action::Store {
            pointer,
            field: Some(field),
            from,
        })
    }

    /// `*pointer = from`, the whole of it.
    pub fn store_whole(&mut self, pointer: Var, from: Var) -> &mut Self {
        self.with(pointer, None, from, None, |pointer, from| Action::Store {
            pointer,
            field: None,
            from,
        })
    }

    /// `to = &pointer.field`. The fields of what `pointer` points to are one from then on.
    pub fn inside(&mut self, to: Var, pointer: Var, field: Field) -> &mut Self {
        let _ = field;
        self.with(to, None, pointer, None, |to, pointer| Action::Inside {
            to,
            pointer,
        })
    }

    /// `to` gets the function itself, to be called by [`Callee::Value`].
    pub fn function_value(&mut self, to: Var, function: Function) -> &mut Self {
        if let Some(to) = self.slot(to, None) {
            self.act(Action::FunctionValue { to, function });
        }
        self
    }

    /// A closure, whose record `to` gets.
    ///
    /// ```
    /// use runtime::escape::{Callee, Capture, Decision, Options, Program, Size};
    ///
    /// // func main() { x := 0; count := func() { x++ }; count() }
    /// let mut program = Program::new();
    /// let count = program.declare_closure("count", &[], &["x"], 0);
    /// let main = program.declare("main", &[], 0);
    /// program.define(count);
    /// let mut body = program.define(main);
    /// let x = body.local("x", Size::Bytes(8));
    /// let f = body.local("count", Size::Bytes(8));
    /// let closure = body.closure(f, count, &[Capture::Reference(x)]);
    /// body.call(Callee::Value(f), &[], &[]);
    ///
    /// let report = program.analyze(&Options::default());
    /// assert_eq!(report.decision(closure), Decision::Frame);
    /// assert_eq!(report.decision(x.site()), Decision::Frame);
    /// ```
    ///
    /// # Panics
    /// If `body` was declared with another number of captures, or [`Var::NONE`] is captured by
    /// reference.
    pub fn closure(&mut self, to: Var, body: Function, captures: &[Capture]) -> Site {
        let declared = &self.program.functions[body.0 as usize];
        assert!(
            declared.captures as usize == captures.len(),
            "`{}` captures {} variables, not {}",
            declared.name,
            declared.captures,
            captures.len()
        );
        let name = format!("closure {}", declared.name);
        for capture in captures {
            let slot = match *capture {
                Capture::Value(var) | Capture::Reference(var) => self.slot(var, None),
            };
            assert!(
                slot.is_some() || matches!(capture, Capture::Value(_)),
                "Var::NONE cannot be captured by reference"
            );
        }
        let size = Size::Bytes(WORD_BYTES * (1 + captures.len() as u64));
        let site = self.place(&name, PlaceKind::Closure, size);
        let captures = captures.to_vec();
        self.act(Action::Close {
            site,
            body,
            captures,
        });
        if let Some(to) = self.slot(to, None) {
            self.act(Action::Take { to, of: site });
        }
        self.site(site)
    }

    /// `results = callee(arguments)`. Arguments and results beyond those that the callee declares
    /// are taken to be unknown to it.
    pub fn call(&mut self, callee: Callee, arguments: &[Var], results: &[Var]) -> &mut Self {
        self.any_call(callee, arguments, results, When::Now)
    }

    /// A call when the function ends, as by Go's `defer`. The arguments are evaluated now.
    pub fn defer(&mut self, callee: Callee, arguments: &[Var]) -> &mut Self {
        self.any_call(callee, arguments, &[], When::Deferred)
    }

    /// A call on another stack, as by Go's `go`: all that is passed escapes.
    pub fn spawn(&mut self, callee: Callee, arguments: &[Var]) -> &mut Self {
        self.any_call(callee, arguments, &[], When::Spawned)
    }

    /// The function returns these values, the first as result 0.
    pub fn give_back(&mut self, values: &[Var]) -> &mut Self {
        for (index, value) in (0..).zip(values) {
            let result = self.result(index);
            self.copy(result, None, *value, None);
        }
        self
    }

    /// The value goes where the analysis does not follow; `how` completes "it is ...": "sent on a
    /// channel".
    pub fn leak(&mut self, from: Var, how: &str) -> &mut Self {
        if let Some(from) = self.slot(from, None) {
            let how = how.into();
            self.act(Action::Leak { from, how });
        }
        self
    }

    /// A value comes from where the analysis does not look: a global, a channel, a map.
    pub fn arrive(&mut self, to: Var) -> &mut Self {
        if let Some(to) = self.slot(to, None) {
            self.act(Action::Arrive { to });
        }
        self
    }

    /// `global = from`.
    pub fn set_global(&mut self, global: &str, from: Var) -> &mut Self {
        self.leak(from, &format!("stored in the global `{global}`"))
    }

    fn dereference(
        &mut self,
        to: Var,
        pointer: Var,
        derefs: u32,
        field: Option<Field>,
    ) -> &mut Self {
        self.with(to, None, pointer, None, |to, pointer| Action::Load {
            to,
            pointer,
            derefs,
            field,
        })
    }

    fn copy(&mut self, to: Var, into: Option<Field>, from: Var, of: Option<Field>) -> &mut Self {
        self.with(to, into, from, of, |to, from| Action::Copy { to, from })
    }

    fn any_call(
        &mut self,
        callee: Callee,
        arguments: &[Var],
        results: &[Var],
        when: When,
    ) -> &mut Self {
        for var in arguments.iter().chain(results) {
            self.slot(*var, None);
        }
        if let Callee::Value(var) = &callee {
            assert!(self.slot(*var, None).is_some(), "Var::NONE is no function");
        }
        let (arguments, results) = (arguments.to_vec(), results.to_vec());
        self.act(Action::Call {
            callee,
            arguments,
            results,
            when,
        });
        self
    }

    /// Writes down an action between two slots, if both carry pointers.
    fn with(
        &mut self,
        one: Var,
        of_one: Option<Field>,
        two: Var,
        of_two: Option<Field>,
        action: impl FnOnce(Slot, Slot) -> Action,
    ) -> &mut Self {
        if let (Some(one), Some(two)) = (self.slot(one, of_one), self.slot(two, of_two)) {
            self.act(action(one, two));
        }
        self
    }

    fn act(&mut self, action: Action) {
        let at = self.at;
        if let Known::Defined(flows) = &mut self.program.entry(self.function).known {
            flows.push(Flow { at, action });
        }
    }

    fn place(&mut self, name: &str, kind: PlaceKind, size: Size) -> u32 {
        let (depth, at) = (self.depth, self.at);
        let places = &mut self.program.entry(self.function).places;
        places.push(Place {
            name: name.into(),
            kind,
            size,
            depth,
            at,
        });
        count(places.len() - 1)
    }

    fn slot(&self, var: Var, field: Option<Field>) -> Option<Slot> {
        if var == Var::NONE {
            return None;
        }
        assert!(
            var.function == self.function.0,
            "a variable of another function: capture it, or pass it"
        );
        Some(Slot {
            place: var.index,
            field,
        })
    }

    fn entry(&self) -> &Entry {
        &self.program.functions[self.function.0 as usize]
    }

    fn var(&self, index: u32) -> Var {
        Var {
            function: self.function.0,
            index,
        }
    }

    fn site(&self, index: u32) -> Site {
        Site {
            function: self.function.0,
            index,
        }
    }
}
