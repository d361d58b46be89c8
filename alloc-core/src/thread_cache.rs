//! A mutator's own spans, one a (type, size class), and the fast path of allocation.
//!
//! An allocation takes the lowest bit of a *free word*: the 64 granules of a swept span's word at
//! which a slot begins and nothing is allocated. The address is the word's base plus 16 bytes
//! times the bit's place, so the path is a count of trailing zeros and `w & (w - 1)`, the same on
//! an empty span as on one that is full of holes. (Bumping a pointer through runs of free slots
//! mispredicts at every short run: in prototypes 1.4–4 times slower on a fragmented heap,
//! 0.1–0.6 ns faster on an empty one.)
//!
//! All bits of a word are set as allocated when the word is *taken*, so that an allocation writes
//! nothing but the slot; what was not used is cleared when the word is given up
//! ([`ThreadCache::flush`]). Until then nobody else reads or writes the span's allocation bits: it
//! is owned.
//!
//! *Allocating black.* While a collector marks beside the mutators, new objects must count as
//! marked. So a black cache marks every free slot of a word when it takes the word
//! ([`ThreadCache::blacken`]), and clears the marks of those that it did not use together with
//! their allocation bits: an allocation is the same few instructions in every phase. Others mark
//! objects of the same word meanwhile, so these are read-modify-writes.
//!
//! The table is addressed by the address of the [`TypeInfo`] and the class, and grows so that each
//! of some dozen kinds has its place alone ([`Places`]). Of hundreds some share theirs; a slot that
//! is not at its first place is found on the slow path at the cost of a probe or two.

use crate::central::Central;
use crate::heap::Heap;
use crate::os::PageSource;
use crate::page_error::Exhausted;
use crate::places::Places;
use crate::refill::Refill;
use crate::size_class::{GRANULE_BYTES, SizeClass};
use crate::type_info::TypeInfo;
use std::ptr::NonNull;
use std::sync::Arc;

/// 64 slots: 4 KiB.
const BITS_AT_FIRST: u32 = 6;
/// Words of a page's worth of granules.
pub(crate) const PAGE_WORDS: u32 = (crate::PAGE_BYTES / GRANULE_BYTES / 64) as u32;
/// Bytes that one word of bits stands for.
pub(crate) const WORD_BYTES: usize = 64 * GRANULE_BYTES;

/// Where one mutator allocates from.
///
/// Holds spans of one heap. A cache that is dropped without [`ThreadCache::flush`] keeps its spans
/// from being swept or reused: memory is lost until the heap goes, nothing worse.
pub struct ThreadCache {
    /// As many as `places` has places.
    slots: Box<[Slot]>,
    places: Places,
    used: usize,
    /// Slots are marked when their word is taken.
    black: bool,
}

/// One (type, class) of the cache. The first three words are the fast path.
#[repr(C, align(64))]
struct Slot {
    /// What it serves; 0 if the entry is free.
    key: usize,
    /// Free slots of the current word that have not been handed out.
    free: u64,
    /// Address of the current word's first granule.
    word_base: *mut u8,
    central: Option<Arc<Central>>,
    span: u32,
    /// Index, within the span, of the word to take next.
    word_next: u32,
    /// Words of the span; 0 if the slot has none.
    words: u32,
    /// Slots in use when the span was taken.
    live_before: u32,
}

// SAFETY: `word_base` points into the heap, whose memory no thread owns; the span it belongs to is
// owned by this cache, wherever the cache goes.
unsafe impl Send for Slot {}

impl Default for Slot {
    fn default() -> Self {
        Self {
            key: 0,
            free: 0,
            word_base: std::ptr::null_mut(),
            central: None,
            span: 0,
            word_next: 0,
            words: 0,
            live_before: 0,
        }
    }
}

#[inline(always)]
fn key_of(info: &'static TypeInfo, class: SizeClass) -> usize {
    std::ptr::from_ref(info).addr() | class.index() << 56
}

impl Default for ThreadCache {
    fn default() -> Self {
        Self::new()
    }
}

impl ThreadCache {
    /// An empty cache.
    pub fn new() -> Self {
        let places = Places::new(BITS_AT_FIRST);
        Self {
            slots: Self::empty(places),
            places,
            used: 0,
            black: false,
        }
    }

    fn empty(places: Places) -> Box<[Slot]> {
        (0..places.len()).map(|_| Slot::default()).collect()
    }

    /// Whether new objects are marked from birth.
    #[inline]
    pub fn is_black(&self) -> bool {
        self.black
    }

    /// New objects are marked from birth, until the next [`Self::flush`]: those of the words at
    /// hand, and of each word taken later.
    pub fn blacken<S: PageSource>(&mut self, heap: &Heap<S>) {
        self.black = true;
        for slot in self.slots.iter().filter(|slot| slot.free != 0) {
            heap.marks().set_in_word(slot.word_at(), slot.free);
        }
    }

