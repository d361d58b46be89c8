//! A heap of bytes with explicit free: pages below, magazines above, and spans in between.
//!
//! ```text
//! magazines (one a thread) ── refill, flush ── spans (held, shelved, full) ── birth, death ─ pages
//! ```
//!
//! It is a [`Heap`] whose spans all hold plain bytes. Nothing is swept there, so the array of mark
//! bits is free for another use: it holds the slots that were freed and not collected yet (see
//! `slots.rs`). A span goes back to the pages the moment its last slot is freed; what is free in
//! magazines and held spans is bounded for each thread.

use crate::heap::{Heap, NO_CENTRAL};
use crate::malloc::back::foreign;
use crate::malloc::classes::class_of;
use crate::malloc::depot::Depot;
use crate::malloc::guard::Guard;
use crate::malloc::hold::Hold;
use crate::malloc::magazines::Magazines;
use crate::malloc::shape::Shape;
use crate::malloc::shelf::Shelf;
use crate::malloc::slots::Slots;
use crate::malloc::trim::Trim;
use crate::os::PageSource;
use crate::page_error::{Exhausted, ReserveError};
use crate::page_reach::Reach;
use crate::pages::{PAGE_BYTES, PageRun, PageStats};
use crate::refill::{NoRefill, Refill};
use crate::size_class::{GRANULE_BYTES, SizeClass};
use crate::span::Birth;
#[cfg(all(unix, not(heapwright_loom)))]
use crate::sync::MutexGuard;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering};
use crate::type_info::{Ops, TypeInfo};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::time::Instant;

/// What every span holds.
static BYTES: TypeInfo = TypeInfo {
    name: || "bytes",
    size: 1,
    align: 1,
    noscan: true,
    needs_drop: false,
    ops: Ops::NONE,
};

/// Whether a heap looks for mistakes of its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It trusts them, but for what it notices by the way.
    Plain,
    /// Each free is checked (freed twice, not of this heap, not an object's beginning, the wrong
    /// size), freed memory is overwritten, and checked for writes when it is handed out again.
    /// What is found stops the program with a line that names it.
    Hardened,
}

/// A heap of bytes.
///
/// ```
/// use alloc_core::Mmap;
/// use alloc_core::malloc::{ByteHeap, Magazines, Mode};
/// use std::alloc::Layout;
///
/// let heap = ByteHeap::new(Mmap::new(), 64 << 20, 8 << 20, Mode::Plain)?;
/// let mut magazines = Box::new(Magazines::new()); // One a thread.
/// let layout = Layout::new::<[u64; 4]>();
/// let object = heap.alloc(&mut magazines, layout)?;
/// // SAFETY: it came from this heap by this layout, and is not used any more.
/// unsafe { heap.free(&mut magazines, object, layout) };
/// magazines.flush(&heap);
/// assert_eq!(heap.stats().in_use_bytes, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ByteHeap<S: PageSource> {
    heap: Heap<S>,
    shelves: [Shelf; SizeClass::COUNT],
    depots: Vec<Depot>,
    guard: Option<Guard<S>>,
    /// Bytes that were freed since the last look at what to release.
    pub(crate) unlooked_bytes: AtomicU64,
    /// Bytes of slots in use, those in magazines among them.
    pub(crate) slot_bytes: AtomicU64,
    pub(crate) trim: Mutex<Trim>,
    /// Those who allocate and free should look often.
    pub(crate) is_restless: AtomicBool,
    /// Bytes that passes have discarded.
    pub(crate) discarded_bytes: AtomicU64,
    /// The class that the pass over the shelves has come to.
    pub(crate) pass_class: AtomicU32,
    /// Where its time begins.
    pub(crate) epoch: Instant,
}

