//! Stacks as their owners hold them: made, mounted for a turn, dropped.

use super::StackError;
use super::entry::EntryPoint;
use super::frames::Frames;
use super::memory::Memory;
use super::mounted::Turn;
use super::pool::{BLOCK_BYTES_MIN, Block, Pages, Pool};
use super::scan::Shared;
use crate::collector::Collector;
use crate::heap::Runtime;
use crate::raw::core::Core;
use crate::raw::inside::LogSink;
use crate::raw::phase::Phase;
use crate::raw::task::{self, Task};
use crate::sync::AtomicUsize;
use alloc_core::ReserveError;
use gc_mark::{Kind, Object};
use std::fmt;
use std::sync::Arc;

/// How stacks are made.
#[derive(Clone, Copy, Debug)]
pub struct StackOptions {
    /// Bytes that one stack may have, frames and directory: 1 GiB. Rounded up to a power of two.
    pub limit_bytes: usize,
    /// Fill the memory of popped frames with [`Debug::POISON`](crate::Debug::POISON), for tests.
    pub poison: bool,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            limit_bytes: 1 << 30,
            poison: false,
        }
    }
}

/// Where stacks come from: pools of memory by size, and the heap whose references they may hold.
/// A handle; cloning it is cheap.
#[derive(Clone)]
pub struct Stacks {
    home: Arc<Home>,
}

/// What the stacks of one [`Stacks`] share.
pub(crate) struct Home {
    pub(crate) pool: Pool,
    pub(crate) options: StackOptions,
}

impl Home {
    fn core(&self) -> Option<&Arc<Core>> {
        match &self.pool.pages {
            Pages::Own(_) => None,
            Pages::OfHeap(core) => Some(core),
        }
    }
}

impl Stacks {
    /// Stacks without a collector: their frames hold plain data. Their memory is of huge pages
    /// where the system has any.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] if the system has no address range for them.
    pub fn new(options: StackOptions) -> Result<Self, ReserveError> {
        Ok(Self::with(Pages::own()?, options))
    }

    /// Stacks whose frames may hold references into `heap`, which their memory is counted in: it
    /// comes from the heap's pages and goes back there. They keep the heap's memory.
    pub fn of<C: Collector>(heap: &Runtime<C>, options: StackOptions) -> Self {
        Self::with(Pages::OfHeap(heap.shared.core.clone()), options)
    }

    fn with(pages: Pages, mut options: StackOptions) -> Self {
        let limit_bytes = options.limit_bytes.clamp(BLOCK_BYTES_MIN, 1 << 32);
        options.limit_bytes = limit_bytes.next_power_of_two();
        let pool = Pool::new(pages);
        Self {
            home: Arc::new(Home { pool, options }),
        }
    }

    /// An empty stack, as large as those that began at `entry` turned out to need.
    ///
    /// # Errors
    ///
    /// [`StackError::Memory`] if there is no memory for it.
    pub fn stack(&self, entry: &EntryPoint) -> Result<Stack, StackError> {
        let bytes = entry.start_bytes().min(self.home.options.limit_bytes);
        let block = self.home.pool.take(bytes).map_err(StackError::Memory)?;
        let cell = Arc::new(Cell {
            shared: Shared::new(Memory::new(block)),
            home: self.home.clone(),
            entry: entry.clone(),
            index: AtomicUsize::new(0),
        });
        if let Some(core) = self.home.core() {
            core.stacks.add(&cell);
        }
        Ok(Stack { cell })
    }

    /// Bytes of pages that the page heap has in use: the stacks', and where it is a collected
    /// heap's, that heap's as well.
    pub fn in_use_bytes(&self) -> usize {
        self.home.pool.pages.heap().stats().in_use_bytes
    }
}

impl fmt::Debug for Stacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stacks")
            .field("options", &self.home.options)
            .finish_non_exhaustive()
    }
}

/// A stack as the heap's cycles see it.
pub(crate) struct Cell {
    pub(crate) shared: Shared<Memory>,
    pub(crate) home: Arc<Home>,
    entry: EntryPoint,
    /// Its place in the heap's list.
    pub(crate) index: AtomicUsize,
}

impl Cell {
    /// Scans all frames that are not scanned in this cycle yet; beside the fiber, if it runs.
    pub(crate) fn mark(&self, cycle: u64, report: &mut dyn FnMut(Object, Kind)) {
        // SAFETY: a frame below the watermark; the lock is held, and the fiber does not write it.
        let visit = |memory: &Memory, index: u32| unsafe { memory.visit(index, report) };
        let mut visit = visit;
        while self.shared.scan(cycle, &mut visit) {}
        self.shrink();
    }

    /// Reports the references of every frame, in a stopped world.
    pub(crate) fn visit_stopped(&self, report: &mut dyn FnMut(Object, Kind)) {
        self.shared.visit_stopped(|memory, index| {
            // SAFETY: a frame of a stack that is not mounted, and whose lock is held.
            unsafe { memory.visit(index, report) };
        });
    }

    /// Halves a stack that uses less than a quarter of its memory and is not running.
    pub(crate) fn shrink(&self) {
        let pool = &self.home.pool;
        let left = self.shared.if_idle(|memory| {
            let bytes = memory.block.bytes();
            if bytes <= BLOCK_BYTES_MIN || memory.used_bytes() >= bytes / 4 {
                return None;
            }
            // Without memory for the smaller one it stays as it is.
            let block = pool.take(bytes / 2).ok()?;
            // SAFETY: fresh; half is more than is in use; nobody runs on it.
            Some(unsafe { memory.move_to(block) })
        });
        if let Some(block) = left.flatten() {
            // SAFETY: nothing is in it any more.
            unsafe { pool.give(block) };
        }
    }
}