    /// A slot of `class` for an object of the type `info`, uninitialised. A few instructions,
    /// unless a word or a span has to be found.
    ///
    /// The slot counts as allocated from now on: the caller initialises it before anyone scans
    /// the heap, or gives it back by [`Heap::unallocate`].
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if no span has a free slot and the page heap has no more pages; nothing is
    /// changed then.
    #[inline(always)]
    pub fn alloc<S: PageSource, R: Refill>(
        &mut self,
        heap: &Heap<S>,
        refill: &R,
        info: &'static TypeInfo,
        class: SizeClass,
    ) -> Result<NonNull<u8>, Exhausted> {
        if let Some(slot) = self.take(info, class) {
            return Ok(slot);
        }
        match self.take_next(heap, info, class) {
            Some(slot) => Ok(slot),
            None => self.alloc_slow(heap, refill, info, class),
        }
    }

    /// The fast half of [`Self::alloc`]: a slot of the current word, if it has one.
    ///
    /// Apart, and small, so that it is inlined wherever a caller allocates: the class is a
    /// constant there, and the port need not exist yet.
    #[inline(always)]
    pub fn take(&mut self, info: &'static TypeInfo, class: SizeClass) -> Option<NonNull<u8>> {
        let key = key_of(info, class);
        let index = self.places.of(key);
        // SAFETY: a place is below the number of places, of which each has a slot.
        let slot = unsafe { self.slots.get_unchecked_mut(index) };
        (slot.key == key && slot.free != 0).then(|| slot.take())
    }

    /// The second step of [`Self::alloc`], after [`Self::take`] had nothing: a slot of the next
    /// word of the span, if there is one.
    ///
    /// One call and few stores: in a nearly full heap it runs every other object, and what it
    /// pushes waits in the store buffer behind the misses of the objects before, which then no
    /// longer overlap with the next one's.
    #[inline(never)]
    pub fn take_next<S: PageSource>(
        &mut self,
        heap: &Heap<S>,
        info: &'static TypeInfo,
        class: SizeClass,
    ) -> Option<NonNull<u8>> {
        let index = Self::place(&self.slots, self.places, key_of(info, class));
        // A free entry has no words, so it has no next one.
        let black = self.black;
        let slot = &mut self.slots[index];
        (slot.free != 0 || slot.advance(heap, class, black)).then(|| slot.take())
    }

    /// The last step of [`Self::alloc`], after [`Self::take_next`] had nothing: finds a span.
    ///
    /// # Errors
    ///
    /// As [`Self::alloc`].
    #[cold]
    #[inline(never)]
    pub fn alloc_slow<S: PageSource, R: Refill>(
        &mut self,
        heap: &Heap<S>,
        refill: &R,
        info: &'static TypeInfo,
        class: SizeClass,
    ) -> Result<NonNull<u8>, Exhausted> {
        let black = self.black;
        let slot = self.find_or_insert(heap, info, class);
        while slot.free == 0 && !slot.advance(heap, class, black) {
            slot.give_up(heap);
            slot.acquire(heap, refill, class)?;
        }
        Ok(slot.take())
    }

    fn find_or_insert<S: PageSource>(
        &mut self,
        heap: &Heap<S>,
        info: &'static TypeInfo,
        class: SizeClass,
    ) -> &mut Slot {
        let key = key_of(info, class);
        let mut index = Self::place(&self.slots, self.places, key);
        if self.slots[index].key == 0 {
            let is_crowded = (self.used + 1) * 2 > self.slots.len();
            if is_crowded || index != self.places.of(key) {
                self.make_place(key, is_crowded);
                index = Self::place(&self.slots, self.places, key);
            }
            self.used += 1;
            let central = Some(heap.central(info, class));
            self.slots[index] = Slot {
                key,
                central,
                ..Slot::default()
            };
        }
        &mut self.slots[index]
    }

    /// Where `key` is, or where it would go: there is always a free entry.
    fn place(slots: &[Slot], places: Places, key: usize) -> usize {
        let mask = slots.len() - 1;
        let mut index = places.of(key);
        while slots[index].key != key && slots[index].key != 0 {
            index = (index + 1) & mask;
        }
        index
    }

    /// Lays the table out anew, so that each key has a place of its own, `key` too; of more keys
    /// than that is possible for some share theirs, in twice the places if it `is_crowded`.
    fn make_place(&mut self, key: usize, is_crowded: bool) {
        let used = self.slots.iter().map(|slot| slot.key);
        let keys: Vec<usize> = used.filter(|&used| used != 0).chain([key]).collect();
        let places = match self.places.apart(&keys) {
            Some(places) => places,
            None if is_crowded => self.places.doubled(),
            None => return,
        };
        let mut slots = Self::empty(places);
        for slot in &mut self.slots {
            if slot.key != 0 {
                // First the place: an assignment would evaluate its right side, which takes the
                // key, before the index on its left.
                let index = Self::place(&slots, places, slot.key);
                slots[index] = std::mem::take(slot);
            }
        }
        (self.slots, self.places) = (slots, places);
    }

