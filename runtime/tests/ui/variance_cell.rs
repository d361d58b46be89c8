//! A cell of one type does not pass for a cell of a supertype: what is stored through the one
//! would be read through the other.

use runtime::{Cx, Gc, GcCell, Heap, Trace};
use std::sync::Mutex;

#[derive(Trace)]
struct Callback<F: 'static> {
    #[trace(skip)]
    call: F,
}

type Any = Callback<for<'a> fn(&'a str)>;
type Static = Callback<fn(&'static str)>;

static KEPT: Mutex<Option<&'static str>> = Mutex::new(None);

fn keep(text: &'static str) {
    *KEPT.lock().unwrap() = Some(text);
}

fn store<'gc>(cell: &GcCell<'gc, Static>, cx: &Cx<'gc>, value: Gc<'gc, Static>) {
    cell.set(cx, Some(value));
}

fn main() {
    Heap::new().unwrap().mutator().enter(|cx| {
        let cell: GcCell<'_, Any> = GcCell::empty();
        let strict = cx.alloc(Static { call: keep });
        store(&cell, cx, strict);
        let text = String::from("gone");
        (cell.get().unwrap().call)(&text);
    });
}
