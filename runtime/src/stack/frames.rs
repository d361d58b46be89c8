//! A stack during a turn: frames are pushed, popped, read and written.
//!
//! The top frame is always *open* (see `scan`): so pushing, popping and writing the top ask
//! nothing of a collector but, at a pop, one compare of the next frame's index with the watermark.
//! Frames further down are found by their addresses: see `address`.

use super::address::FrameAt;
use super::fiber::{self, Cell, Collected, Home};
use super::kind::{FRAME_BYTES_MAX, FrameData, FrameKind, FrameOf, Header, Known, SlotData, TAKEN};
use super::memory::Memory;
use super::scan::Shared;
use super::{Refused, StackError};
use crate::debug::Debug;
use crate::raw::inside::LogSink;
use crate::raw::phase::Phase;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The frames of a stack, for one turn.
///
/// Types are named under the brand `'static` in a [`FrameKind`], and are the turn's own here: what
/// a frame holds may refer to this heap's objects and to no other's.
pub struct Frames<'a, 'gc> {
    pub(super) memory: Memory,
    /// A pop from above this asks nothing: see [`Self::guard_again`].
    guard: usize,
    /// Frames that only their scope may pop.
    floor: u32,
    /// Frames when the turn began; what is above was pushed in it, and is open.
    born: u32,
    pub(super) shared: &'a Shared<Memory>,
    home: &'a Home,
    sink: Option<&'a dyn LogSink>,
    /// Invariant, as [`Gc`](crate::Gc)'s.
    brand: PhantomData<fn(&'gc ()) -> &'gc ()>,
}

impl<'a, 'gc> Frames<'a, 'gc> {
    #[inline]
    pub(super) fn mount(
        cell: &'a Cell,
        (phase, cycle): (Phase, u64),
        sink: Option<&'a dyn LogSink>,
    ) -> Self {
        let memory = cell.shared.mount(phase, cycle);
        let mut frames = Self {
            memory,
            guard: 0,
            floor: 0,
            born: memory.depth(),
            shared: &cell.shared,
            home: &cell.home,
            sink,
            brand: PhantomData,
        };
        if let Some(top) = frames.born.checked_sub(1) {
            frames.open(top);
        }
        frames.guard_again();
        frames
    }

    /// Makes frame `index` one that may be written; the frame above it is, or it is the top.
    fn open(&self, index: u32) {
        if !self.shared.is_open(index) {
            self.open_slow();
        }
    }

    #[cold]
    #[inline(never)]
    fn open_slow(&self) {
        let mut collected = Collected {
            entries: Vec::new(),
            gave_up: false,
        };
        self.shared
            .descend(|memory, index| fiber::collect_one(memory, index, &mut collected));
        self.log(collected);
    }

    /// Sets the guard: below it a pop has a scope to respect, a frame to scan, or memory to poison.
    /// (The watermark may have come down since: then a pop looks once too often.)
    fn guard_again(&mut self) {
        let watermark = self.shared.watermark();
        let unscanned = if watermark > 0 { watermark + 1 } else { 0 };
        let guarded = if self.home.options.poison {
            u32::MAX
        } else {
            unscanned.max(self.floor)
        };
        self.guard = self.memory.guard(guarded);
    }

    pub(super) fn log(&self, collected: Collected) {
        if let Some(sink) = self.sink {
            if collected.gave_up {
                sink.give_up();
            }
            sink.log_all(&collected.entries);
        }
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
        if !room && let Err(cause) = self.grow(kind.known(), bytes) {
            return Err(Refused { head, cause });
        }
        let bytes = bytes.unwrap_or(FRAME_BYTES_MAX);
        // SAFETY: there is room, or the stack has grown.
        let (frame, serial) = unsafe { self.memory.push(kind.known(), slots as u32, bytes) };
        let index = self.memory.depth() - 1;
        // SAFETY: memory of such a frame is there.
        let at = unsafe { FrameOf::<H, V>::head(frame) }.cast::<H::With<'gc>>();
        // SAFETY: the frame's own and aligned; the types differ in their brands (`Rebrand`).
        unsafe { at.write(head) };
        // SAFETY: memory of such a frame is there.
        let first = unsafe { FrameOf::<H, V>::slots(frame) }.cast::<V::With<'gc>>();
        for slot in 0..slots {
            // SAFETY: the frame has as many.
            let at = unsafe { first.add(slot) };
            // SAFETY: as for the head.
            unsafe { at.write(fill) };
        }
        Ok(FrameAt { index, serial })
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, kind: &'static Known, bytes: Option<usize>) -> Result<(), StackError> {
        let home = self.home;
        let limit = |asked_bytes| StackError::Limit {
            depth: self.memory.depth() as usize,
            kind: kind.name,
            asked_bytes,
            used_bytes: self.memory.used_bytes(),
            limit_bytes: home.options.limit_bytes,
        };
        let Some(bytes) = bytes else {
            return Err(StackError::FrameTooLarge { kind: kind.name });
        };
        let needed_bytes = self.memory.bytes_with(bytes);
        let Some(block) = fiber::grown(home, &self.memory, needed_bytes)? else {
            return Err(limit(bytes));
        };
        let memory = &mut self.memory;
        let left = self.shared.relocate(|shared| {
            // SAFETY: fresh and larger; under the lock no marker reads, and the fiber is here.
            let left = unsafe { memory.move_to(block) };
            *shared = *memory;
            left
        });
        // SAFETY: the stack's until now; nothing is in it any more.
        unsafe { home.pool.give(left) };
        memory.peak_bytes = memory.peak_bytes.max(needed_bytes);
        self.guard_again();
        Ok(())
    }

