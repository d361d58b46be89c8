//! Frames further down: where they are, and how they are read and written from above.
//!
//! An address is an index and a serial number. It stays valid however the stack moves, and finds
//! nothing once its frame is gone.

use super::fiber;
use super::frames::{Frames, another_kind};
use super::kind::{FrameData, FrameKind, Header, Known, SlotData};
use gc_mark::Trace;
use std::ptr::NonNull;

/// Where a frame is, as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Trace)]
pub struct FrameAt {
    pub(super) index: u32,
    pub(super) serial: u32,
}

impl FrameAt {
    /// How many frames are below it.
    pub fn depth(self) -> usize {
        self.index as usize
    }
}

impl<'gc> Frames<'_, 'gc> {
    /// Where the top frame is, if there is one.
    #[inline(always)]
    pub fn here(&self) -> Option<FrameAt> {
        let index = self.memory.depth().checked_sub(1)?;
        // SAFETY: there is such a frame.
        let frame = unsafe { self.memory.frame(index) };
        // SAFETY: a frame begins with its header, which this thread alone writes.
        let serial = unsafe { frame.cast::<Header>().as_ref() }.serial();
        Some(FrameAt { index, serial })
    }

    /// The frame at `at`, if it is there and of this kind.
    #[inline(always)]
    pub(super) fn frame_of<H, V>(
        &self,
        kind: &'static FrameKind<H, V>,
        at: FrameAt,
    ) -> NonNull<u8> {
        let Some(frame) = self.memory.find(at.index) else {
            gone(at, kind.known());
        };
        // SAFETY: a frame begins with its header, which this thread alone writes.
        let header = unsafe { frame.cast::<Header>().as_ref() };
        if header.serial() != at.serial {
            gone(at, kind.known());
        }
        if !std::ptr::eq(header.kind, kind.known()) {
            another_kind(header.kind, kind.known());
        }
        frame
    }

    /// Pops what is above the frame at `at`, as a thrown exception does.
    ///
    /// # Panics
    ///
    /// If there is no such frame any more, or a scope's is above it.
    pub fn unwind_to(&mut self, at: FrameAt) {
        let is_there = self.memory.find(at.index).is_some_and(|frame| {
            // SAFETY: a frame begins with its header, which this thread alone writes.
            unsafe { frame.cast::<Header>().as_ref() }.serial() == at.serial
        });
        assert!(is_there, "the frame to unwind to has been popped");
        while self.memory.depth() > at.index + 1 {
            self.discard();
        }
    }

    /// The head of a frame, anywhere in the stack.
    ///
    /// # Panics
    ///
    /// If the frame has been popped, or is of another kind.
    pub fn head<H: FrameData, V: SlotData>(
        &self,
        kind: &'static FrameKind<H, V>,
        at: FrameAt,
    ) -> &H::With<'gc> {
        let frame = self.frame_of(kind, at);
        // SAFETY: initialised, of this kind, and written through `&mut self` alone.
        unsafe { Self::head_in::<H, V>(frame).as_ref() }
    }

    /// A slot of a frame, anywhere in the stack.
    ///
    /// # Panics
    ///
    /// If the frame has been popped, is of another kind, or has no such slot.
    #[inline]
    pub fn get<H: FrameData, V: SlotData>(
        &self,
        kind: &'static FrameKind<H, V>,
        at: FrameAt,
        slot: usize,
    ) -> V::With<'gc> {
        let frame = self.frame_of(kind, at);
        // SAFETY: initialised, of this kind, and written through `&mut self` alone.
        let slots = unsafe { Self::slots_in::<H, V>(frame).as_ref() };
        slots[slot]
    }

    /// Writes a slot of a frame, anywhere in the stack.
    ///
    /// # Panics
    ///
    /// As [`Self::get`].
    #[inline]
    pub fn set<H: FrameData, V: SlotData>(
        &mut self,
        kind: &'static FrameKind<H, V>,
        at: FrameAt,
        slot: usize,
        value: V::With<'gc>,
    ) {
        let (frame, index) = (self.frame_of(kind, at), at.index);
        let mut slots = Self::slots_in::<H, V>(frame);
        if self.turn.shared.is_open(index) {
            // SAFETY: initialised, of this kind, open, and this thread's.
            let slots = unsafe { slots.as_mut() };
            slots[slot] = value;
            return;
        }
        assert!(slot < slots.len(), "a frame has no slot {slot}");
        let mut collected = None;
        self.turn.shared.write_below(index, || {
            collected = Some(fiber::collect(&self.memory, index..index + 1));
            // SAFETY: as above; no marker reads it, because the lock is held.
            let slots = unsafe { slots.as_mut() };
            slots[slot] = value;
        });
        collected
            .into_iter()
            .for_each(|collected| self.turn.log(collected));
    }
}

#[cold]
#[inline(never)]
fn gone(at: FrameAt, wanted: &Known) -> ! {
    panic!(
        "the frame `{}` at depth {} has been popped",
        wanted.name, at.index
    )
}
