//! The memory of one stack: frames from the bottom up, and from the top down a directory that says
//! where each begins.
//!
//! ```text
//! | frame 0 | frame 1 | ... | top            free           | ... | at of 1 | at of 0 |
//! ```
//!
//! A frame is named by its index and found through the directory, so nothing in the memory is an
//! address of the memory: growing copies both ends and rewrites nothing. The directory costs four
//! bytes a frame, and in return an index from anywhere is checked with one compare.

use super::kind::{FRAME_ALIGN, Header, Known};
use super::pool::Block;
use crate::raw::object_type::ops;
use gc_mark::{Kind, Object};
use std::ptr::NonNull;

/// Bytes of a directory's entry, which counts in units of [`FRAME_ALIGN`].
const ENTRY_BYTES: usize = size_of::<u32>();

/// A stack's memory, as whoever uses it keeps it at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) block: Block,
    /// Bytes of frames.
    pub(crate) top_bytes: usize,
    /// Frames.
    pub(crate) depth: u32,
    /// Of the next frame.
    serial: u32,
    /// The most bytes of frames that were seen.
    pub(crate) peak_bytes: usize,
}

// SAFETY: the block is a stack's own; who may use it when is said in `scan`.
unsafe impl Send for Memory {}

impl Memory {
    pub(crate) fn new(block: Block) -> Self {
        Self {
            block,
            top_bytes: 0,
            depth: 0,
            serial: 0,
            peak_bytes: 0,
        }
    }

    /// Bytes in use, the directory's included.
    pub(crate) fn used_bytes(&self) -> usize {
        self.top_bytes + self.depth as usize * ENTRY_BYTES
    }

    /// Bytes in use with one more frame of `bytes`.
    #[inline(always)]
    pub(crate) fn bytes_with(&self, bytes: usize) -> usize {
        self.top_bytes + bytes + (self.depth as usize + 1) * ENTRY_BYTES
    }

    /// Where the directory has frame `index`.
    ///
    /// # Safety
    ///
    /// The directory reaches, or is about to reach, so far.
    #[inline(always)]
    unsafe fn entry(&self, index: u32) -> NonNull<u32> {
        let at = self.block.bytes() - (index as usize + 1) * ENTRY_BYTES;
        // SAFETY: inside the block (precondition).
        unsafe { self.block.at.add(at) }.cast()
    }

    /// Frame `index`.
    ///
    /// # Safety
    ///
    /// There are more frames than that.
    #[inline(always)]
    pub(crate) unsafe fn frame(&self, index: u32) -> NonNull<u8> {
        debug_assert!(index < self.depth);
        // SAFETY: the directory has an entry for each frame.
        let entry = unsafe { self.entry(index) };
        // SAFETY: written when the frame was pushed.
        let at = unsafe { entry.read() } as usize * FRAME_ALIGN;
        // SAFETY: frames are inside the block.
        unsafe { self.block.at.add(at) }
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

    /// Adds a frame of `bytes`, whose head and slots the caller initialises next; its serial.
    ///
    /// # Safety
    ///
    /// `bytes_with(bytes)` is not above the block's, and `bytes` is what the kind's frames with so
    /// many slots have.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, kind: &'static Known, slots: u32, bytes: usize) -> u32 {
        // SAFETY: there is room for one more (precondition).
        let entry = unsafe { self.entry(self.depth) };
        // SAFETY: inside the block and nobody's.
        unsafe { entry.write((self.top_bytes / FRAME_ALIGN) as u32) };
        // SAFETY: inside the block.
        let frame = unsafe { self.block.at.add(self.top_bytes) };
        let serial = self.serial;
        let header = Header {
            kind,
            serial,
            slots,
        };
        // SAFETY: room for the frame (precondition), aligned as `top_bytes` and blocks are.
        unsafe { frame.cast().write(header) };
        self.serial = serial.wrapping_add(1);
        self.top_bytes += bytes;
        self.depth += 1;
        serial
    }

    /// Forgets the top frame, whose head is dropped or moved out.
    ///
    /// # Safety
    ///
    /// There is one.
    #[inline(always)]
    pub(crate) unsafe fn pop(&mut self) {
        self.depth -= 1;
        // SAFETY: the entry of the frame that was on top.
        let entry = unsafe { self.entry(self.depth) };
        // SAFETY: as above; written by `push`.
        self.top_bytes = unsafe { entry.read() } as usize * FRAME_ALIGN;
    }

    /// Fills what was above the top with `byte`, up to `end_bytes`.
    ///
    /// # Safety
    ///
    /// No frame is there, and `end_bytes` was a top.
    pub(crate) unsafe fn poison(&self, end_bytes: usize, byte: u8) {
        // SAFETY: inside the block.
        let from = unsafe { self.block.at.add(self.top_bytes) };
        // SAFETY: inside the block, and nobody's (precondition).
        unsafe { from.write_bytes(byte, end_bytes - self.top_bytes) };
    }

    /// Drops the top frame's head, and forgets the frame, even if that panics.
    ///
    /// # Safety
    ///
    /// There is one.
    pub(crate) unsafe fn drop_top(&mut self) {
        // SAFETY: there is a frame (precondition).
        let frame = unsafe { self.frame(self.depth - 1) };
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
        let directory_bytes = self.depth as usize * ENTRY_BYTES;
        debug_assert!(self.top_bytes + directory_bytes <= block.bytes());
        // SAFETY: as much is in the old block, and fits in the new one (precondition).
        unsafe { (block.at).copy_from_nonoverlapping(self.block.at, self.top_bytes) };
        // SAFETY: the directory is the end of the old block.
        let from = unsafe { self.block.at.add(self.block.bytes() - directory_bytes) };
        // SAFETY: and of the new one.
        let to = unsafe { block.at.add(block.bytes() - directory_bytes) };
        // SAFETY: as above; two blocks do not overlap.
        unsafe { to.copy_from_nonoverlapping(from, directory_bytes) };
        std::mem::replace(&mut self.block, block)
    }
}
