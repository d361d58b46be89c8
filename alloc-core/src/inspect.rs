//! Looking into a heap: objects of a span, the object at an address, spans and objects counted.

use crate::heap::{Heap, PAGE_GRANULES};
use crate::os::PageSource;
use crate::pages::PAGE_BYTES;
use crate::size_class::{GRANULE_BYTES, SMALL_BYTES_MAX};
use crate::thread_cache::PAGE_WORDS;
use crate::type_info::TypeInfo;
use std::collections::HashMap;
use std::ptr::NonNull;

/// An object that an address leads to.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The object's address.
    pub start: NonNull<u8>,
    /// Bytes of its slot.
    pub slot_bytes: usize,
    /// What it is.
    pub info: &'static TypeInfo,
}

/// The spans of one type and size class, counted.
#[derive(Clone, Copy, Debug)]
pub struct Census {
    /// The type.
    pub info: &'static TypeInfo,
    /// Bytes of a slot; of a large object, of its pages.
    pub slot_bytes: usize,
    /// Spans.
    pub spans: usize,
    /// Slots in use, as last counted: what is being allocated from counts as it was when taken.
    pub objects: usize,
    /// Slots.
    pub slots: usize,
}

/// The spans of one size class over all types, counted: how much of their memory holds objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// Bytes of a slot; `None` for large objects, which own their spans.
    pub slot_bytes: Option<usize>,
    /// Spans.
    pub spans: usize,
    /// Slots in use, as last counted.
    pub objects: usize,
    /// Slots.
    pub slots: usize,
}

impl Occupancy {
    /// The part of the slots that is in use, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.objects as f64 / (self.slots as f64).max(1.0)
    }
}

impl<S: PageSource> Heap<S> {
    /// Calls `visit` with each object of the span that is allocated and, if `dead_only`, not
    /// marked.
    ///
    /// # Safety
    ///
    /// The span's bits keep still: the caller holds its claim, or nobody allocates or sweeps.
    pub unsafe fn for_each_object(
        &self,
        span: u32,
        dead_only: bool,
        mut visit: impl FnMut(NonNull<u8>),
    ) {
        let large = self.spans().class(span).is_none();
        let words = if large {
            1
        } else {
            self.spans().pages(span) * PAGE_WORDS
        };
        let first = (span * PAGE_WORDS) as usize;
        for index in first..first + words as usize {
            let skip = if dead_only {
                self.marks().word(index)
            } else {
                0
            };
            let mut word = self.allocs().word(index) & !skip;
            while word != 0 {
                let granule = index * 64 + word.trailing_zeros() as usize;
                word &= word - 1;
                // SAFETY: a granule of a span lies in the reserved range.
                visit(unsafe { self.base().add(granule * GRANULE_BYTES) });
            }
        }
    }

    /// The object that `address` points to or into, if it is allocated.
    ///
    /// # Safety
    ///
    /// Nobody allocates or sweeps meanwhile (else the answer may be out of date, and a word that
    /// was taken counts as allocated).
    pub unsafe fn object_containing(&self, address: usize) -> Option<Found> {
        let offset = address.wrapping_sub(self.base().as_ptr().addr());
        if offset >= self.pages().heap_bytes() {
            return None;
        }
        let span = self.spans().containing((offset / PAGE_BYTES) as u32)?;
        let info = self.spans().info(span)?;
        let slot_bytes = match self.spans().class(span) {
            Some(class) => class.bytes(),
            None => self.spans().pages(span) as usize * PAGE_BYTES,
        };
        let into = offset - span as usize * PAGE_BYTES;
        let start_granule = span as usize * PAGE_GRANULES + into / slot_bytes * slot_bytes / 16;
        // The tail of a span that is too short for a slot has no start bit, so the test refuses it.
        if !self.allocs().test(start_granule) {
            return None;
        }
        // SAFETY: in the reserved range, as the offset was.
        let start = unsafe { self.base().add(start_granule * GRANULE_BYTES) };
        Some(Found {
            start,
            slot_bytes,
            info,
        })
    }

