//! The heap of bytes against a plain list of what is allocated.
//!
//! An oracle knows the address, the layout and the content of each object that it holds, and says
//! so when one overlaps another, is not aligned, is not zero though it should be, or has changed;
//! when a request fails that nothing lets fail; and when the heap's own accounts disagree with its
//! list. Each of its magazines stands for a thread: an object is freed by whichever is chosen.
//! Threads that exist have an oracle each, and give objects to each other.

use super::choices::{Bytes, Choices};
use alloc_core::malloc::{ByteHeap, Magazines, Mode};
use alloc_core::{
    Exhausted, FakeSource, HUGE_PAGE_BYTES, PAGE_BYTES, PageSource, Reach, SMALL_BYTES_MAX,
    SizeClass,
};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;

/// Bytes that an oracle holds at most.
const HELD_BYTES_MAX: usize = 4 << 20;
/// The longest span of small objects.
const SPAN_BYTES_MAX: usize = 64 << 10;
/// Operations between two looks at everything.
const LOOK_EVERY: usize = 1 << 12;

/// Something allocated, filled with a byte of its own.
#[derive(Debug)]
pub(crate) struct Object {
    address: NonNull<u8>,
    layout: Layout,
    fill: u8,
}

// SAFETY: whoever has the object may use its memory; no thread owns it.
unsafe impl Send for Object {}

impl Object {
    /// Its bytes.
    fn content(&self, bytes: usize) -> &[u8] {
        // SAFETY: allocated with at least as many bytes, all of which were written.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), bytes) }
    }

    /// Writes its bytes, if there is room for the fill.
    fn fill(&self) {
        // SAFETY: allocated by this layout, and nobody else's.
        unsafe { self.address.write_bytes(self.fill, self.layout.size()) };
    }

    /// Its first `bytes` bytes are what was written.
    fn check(&self, bytes: usize) {
        let (short, long) = ([self.fill; 64], [self.fill; 4096]);
        let block = if bytes <= 64 { &short[..] } else { &long };
        let whole = |chunk: &[u8]| chunk == &block[..chunk.len()];
        let is_whole = self.content(bytes).chunks(block.len()).all(whole);
        assert!(is_whole, "{self:?} was overwritten");
    }

    fn start(&self) -> usize {
        self.address.as_ptr().addr()
    }
}

/// Takes objects from other oracles, and gives them some.
pub(crate) trait Neighbors {
    fn give(&self, object: Object);
    fn take(&self) -> Option<Object>;
}

/// No other oracles.
pub(crate) struct Alone;

impl Neighbors for Alone {
    fn give(&self, _object: Object) {
        unreachable!("there is nobody to take it");
    }

    fn take(&self) -> Option<Object> {
        None
    }
}

/// What lets a request fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failing {
    Never,
    /// A limit is set; no more than so much is in use.
    Limit {
        most_bytes: usize,
    },
    /// The source may say no.
    Source,
}

/// One oracle, and the magazines that it uses.
pub(crate) struct Oracle<'a, S: PageSource, N> {
    heap: &'a ByteHeap<S>,
    magazines: Vec<Magazines>,
    neighbors: N,
    objects: Vec<Object>,
    /// The end of each object, by its start.
    ends: BTreeMap<usize, usize>,
    held_bytes: usize,
    fills: u8,
    steps: usize,
    failing: Failing,
    /// Requests that failed.
    pub(crate) failures: usize,
}

impl<'a, S: PageSource, N: Neighbors> Oracle<'a, S, N> {
    pub(crate) fn new(heap: &'a ByteHeap<S>, magazines: usize, neighbors: N) -> Self {
        Self {
            heap,
            magazines: (0..magazines).map(|_| Magazines::new()).collect(),
            neighbors,
            objects: Vec::new(),
            ends: BTreeMap::new(),
            held_bytes: 0,
            fills: 0,
            steps: 0,
            failing: Failing::Never,
            failures: 0,
        }
    }

    /// From now on a request may fail because the source does.
    pub(crate) fn expect_failures(&mut self) {
        self.failing = Failing::Source;
    }

    /// From now on it does not.
    pub(crate) fn expect_no_failures(&mut self) {
        self.failing = Failing::Never;
    }