/// A stack of frames: what one fiber (coroutine, interpreter context) has called and not returned
/// from. It runs in turns: of a [`Fibers`](super::Fibers) if it is a heap's, else by
/// [`Self::run`]. Dropping it drops what is in its frames, from the top down.
pub struct Stack {
    pub(super) cell: Arc<Cell>,
}

impl Stack {
    /// Runs a turn of a stack that is no heap's.
    ///
    /// # Panics
    ///
    /// If it is a heap's.
    #[inline]
    pub fn run<R>(&mut self, run: impl for<'a, 'gc> FnOnce(&mut Frames<'a, 'gc>) -> R) -> R {
        assert!(
            self.cell.home.core().is_none(),
            "a heap's stack is run without its heap: use `Fibers::turn`"
        );
        self.mounted((Phase::Idle, 0), None, run)
    }

    /// Mounts the stack for `run`, at this moment of a mutator: its phase, and the cycle.
    #[inline]
    pub(super) fn mounted<'gc, R>(
        &mut self,
        (phase, cycle): (Phase, u64),
        sink: Option<&dyn LogSink>,
        run: impl for<'a> FnOnce(&mut Frames<'a, 'gc>) -> R,
    ) -> R {
        let cell = &*self.cell;
        let memory = cell.shared.mount(phase, cycle);
        let turn = Turn::new(&cell.shared, &cell.home, sink, memory);
        let mut frames = Frames::begin(&turn, memory);
        run(&mut frames)
    }

    /// Whether the stack may hold references into the heap with this core.
    pub(super) fn is_of(&self, core: &Arc<Core>) -> bool {
        let own = self.cell.home.core();
        own.is_some_and(|own| Arc::ptr_eq(own, core))
    }

    /// Frames on it.
    pub fn depth(&self) -> usize {
        self.looked_at(|memory| memory.depth() as usize)
    }

    /// Bytes in use, by frames and the directory of where they are.
    pub fn used_bytes(&self) -> usize {
        self.looked_at(Memory::used_bytes)
    }

    /// Bytes of memory that it has.
    pub fn capacity_bytes(&self) -> usize {
        self.looked_at(|memory| memory.block.bytes())
    }

    fn looked_at<R>(&self, look: impl FnOnce(&Memory) -> R) -> R {
        self.cell.shared.look(look)
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("entry", &self.cell.entry)
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let cell = &*self.cell;
        let core = cell.home.core();
        let memory = cell.shared.retire(|memory, unscanned| {
            let Some(core) = core.filter(|_| !unscanned.is_empty()) else {
                return;
            };
            let logged = collect(memory, unscanned);
            if logged.gave_up {
                core.logs.give_up();
            }
            // Before the lock is given up: a marker that finds the stack empty finds these.
            core.logs.add(logged.entries);
        });
        cell.entry.learn(memory.peak_bytes);
        let mut rest = Rest {
            memory,
            cell,
            core: core.cloned(),
        };
        rest.drop_frames();
    }
}

/// What is left of a stack that is being dropped: the frames that drop glue has not been run of,
/// and the memory.
struct Rest<'a> {
    memory: Memory,
    cell: &'a Cell,
    core: Option<Arc<Core>>,
}

impl Rest<'_> {
    fn drop_frames(&mut self) {
        while self.memory.depth() > 0 {
            // SAFETY: there is one, and nobody else has the stack.
            unsafe { self.memory.drop_top() };
        }
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        // After a panic of drop glue; a second one ends the process, as in a `Vec`.
        self.drop_frames();
        if let Some(core) = &self.core {
            core.stacks.remove(self.cell);
        }
        // SAFETY: the stack's, which is in no list any more and had its last turn.
        unsafe { self.cell.home.pool.give(self.memory.block) };
    }
}

/// References found in frames.
pub(super) struct Collected {
    pub(super) entries: Vec<(Object, Kind)>,
    /// A `trace` panicked, so some are missing.
    pub(super) gave_up: bool,
}

/// The references of some frames, which nobody writes meanwhile.
pub(super) fn collect(memory: &Memory, frames: std::ops::Range<u32>) -> Collected {
    let mut collected = Collected {
        entries: Vec::new(),
        gave_up: false,
    };
    for index in frames {
        collect_one(memory, index, &mut collected);
    }
    collected
}

/// Adds the references of frame `index`; its bytes.
pub(super) fn collect_one(memory: &Memory, index: u32, into: &mut Collected) -> usize {
    let mut bytes = 1;
    let panicked = task::during(Task::Logging, || {
        task::panics(|| {
            let mut report = |object, kind| into.entries.push((object, kind));
            // SAFETY: there is such a frame, and nobody writes it (the callers' promise).
            bytes = unsafe { memory.visit(index, &mut report) };
        })
    });
    into.gave_up |= panicked;
    bytes
}

/// A block that is a stack's next one; given back if it is not used.
pub(super) fn grown(
    home: &Home,
    memory: &Memory,
    needed_bytes: usize,
) -> Result<Option<Block>, StackError> {
    let bytes = needed_bytes.max(memory.block.bytes() * 2);
    if bytes > home.options.limit_bytes {
        return Ok(None);
    }
    home.pool.take(bytes).map(Some).map_err(StackError::Memory)
}
