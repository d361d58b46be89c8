//! Where stacks get their memory: blocks by size, cut from runs of pages of a page heap.
//!
//! Blocks are powers of two from 1 KiB. Small ones share a run of 32 KiB, whose free blocks are the
//! bits of a word; from there on a block is a run. A run that has come free goes back to the page
//! heap, and so to the scavenger; of each small size one free run is kept, so that a stack that
//! comes and goes does not take the page heap's lock each time.
//!
//! The pages are a collected heap's, and count towards its limit, or a page heap of the pool's own,
//! which is of huge pages from its beginning: its first stack makes 2 MiB resident.
//! The pool's lock is not held when the page heap is called.

use crate::ports::source::AnySource;
use crate::raw::core::Core;
use crate::sync::{Mutex, lock};
use alloc_core::{Exhausted, Mmap, PAGE_BYTES, PageHeap, PageRun, ReserveError};
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes of the smallest block.
pub(crate) const BLOCK_BYTES_MIN: usize = 1 << BLOCK_SHIFT;
const BLOCK_SHIFT: u32 = 10;
/// Sizes: up to 4 GiB.
const ORDERS: usize = 23;
/// Bytes of a run that small blocks share.
const RUN_BYTES: usize = 32 << 10;
/// Addresses that a pool without a heap reserves, and the fewest that are worth having.
const RESERVE_BYTES: [usize; 2] = [64 << 30, 64 << 20];
/// Not in the list of runs with room.
const NOWHERE: u32 = u32::MAX;

/// Memory for a stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) at: NonNull<u8>,
    /// A power of two.
    bytes: usize,
    /// Which of the run's blocks.
    index: u8,
    run: u32,
}

impl Block {
    #[inline(always)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The order of the smallest block of at least `bytes`, if there is any.
fn order_of(bytes: usize) -> Option<u8> {
    let order = bytes.div_ceil(BLOCK_BYTES_MIN).next_power_of_two().ilog2();
    ((order as usize) < ORDERS).then_some(order as u8)
}

/// Blocks in a run.
fn blocks_of(order: u8) -> u32 {
    (RUN_BYTES >> BLOCK_SHIFT >> order).max(1) as u32
}

/// A word with a bit for each block of a run.
fn all_of(order: u8) -> u32 {
    u32::MAX >> (32 - blocks_of(order))
}

/// A run of pages.
#[derive(Debug)]
struct Run {
    pages: Option<PageRun>,
    /// Free blocks.
    free: u32,
    /// Where the list of runs with room has it.
    place: u32,
}

/// Blocks of one size.
#[derive(Debug, Default)]
struct Order {
    runs: Vec<Run>,
    /// Runs with room.
    open: Vec<u32>,
    /// Entries of `runs` without pages.
    vacant: Vec<u32>,
    /// Runs of which every block is free.
    spare: u32,
}

impl Order {
    /// A free block: its run and its index.
    fn take(&mut self, order: u8) -> Option<(u32, u8)> {
        let number = *self.open.last()?;
        let run = &mut self.runs[number as usize];
        self.spare -= u32::from(run.free == all_of(order));
        let index = run.free.trailing_zeros() as u8;
        run.free &= run.free - 1;
        if run.free == 0 {
            run.place = NOWHERE;
            self.open.pop();
        }
        Some((number, index))
    }

    /// Adds a run whose first block is in use.
    fn add(&mut self, order: u8, pages: PageRun) -> u32 {
        let run = Run {
            pages: Some(pages),
            free: all_of(order) & !1,
            place: NOWHERE,
        };
        let number = match self.vacant.pop() {
            Some(number) => {
                self.runs[number as usize] = run;
                number
            }
            None => {
                self.runs.push(run);
                (self.runs.len() - 1) as u32
            }
        };
        if self.runs[number as usize].free != 0 {
            self.list(number);
        }
        number
    }

    fn list(&mut self, number: u32) {
        self.runs[number as usize].place = self.open.len() as u32;
        self.open.push(number);
    }

    /// Takes a block back; a run that is to go back to the page heap, if that was its last.
    fn give(&mut self, order: u8, number: u32, index: u8) -> Option<PageRun> {
        let run = &mut self.runs[number as usize];
        assert!(
            run.free & (1 << index) == 0,
            "a stack's block is given back twice"
        );
        run.free |= 1 << index;
        let is_free = run.free == all_of(order);
        if run.place == NOWHERE {
            self.list(number);
        }
        if !is_free {
            return None;
        }
        if self.spare == 0 && blocks_of(order) > 1 {
            self.spare = 1;
            return None;
        }
        let run = &mut self.runs[number as usize];
        let (place, pages) = (run.place as usize, run.pages.take());
        run.place = NOWHERE;
        self.open.swap_remove(place);
        if let Some(&moved) = self.open.get(place) {
            self.runs[moved as usize].place = place as u32;
        }
        self.vacant.push(number);
        pages
    }
}

/// Whose pages they are.
pub(crate) enum Pages {
    Own(Box<PageHeap<AnySource>>),
    OfHeap(Arc<Core>),
}

impl Pages {
    /// Pages of the pool's own, huge ones where the system has any: a stack that grows touches
    /// twice its size for the first time, which by small pages costs several times the copying.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] if the system has no address range for them.
    pub(crate) fn own() -> Result<Self, ReserveError> {
        let source = AnySource::new(Mmap::default());
        let [bytes, bytes_min] = RESERVE_BYTES;
        let pages = PageHeap::new(source, bytes, bytes_min, |_| 0)?;
        // A hint: if it is refused, pages are small.
        #[cfg(all(target_os = "linux", not(heapwright_portable)))]
        // SAFETY: the range is the page heap's alone; the advice changes no content.
        let _ = unsafe {
            libc::madvise(
                pages.base().as_ptr().cast(),
                pages.heap_bytes(),
                libc::MADV_HUGEPAGE,
            )
        };
        Ok(Self::Own(Box::new(pages)))
    }

