//! What a function does with its values, as its builder wrote it down.
//!
//! A function is a table of **places** (parameters, results, locals, allocation sites, closures)
//! and a list of **flows** between them, in no order: the analysis is insensitive to it, so a list
//! says as much as a control-flow graph would. A place knows the depth of the loops around it,
//! which is all that is kept of the control flow.

use std::fmt;

/// A function of a [`Program`](super::Program).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function(pub(super) u32);

/// Something that holds a value: a local, a parameter, a result, or what a closure captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Var {
    pub(super) function: u32,
    pub(super) index: u32,
}

impl Var {
    /// Stands where no pointer flows: a number as an argument, a result that nobody looks at.
    pub const NONE: Var = Var {
        function: u32::MAX,
        index: u32::MAX,
    };

    /// The memory that the variable occupies. It has to be on the heap if its address escapes.
    ///
    /// # Panics
    /// If it is [`Var::NONE`], which occupies none.
    pub fn site(self) -> Site {
        assert!(self != Var::NONE, "Var::NONE has no memory");
        Site {
            function: self.function,
            index: self.index,
        }
    }
}

/// A place in the program that needs memory, which the analysis decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    pub(super) function: u32,
    pub(super) index: u32,
}

impl Site {
    /// The function that the site is in.
    pub fn function(self) -> Function {
        Function(self.function)
    }
}

/// A field of a structure, by a number of the compiler's choice.
///
/// Two accesses to the same memory must name the same field, or none. Fields within a field go by
/// the outermost one; who takes a field's address ([`Body::address_of_field`]) gives up telling
/// that object's fields apart.
///
/// [`Body::address_of_field`]: super::Body::address_of_field
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field(pub u32);

impl Field {
    /// Every element of an array, or of what a slice points to: they are one.
    pub const ELEMENTS: Field = Field(u32::MAX);
}

/// How much memory a site needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Bytes(u64),
    /// As many as a value says that only exists at run time.
    Unknown,
}

/// Where something stands in the source, both from 1; zero is "nowhere".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Who is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    /// This function.
    Static(Function),
    /// One of these, and no other: an interface call whose implementations are all known.
    OneOf(Vec<Function>),
    /// Whatever function value the variable holds.
    Value(Var),
    /// Nothing is known: what is passed may end anywhere.
    Unknown,
}

/// What a closure takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// The variable's value at the time. The body reads it from [`Body::captured`].
    ///
    /// [`Body::captured`]: super::Body::captured
    Value(Var),
    /// The variable itself. The body finds a *pointer* to it in [`Body::captured`].
    ///
    /// [`Body::captured`]: super::Body::captured
    Reference(Var),
}

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    /// A parameter.
    Parameter,
    /// What the n-th capture is called in the closure's body.
    Capture,
    /// A result.
    Result,
    /// A variable of the function.
    Local,
    /// An allocation: `new`, a literal whose address is taken, an array made, a value boxed.
    Allocation,
    /// A closure's own record.
    Closure,
}

/// One entry of a function's table.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: Box<str>,
    pub(super) kind: PlaceKind,
    pub(super) size: Size,
    /// Loops around it.
    pub(super) depth: u32,
    pub(super) at: Position,
}

/// A place, or one field of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) place: u32,
    pub(super) field: Option<Field>,
}

/// When a call happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Now,
    /// When the function ends.
    Deferred,
    /// At any time, on another stack.
    Spawned,
}

/// One thing that a function does.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// `to = &of`, or an allocation whose address goes to `to`.
    Take { to: Slot, of: u32 },
    /// `to = &of.field`: a pointer into the middle.
    TakeInside { to: Slot, of: u32 },
    /// `to = from`.
    Copy { to: Slot, from: Slot },
    /// `to = (*…*pointer).field`, dereferenced `derefs` times, at least once.
    Load {
        to: Slot,
        pointer: Slot,
        derefs: u32,
        field: Option<Field>,
    },
    /// `(*pointer).field = from`.
    Store {
        pointer: Slot,
        field: Option<Field>,
        from: Slot,
    },
    /// `to = &pointer.field`: a pointer into the middle of what `pointer` points to.
    Inside { to: Slot, pointer: Slot },
    /// `to = function`.
    FunctionValue { to: Slot, function: Function },
    /// A closure's record takes its captures.
    Close {
        site: u32,
        body: Function,
        captures: Vec<Capture>,
    },
    /// `results = callee(arguments)`.
    Call {
        callee: Callee,
        arguments: Vec<Var>,
        results: Vec<Var>,
        when: When,
    },
    /// `how` says where the value is put, beyond the analysis: a global, a channel, a map.
    Leak { from: Slot, how: Box<str> },
    /// A value comes from beyond the analysis.
    Arrive { to: Slot },
}

/// An action and its position.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) at: Position,
    pub(super) action: Action,
}