impl<S: PageSource> ByteHeap<S> {
    /// Reserves a heap as [`Heap::new`] does. A hardened one reserves another 128th for its checks.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] if not even the minimum can be reserved.
    pub fn new(
        source: S,
        reserve_bytes: usize,
        reserve_bytes_min: usize,
        mode: Mode,
    ) -> Result<Self, ReserveError> {
        let guard = match mode {
            Mode::Plain => None,
            Mode::Hardened => Some(Guard::new(&source, reserve_bytes.max(reserve_bytes_min))?),
        };
        let heap = Heap::new(source, reserve_bytes, reserve_bytes_min)?;
        // At once: what a vector grows by, the process's first heap cannot give yet.
        let mut depots = Vec::with_capacity(SizeClass::COUNT);
        depots.extend(
            (0..SizeClass::COUNT)
                .filter_map(SizeClass::from_index)
                .map(Depot::new),
        );
        Ok(Self {
            heap,
            shelves: std::array::from_fn(|_| Shelf::new()),
            depots,
            guard,
            unlooked_bytes: AtomicU64::new(0),
            slot_bytes: AtomicU64::new(0),
            trim: Mutex::new(Trim::default()),
            is_restless: AtomicBool::new(false),
            discarded_bytes: AtomicU64::new(0),
            pass_class: AtomicU32::new(0),
            epoch: Instant::now(),
        })
    }

    /// Memory for `layout`, uninitialised. A size of zero gives an address of its own as well.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if there are no pages for it; the heap is as it was then.
    ///
    /// # Panics
    ///
    /// If the magazines were used with another heap.
    pub fn alloc(
        &self,
        magazines: &mut Magazines,
        layout: Layout,
    ) -> Result<NonNull<u8>, Exhausted> {
        self.take(magazines, layout).map(|(object, _)| object)
    }

    /// As [`alloc`](Self::alloc), and every byte is zero; pages that are fresh from the system are
    /// not written for that.
    ///
    /// # Errors
    ///
    /// As for `alloc`.
    ///
    /// # Panics
    ///
    /// As for `alloc`.
    pub fn alloc_zeroed(
        &self,
        magazines: &mut Magazines,
        layout: Layout,
    ) -> Result<NonNull<u8>, Exhausted> {
        let (object, is_zero) = self.take(magazines, layout)?;
        if !is_zero {
            // SAFETY: the memory is the caller's from now on, and at least as long.
            unsafe { object.write_bytes(0, layout.size()) };
        }
        Ok(object)
    }

    /// Memory, and whether it is known to be zero.
    fn take(
        &self,
        magazines: &mut Magazines,
        layout: Layout,
    ) -> Result<(NonNull<u8>, bool), Exhausted> {
        magazines.settle(self);
        magazines.tick(self);
        let class = class_of(layout.size(), layout.align());
        let (object, is_zero) = match class {
            None => self.alloc_large(layout)?,
            Some(class) => match magazines.pop(class) {
                Some(slot) => (slot, false),
                None => (magazines.refill(self, class)?, false),
            },
        };
        if let Some(guard) = &self.guard {
            guard.hand_out(self.granule_of(object), object, class);
        }
        Ok((object, is_zero))
    }

    /// Frees memory. Constant time but for what a full magazine gives back.
    ///
    /// # Panics
    ///
    /// If the magazines were used with another heap.
    ///
    /// # Safety
    ///
    /// * `object` came from this heap, in any thread, by a layout of this size and alignment
    ///   (or was resized to it), and was not freed since.
    /// * Nobody uses it any more.
    pub unsafe fn free(&self, magazines: &mut Magazines, object: NonNull<u8>, layout: Layout) {
        magazines.settle(self);
        magazines.tick(self);
        let class = class_of(layout.size(), layout.align());
        if let Some(guard) = &self.guard {
            self.check(guard, object, Some(layout));
            guard.take_back(self.granule_of(object), object, self.usable_bytes(object));
        }
        match class {
            None => self.free_large(object),
            Some(class) => self.put(magazines, class, object),
        }
    }

    /// As [`free`](Self::free), for one who does not know the layout, at the cost of a look-up.
    ///
    /// # Panics
    ///
    /// As for `free`.
    ///
    /// # Safety
    ///
    /// As for `free`, whatever the layout was.
    pub unsafe fn free_unsized(&self, magazines: &mut Magazines, object: NonNull<u8>) {
        magazines.settle(self);
        magazines.tick(self);
        if let Some(guard) = &self.guard {
            self.check(guard, object, None);
            guard.take_back(self.granule_of(object), object, self.usable_bytes(object));
        }
        match self.class_at(object) {
            None => self.free_large(object),
            Some(class) => self.put(magazines, class, object),
        }
    }