    pub(crate) fn heap(&self) -> &PageHeap<AnySource> {
        match self {
            Self::Own(pages) => pages,
            Self::OfHeap(core) => core.heap.pages(),
        }
    }
}

/// The pools of all sizes.
pub(crate) struct Pool {
    pub(crate) pages: Pages,
    orders: Mutex<[Order; ORDERS]>,
}

impl Pool {
    pub(crate) fn new(pages: Pages) -> Self {
        Self {
            pages,
            orders: Mutex::default(),
        }
    }

    /// A block of at least `bytes`.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if there are no pages for it.
    pub(crate) fn take(&self, bytes: usize) -> Result<Block, Exhausted> {
        let heap = self.pages.heap();
        let Some(order) = order_of(bytes) else {
            return Err(Exhausted::Range {
                asked_bytes: bytes,
                in_use_bytes: heap.stats().in_use_bytes,
                reserved_bytes: heap.heap_bytes(),
            });
        };
        let found = {
            let mut orders = lock(&self.orders);
            let class = &mut orders[order as usize];
            class.take(order).map(|(run, index)| {
                let pages = class.runs[run as usize].pages;
                (run, index, pages)
            })
        };
        let (run, index, pages) = match found {
            Some((run, index, Some(pages))) => (run, index, pages),
            Some((.., None)) => unreachable!("a run with room has pages"),
            None => {
                let bytes = RUN_BYTES.max(BLOCK_BYTES_MIN << order);
                let pages = heap.alloc((bytes / PAGE_BYTES) as u32)?;
                (
                    lock(&self.orders)[order as usize].add(order, pages),
                    0,
                    pages,
                )
            }
        };
        let offset = (index as usize) << order << BLOCK_SHIFT;
        // SAFETY: the run has as many blocks of this size as its word has bits.
        let at = unsafe { heap.address(pages).add(offset) };
        Ok(Block {
            at,
            bytes: BLOCK_BYTES_MIN << order,
            index,
            run,
        })
    }

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// It came from this pool's [`Self::take`], and nobody uses it any more.
    pub(crate) unsafe fn give(&self, block: Block) {
        let Block { index, run, .. } = block;
        let order = (block.bytes >> BLOCK_SHIFT).ilog2() as u8;
        let empty = lock(&self.orders)[order as usize].give(order, run, index);
        if let Some(pages) = empty {
            // SAFETY: every block of the run is free, and nobody knows of it any more.
            unsafe { self.pages.heap().free(pages) };
        }
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    fn pool() -> Pool {
        let source = AnySource::new(Mmap::default());
        let pages = PageHeap::new(source, 64 << 20, 64 << 20, |_| 0).unwrap();
        Pool::new(Pages::Own(Box::new(pages)))
    }

    fn in_use_bytes(pool: &Pool) -> usize {
        pool.pages.heap().stats().in_use_bytes
    }

    /// What a block holds. Pages are zero at first, and are written before they are read anew.
    fn words(block: &mut Block) -> &mut [u64] {
        let words = NonNull::slice_from_raw_parts(block.at.cast(), block.bytes() / 8);
        // SAFETY: the block is the test's alone, aligned, and initialised: by the system or by it.
        unsafe { &mut *words.as_ptr() }
    }

    /// Kills: `pool-keeps-every-run`.
    #[test]
    fn blocks_do_not_overlap_and_empty_runs_go_back() {
        let pool = pool();
        let mut random = fastrand::Rng::with_seed(1);
        let mut held: Vec<(Block, u64)> = Vec::new();
        for round in 0..20_000_u64 {
            if held.len() < 300 && random.bool() {
                let mut block = pool.take(random.usize(1..200_000)).unwrap();
                words(&mut block).fill(round);
                held.push((block, round));
            } else if !held.is_empty() {
                let (mut block, wrote) = held.swap_remove(random.usize(..held.len()));
                assert!(words(&mut block).iter().all(|word| *word == wrote));
                // SAFETY: taken from this pool and given back once.
                unsafe { pool.give(block) };
            }
        }
        for (block, _) in held {
            // SAFETY: as above.
            unsafe { pool.give(block) };
        }
        // One free run of each of the five sizes below 32 KiB may stay.
        assert!(in_use_bytes(&pool) <= 5 * RUN_BYTES);
        pool.pages.heap().check_invariants();
    }

    #[test]
    fn a_size_that_no_pool_has_is_refused() {
        let pool = pool();
        assert!(pool.take(128 << 20).is_err(), "beyond the range");
        assert!(pool.take(usize::MAX / 2).is_err(), "beyond every size");
        assert_eq!(in_use_bytes(&pool), 0);
    }
}