    /// One operation.
    pub(crate) fn step(&mut self, choices: &mut impl Choices) {
        self.steps += 1;
        match choices.below(32) {
            _ if self.held_bytes > HELD_BYTES_MAX => self.free_many(choices),
            0..10 => self.alloc(choices),
            10..13 => self.alloc_zeroed(choices),
            13..17 => self.realloc(choices),
            17..26 => self.free(choices),
            26 => self.alloc_many(choices),
            27 => self.free_many(choices),
            28 => self.exchange(choices),
            29 => self.flush(choices),
            30 => self.release(choices),
            _ => self.limit(choices),
        }
        if let Failing::Limit { most_bytes } = self.failing {
            let in_use_bytes = self.heap.stats().in_use_bytes;
            assert!(in_use_bytes <= most_bytes, "{in_use_bytes} of {most_bytes}");
        }
    }

    /// A size and an alignment: mostly small; sometimes at a class's edge, large, or far aligned.
    fn layout(choices: &mut impl Choices) -> Layout {
        let (bytes, align) = match choices.below(64) {
            0..40 => (choices.below(256), 8),
            40..48 => (choices.below(2048), 1 << choices.below(8)),
            48..52 => (choices.below(9000), 1 << choices.below(14)),
            52..60 => {
                let class = SizeClass::from_index(choices.below(SizeClass::COUNT));
                let bytes = class.map_or(SMALL_BYTES_MAX, SizeClass::bytes);
                (bytes + choices.below(3) - 1, 16)
            }
            60 => (choices.below(1 << 18), 1 << choices.below(19)),
            _ => (choices.below(40_000), 16),
        };
        Layout::from_size_align(bytes, align).expect("a short layout")
    }

    fn magazines(&mut self, choices: &mut impl Choices) -> &mut Magazines {
        let which = choices.below(self.magazines.len());
        &mut self.magazines[which]
    }

    /// Notes an object, whose bytes are not written yet.
    fn insert(&mut self, address: NonNull<u8>, layout: Layout) {
        let start = address.as_ptr().addr();
        let usable = self.heap.usable_bytes(address);
        assert!(start.is_multiple_of(layout.align()), "{layout:?}");
        assert!(usable >= layout.size(), "{layout:?} got {usable} bytes");
        assert!(self.heap.contains(start), "{layout:?} is elsewhere");
        self.fills = self.fills.wrapping_add(1);
        let object = Object {
            address,
            layout,
            fill: self.fills,
        };
        object.fill();
        self.hold(object);
    }

    fn hold(&mut self, object: Object) {
        let (start, bytes) = (object.start(), object.layout.size().max(1));
        let end = start + bytes;
        if let Some((before, its_end)) = self.ends.range(..end).next_back() {
            assert!(*its_end <= start, "{object:?} overlaps that at {before:#x}");
        }
        self.ends.insert(start, end);
        self.held_bytes += bytes;
        self.objects.push(object);
    }

    fn take_out(&mut self, at: usize) -> Object {
        let object = self.objects.swap_remove(at);
        object.check(object.layout.size());
        self.ends.remove(&object.start());
        self.held_bytes -= object.layout.size().max(1);
        object
    }

    /// A request has failed, and may: or else no row of free pages is long enough.
    fn failed(&mut self, layout: Layout, error: &Exhausted) {
        let stats = self.heap.stats();
        let pages_bytes = layout.size().next_multiple_of(PAGE_BYTES) + layout.align();
        let needed_bytes = pages_bytes.max(SPAN_BYTES_MAX);
        assert!(
            self.failing != Failing::Never || stats.free_run_max_bytes < needed_bytes,
            "{layout:?} was refused: {error}; {stats:?}"
        );
        self.failures += 1;
    }

    /// Allocates by this layout.
    pub(crate) fn alloc_by(&mut self, choices: &mut impl Choices, layout: Layout) {
        let heap = self.heap;
        match heap.alloc(self.magazines(choices), layout) {
            Ok(address) => self.insert(address, layout),
            Err(error) => self.failed(layout, &error),
        }
    }

    fn alloc(&mut self, choices: &mut impl Choices) {
        let layout = Self::layout(choices);
        self.alloc_by(choices, layout);
    }