    fn put(&self, magazines: &mut Magazines, class: SizeClass, object: NonNull<u8>) {
        if !magazines.push(class, object) {
            magazines.push_slow(self, class, object);
        }
    }

    /// Changes the size of an object, which may move it; its bytes are kept as far as they fit.
    /// In place if the new size is of the same class, or takes as many pages or fewer, or if the
    /// pages behind a large object are free.
    ///
    /// # Errors
    ///
    /// [`Exhausted`]; the object is as it was then.
    ///
    /// # Panics
    ///
    /// If the magazines were used with another heap.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free); and nobody uses the object by its old address afterwards,
    /// unless this fails. The new layout is `new_bytes` with the old alignment.
    pub unsafe fn realloc(
        &self,
        magazines: &mut Magazines,
        object: NonNull<u8>,
        layout: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, Exhausted> {
        if let Some(guard) = &self.guard {
            self.check(guard, object, Some(layout));
        }
        let old_class = class_of(layout.size(), layout.align());
        let new_class = class_of(new.size(), new.align());
        let stays = match (old_class, new_class) {
            (None, None) => new.align() <= layout.align() && self.resize_large(object, new.size()),
            (old, new) => old == new,
        };
        if stays {
            return Ok(object);
        }
        let moved = self.alloc(magazines, new)?;
        let kept = layout.size().min(new.size());
        // SAFETY: both are at least as long, and `moved` is nobody else's.
        unsafe { moved.copy_from_nonoverlapping(object, kept) };
        // SAFETY: this function's own preconditions.
        unsafe { self.free(magazines, object, layout) };
        Ok(moved)
    }

    /// Bytes that may be used at `object`, which are as many as were asked for, or more.
    ///
    /// Stops the program if no object begins there, as far as a look-up tells.
    pub fn usable_bytes(&self, object: NonNull<u8>) -> usize {
        self.heap.slot_bytes(self.span_of(object))
    }

    /// A layout that stands for the one that the object was made with, for [`Self::realloc`] by one
    /// who does not know it: of the same class, and of all the bytes that may be used.
    ///
    /// Stops the program if no object begins there, as far as a look-up tells.
    pub fn layout_of(&self, object: NonNull<u8>) -> Layout {
        let align = match self.class_at(object) {
            Some(_) => GRANULE_BYTES,
            // Beyond what a slot is aligned to, lest a short object be taken for a small one.
            None => 2 * PAGE_BYTES,
        };
        let layout = Layout::from_size_align(self.usable_bytes(object), align);
        layout.unwrap_or_else(|_| foreign(object.as_ptr().addr()))
    }

    /// The class of the span that an object lies in; `None` for a large one. Stops the program if
    /// it lies in none.
    #[inline]
    pub(crate) fn class_at(&self, object: NonNull<u8>) -> Option<SizeClass> {
        self.heap.spans().class(self.span_of(object))
    }

    /// Whether an address lies in the heap's range.
    #[inline]
    pub fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base().as_ptr().addr()) < self.heap.pages().heap_bytes()
    }

    /// The heap's first address.
    #[inline]
    pub fn base(&self) -> NonNull<u8> {
        self.heap.base()
    }

    /// What the pages are doing. What is in magazines and held spans counts as in use.
    pub fn stats(&self) -> PageStats {
        self.heap.pages().stats()
    }

    /// Bytes of free pages in spans with slots in use elsewhere that were given back so far.
    pub fn discarded_bytes(&self) -> u64 {
        // Relaxed: a statistic.
        self.discarded_bytes.load(Ordering::Relaxed)
    }

    /// Whether the heap looks for mistakes.
    pub fn mode(&self) -> Mode {
        match self.guard {
            None => Mode::Plain,
            Some(_) => Mode::Hardened,
        }
    }

    /// Sets the most bytes of pages that may be in use; see [`crate::PageHeap::set_limit`].
    pub fn set_limit(&self, limit_bytes: usize) {
        self.heap.pages().set_limit(limit_bytes);
    }

    /// Gives up to `bytes_max` bytes of free pages back to the system; see
    /// [`crate::PageHeap::release`].
    pub fn release(&self, bytes_max: usize, reach: Reach) -> usize {
        self.heap.pages().release(bytes_max, reach)
    }

    pub(crate) fn heap(&self) -> &Heap<S> {
        &self.heap
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    pub(crate) fn slots(&self) -> Slots<'_> {
        Slots {
            spans: self.heap.spans(),
            taken: self.heap.allocs(),
            freed: self.heap.marks(),
        }
    }

    pub(crate) fn shelf(&self, class: SizeClass) -> &Shelf {
        &self.shelves[class.index()]
    }

    pub(crate) fn depot(&self, class: SizeClass) -> &Depot {
        &self.depots[class.index()]
    }

    /// Every depot, locked.
    #[cfg(all(unix, not(heapwright_loom)))]
    pub(crate) fn open_depots(&self) -> [MutexGuard<'_, Vec<*mut u8>>; SizeClass::COUNT] {
        std::array::from_fn(|index| self.depots[index].open())
    }

    /// Every shelf, locked.
    #[cfg(all(unix, not(heapwright_loom)))]
    pub(crate) fn open_shelves(&self) -> [crate::malloc::shelf::Open<'_>; SizeClass::COUNT] {
        std::array::from_fn(|index| self.shelves[index].open(self.heap.spans()))
    }

    pub(crate) fn address_of_word(&self, index: usize) -> *mut u8 {
        self.heap.address_of_word(index)
    }

    pub(crate) fn granule_of(&self, object: NonNull<u8>) -> usize {
        self.heap.granule_of(object.as_ptr().addr())
    }

    /// The span that an object lies in. Stops the program if there is none.
    pub(crate) fn span_of(&self, object: NonNull<u8>) -> u32 {
        let address = object.as_ptr().addr();
        let page = address.wrapping_sub(self.base().as_ptr().addr()) / PAGE_BYTES;
        let found = if self.contains(address) {
            self.heap.spans().containing(page as u32)
        } else {
            None
        };
        found.unwrap_or_else(|| foreign(address))
    }

    /// A span of the class that the caller holds from now on: one with room, or a new one.
    pub(crate) fn find_span(&self, class: SizeClass) -> Result<u32, Exhausted> {
        if let Some(span) = self.shelf(class).take(self.heap.spans()) {
            return Ok(span);
        }
        let run = self.heap.take_pages(Shape::of(class).pages, 1)?.run;
        if let Some(guard) = &self.guard {
            guard.poison(self.heap.address_of(run.start), run.bytes());
        }
        self.birth(run, Some(class), Hold::NEWBORN);
        Ok(run.start)
    }

    /// Makes a span of a run.
    pub(crate) fn birth(&self, run: PageRun, class: Option<SizeClass>, hold: Hold) {
        let birth = Birth {
            info: &BYTES,
            class,
            pages: run.count,
            central: NO_CENTRAL,
            generation: NoRefill.generation(),
        };
        self.heap.spans().hold(run.start).begin(hold);
        self.heap.spans().birth(run.start, birth);
    }

    /// Gives up a span that the caller holds and has taken `taken` slots of.
    pub(crate) fn leave(&self, class: SizeClass, span: u32, taken: u32) {
        if self.slots().leave(self.shelf(class), class, span, taken) {
            self.bury(span, Shape::of(class).pages);
        }
    }

    /// Gives up a span that the caller holds and whose free pages it has discarded
    /// when `used` slots were in use.
    pub(crate) fn leave_discarded(&self, class: SizeClass, span: u32, used: u32) {
        let slots = self.slots();
        if slots.leave_discarded(self.shelf(class), class, span, used) {
            self.bury(span, Shape::of(class).pages);
        }
    }
}
