//! A program: functions by name, with what each does, or what is promised of it.
//!
//! A function is first **declared**, so that functions may call each other in any order, and then
//! **defined** by a [`Body`], or **imported** with the [`Summary`] that an earlier run computed.
//! One that is neither is unknown code: whatever is passed to it is taken to escape.

use super::body::Body;
use super::flow::{Flow, Function, Place, PlaceKind, Position, Size};
use super::report::Report;
use super::summary::Summary;
use super::{Options, analyze};

/// What is known of a function.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Its name alone.
    Declared,
    /// All that it does.
    Defined(Vec<Flow>),
    /// Where its parameters go.
    Imported(Summary),
}

/// A function: its places, the parameters first, then the captures, then the results.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Box<str>,
    pub(super) parameters: u32,
    pub(super) captures: u32,
    pub(super) results: u32,
    pub(super) places: Vec<Place>,
    pub(super) known: Known,
}

impl Entry {
    /// The place of result `index`.
    pub(super) fn result(&self, index: u32) -> u32 {
        self.parameters + self.captures + index
    }

    /// Parameters and captures: what comes from outside.
    pub(super) fn inputs(&self) -> u32 {
        self.parameters + self.captures
    }
}

/// The functions to analyze together.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub(super) functions: Vec<Entry>,
}

impl Program {
    /// A program without functions.
    pub fn new() -> Program {
        Program::default()
    }

    /// Declares a function with these parameters and so many results. A method's receiver is its
    /// first parameter. Linear in their number.
    pub fn declare(&mut self, name: &str, parameters: &[&str], results: u32) -> Function {
        self.declare_closure(name, parameters, &[], results)
    }

    /// Declares a closure's body, which finds `captures` among its variables. It can only be used
    /// by [`Body::closure`].
    pub fn declare_closure(
        &mut self,
        name: &str,
        parameters: &[&str],
        captures: &[&str],
        results: u32,
    ) -> Function {
        let place = |name: &str, kind| Place {
            name: name.into(),
            kind,
            size: Size::Bytes(8),
            depth: 0,
            at: Position::default(),
        };
        let inputs = parameters.iter().map(|name| (*name, PlaceKind::Parameter));
        let inputs = inputs.chain(captures.iter().map(|name| (*name, PlaceKind::Capture)));
        let mut places: Vec<Place> = inputs.map(|(name, kind)| place(name, kind)).collect();
        places
            .extend((0..results).map(|index| place(&format!("result {index}"), PlaceKind::Result)));
        let id = Function(count(self.functions.len()));
        self.functions.push(Entry {
            name: name.into(),
            parameters: count(parameters.len()),
            captures: count(captures.len()),
            results,
            places,
            known: Known::Declared,
        });
        id
    }

    /// Says what a declared function does.
    ///
    /// # Panics
    /// If it has been defined or imported before.
    pub fn define(&mut self, function: Function) -> Body<'_> {
        let entry = self.entry(function);
        assert!(
            matches!(entry.known, Known::Declared),
            "`{}` has a body or a summary already",
            entry.name
        );
        entry.known = Known::Defined(Vec::new());
        Body::new(self, function)
    }

    /// Promises what a declared function does with its parameters, as [`Report::summary`] told.
    ///
    /// ```
    /// use runtime::escape::{Callee, Decision, Field, Options, Program, Sink, Size};
    ///
    /// // Where it is defined: func set(t, p) { t.field = p }
    /// let mut library = Program::new();
    /// let set = library.declare("set", &["t", "p"], 0);
    /// let mut body = library.define(set);
    /// let (t, p) = (body.parameter(0), body.parameter(1));
    /// body.store(t, Field(0), p);
    /// let report = library.analyze(&Options::default());
    /// let summary = report.summary(set).unwrap().clone();
    /// assert_eq!(summary.to_string(), "#1 -> *#0");
    /// assert_eq!(summary.least(1, Sink::Memory { input: 0, derefs: 0 }), Some(0));
    ///
    /// // Where it is called: x := 0; var t; set(&t, &x)
    /// let mut program = Program::new();
    /// let set = program.declare("set", &["t", "p"], 0);
    /// program.import(set, summary);
    /// let main = program.declare("main", &[], 0);
    /// let mut body = program.define(main);
    /// let [x, t, to_x, to_t] = ["x", "t", "to x", "to t"].map(|name| {
    ///     body.local(name, Size::Bytes(8))
    /// });
    /// body.address_of(to_x, x).address_of(to_t, t);
    /// body.call(Callee::Static(set), &[to_t, to_x], &[]);
    /// assert_eq!(program.analyze(&Options::default()).decision(x.site()), Decision::Frame);
    /// ```
    ///
    /// # Panics
    /// If it has been defined or imported before, or has other parameters or results than the
    /// summary.
    pub fn import(&mut self, function: Function, summary: Summary) {
        let entry = self.entry(function);
        assert!(
            matches!(entry.known, Known::Declared),
            "`{}` has a body or a summary already",
            entry.name
        );
        assert!(
            summary.shape() == (entry.inputs(), entry.results),
            "the summary of `{}` is of a function with other parameters or results",
            entry.name
        );
        entry.known = Known::Imported(summary);
    }

    /// Decides about every site of every defined function. Linear in the number of functions as
    /// long as functions and groups of mutually recursive functions stay small; cubic in the size
    /// of the largest group at worst.
    pub fn analyze(&self, options: &Options) -> Report<'_> {
        analyze::analyze(self, options)
    }

    /// The number of functions declared.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Whether no function is declared.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    pub(super) fn entry(&mut self, function: Function) -> &mut Entry {
        &mut self.functions[function.0 as usize]
    }
}

/// A length as the tables count.
///
/// # Panics
/// At four billion.
pub(super) fn count(length: usize) -> u32 {
    assert!(length < u32::MAX as usize, "more than u32 can count");
    length as u32
}
