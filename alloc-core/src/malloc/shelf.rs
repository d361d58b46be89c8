//! A shelf: the spans of one size class that nobody holds and that have room.
//!
//! A list through the spans' own lines, so that the allocator needs no memory to keep books; last
//! in, first out. One lock a class guards the links.
//!
//! Invariant: under the lock, a span is on the shelf if and only if its word says `listed`. A span
//! that is held by who saw its last slot freed is still there until that one takes it off.

use crate::malloc::hold::Hold;
use crate::span::Spans;
use crate::sync::{Mutex, MutexGuard, lock};

/// No span.
const NONE: u32 = u32::MAX;

/// The spans of a class that have room and no holder.
pub(crate) struct Shelf {
    first: Mutex<u32>,
}

/// A shelf whose lock is held.
pub(crate) struct Open<'a> {
    first: MutexGuard<'a, u32>,
    spans: &'a Spans,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self {
            first: Mutex::new(NONE),
        }
    }

    /// A shelf that begins with a span that is linked to the others.
    #[cfg(all(test, heapwright_loom))]
    pub(crate) fn from_first(first: u32) -> Self {
        Self {
            first: Mutex::new(first),
        }
    }

    /// Waits for the lock.
    pub(crate) fn open<'a>(&'a self, spans: &'a Spans) -> Open<'a> {
        Open {
            first: lock(&self.first),
            spans,
        }
    }

    /// Takes a span off the shelf, for the caller to hold. Constant time, but for spans that are
    /// dying just now.
    pub(crate) fn take(&self, spans: &Spans) -> Option<u32> {
        let mut open = self.open(spans);
        let mut span = *open.first;
        while span != NONE {
            let mut old = spans.hold(span).get();
            // A span that is dying belongs to who takes it off.
            while !old.is_owned() {
                match spans.hold(span).exchange(old, Hold::taken(old.used())) {
                    Ok(()) => {
                        open.unlink(span);
                        return Some(span);
                    }
                    Err(now) => old = now,
                }
            }
            span = spans.links(span).1;
        }
        None
    }

    /// Takes spans in which something was freed since they were last looked through, as many as
    /// there are and `into` has room for; how many. Linear in the shelf's length.
    pub(crate) fn take_stale(&self, spans: &Spans, into: &mut [u32]) -> usize {
        let mut open = self.open(spans);
        let (mut span, mut count) = (*open.first, 0);
        while span != NONE && count < into.len() {
            let next = spans.links(span).1;
            let old = spans.hold(span).get();
            // Who frees there just now makes it stale again, and one pass may miss it.
            let is_stale = !old.is_owned() && !old.is_discarded();
            if is_stale
                && spans
                    .hold(span)
                    .exchange(old, Hold::taken(old.used()))
                    .is_ok()
            {
                open.unlink(span);
                into[count] = span;
                count += 1;
            }
            span = next;
        }
        count
    }

    /// Calls `visit` with each span on the shelf; the lock is held meanwhile.
    pub(crate) fn for_each(&self, spans: &Spans, mut visit: impl FnMut(u32)) {
        let open = self.open(spans);
        let mut span = *open.first;
        while span != NONE {
            visit(span);
            span = spans.links(span).1;
        }
    }
}

impl Open<'_> {
    /// The first span, or none.
    #[cfg(all(test, heapwright_loom))]
    pub(crate) fn first(&self) -> u32 {
        *self.first
    }

    /// Puts a span on the shelf.
    pub(crate) fn link(&mut self, span: u32) {
        let next = *self.first;
        self.spans.set_previous(span, NONE);
        self.spans.set_next(span, next);
        if next != NONE {
            self.spans.set_previous(next, span);
        }
        *self.first = span;
    }

    /// Takes a span off the shelf.
    pub(crate) fn unlink(&mut self, span: u32) {
        let (previous, next) = self.spans.links(span);
        if next != NONE {
            self.spans.set_previous(next, previous);
        }
        if previous == NONE {
            *self.first = next;
        } else {
            self.spans.set_next(previous, next);
        }
    }
}
