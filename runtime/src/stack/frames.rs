//! A stack during a turn: frames are pushed, popped, read and written.
//!
//! The top frame is always *open* (see `scan`): so pushing, popping and writing the top ask
//! nothing of a collector but, at a pop, one compare of the next frame's index with the watermark.
//! Frames further down are found by their addresses: see `address`.
//!
//! What a push and a pop change is in [`Memory`] and in the guard. What else a turn has is behind
//! a reference, and the paths that are rarely taken get the memory by value and return it: nothing
//! that a loop of pushes and pops calls may write to [`Frames`], so that a compiler keeps its words
//! in registers over the whole loop.

use super::Refused;
use super::address::FrameAt;
use super::kind::{FRAME_BYTES_MAX, FrameData, FrameKind, FrameOf, Header, Known, SlotData, TAKEN};
use super::memory::Memory;
use super::mounted::{Turn, no_frame};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The frames of a stack, for one turn.
///
/// Types are named under the brand `'static` in a [`FrameKind`], and are the turn's own here: what
/// a frame holds may refer to this heap's objects and to no other's.
pub struct Frames<'a, 'gc> {
    pub(super) memory: Memory,
    /// A pop from above this asks nothing: see [`Turn::guard`].
    pub(super) guard: usize,
    pub(super) turn: &'a Turn<'a>,
    /// Invariant, as [`Gc`](crate::Gc)'s.
    brand: PhantomData<fn(&'gc ()) -> &'gc ()>,
}

impl<'a, 'gc> Frames<'a, 'gc> {
    /// The frames in the memory of a stack that was mounted for this turn.
    #[inline]
    pub(super) fn begin(turn: &'a Turn<'a>, memory: Memory) -> Self {
        // From here on, a panic unmounts.
        let mut frames = Self {
            memory,
            guard: 0,
            turn,
            brand: PhantomData,
        };
        if let Some(top) = turn.born.checked_sub(1) {
            turn.open(top);
        }
        frames.guard = turn.guard(&frames.memory);
        frames
    }

    /// Frames on the stack.
    #[inline(always)]
    pub fn depth(&self) -> usize {
        self.memory.depth() as usize
    }

    /// Bytes in use, by frames and the directory of where they are.
    pub fn used_bytes(&self) -> usize {
        self.memory.used_bytes()
    }

    /// Pushes a frame with this head and so many slots, each of them `fill`. Some instructions, and
    /// growing now and then.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the head, if the stack's limit or the memory does not allow for it, or if
    /// it is more than [`FRAME_BYTES_MAX`] bytes large. Nothing is changed then.
    #[inline(always)]
    pub fn push<H: FrameData, V: SlotData>(
        &mut self,
        kind: &'static FrameKind<H, V>,
        head: H::With<'gc>,
        slots: usize,
        fill: V::With<'gc>,
    ) -> Result<FrameAt, Refused<H::With<'gc>>> {
        let bytes = FrameOf::<H, V>::bytes(slots);
        let room = bytes.is_some_and(|bytes| self.memory.has_room(bytes));
        if !room {
            let changed = self.memory.changed();
            if let Err(cause) = self.turn.grow(changed, kind.known(), bytes) {
                return Err(Refused { head, cause });
            }
            let moved = self.turn.memory.get();
            self.memory.follow(&moved);
            self.guard = self.turn.guard(&moved);
        }
        let bytes = bytes.unwrap_or(FRAME_BYTES_MAX);
        // SAFETY: there is room, or the stack has grown.
        let frame = unsafe { self.memory.next_frame() };
        // SAFETY: the frame's own and aligned; the types differ in their brands (`Rebrand`).
        unsafe { Self::head_in::<H, V>(frame).write(head) };
        // SAFETY: memory of such a frame is there.
        let first = unsafe { FrameOf::<H, V>::slots(frame) }.cast::<V::With<'gc>>();
        for slot in 0..slots {
            // SAFETY: the frame has as many.
            let at = unsafe { first.add(slot) };
            // SAFETY: as for the head.
            unsafe { at.write(fill) };
        }
        // SAFETY: there is room, and so many bytes are what a frame with these slots has.
        let serial = unsafe { self.memory.push(kind.known(), slots as u32, bytes) };
        let index = self.memory.depth() - 1;
        Ok(FrameAt { index, serial })
    }

