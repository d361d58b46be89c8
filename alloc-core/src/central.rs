//! A central: all spans of one type and size class, and which of them may have free slots.
//!
//! One list behind one lock, in two parts: `spans[..next]` have been handed out or found full in
//! this cycle, `spans[next..]` are candidates. Handing one out is `next += 1`; a new cycle sets
//! `next` to zero; a span that has slots again goes behind `next`. No span is moved between lists
//! when it is swept, so sweeping takes no lock for a span that survives.
//!
//! Invariant: `spans[i]` has position `i`, for every `i`; a span is listed from its birth to its
//! death, once.
//!
//! A candidate is only a hint: between the lock's release and the allocator's look at the span,
//! the sweeper may have freed it, and another thread may even have it back under another type.
//! [`Spans::own`] settles that.

use crate::size_class::SizeClass;
use crate::span::Spans;
use crate::sync::{Mutex, lock};
use crate::type_info::TypeInfo;

/// The spans of one (type, size class).
pub(crate) struct Central {
    pub(crate) info: &'static TypeInfo,
    pub(crate) class: SizeClass,
    pub(crate) index: u32,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    spans: Vec<u32>,
    /// Where the candidates begin.
    next: usize,
}

impl List {
    fn swap(&mut self, lines: &Spans, a: usize, b: usize) {
        self.spans.swap(a, b);
        lines.set_position(self.spans[a], a);
        lines.set_position(self.spans[b], b);
    }
}

impl Central {
    pub(crate) fn new(info: &'static TypeInfo, class: SizeClass, index: u32) -> Self {
        Self {
            info,
            class,
            index,
            list: Mutex::new(List::default()),
        }
    }

    /// Lists spans that were just born, owned by the caller: the first stays so and is no
    /// candidate, the others are given up as candidates.
    pub(crate) fn add(&self, lines: &Spans, spans: impl Iterator<Item = u32> + Clone) {
        let mut list = lock(&self.list);
        let (first, next) = (list.spans.len(), list.next);
        list.spans.extend(spans);
        for position in first..list.spans.len() {
            lines.set_position(list.spans[position], position);
        }
        list.swap(lines, first, next);
        list.next += 1;
        for span in &list.spans[first + 1..] {
            lines.disown(*span);
        }
    }

    /// How many spans are listed.
    pub(crate) fn len(&self) -> usize {
        lock(&self.list).spans.len()
    }

    /// Hands out the next span that may have free slots; each at most once a cycle, unless it is
    /// offered again. Constant time.
    pub(crate) fn next_candidate(&self) -> Option<u32> {
        let mut list = lock(&self.list);
        let span = *list.spans.get(list.next)?;
        list.next += 1;
        Some(span)
    }

    /// Makes a listed span a candidate again. Constant time.
    pub(crate) fn offer(&self, lines: &Spans, span: u32) {
        let mut list = lock(&self.list);
        let position = lines.position(span);
        if position < list.next {
            list.next -= 1;
            let next = list.next;
            list.swap(lines, position, next);
        }
    }

    /// Forgets a span that is about to die. Constant time.
    pub(crate) fn remove(&self, lines: &Spans, span: u32) {
        let mut list = lock(&self.list);
        let mut hole = lines.position(span);
        debug_assert_eq!(
            list.spans.get(hole),
            Some(&span),
            "a span is not where it says"
        );
        if hole < list.next {
            list.next -= 1;
            let next = list.next;
            list.swap(lines, hole, next);
            hole = next;
        }
        let last = list.spans.len() - 1;
        list.swap(lines, hole, last);
        list.spans.pop();
    }

    /// A new cycle: every span is a candidate.
    pub(crate) fn rewind(&self) {
        lock(&self.list).next = 0;
    }

    /// Calls `visit` with each span listed now, without the lock.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(u32)) {
        let spans = lock(&self.list).spans.clone();
        spans.into_iter().for_each(&mut visit);
    }

    /// Checks that every listed span is where it says it is, and this central's.
    ///
    /// # Panics
    ///
    /// If one is not.
    pub(crate) fn check_invariants(&self, lines: &Spans) {
        let list = lock(&self.list);
        assert!(
            list.next <= list.spans.len(),
            "candidates begin beyond the list's end"
        );
        for (position, span) in list.spans.iter().enumerate() {
            assert_eq!(
                lines.position(*span),
                position,
                "span {span} is not where it says"
            );
            assert_eq!(
                lines.central(*span),
                self.index,
                "span {span} is in the wrong central"
            );
        }
    }
}