    fn alloc_zeroed(&mut self, choices: &mut impl Choices) {
        let (heap, layout) = (self.heap, Self::layout(choices));
        let address = match heap.alloc_zeroed(self.magazines(choices), layout) {
            Ok(address) => address,
            Err(error) => return self.failed(layout, &error),
        };
        let object = Object {
            address,
            layout,
            fill: 0,
        };
        object.check(layout.size());
        self.insert(address, layout);
    }

    fn realloc(&mut self, choices: &mut impl Choices) {
        if self.objects.is_empty() {
            return;
        }
        let old = self.take_out(choices.below(self.objects.len()));
        let bytes = Self::layout(choices).size();
        let new = Layout::from_size_align(bytes, old.layout.align()).expect("a short layout");
        let heap = self.heap;
        // SAFETY: it is in the list no more; if this fails it is put back.
        let moved = unsafe {
            let magazines = self.magazines(choices);
            heap.realloc(magazines, old.address, old.layout, new)
        };
        let address = match moved {
            Ok(address) => address,
            Err(error) => {
                self.failed(new, &error);
                old.check(old.layout.size());
                return self.hold(old);
            }
        };
        let kept = bytes.min(old.layout.size());
        Object { address, ..old }.check(kept);
        self.insert(address, new);
    }

    fn free(&mut self, choices: &mut impl Choices) {
        if self.objects.is_empty() {
            return;
        }
        let object = self.take_out(choices.below(self.objects.len()));
        let (heap, is_sized) = (self.heap, choices.below(4) > 0);
        let magazines = self.magazines(choices);
        if is_sized {
            // SAFETY: it is in the list no more.
            unsafe { heap.free(magazines, object.address, object.layout) };
        } else {
            // SAFETY: as above.
            unsafe { heap.free_unsized(magazines, object.address) };
        }
    }

    /// Frees the largest object, the newest of several.
    pub(crate) fn free_largest(&mut self) {
        let bytes = |object: &Object| object.layout.size();
        let largest = self.objects.iter().enumerate();
        let largest = largest.max_by_key(|(_, object)| bytes(object));
        if let Some((at, _)) = largest {
            let object = self.take_out(at);
            let magazines = &mut self.magazines[0];
            // SAFETY: it is in the list no more.
            unsafe { self.heap.free(magazines, object.address, object.layout) };
        }
    }

    /// As many of one layout as make spans.
    fn alloc_many(&mut self, choices: &mut impl Choices) {
        let layout = Self::layout(choices);
        let room = (HELD_BYTES_MAX / 4 / layout.size().max(1)).clamp(1, 256);
        let count = choices.below(256).min(room);
        (0..count).for_each(|_| self.alloc_by(choices, layout));
    }

    /// Half of the objects, or as many of the newest, which lie side by side.
    fn free_many(&mut self, choices: &mut impl Choices) {
        let half = self.objects.len().div_ceil(2);
        if choices.below(2) == 0 {
            (0..half).for_each(|_| self.free(choices));
        } else {
            self.objects[half / 2..].reverse();
            let magazines = choices.below(self.magazines.len());
            for _ in 0..half {
                let object = self.take_out(self.objects.len() - 1);
                let magazines = &mut self.magazines[magazines];
                // SAFETY: it is in the list no more.
                unsafe { self.heap.free(magazines, object.address, object.layout) };
            }
        }
    }

    /// Takes what neighbors have given, or gives them one.
    fn exchange(&mut self, choices: &mut impl Choices) {
        if let Some(object) = self.neighbors.take() {
            object.check(object.layout.size());
            self.hold(object);
        } else if !self.objects.is_empty() && !self.is_alone() {
            let object = self.take_out(choices.below(self.objects.len()));
            self.neighbors.give(object);
        }
    }

    fn is_alone(&self) -> bool {
        self.magazines.len() > 1
    }

    fn flush(&mut self, choices: &mut impl Choices) {
        let heap = self.heap;
        self.magazines(choices).flush(heap);
    }

