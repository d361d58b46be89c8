//! The heap as each of the other crates sees it: one small implementation of a port a file.
//!
//! Here the promises are made that let `gc-mark`, `gc-sweep` and `scavenger` do without `unsafe`.

pub(crate) mod ahead;
pub(crate) mod mark;
pub(crate) mod refill;
pub(crate) mod scavenge;
pub(crate) mod source;
pub(crate) mod sweep;
