//! The memory of one stack: frames from the bottom up, and from the top down a directory that says
//! where each begins.
//!
//! ```text
//! | frame 0 | frame 1 | ... | top             free             limit | ... | at of 1 | at of 0 |
//! ```
//!
//! A frame is named by its index and found through the directory, so nothing in the memory is an
//! address of the memory: growing copies both ends and rewrites nothing. The directory costs four
//! bytes a frame, and in return an index from anywhere is checked with one compare. It is also what
//! a pop finds the top frame by, which begins where the top will be.
//!
//! So a push and a pop change two words and a count, which a caller's loop keeps in registers: the
//! type is `Copy`, and what is rare takes it and returns it by value (see `frames`).

use super::kind::{Header, Known};
use super::pool::Block;
use crate::raw::object_type::ops;
use gc_mark::{Kind, Object};
use std::ptr::NonNull;

/// Bytes of a directory's entry: a stack has 4 GiB at most.
const ENTRY_BYTES: usize = size_of::<u32>();

/// A stack's memory, as whoever uses it keeps it at hand. Offsets are in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) block: Block,
    /// Where the next frame will be.
    pub(crate) top: usize,
    /// Where the directory's next entry will be.
    pub(super) limit: usize,
    /// Of the next frame.
    pub(super) serial: u32,
    /// The most bytes in use that were seen.
    pub(crate) peak_bytes: usize,
}

// SAFETY: the block is a stack's own; who may use it when is said in `scan`.
unsafe impl Send for Memory {}

impl Memory {
    /// An empty stack in a block, which is nobody's.
    pub(crate) fn new(block: Block) -> Self {
        Self {
            block,
            top: 0,
            limit: Self::limit_at(&block, 0),
            serial: 0,
            peak_bytes: 0,
        }
    }

    /// Where the directory's next entry is with so many frames; 0 if there cannot be as many.
    #[inline(always)]
    fn limit_at(block: &Block, depth: u32) -> usize {
        let bytes = (depth as usize + 1) * ENTRY_BYTES;
        block.bytes().saturating_sub(bytes)
    }

    /// Frames.
    #[inline(always)]
    pub(crate) fn depth(&self) -> u32 {
        ((self.block.bytes() - self.limit) / ENTRY_BYTES - 1) as u32
    }

    /// What [`Self::is_above`] asks for.
    pub(crate) fn guard(&self, depth: u32) -> usize {
        Self::limit_at(&self.block, depth)
    }

    /// Whether there are more frames than the guard was made for.
    #[inline(always)]
    pub(crate) fn is_above(&self, guard: usize) -> bool {
        self.limit < guard
    }

    /// The guard that what is on top now asks for.
    #[inline(always)]
    pub(crate) fn guard_here(&self) -> usize {
        self.limit
    }

    /// The words that pushes and pops change: where the top is, where the directory ends, and the
    /// next serial.
    #[inline(always)]
    pub(crate) fn changed(&self) -> (usize, usize, u32) {
        (self.top, self.limit, self.serial)
    }

    /// Bytes in use, the directory's included.
    pub(crate) fn used_bytes(&self) -> usize {
        self.top + self.directory_bytes()
    }

    fn directory_bytes(&self) -> usize {
        self.block.bytes() - self.limit - ENTRY_BYTES
    }

