//! The derive serves a crate that forbids `unsafe` and every lint it can.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unused_qualifications, single_use_lifetimes)]

use gc_mark::{Rebrand, Trace};

/// Shadows names that the derive must not depend on.
#[allow(dead_code)]
mod shadow {
    pub(super) trait Sized {}
    pub(super) trait Drop {}
    pub(super) struct Option;
}

#[allow(unused_imports)]
use shadow::{Drop, Option, Sized};

/// Public, with a private type in it.
#[derive(Trace)]
pub struct Public<T, const N: usize> {
    /// Items.
    pub items: [T; N],
    private: Private,
}

#[derive(Trace)]
enum Private {
    One,
    Two(#[trace(skip)] std::cell::Cell<u8>),
}

fn both<T: Trace + Rebrand>(_: &T) -> bool {
    T::NEEDS_TRACE
}

fn main() {
    let one = Public { items: ["a", "b"], private: Private::One };
    let two = Public { items: [1_u8], private: Private::Two(Default::default()) };
    assert!(!both(&one) && !both(&two));
    match two.private {
        Private::One => unreachable!(),
        Private::Two(cell) => assert_eq!(cell.get(), 0),
    }
    drop(one.private);
}
