//! Spans: runs of pages that hold objects of one type and size, and the line of metadata of each.
//!
//! A span is named by the index of its first page. Its line lies in a table beside the heap (one
//! 64 B line a page, touched for first pages only), and a bit a page says where spans begin: the
//! bits enumerate spans without reading a line, and lead an interior address to its span. A second
//! bit a page says which of them hold objects that need to be dropped, so that sweeping finds the
//! spans of one kind among 64 pages in two words.
//!
//! # The words of a line
//!
//! | word | values | written by |
//! |---|---|---|
//! | `generation` | 0 no span · g−2 unswept · g−1 claimed · g swept | birth, the claimant |
//! | `owner` | 0 nobody · 1 a thread cache allocates from it | [`Spans::own`], [`Spans::disown`] |
//! | `central` | which central lists it | birth and death, under that central's lock |
//! | `position` | its place in that list | under that central's lock |
//! | `live` | slots in use when last counted | the owner or the sweep's claimant |
//! | `hold`, `next`, `previous` | see `malloc/hold.rs`; unused in a heap that is swept | as there |
//! | the others | fixed | birth |
//!
//! g is the heap's sweep generation, which the heap's owner keeps. How a sweep is claimed is the
//! owner's affair as well: by moving the word to g−1, or beside it, as gc-sweep does, to which a
//! claimed span stays at g−2.
//!
//! Invariant: a span's allocation bits are written only by its owner (`owner` = 1) or by the
//! claimant of its sweep; the two never meet, because an allocator owns a span only after it has
//! seen it swept, and a swept span is claimed again only in the next cycle, which begins after
//! every owner has given up its spans.
//!
//! Proof sketch for `own`: of all threads that were handed the same span by mistake (it died and
//! was born again between two looks at it), compare-exchange lets one in; the winner then looks at
//! `central` again, which birth wrote before it published the head bit and never changes while the
//! span lives, so a span of another list is handed back untouched.

use crate::bits::Bits;
use crate::malloc::HoldWord;
use crate::size_class::SizeClass;
use crate::sync::{AtomicPtr, AtomicU32, Ordering, Table, Zeroed};
use crate::type_info::TypeInfo;
use std::ptr::NonNull;

/// The class word of a span that holds one large object.
const LARGE: u32 = u32::MAX;

/// One span's line of metadata.
#[derive(Default)]
#[repr(C, align(64))]
pub(crate) struct Line {
    info: AtomicPtr<TypeInfo>,
    generation: AtomicU32,
    owner: AtomicU32,
    central: AtomicU32,
    position: AtomicU32,
    live: AtomicU32,
    pages: AtomicU32,
    class: AtomicU32,
    hold: HoldWord,
    next: AtomicU32,
    previous: AtomicU32,
}

impl Line {
    /// The size class; `None` for a large object.
    #[inline]
    pub(crate) fn class(&self) -> Option<SizeClass> {
        // Relaxed: fixed since birth, which the head bit or the generation word published.
        SizeClass::from_index(self.class.load(Ordering::Relaxed) as usize)
    }

    /// Pages of the span.
    #[inline]
    pub(crate) fn pages(&self) -> u32 {
        // Relaxed: fixed since birth, as in `class`.
        self.pages.load(Ordering::Relaxed)
    }

    /// Slots in use when last counted: exact for a span that is swept and not owned.
    #[inline]
    pub(crate) fn live(&self) -> u32 {
        // Relaxed: published by the generation word or the owner word.
        self.live.load(Ordering::Relaxed)
    }

    /// Records a count; the caller owns the span or its sweep.
    #[inline]
    pub(crate) fn set_live(&self, live: u32) {
        // Relaxed: published by the generation word or the owner word, whichever the caller
        // writes next.
        self.live.store(live, Ordering::Relaxed);
    }
}

// SAFETY: made of atomics; zero is a null pointer and zeros.
unsafe impl Zeroed for Line {}

/// What is fixed about a span from birth to death.
#[derive(Clone, Copy)]
pub(crate) struct Birth {
    pub(crate) info: &'static TypeInfo,
    /// `None`: one large object.
    pub(crate) class: Option<SizeClass>,
    pub(crate) pages: u32,
    pub(crate) central: u32,
    pub(crate) generation: u32,
}

/// All spans of a heap.
pub(crate) struct Spans {
    lines: Table<Line>,
    heads: Bits,
    /// A bit a page: a span begins there whose objects need to be dropped.
    glue: Bits,
}

