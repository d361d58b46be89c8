//! `#[derive(Trace)]`: what a type must tell a marker, written by the compiler.
//!
//! The derive reads the type's declaration (`input`), its `#[trace(...)]` attributes (`attr`), and
//! emits two impls and the checks that make them true (`expand`). What rustc can check, rustc
//! checks: a promise about a field becomes a bound or an assertion on the field's type, never a
//! judgement about its spelling. Spelling decides only how much is asked of a type parameter, and
//! errs towards more.
//!
//! The user's documentation, with examples that compile, is this crate's README; `gc-mark` shows it
//! on its re-export of the macro, because a proc-macro crate cannot depend on the crate that it
//! writes code for.

mod attr;
mod expand;
mod input;
mod rebrand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `Trace` and `Rebrand` for a struct or an enum, and refuses what they cannot be true
/// for. `gc-mark`'s re-export of this macro carries the manual.
#[proc_macro_derive(Trace, attributes(trace))]
pub fn derive_trace(tokens: TokenStream) -> TokenStream {
    let input = parse_macro_input!(tokens as DeriveInput);
    expand::derive(input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