    /// The top frame, which is of this kind.
    #[inline(always)]
    fn top_frame<H, V>(&self, kind: &'static FrameKind<H, V>) -> NonNull<u8> {
        if self.memory.depth() == 0 {
            no_frame(kind.known());
        }
        // SAFETY: there is one.
        let frame = unsafe { self.memory.top_frame() };
        // SAFETY: a frame begins with its header, which this thread alone writes.
        let found = unsafe { frame.cast::<Header>().as_ref() }.kind;
        if !std::ptr::eq(found, kind.known()) {
            another_kind(found, kind.known());
        }
        frame
    }

    /// The head of a frame, which is of such a kind.
    #[inline(always)]
    pub(super) fn head_in<H: FrameData, V: SlotData>(frame: NonNull<u8>) -> NonNull<H::With<'gc>> {
        // SAFETY: the caller has checked the kind.
        unsafe { FrameOf::<H, V>::head(frame) }.cast()
    }

    #[inline(always)]
    pub(super) fn slots_in<H: FrameData, V: SlotData>(
        frame: NonNull<u8>,
    ) -> NonNull<[V::With<'gc>]> {
        // SAFETY: a frame begins with its header, which this thread alone writes.
        let count = unsafe { frame.cast::<Header>().as_ref() }.slots() as usize;
        // SAFETY: the caller has checked the kind.
        let first = unsafe { FrameOf::<H, V>::slots(frame) };
        NonNull::slice_from_raw_parts(first.cast(), count)
    }

    /// The top frame's head and slots.
    ///
    /// # Panics
    ///
    /// If the top frame is of another kind, or there is none.
    #[inline(always)]
    pub fn top<H: FrameData, V: SlotData>(
        &self,
        kind: &'static FrameKind<H, V>,
    ) -> (&H::With<'gc>, &[V::With<'gc>]) {
        let frame = self.top_frame(kind);
        // SAFETY: initialised, of this kind (`top_frame`), and written through `&mut self` alone.
        let head = unsafe { Self::head_in::<H, V>(frame).as_ref() };
        // SAFETY: as above.
        (head, unsafe { Self::slots_in::<H, V>(frame).as_ref() })
    }

    /// The same, to be written: no store into a frame costs more than a store.
    ///
    /// # Panics
    ///
    /// As [`Self::top`].
    #[inline(always)]
    pub fn top_mut<H: FrameData, V: SlotData>(
        &mut self,
        kind: &'static FrameKind<H, V>,
    ) -> (&mut H::With<'gc>, &mut [V::With<'gc>]) {
        let frame = self.top_frame(kind);
        // SAFETY: initialised and of this kind (`top_frame`); the top frame is open, so no marker
        // reads it; borrowed with `self`.
        let head = unsafe { Self::head_in::<H, V>(frame).as_mut() };
        // SAFETY: as above; apart from the head.
        (head, unsafe { Self::slots_in::<H, V>(frame).as_mut() })
    }

    /// Pops the top frame and returns its head.
    ///
    /// # Panics
    ///
    /// If the top frame is of another kind, or there is none, or it is a scope's.
    #[inline(always)]
    pub fn pop<H: FrameData, V: SlotData>(
        &mut self,
        kind: &'static FrameKind<H, V>,
    ) -> H::With<'gc> {
        if !self.memory.is_above(self.guard) {
            let head = Self::pop_guarded(self.turn, self.memory.changed(), kind);
            let popped = self.turn.memory.get();
            (self.memory.top, self.memory.limit) = (popped.top, popped.limit);
            self.guard = self.turn.guard(&popped);
            return head;
        }
        // SAFETY: there is one: the guard is not below the bottom.
        unsafe { Self::pop_open(&mut self.memory, kind) }
    }

    /// A pop that has something to ask first. Nothing has changed if it panics.
    #[cold]
    #[inline(never)]
    fn pop_guarded<H: FrameData, V: SlotData>(
        turn: &Turn<'_>,
        (top, limit, serial): (usize, usize, u32),
        kind: &'static FrameKind<H, V>,
    ) -> H::With<'gc> {
        let mut memory = turn.memory_with(top, limit, serial);
        turn.before_pop(&memory, kind.known());
        // SAFETY: there is a frame (`before_pop`).
        let head = unsafe { Self::pop_open(&mut memory, kind) };
        turn.poison(&memory, top);
        turn.memory.set(memory);
        head
    }

    /// Pops the top frame, if it is of this kind.
    ///
    /// # Safety
    ///
    /// There is one.
    #[inline(always)]
    unsafe fn pop_open<H: FrameData, V: SlotData>(
        memory: &mut Memory,
        kind: &'static FrameKind<H, V>,
    ) -> H::With<'gc> {
        let frame = match FrameOf::<H, V>::BYTES {
            // SAFETY: this function's own precondition.
            Some(bytes) => unsafe { memory.top_frame_of(bytes) },
            // SAFETY: as above.
            None => Some(unsafe { memory.top_frame() }),
        };
        let frame = frame.filter(|frame| {
            // SAFETY: a frame begins with its header, which this thread alone writes.
            let found = unsafe { frame.cast::<Header>().as_ref() }.kind;
            std::ptr::eq(found, kind.known())
        });
        let Some(frame) = frame else {
            // SAFETY: as above.
            let frame = unsafe { memory.top_frame() };
            // SAFETY: as above.
            another_kind(
                unsafe { frame.cast::<Header>().as_ref() }.kind,
                kind.known(),
            );
        };
        // SAFETY: initialised and of this kind; the frame is forgotten below.
        let head = unsafe { Self::head_in::<H, V>(frame).read() };
        // SAFETY: the top frame.
        unsafe { memory.pop(frame) };
        head
    }

    /// Pops the top frame, whatever its kind, and drops its head; false if there is none.
    ///
    /// # Panics
    ///
    /// If it is a scope's, or its drop glue panics; it is gone then.
    pub fn discard(&mut self) -> bool {
        if self.memory.depth() == 0 {
            return false;
        }
        self.turn.before_pop(&self.memory, TAKEN.known());
        let end_bytes = self.memory.top;
        self.guard = self.turn.guard(&self.memory);
        // SAFETY: there is a frame.
        unsafe { self.memory.drop_top() };
        self.turn.poison(&self.memory, end_bytes);
        true
    }

    /// Frames from this index up were pushed in this turn, and are open.
    pub(super) fn is_new(&self, index: u32) -> bool {
        index >= self.turn.born
    }

    /// Raises the floor to the top; the floor and the guard before.
    #[inline(always)]
    pub(super) fn raise_floor(&mut self) -> (u32, usize) {
        let before = (self.turn.floor.replace(self.memory.depth()), self.guard);
        // What is unscanned is below the top, so the guard for it is not lower than this one; that
        // of a stack that is poisoned is.
        self.guard = self.guard.min(self.memory.guard_here());
        before
    }

    /// Lowers the floor and pops the top frame and drops its head, if it is a scope's of this kind,
    /// on which nothing was left, and the frame below is as open as it was; false if not. `own` is
    /// the guard that the scope had. It has not changed if the stack has not moved, because the
    /// scope's floor is above what is unscanned; and there are no two places of the directory's end
    /// at which it does not.
    #[inline(always)]
    pub(super) fn leave_top<H: FrameData>(
        &mut self,
        kind: &'static FrameKind<H>,
        own: usize,
        floor: u32,
        guard: usize,
    ) -> bool {
        let is_same = self.guard == own && self.memory.guard_here() == own;
        if !is_same || !self.memory.is_above(guard) {
            return false;
        }
        // SAFETY: the scope's frame is there: nobody else pops it.
        let frame = unsafe { self.memory.top_frame() };
        // SAFETY: a frame begins with its header, which this thread alone writes.
        let found = unsafe { frame.cast::<Header>().as_ref() }.kind;
        if !std::ptr::eq(found, kind.known()) {
            return false;
        }
        self.turn.floor.set(floor);
        self.guard = guard;
        // SAFETY: as above. What panics in the head's drop glue finds the frame gone.
        drop(unsafe { Self::pop_open(&mut self.memory, kind) });
        true
    }

    /// Lowers the floor and pops what is above frame `index`, and that one too.
    #[cold]
    #[inline(never)]
    pub(super) fn leave_scope(&mut self, floor: u32, index: u32) {
        self.turn.floor.set(floor);
        self.guard = self.turn.guard(&self.memory);
        while self.memory.depth() > index {
            self.discard();
        }
    }
}

impl Drop for Frames<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        let memory = &mut self.memory;
        memory.peak_bytes = memory.peak_bytes.max(memory.used_bytes());
        self.turn.shared.unmount(*memory, memory.depth());
    }
}

impl fmt::Debug for Frames<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}

#[cold]
#[inline(never)]
pub(super) fn another_kind(found: &Known, wanted: &Known) -> ! {
    panic!(
        "a frame `{}` is used as a frame `{}`",
        found.name, wanted.name
    )
}