impl Spans {
    pub(crate) fn new(lines: Table<Line>, heads: Bits, glue: Bits) -> Self {
        Self { lines, heads, glue }
    }

    /// Bytes of lines for `pages` pages.
    pub(crate) const fn line_bytes(pages: usize) -> usize {
        pages * size_of::<Line>()
    }

    /// A table over mapped, zeroed memory.
    ///
    /// # Safety
    ///
    /// As [`Table::from_raw`]: `pages` lines at `base`, aligned to 64.
    pub(crate) unsafe fn lines_at(base: NonNull<u8>, pages: usize) -> Table<Line> {
        // SAFETY: this function's own preconditions.
        unsafe { Table::from_raw(base, pages) }
    }

    fn line(&self, span: u32) -> &Line {
        self.lines.get(span as usize)
    }

    /// The lines of the 64 pages from `first`, or of as many as there are: for a loop that should
    /// not look up where they are.
    #[inline]
    pub(crate) fn batch(&self, first: u32) -> &[Line] {
        let first = first as usize;
        self.lines.slice(first, (self.lines.len() - first).min(64))
    }

    /// Fills in the line of a span on pages that the caller alone holds, owned by the caller, and
    /// makes it findable.
    pub(crate) fn birth(&self, span: u32, birth: Birth) {
        // Before any word by which the span could be found.
        if birth.info.needs_drop {
            self.glue.set(span as usize);
        }
        let line = self.line(span);
        let class = birth.class.map_or(LARGE, |class| class.index() as u32);
        // Relaxed, all of them: `heads.set` publishes them (Release).
        line.info
            .store(std::ptr::from_ref(birth.info).cast_mut(), Ordering::Relaxed);
        line.class.store(class, Ordering::Relaxed);
        line.pages.store(birth.pages, Ordering::Relaxed);
        line.live.store(0, Ordering::Relaxed);
        line.owner.store(1, Ordering::Relaxed);
        line.central.store(birth.central, Ordering::Relaxed);
        // Release: pairs with the Acquire in `generation`, for those who kept the span's number.
        line.generation.store(birth.generation, Ordering::Release);
        self.heads.set(span as usize);
    }

    /// Makes a span unfindable whose generation word is 0 already; its pages may be used anew
    /// afterwards.
    pub(crate) fn bury(&self, span: u32) {
        debug_assert_eq!(self.generation(span), 0, "a span is buried alive");
        self.heads.clear(span as usize);
        if self.glue.test(span as usize) {
            self.glue.clear(span as usize);
        }
    }

    /// The span's generation word.
    #[inline]
    pub(crate) fn generation(&self, span: u32) -> u32 {
        // Acquire: pairs with the Release in `publish_generation`; who sees the span swept sees
        // its new allocation bits.
        self.line(span).generation.load(Ordering::Acquire)
    }