    fn release(&mut self, choices: &mut impl Choices) {
        let reach = choices.of(&[Reach::Whole, Reach::Sparse, Reach::All]);
        let bytes_max = choices.of(&[PAGE_BYTES, 1 << 20, usize::MAX]);
        let released = self.heap.release(bytes_max, reach);
        let most = bytes_max.saturating_add(HUGE_PAGE_BYTES);
        assert!(released <= most, "{released} bytes for {bytes_max}");
    }

    /// Sets a limit close to what is in use, or takes it away. Limits concern all of a heap's
    /// users: one that has neighbors sets none.
    fn limit(&mut self, choices: &mut impl Choices) {
        if !self.is_alone() || self.failing == Failing::Source {
            return;
        }
        if choices.below(3) == 0 {
            let most_bytes = self.heap.stats().in_use_bytes + choices.below(64) * PAGE_BYTES;
            self.heap.set_limit(most_bytes);
            self.failing = Failing::Limit { most_bytes };
        } else {
            self.heap.set_limit(usize::MAX);
            self.failing = Failing::Never;
        }
    }

    /// Whether it is time to look at everything.
    pub(crate) fn is_due(&self) -> bool {
        self.steps.is_multiple_of(LOOK_EVERY)
    }

    /// Everything is as it should be; with every magazine of the heap among this oracle's.
    pub(crate) fn look(&mut self) {
        self.check_content();
        let heap = self.heap;
        self.magazines.iter_mut().for_each(|each| each.flush(heap));
        let in_use = heap.check_invariants();
        assert_eq!(in_use, self.objects.len(), "what is in use is what is held");
        let stats = heap.stats();
        let sum = stats.in_use_bytes + stats.retained_bytes + stats.released_bytes;
        assert_eq!(stats.grown_bytes, sum);
        let usable = |object: &Object| heap.usable_bytes(object.address);
        let (large, small): (Vec<_>, Vec<_>) = self.objects.iter().partition(|object| {
            let layout = object.layout;
            SizeClass::of(layout.size(), layout.align()).is_none()
        });
        let large_bytes: usize = large.into_iter().map(usable).sum();
        let small_bytes: usize = small.into_iter().map(usable).sum();
        assert!(
            stats.in_use_bytes >= large_bytes + small_bytes,
            "{stats:?}: too little for {large_bytes} and {small_bytes} bytes"
        );
        if small_bytes == 0 {
            assert_eq!(stats.in_use_bytes, large_bytes, "pages that nobody has");
        }
    }

    fn check_content(&self) {
        self.objects
            .iter()
            .for_each(|object| object.check(object.layout.size()));
    }

    /// Frees everything; the heap of one that is alone is empty then.
    pub(crate) fn end(mut self) {
        self.check_content();
        while let Some(object) = self.neighbors.take() {
            self.hold(object);
        }
        while let Some(last) = self.objects.len().checked_sub(1) {
            let object = self.take_out(last);
            // SAFETY: it is in the list no more.
            unsafe {
                let magazines = &mut self.magazines[0];
                self.heap.free(magazines, object.address, object.layout);
            }
        }
        let heap = self.heap;
        self.magazines.iter_mut().for_each(|each| each.flush(heap));
        if self.is_alone() {
            self.look();
            assert_eq!(heap.stats().in_use_bytes, 0, "everything was freed");
        }
    }
}

/// Runs a program on one thread to its end. `step` is told of each operation.
pub(crate) fn run<C: Choices>(
    heap: &ByteHeap<FakeSource>,
    choices: &mut C,
    mut step: impl FnMut(&mut C),
) {
    let mut oracle = Oracle::new(heap, 3, Alone);
    while !choices.is_over() {
        step(choices);
        oracle.step(choices);
        if oracle.is_due() {
            oracle.look();
        }
    }
    oracle.look();
    heap.set_limit(usize::MAX);
    oracle.end();
}

/// A byte string as a program: its first byte says whether the heap is hardened, the others are the
/// choices.
pub(crate) fn run_input(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let mode = [Mode::Plain, Mode::Hardened][usize::from(first % 2)];
    let heap = ByteHeap::new(FakeSource::new(), 8 << 20, 8 << 20, mode);
    let heap = heap.expect("memory for a program");
    run(&heap, &mut Bytes(rest), |_| ());
}
