//! What a turn has beside its frames, and does seldom.
//!
//! It is asked when a stack grows, and at a pop that has a scope to respect, a frame to scan, or
//! memory to poison. It takes the memory by value or shared, and never learns where [`Frames`] are:
//! see there why.
//!
//! [`Frames`]: super::Frames

use super::StackError;
use super::fiber::{self, Collected, Home};
use super::kind::Known;
use super::memory::Memory;
use super::scan::Shared;
use crate::debug::Debug;
use crate::raw::inside::LogSink;
use std::cell::Cell;

/// What does not change at a push or a pop.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Shared<Memory>,
    home: &'a Home,
    sink: Option<&'a dyn LogSink>,
    /// Frames when the turn began; what is above was pushed in it, and is open.
    pub(super) born: u32,
    /// Frames that only their scope may pop.
    pub(super) floor: Cell<u32>,
    /// The memory as it was when something rare was last done with it.
    pub(super) memory: Cell<Memory>,
}

impl<'a> Turn<'a> {
    /// A turn on a stack that has been mounted.
    pub(super) fn new(
        shared: &'a Shared<Memory>,
        home: &'a Home,
        sink: Option<&'a dyn LogSink>,
        memory: Memory,
    ) -> Self {
        Self {
            shared,
            home,
            sink,
            born: memory.depth(),
            floor: Cell::new(0),
            memory: Cell::new(memory),
        }
    }

    /// The memory now, of which these words may have changed since it was last seen.
    #[inline(always)]
    pub(super) fn memory_with(&self, top: usize, limit: usize, serial: u32) -> Memory {
        Memory {
            top,
            limit,
            serial,
            ..self.memory.get()
        }
    }

    /// Makes frame `index` one that may be written; the frame above it is, or it is the top.
    pub(super) fn open(&self, index: u32) {
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

    /// The guard: below it a pop has a scope to respect, a frame to scan, or memory to poison.
    /// (The watermark may have come down since: then a pop looks once too often.)
    pub(super) fn guard(&self, memory: &Memory) -> usize {
        let watermark = self.shared.watermark();
        let unscanned = if watermark > 0 { watermark + 1 } else { 0 };
        let guarded = if self.home.options.poison {
            u32::MAX
        } else {
            unscanned.max(self.floor.get())
        };
        memory.guard(guarded)
    }

    pub(super) fn log(&self, collected: Collected) {
        if let Some(sink) = self.sink {
            if collected.gave_up {
                sink.give_up();
            }
            sink.log_all(&collected.entries);
        }
    }

    /// Moves the stack to where it has room for one more frame.
    #[cold]
    #[inline(never)]
    pub(super) fn grow(
        &self,
        (top, limit, serial): (usize, usize, u32),
        kind: &'static Known,
        bytes: Option<usize>,
    ) -> Result<(), StackError> {
        let mut memory = self.memory_with(top, limit, serial);
        let home = self.home;
        let Some(bytes) = bytes else {
            return Err(StackError::FrameTooLarge { kind: kind.name });
        };
        let needed_bytes = memory.bytes_with(bytes);
        let Some(block) = fiber::grown(home, &memory, needed_bytes)? else {
            return Err(StackError::Limit {
                depth: memory.depth() as usize,
                kind: kind.name,
                asked_bytes: bytes,
                used_bytes: memory.used_bytes(),
                limit_bytes: home.options.limit_bytes,
            });
        };
        let left = self.shared.relocate(|shared| {
            // SAFETY: fresh and larger; under the lock no marker reads, and the fiber is here.
            let left = unsafe { memory.move_to(block) };
            *shared = memory;
            left
        });
        // SAFETY: the stack's until now; nothing is in it any more.
        unsafe { home.pool.give(left) };
        memory.peak_bytes = memory.peak_bytes.max(needed_bytes);
        self.memory.set(memory);
        Ok(())
    }

    /// The top frame is about to be popped, and the one below it to be the top.
    #[cold]
    #[inline(never)]
    pub(super) fn before_pop(&self, memory: &Memory, wanted: &'static Known) {
        let Some(index) = memory.depth().checked_sub(1) else {
            no_frame(wanted);
        };
        if index < self.floor.get() {
            popped_from_within();
        }
        if index > 0 {
            self.open(index - 1);
        }
    }

    pub(super) fn poison(&self, memory: &Memory, end_bytes: usize) {
        if self.home.options.poison {
            // SAFETY: what was popped just now was there.
            unsafe { memory.poison(end_bytes, Debug::POISON) };
        }
    }
}

#[cold]
#[inline(never)]
pub(super) fn no_frame(wanted: &Known) -> ! {
    panic!("a frame `{}` is asked of an empty stack", wanted.name)
}

#[cold]
#[inline(never)]
fn popped_from_within() -> ! {
    panic!("a scope's frame is popped from within: the scope's end does that")
}