    /// Moves the generation word from `current` to `new`; false if it was not `current`.
    #[inline]
    pub(crate) fn exchange_generation(&self, span: u32, current: u32, new: u32) -> bool {
        let word = &self.line(span).generation;
        // Acquire: pairs with the Release in `publish_generation`, and what the last owner counted
        // came before that. Nothing is handed over by the claim itself.
        // Relaxed on failure: the loser touches nothing.
        word.compare_exchange(current, new, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Ends a claim: the span is swept.
    #[inline]
    pub(crate) fn publish_generation(&self, span: u32, generation: u32) {
        // Release: pairs with the Acquire in `generation`.
        self.line(span)
            .generation
            .store(generation, Ordering::Release);
    }

    /// Takes the span for allocation, if nobody has and it is one of `central`'s.
    pub(crate) fn own(&self, span: u32, central: u32) -> bool {
        let line = self.line(span);
        // Acquire: pairs with the Release in `disown`; the new owner sees the old one's bits.
        // Relaxed on failure: the loser touches nothing.
        let won = line
            .owner
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if won && self.central(span) != central {
            self.disown(span);
            return false;
        }
        won
    }

    /// Gives up a span that the caller owns.
    pub(crate) fn disown(&self, span: u32) {
        // Release: pairs with the Acquire in `own`.
        self.line(span).owner.store(0, Ordering::Release);
    }

    /// Whether somebody allocates from the span, as far as one look tells.
    pub(crate) fn is_owned(&self, span: u32) -> bool {
        // Relaxed: for statistics, which say that they may be a moment old.
        self.line(span).owner.load(Ordering::Relaxed) != 0
    }

    /// What the span's objects are; `None` where no span begins.
    #[inline]
    pub(crate) fn info(&self, span: u32) -> Option<&'static TypeInfo> {
        // Relaxed: whoever knows of the span found its head bit or its generation word (Acquire
        // both), which birth set after this.
        let info = self.line(span).info.load(Ordering::Relaxed);
        // SAFETY: null, or made from a `&'static TypeInfo` in `birth`.
        unsafe { info.as_ref() }
    }

    /// The size class; `None` for a large object.
    #[inline]
    pub(crate) fn class(&self, span: u32) -> Option<SizeClass> {
        self.line(span).class()
    }

    /// Pages of the span.
    #[inline]
    pub(crate) fn pages(&self, span: u32) -> u32 {
        self.line(span).pages()
    }

    /// A large object's span has `pages` pages now, because it gave some up or got more.
    pub(crate) fn resize(&self, span: u32, pages: u32) {
        // Relaxed: the object's owner alone asks, and hands the object on by its own means.
        self.line(span).pages.store(pages, Ordering::Relaxed);
    }

    /// Who has the span, where slots are freed one by one.
    #[inline]
    pub(crate) fn hold(&self, span: u32) -> &HoldWord {
        &self.line(span).hold
    }

    /// The spans before and behind this one on its shelf; the caller holds the shelf's lock.
    pub(crate) fn links(&self, span: u32) -> (u32, u32) {
        let line = self.line(span);
        // Relaxed: ordered by the shelf's lock.
        let previous = line.previous.load(Ordering::Relaxed);
        // Relaxed: as above.
        (previous, line.next.load(Ordering::Relaxed))
    }

    /// Sets what is before this span on its shelf; the caller holds the shelf's lock.
    pub(crate) fn set_previous(&self, span: u32, previous: u32) {
        // Relaxed: ordered by the shelf's lock.
        self.line(span).previous.store(previous, Ordering::Relaxed);
    }

    /// Sets what is behind this span on its shelf; the caller holds the shelf's lock.
    pub(crate) fn set_next(&self, span: u32, next: u32) {
        // Relaxed: ordered by the shelf's lock.
        self.line(span).next.store(next, Ordering::Relaxed);
    }

    /// Which central lists the span.
    pub(crate) fn central(&self, span: u32) -> u32 {
        // Relaxed: fixed since birth, as in `class`.
        self.line(span).central.load(Ordering::Relaxed)
    }

    /// The span's place in its central's list; the caller holds that central's lock.
    pub(crate) fn position(&self, span: u32) -> usize {
        // Relaxed: ordered by the central's lock.
        self.line(span).position.load(Ordering::Relaxed) as usize
    }

    /// Sets the place; the caller holds that central's lock.
    pub(crate) fn set_position(&self, span: u32, position: usize) {
        // Relaxed: ordered by the central's lock.
        self.line(span)
            .position
            .store(position as u32, Ordering::Relaxed);
    }

    /// Slots in use when last counted: exact for a span that is swept and not owned.
    #[inline]
    pub(crate) fn live(&self, span: u32) -> u32 {
        self.line(span).live()
    }

    /// Records a count; the caller owns the span or its sweep.
    #[inline]
    pub(crate) fn set_live(&self, span: u32, live: u32) {
        self.line(span).set_live(live);
    }

    /// The first span at or after page `from` and before `end`.
    pub(crate) fn next(&self, from: u32, end: u32) -> Option<u32> {
        self.heads
            .next_set(from as usize, end as usize)
            .map(|span| span as u32)
    }

    /// The spans among the 64 pages from `from` that need drop, or those that do not.
    #[inline]
    pub(crate) fn by_drop(&self, from: u32, needs_drop: bool) -> u64 {
        debug_assert_eq!(from % 64, 0, "{from} is not the first page of a word");
        // Of a span that is being born either may be missing: nobody looks at it but by its
        // generation word, which says that there is nothing to sweep.
        let heads = self.heads.word(from as usize / 64);
        let glue = self.glue.word(from as usize / 64);
        heads & if needs_drop { glue } else { !glue }
    }

    /// The span that page `page` belongs to.
    pub(crate) fn containing(&self, page: u32) -> Option<u32> {
        let span = self.heads.prev_set(page as usize)? as u32;
        (page - span < self.pages(span)).then_some(span)
    }
}