    /// Gives up every span, with exact allocation bits, and is not black any more; returns the
    /// bytes that had been charged and were not used.
    pub fn flush<S: PageSource>(&mut self, heap: &Heap<S>) -> usize {
        let mut unused_bytes = 0;
        for slot in self.slots.iter_mut().filter(|slot| slot.words != 0) {
            unused_bytes += slot.flush(heap, self.black);
        }
        self.black = false;
        unused_bytes
    }
}

impl Slot {
    /// Hands out the lowest free bit.
    #[inline(always)]
    fn take(&mut self) -> NonNull<u8> {
        let bit = self.free.trailing_zeros() as usize;
        self.free &= self.free - 1;
        // SAFETY: `free` has bits only of granules that lie in the span, so the sum stays in the
        // heap's reserved range.
        let address = unsafe { self.word_base.add(bit * GRANULE_BYTES) };
        // SAFETY: derived from the heap's base, which is not null.
        unsafe { NonNull::new_unchecked(address) }
    }

    /// The index of the current word, if it has one.
    fn word_at(&self) -> usize {
        (self.span * PAGE_WORDS + self.word_next - 1) as usize
    }

    /// Takes the next word of the span that has a free slot, and marks these if `black`; false at
    /// the span's end.
    fn advance<S: PageSource>(&mut self, heap: &Heap<S>, class: SizeClass, black: bool) -> bool {
        while self.word_next < self.words {
            let index = (self.span * PAGE_WORDS + self.word_next) as usize;
            let allocated = heap.allocs().word(index);
            let free = class.starts(self.word_next) & !allocated;
            self.word_next += 1;
            if free != 0 {
                heap.allocs().store_word(index, allocated | free);
                if black && allocated == 0 {
                    // Nobody else has an object here to mark.
                    heap.marks().store_word(index, free);
                } else if black {
                    heap.marks().set_in_word(index, free);
                }
                self.free = free;
                self.word_base = heap.address_of_word(index);
                return true;
            }
        }
        false
    }

    /// Lets go of a span whose every slot was handed out.
    fn give_up<S: PageSource>(&mut self, heap: &Heap<S>) {
        if self.words != 0 {
            let slots = heap.spans().class(self.span).map_or(1, SizeClass::slots);
            heap.spans().set_live(self.span, slots);
            heap.spans().disown(self.span);
            self.words = 0;
        }
    }

    /// Finds the next span with a free slot: one of the central's, or a new one.
    fn acquire<S: PageSource, R: Refill>(
        &mut self,
        heap: &Heap<S>,
        refill: &R,
        class: SizeClass,
    ) -> Result<(), Exhausted> {
        let Some(central) = &self.central else {
            unreachable!("a slot without a central")
        };
        let span = loop {
            match central.next_candidate() {
                Some(span) if heap.try_own(central, span, refill) => break span,
                Some(_) => {}
                None => break heap.grow(central, refill.generation())?,
            }
        };
        self.span = span;
        self.word_next = 0;
        self.words = class.pages() * PAGE_WORDS;
        self.live_before = heap.spans().live(span);
        if self.live_before * 4 >= class.slots() * 3 {
            self.prefetch_free(heap, class);
        }
        refill.charge((class.slots() - self.live_before) as usize * class.bytes());
        Ok(())
    }

    /// Hints that the span's free slots will be written soon: they are too far apart for the
    /// processor to foresee, and their misses overlap here.
    fn prefetch_free<S: PageSource>(&self, heap: &Heap<S>, class: SizeClass) {
        for word in 0..self.words {
            let index = (self.span * PAGE_WORDS + word) as usize;
            let mut free = class.starts(word) & !heap.allocs().word(index);
            let base = heap.address_of_word(index);
            while free != 0 {
                prefetch(base.wrapping_add(free.trailing_zeros() as usize * GRANULE_BYTES));
                free &= free - 1;
            }
        }
    }

    /// Clears what was taken and not used, and offers the span to others.
    fn flush<S: PageSource>(&mut self, heap: &Heap<S>, black: bool) -> usize {
        let Some(central) = &self.central else {
            return 0;
        };
        let class = central.class;
        if self.free != 0 {
            let index = self.word_at();
            heap.allocs()
                .store_word(index, heap.allocs().word(index) & !self.free);
            if black {
                heap.marks().clear_in_word(index, self.free);
            }
            self.free = 0;
        }
        let first = (self.span * PAGE_WORDS) as usize;
        let words = first..first + self.words as usize;
        let live = words
            .map(|index| heap.allocs().word(index).count_ones())
            .sum();
        heap.spans().set_live(self.span, live);
        heap.spans().disown(self.span);
        if live < class.slots() {
            central.offer(heap.spans(), self.span);
        }
        self.words = 0;
        (class.slots() - live) as usize * class.bytes()
    }
}

/// Hints that the memory at `address` will be used soon.
#[inline(always)]
fn prefetch(address: *mut u8) {
    #[cfg(all(target_arch = "x86_64", not(heapwright_portable)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast_const().cast()) }
    }
    #[cfg(any(not(target_arch = "x86_64"), heapwright_portable))]
    let _ = address;
}