    /// The index of the top frame, which is of this kind.
    #[inline(always)]
    fn top_index<H, V>(&self, kind: &'static FrameKind<H, V>) -> u32 {
        let Some(index) = self.memory.depth().checked_sub(1) else {
            no_frame(kind.known());
        };
        // SAFETY: there is such a frame, and this thread alone writes headers.
        let found = unsafe { self.memory.header(index) }.kind;
        if !std::ptr::eq(found, kind.known()) {
            another_kind(found, kind.known());
        }
        index
    }

    /// The head of frame `index`, which is of such a kind.
    #[inline(always)]
    pub(super) fn head_at<H: FrameData, V: SlotData>(&self, index: u32) -> NonNull<H::With<'gc>> {
        // SAFETY: the caller has checked the index.
        let frame = unsafe { self.memory.frame(index) };
        // SAFETY: the caller has checked the kind.
        unsafe { FrameOf::<H, V>::head(frame) }.cast()
    }

    #[inline(always)]
    pub(super) fn slots_at<H: FrameData, V: SlotData>(
        &self,
        index: u32,
    ) -> NonNull<[V::With<'gc>]> {
        // SAFETY: the caller has checked the index; this thread alone writes headers.
        let count = unsafe { self.memory.header(index) }.slots as usize;
        // SAFETY: as above.
        let frame = unsafe { self.memory.frame(index) };
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
        let index = self.top_index(kind);
        // SAFETY: initialised, of this kind (`top_index`), and written through `&mut self` alone.
        let head = unsafe { self.head_at::<H, V>(index).as_ref() };
        // SAFETY: as above.
        (head, unsafe { self.slots_at::<H, V>(index).as_ref() })
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
        let index = self.top_index(kind);
        // SAFETY: initialised and of this kind (`top_index`); the top frame is open, so no marker
        // reads it; borrowed with `self`.
        let head = unsafe { self.head_at::<H, V>(index).as_mut() };
        // SAFETY: as above; apart from the head.
        (head, unsafe { self.slots_at::<H, V>(index).as_mut() })
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
            self.before_pop(kind.known());
        }
        // SAFETY: there is one: the guard is not below the bottom.
        let frame = unsafe { self.memory.top_frame() };
        // SAFETY: a frame begins with its header, which this thread alone writes.
        let found = unsafe { frame.cast::<Header>().as_ref() }.kind;
        if !std::ptr::eq(found, kind.known()) {
            another_kind(found, kind.known());
        }
        // SAFETY: memory of a frame of this kind.
        let head = unsafe { FrameOf::<H, V>::head(frame) }.cast::<H::With<'gc>>();
        // SAFETY: initialised; the frame is forgotten below.
        let head = unsafe { head.read() };
        let end_bytes = self.memory.top;
        // SAFETY: there is a frame.
        unsafe { self.memory.pop() };
        if self.guard == 0 {
            self.poison(end_bytes);
        }
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
        self.before_pop(TAKEN.known());
        let end_bytes = self.memory.top;
        // SAFETY: there is a frame.
        unsafe { self.memory.drop_top() };
        self.poison(end_bytes);
        true
    }

    /// The top frame is about to be popped, and the one below it to be the top.
    #[cold]
    #[inline(never)]
    fn before_pop(&mut self, wanted: &'static Known) {
        let Some(index) = self.memory.depth().checked_sub(1) else {
            no_frame(wanted);
        };
        if index < self.floor {
            popped_from_within();
        }
        if index > 0 {
            self.open(index - 1);
        }
        self.guard_again();
    }

    fn poison(&self, end_bytes: usize) {
        if self.home.options.poison {
            // SAFETY: what was popped just now was there.
            unsafe { self.memory.poison(end_bytes, Debug::POISON) };
        }
    }

    /// Frames from this index up were pushed in this turn, and are open.
    pub(super) fn is_new(&self, index: u32) -> bool {
        index >= self.born
    }

    /// Raises the floor to the top; the floor before.
    pub(super) fn raise_floor(&mut self) -> u32 {
        let floor = std::mem::replace(&mut self.floor, self.memory.depth());
        self.guard_again();
        floor
    }

    /// Lowers the floor and pops what is above frame `index`, and that one too.
    pub(super) fn leave_scope(&mut self, floor: u32, index: u32) {
        self.floor = floor;
        self.guard_again();
        while self.memory.depth() > index {
            self.discard();
        }
    }

    /// Replaces the kind of a frame whose head has been moved out.
    pub(super) fn set_taken(&mut self, index: u32, serial: u32, kind: &'static Known) {
        debug_assert!(self.is_new(index));
        let header = Header {
            kind,
            serial,
            slots: 0,
        };
        // SAFETY: the caller has found the frame at this index.
        let frame = unsafe { self.memory.frame(index) };
        // SAFETY: a frame begins with its header; it is open, and this thread's.
        unsafe { frame.cast().write(header) };
    }
}

impl Drop for Frames<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        let memory = &mut self.memory;
        memory.peak_bytes = memory.peak_bytes.max(memory.used_bytes());
        self.shared.unmount(*memory, memory.depth());
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
fn no_frame(wanted: &Known) -> ! {
    panic!("a frame `{}` is asked of an empty stack", wanted.name)
}

#[cold]
#[inline(never)]
pub(super) fn another_kind(found: &Known, wanted: &Known) -> ! {
    panic!(
        "a frame `{}` is used as a frame `{}`",
        found.name, wanted.name
    )
}

#[cold]
#[inline(never)]
fn popped_from_within() -> ! {
    panic!("a scope's frame is popped from within: the scope's end does that")
}
