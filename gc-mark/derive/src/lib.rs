//! `#[derive(Trace)]`.