    /// Counts spans and objects by type and size class. Linear in the number of spans.
    pub fn census(&self) -> Vec<Census> {
        let mut rows: HashMap<(usize, usize), Census> = HashMap::new();
        let end = self.spans_end();
        let mut from = 0;
        while let Some(span) = self.next_span(from, end) {
            let pages = self.spans().pages(span);
            from = span + pages.max(1);
            let Some(info) = self.spans().info(span) else {
                continue;
            };
            let (slot_bytes, slots) = match self.spans().class(span) {
                Some(class) => (class.bytes(), class.slots() as usize),
                None => (pages as usize * PAGE_BYTES, 1),
            };
            let row = rows
                .entry((std::ptr::from_ref(info).addr(), slot_bytes))
                .or_insert(Census {
                    info,
                    slot_bytes,
                    spans: 0,
                    objects: 0,
                    slots: 0,
                });
            row.spans += 1;
            row.objects += self.spans().live(span) as usize;
            row.slots += slots;
        }
        rows.into_values().collect()
    }

    /// Counts spans and slots by size class, small ones first. Linear in the number of spans.
    pub fn occupancy(&self) -> Vec<Occupancy> {
        let mut rows: Vec<Occupancy> = Vec::new();
        let mut census = self.census();
        census.sort_by_key(|row| row.slot_bytes);
        for row in census {
            let slot_bytes = Some(row.slot_bytes).filter(|bytes| *bytes <= SMALL_BYTES_MAX);
            match rows.last_mut().filter(|last| last.slot_bytes == slot_bytes) {
                Some(last) => {
                    last.spans += row.spans;
                    last.objects += row.objects;
                    last.slots += row.slots;
                }
                None => rows.push(Occupancy {
                    slot_bytes,
                    spans: row.spans,
                    objects: row.objects,
                    slots: row.slots,
                }),
            }
        }
        rows
    }

    /// The spans of `info` with small objects, in no order; none is made or freed meanwhile only
    /// if the caller sees to it.
    pub fn spans_of(&self, info: &'static TypeInfo) -> Vec<u32> {
        let mut spans = Vec::new();
        for central in self.centrals() {
            if std::ptr::eq(central.info, info) {
                central.for_each(|span| spans.push(span));
            }
        }
        spans
    }

    /// Checks pages, spans and lists against each other: no two spans overlap, each of small
    /// objects is listed once by its central, and unless a cache allocates from it, it counts as
    /// many objects as its allocation bits do (or more, by slots that were unallocated).
    ///
    /// For tests, of this crate and of its users. Linear in the heap's size; nobody allocates,
    /// sweeps or frees meanwhile.
    ///
    /// # Panics
    ///
    /// If something is not as it should be, with the span at fault.
    pub fn check_invariants(&self) {
        self.pages().check_invariants();
        let mut listed = HashMap::new();
        for central in self.centrals() {
            central.check_invariants(self.spans());
            central.for_each(|span| *listed.entry(span).or_insert(0) += 1);
        }
        let (mut from, end) = (0, self.spans_end());
        while let Some(span) = self.next_span(from, end) {
            let small = self.spans().class(span).is_some();
            let times = listed.remove(&span).unwrap_or(0);
            assert_eq!(
                times,
                i32::from(small),
                "span {span} is listed {times} times"
            );
            if !self.spans().is_owned(span) {
                let mut objects = 0;
                // SAFETY: nobody allocates or sweeps meanwhile, says this function.
                unsafe { self.for_each_object(span, false, |_| objects += 1) };
                let live = self.spans().live(span);
                // More by the slots that were handed out and given back (`unallocate`).
                assert!(
                    objects <= live,
                    "span {span} counts {live} of {objects} objects"
                );
            }
            from = span + 1;
            let inside = self.next_span(from, (span + self.spans().pages(span)).min(end));
            assert_eq!(inside, None, "a span begins inside span {span}");
        }
        assert!(listed.is_empty(), "dead spans are listed: {listed:?}");
    }
}
