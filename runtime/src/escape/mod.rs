//! Escape analysis, for compilers and virtual machines: which objects may live in a frame.
//!
//! An object to which no pointer is left when its function returns needs no heap. A compiler
//! writes down for each function what flows where ([`Body`]), and learns for each variable and
//! each allocation whether a frame will do, and if not, why, in sentences for the users of its
//! language. Nothing here touches the heap of this crate: it serves any other as well.
//!
//! ```
//! use runtime::escape::{Callee, Decision, Options, Program, Size};
//!
//! // func keep(q) { global = q }          func main() { x := 0; y := 0
//! //                                        p := &x; p = &y; keep(p); r := &p }
//! let mut program = Program::new();
//! let keep = program.declare("keep", &["q"], 0);
//! let main = program.declare("main", &[], 0);
//!
//! let mut body = program.define(keep);
//! let q = body.parameter(0);
//! body.at(1, 18).set_global("global", q);
//!
//! let mut body = program.define(main);
//! let x = body.at(1, 52).local("x", Size::Bytes(8));
//! let p = body.at(2, 40).local("p", Size::Bytes(8));
//! let r = body.at(2, 66).local("r", Size::Bytes(8));
//! body.at(2, 40).address_of(p, x);
//! body.at(2, 57).call(Callee::Static(keep), &[p], &[]);
//! body.at(2, 66).address_of(r, p);
//!
//! let report = program.analyze(&Options::default());
//! assert_eq!(report.decision(x.site()), Decision::Heap);
//! assert_eq!(report.decision(p.site()), Decision::Frame);
//! assert_eq!(
//!     report.explain(x.site()).unwrap().to_string(),
//!     "main:1:52: `x` is on the heap:\n  \
//!        main:2:40: `p` gets its address\n  \
//!        main:2:57: `p` is passed to `keep` as `q`, which leaks\n    \
//!          keep:1:18: it is stored in the global `global`",
//! );
//! ```
//!
//! # What is kept apart
//! Fields of an object, by whomever they are accessed, until a pointer to one of them is made;
//! results, any number; dereference counts up to three; what is stored through a pointer, into each
//! object that it may point to. What is not: the order of statements, branches, elements of an
//! array, and different calls of one function from the same group of mutually recursive ones.
//!
//! # What a frame promises
//! A slot of its own for each site, which is new in each round of the innermost loop around it; a
//! compiler that lets variables in disjoint blocks share a slot must put each block at a depth of
//! its own. A pointer to a frame is never stored in an object on the heap, so a collector needs to
//! look for them nowhere but in frames.
//!
//! # Where to read on
//! `graph.rs` has the graph and its sources, `analyze.rs` the walk, `calls.rs` what passes between
//! functions, `summary.rs` what is remembered of one.

mod analyze;
mod batches;
mod body;
mod calls;
mod explain;
mod flow;
mod graph;
mod lower;
mod program;
mod report;
mod summary;

pub use body::Body;
pub use explain::{Explanation, Step};
pub use flow::{Callee, Capture, Field, Function, PlaceKind, Position, Site, Size, Var};
pub use program::Program;
pub use report::{Decision, Report};
pub use summary::{Derefs, Sink, Source, Summary, Way};

/// How large an object in a frame may be. The defaults are those of Go 1.27
/// (`cmd/compile/internal/ir/cfg.go`).
///
/// ```
/// use runtime::escape::Options;
///
/// // As Go does with `-smallframes`.
/// let small = Options {
///     implicit_bytes_max: 16 << 10,
///     explicit_bytes_max: 64 << 10,
///     ..Options::default()
/// };
/// assert!(small.implicit_bytes_max < Options::default().implicit_bytes_max);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of an allocation or a closure: 64 KiB.
    pub implicit_bytes_max: u64,
    /// Bytes of a variable: 128 KiB (10 MiB in older releases).
    pub explicit_bytes_max: u64,
    /// Bytes that a frame keeps for what has a size that is known at run time only: 32. With 0 all
    /// such objects are on the heap. What they hold always is.
    pub unknown_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            implicit_bytes_max: 64 << 10,
            explicit_bytes_max: 128 << 10,
            unknown_bytes_max: 32,
        }
    }
}