    /// Whether there is room for one more frame of `bytes`.
    #[inline(always)]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.top + bytes <= self.limit
    }

    /// Bytes of the memory that has room for one more frame of `bytes`.
    pub(crate) fn bytes_with(&self, bytes: usize) -> usize {
        self.used_bytes() + bytes + ENTRY_BYTES
    }

    /// Frame `index`, if there is one.
    #[inline(always)]
    pub(crate) fn find(&self, index: u32) -> Option<NonNull<u8>> {
        let place = Self::limit_at(&self.block, index);
        if place <= self.limit {
            return None;
        }
        // SAFETY: the entries behind the limit are those of frames.
        let at = unsafe { self.entry(place) };
        // SAFETY: frames are inside the block.
        Some(unsafe { self.block.at.add(at) })
    }

    /// Frame `index`.
    ///
    /// # Safety
    ///
    /// There are more frames than that.
    #[inline(always)]
    pub(crate) unsafe fn frame(&self, index: u32) -> NonNull<u8> {
        debug_assert!(index < self.depth());
        // SAFETY: the directory has an entry for each frame (precondition).
        let at = unsafe { self.entry(Self::limit_at(&self.block, index)) };
        // SAFETY: frames are inside the block.
        unsafe { self.block.at.add(at) }
    }

    /// Where the frame is that has its entry here.
    ///
    /// # Safety
    ///
    /// It is the entry of a frame that has not been popped.
    #[inline(always)]
    unsafe fn entry(&self, place: usize) -> usize {
        // SAFETY: the directory is in the block.
        let entry = unsafe { self.block.at.add(place) };
        // SAFETY: written when the frame was pushed.
        (unsafe { entry.cast::<u32>().read() }) as usize
    }

    /// The top frame.
    ///
    /// # Safety
    ///
    /// There is one.
    #[inline(always)]
    pub(crate) unsafe fn top_frame(&self) -> NonNull<u8> {
        // SAFETY: the last entry is the top frame's, and there is one (precondition).
        let at = unsafe { self.entry(self.limit + ENTRY_BYTES) };
        // SAFETY: frames are inside the block.
        unsafe { self.block.at.add(at) }
    }

    /// Where the next frame will be.
    ///
    /// # Safety
    ///
    /// There is room for one.
    #[inline(always)]
    pub(crate) unsafe fn next_frame(&self) -> NonNull<u8> {
        // SAFETY: inside the block (precondition).
        unsafe { self.block.at.add(self.top) }
    }

    /// Adds a frame of `bytes`, whose head and slots the caller has initialised; its serial. (In
    /// this order a pop that follows knows what it will find, if it was compiled with the push.)
    ///
    /// # Safety
    ///
    /// There is room for it, and `bytes` is what the kind's frames with so many slots have.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, kind: &'static Known, slots: u32, bytes: usize) -> u32 {
        let (at, serial) = (self.top, self.serial);
        // SAFETY: there is room (precondition).
        let frame = unsafe { self.next_frame() };
        let header = Header::new(kind, serial, slots);
        // SAFETY: room for the frame (precondition), aligned as offsets and blocks are.
        unsafe { frame.cast().write(header) };
        // SAFETY: there is room (precondition).
        let entry = unsafe { self.block.at.add(self.limit) };
        // SAFETY: inside the block, aligned, and nobody's.
        unsafe { entry.cast::<u32>().write(at as u32) };
        self.serial = serial.wrapping_add(1);
        self.top = at + bytes;
        self.limit -= ENTRY_BYTES;
        serial
    }

    /// The top frame, if it has so many bytes. Where it is does not wait for the directory then,
    /// which is compared only.
    ///
    /// # Safety
    ///
    /// There is one.
    #[inline(always)]
    pub(crate) unsafe fn top_frame_of(&self, bytes: usize) -> Option<NonNull<u8>> {
        let at = self.top.wrapping_sub(bytes);
        // SAFETY: the last entry is the top frame's, and there is one (precondition).
        let found = unsafe { self.entry(self.limit + ENTRY_BYTES) };
        if found as u32 != at as u32 {
            return None;
        }
        // SAFETY: the frame's place: a difference of less than 4 GiB is not cut.
        Some(unsafe { self.block.at.add(at) })
    }

    /// Takes over what a move has changed. (Each for itself: see the head of the file.)
    #[inline(always)]
    pub(crate) fn follow(&mut self, moved: &Memory) {
        self.block = moved.block;
        self.limit = moved.limit;
        self.peak_bytes = moved.peak_bytes;
    }

    /// Forgets the top frame, whose head is dropped or moved out.
    ///
    /// # Safety
    ///
    /// It is the top frame.
    #[inline(always)]
    pub(crate) unsafe fn pop(&mut self, frame: NonNull<u8>) {
        // SAFETY: frames are inside the block.
        self.top = unsafe { frame.offset_from_unsigned(self.block.at) };
        self.limit += ENTRY_BYTES;
    }

    /// Fills what was above the top with `byte`, up to `end_bytes`.
    ///
    /// # Safety
    ///
    /// No frame is there, and `end_bytes` was a top.
    pub(crate) unsafe fn poison(&self, end_bytes: usize, byte: u8) {
        // SAFETY: inside the block.
        let from = unsafe { self.block.at.add(self.top) };
        // SAFETY: inside the block, and nobody's (precondition).
        unsafe { from.write_bytes(byte, end_bytes - self.top) };
    }

    /// Drops the top frame's head, and forgets the frame, even if that panics.
    ///
    /// # Safety
    ///
    /// There is one.
    pub(crate) unsafe fn drop_top(&mut self) {
        // SAFETY: there is a frame (precondition).
        let frame = unsafe { self.top_frame() };
        // SAFETY: a frame begins with its header.
        let info = unsafe { frame.cast::<Header>().as_ref() }.kind.info;
        // SAFETY: the top frame.
        unsafe { self.pop(frame) };
        if info.needs_drop {
            // SAFETY: of that kind, initialised, and no longer in the directory.
            unsafe { (ops(info).drop)(frame) };
        }
    }

    /// Reports the references of frame `index`; how many bytes the frame has, about.
    ///
    /// # Safety
    ///
    /// There are more frames than that, and nobody writes this one meanwhile.
    pub(crate) unsafe fn visit(&self, index: u32, report: &mut dyn FnMut(Object, Kind)) -> usize {
        // SAFETY: this function's own precondition.
        let frame = unsafe { self.frame(index) };
        // SAFETY: a frame begins with its header.
        let header = unsafe { frame.cast::<Header>().as_ref() };
        let info = header.kind.info;
        if !info.noscan {
            // SAFETY: an initialised frame of that kind, which nobody writes (precondition).
            unsafe { (ops(info).visit)(frame, report) };
        }
        info.size + header.slots() as usize * size_of::<usize>()
    }

    /// Moves everything into `block`, and returns the block that it was in.
    ///
    /// # Safety
    ///
    /// `block` is nobody's and has room, and nobody else uses this memory meanwhile.
    pub(crate) unsafe fn move_to(&mut self, block: Block) -> Block {
        let directory_bytes = self.directory_bytes();
        debug_assert!(self.top + directory_bytes + ENTRY_BYTES <= block.bytes());
        // SAFETY: as much is in the old block, and fits in the new one (precondition).
        unsafe { (block.at).copy_from_nonoverlapping(self.block.at, self.top) };
        // SAFETY: the directory is the end of the old block.
        let from = unsafe { self.block.at.add(self.block.bytes() - directory_bytes) };
        // SAFETY: and of the new one.
        let to = unsafe { block.at.add(block.bytes() - directory_bytes) };
        // SAFETY: as above; two blocks do not overlap.
        unsafe { to.copy_from_nonoverlapping(from, directory_bytes) };
        self.limit = block.bytes() - directory_bytes - ENTRY_BYTES;
        std::mem::replace(&mut self.block, block)
    }
}
