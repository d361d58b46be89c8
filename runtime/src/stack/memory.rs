//! The memory of one stack: frames from the bottom up, and from the top down a directory that says
//! where each begins.
//!
//! ```text
//! | frame 0 | frame 1 | ... | top           free          limit | ... | at of 1 | at of 0 | 0 |
//! ```
//!
//! A frame is named by its index and found through the directory, so nothing in the memory is an
//! address of the memory: growing copies both ends and rewrites nothing. The directory costs four
//! bytes a frame, and in return an index from anywhere is checked with one compare. Its first entry
//! is a zero, so that a pop reads where the frame below begins without asking whether there is one.
//!
//! What a push and a pop need is kept in few words: they depend on each other through them.

use super::kind::{FRAME_ALIGN, Header, Known};
use super::pool::Block;
use crate::raw::object_type::ops;
use gc_mark::{Kind, Object};
use std::ptr::NonNull;

/// Bytes of a directory's entry, which counts in units of [`FRAME_ALIGN`].
const ENTRY_BYTES: usize = size_of::<u32>();

/// A stack's memory, as whoever uses it keeps it at hand. Offsets are in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) block: Block,
    /// Where the next frame will be.
    pub(crate) top: usize,
    /// Where the top frame is; 0 if there is none.
    current: usize,
    /// Where the directory's next entry will be.
    limit: usize,
    /// Of the next frame.
    serial: u32,
    /// The most bytes in use that were seen.
    pub(crate) peak_bytes: usize,
}

// SAFETY: the block is a stack's own; who may use it when is said in `scan`.
unsafe impl Send for Memory {}

impl Memory {
    /// An empty stack in a block, which is nobody's.
    pub(crate) fn new(block: Block) -> Self {
        let memory = Self {
            block,
            top: 0,
            current: 0,
            limit: Self::limit_at(&block, 0),
            serial: 0,
            peak_bytes: 0,
        };
        // SAFETY: the last four bytes of the block.
        let zero = unsafe { block.at.add(block.bytes() - ENTRY_BYTES) };
        // SAFETY: in the block, aligned, and nobody's.
        unsafe { zero.cast::<u32>().write(0) };
        memory
    }

    /// Where the directory's next entry is with so many frames; 0 if there cannot be as many.
    #[inline(always)]
    fn limit_at(block: &Block, depth: u32) -> usize {
        let bytes = (depth as usize + 2) * ENTRY_BYTES;
        block.bytes().saturating_sub(bytes)
    }

    /// Frames.
    #[inline(always)]
    pub(crate) fn depth(&self) -> u32 {
        ((self.block.bytes() - self.limit) / ENTRY_BYTES - 2) as u32
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

    /// Frame `index`.
    ///
    /// # Safety
    ///
    /// There are more frames than that.
    #[inline(always)]
    pub(crate) unsafe fn frame(&self, index: u32) -> NonNull<u8> {
        debug_assert!(index < self.depth());
        // SAFETY: the directory has an entry for each frame.
        let entry = unsafe { self.block.at.add(Self::limit_at(&self.block, index)) };
        // SAFETY: written when the frame was pushed.
        let at = unsafe { entry.cast::<u32>().read() } as usize * FRAME_ALIGN;
        // SAFETY: frames are inside the block.
        unsafe { self.block.at.add(at) }
    }

    /// The top frame.
    ///
    /// # Safety
    ///
    /// There is one.
    #[inline(always)]
    pub(crate) unsafe fn top_frame(&self) -> NonNull<u8> {
        // SAFETY: frames are inside the block.
        unsafe { self.block.at.add(self.current) }
    }

    /// The header of frame `index`.
    ///
    /// # Safety
    ///
    /// There are more frames than that, and nobody writes the header meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn header(&self, index: u32) -> &Header {
        // SAFETY: this function's own precondition.
        let frame = unsafe { self.frame(index) };
        // SAFETY: a frame begins with a header.
        unsafe { frame.cast().as_ref() }
    }

    /// Adds a frame of `bytes`, whose head and slots the caller initialises next: the frame, and
    /// its serial.
    ///
    /// # Safety
    ///
    /// There is room for it, and `bytes` is what the kind's frames with so many slots have.
    #[inline(always)]
    pub(crate) unsafe fn push(
        &mut self,
        kind: &'static Known,
        slots: u32,
        bytes: usize,
    ) -> (NonNull<u8>, u32) {
        let (at, serial) = (self.top, self.serial);
        // SAFETY: there is room (precondition).
        let entry = unsafe { self.block.at.add(self.limit) };
        // SAFETY: inside the block, aligned, and nobody's.
        unsafe { entry.cast::<u32>().write((at / FRAME_ALIGN) as u32) };
        // SAFETY: inside the block.
        let frame = unsafe { self.block.at.add(at) };
        let header = Header {
            kind,
            serial,
            slots,
        };
        // SAFETY: room for the frame (precondition), aligned as offsets and blocks are.
        unsafe { frame.cast().write(header) };
        self.serial = serial.wrapping_add(1);
        self.current = at;
        self.top = at + bytes;
        self.limit -= ENTRY_BYTES;
        (frame, serial)
    }

    /// Forgets the top frame, whose head is dropped or moved out.
    ///
    /// # Safety
    ///
    /// There is one.
    #[inline(always)]
    pub(crate) unsafe fn pop(&mut self) {
        self.top = self.current;
        self.limit += ENTRY_BYTES;
        // SAFETY: the entry of the frame below, or the zero before all entries.
        let entry = unsafe { self.block.at.add(self.limit + ENTRY_BYTES) };
        // SAFETY: written by `push` or `new`.
        self.current = unsafe { entry.cast::<u32>().read() } as usize * FRAME_ALIGN;
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
        // SAFETY: as above.
        unsafe { self.pop() };
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
        info.size + header.slots as usize * size_of::<usize>()
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
