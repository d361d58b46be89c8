//! What a thread allocates with, and what it holds.
//!
//! An object is a header word (its size in bytes above eight bits for its number of references),
//! then its references, then its data. Allocation bumps MMTk's own pointer in line for the Immix
//! plans, and calls the free-list allocator for MarkSweep; MMTk has cleared the memory of the
//! former. A reference that must outlive an allocation is pushed to the thread's stack, where the
//! collector finds it, and puts the new address if the object was moved.

use crate::binding::{self, Vm};
use crate::world;
use mmtk::util::alloc::{Allocator, AllocatorSelector, BumpPointer};
use mmtk::util::alloc::{FreeListAllocator, ImmixAllocator};
use mmtk::util::{Address, ObjectReference, OpaquePointer, VMMutatorThread, VMThread};
use mmtk::vm::slot::SimpleSlot;
use mmtk::{AllocationSemantics, Mutator, memory_manager};
use std::cell::Cell;

/// Bytes of an object's header.
pub(crate) const HEADER: usize = 8;

/// References that a thread's stack has place for.
const STACK: usize = 4096;

/// An attached thread. Cells, because a collector reads them by address while the thread waits.
pub(crate) struct Local {
    mutator: Cell<*mut Mutator<Vm>>,
    allocate: Cell<Allocate>,
    barrier: bool,
    stack: Box<[Cell<usize>]>,
    top: Cell<usize>,
}

/// Where the plan's default allocator lies in the mutator.
#[derive(Clone, Copy)]
enum Allocate {
    Bump(*mut ImmixAllocator<Vm>, *mut BumpPointer),
    FreeList(*mut FreeListAllocator<Vm>),
}

/// An object.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Object(pub(crate) usize);

impl Object {
    pub(crate) const NULL: Self = Self(0);

    /// The address of word `at` behind the header.
    fn word(self, at: usize) -> *mut u64 {
        (self.0 + HEADER + at * 8) as *mut u64
    }

    #[inline(always)]
    pub(crate) fn get(self, at: usize) -> u64 {
        // SAFETY: callers name words that the object has, and hold no object that is dead.
        unsafe { self.word(at).read() }
    }

    /// Writes data, or a reference into an object that was allocated last.
    #[inline(always)]
    pub(crate) fn init(self, at: usize, value: u64) {
        // SAFETY: as in `get`; no other thread has it yet.
        unsafe { self.word(at).write(value) }
    }

    #[inline(always)]
    pub(crate) fn edge(self, at: usize) -> Self {
        Self(self.get(at) as usize)
    }

    /// How many references it has, as its header says.
    pub(crate) fn references(self) -> usize {
        // SAFETY: an object begins with its header.
        unsafe { (self.0 as *const u64).read() as usize & 0xFF }
    }

    fn reference(self) -> Option<ObjectReference> {
        // SAFETY: any word is an address; it is not followed here.
        ObjectReference::from_raw_address(unsafe { Address::from_usize(self.0) })
    }
}

impl Local {
    /// Attaches this thread while it does the work.
    pub(crate) fn attached<R>(work: impl FnOnce(&Self) -> R) -> R {
        world::enter();
        let local = Box::new(Self {
            mutator: Cell::new(std::ptr::null_mut()),
            allocate: Cell::new(Allocate::FreeList(std::ptr::null_mut())),
            barrier: binding::has_barrier(),
            stack: (0..STACK).map(|_| Cell::new(0)).collect(),
            top: Cell::new(0),
        });
        let mutator = Box::leak(memory_manager::bind_mutator(binding::mmtk(), local.tls()));
        local.allocate.set(allocator(mutator));
        local.mutator.set(mutator);
        let address = &raw const *local as usize;
        world::state().locals.push(address);
        let result = work(&local);
        world::state().locals.retain(|other| *other != address);
        // SAFETY: it was leaked above, and no collector knows it any more.
        let mut mutator = unsafe { Box::from_raw(local.mutator.get()) };
        memory_manager::destroy_mutator(&mut mutator);
        world::leave();
        result
    }

    /// By which MMTk knows the thread: the address of this.
    pub(crate) fn tls(&self) -> VMMutatorThread {
        VMMutatorThread(VMThread(OpaquePointer::from_address(Address::from_ref(
            self,
        ))))
    }

    pub(crate) fn mutator(&self) -> *mut Mutator<Vm> {
        self.mutator.get()
    }

    /// The address and number of the references on the stack.
    pub(crate) fn roots(&self) -> (usize, usize) {
        (self.stack.as_ptr() as usize, self.top.get())
    }

    #[inline(always)]
    pub(crate) fn push(&self, object: Object) {
        let top = self.top.get();
        self.stack[top].set(object.0);
        self.top.set(top + 1);
    }

    #[inline(always)]
    pub(crate) fn pop(&self) -> Object {
        let top = self.top.get() - 1;
        self.top.set(top);
        Object(self.stack[top].get())
    }

    /// The reference on the top of the stack.
    #[inline(always)]
    pub(crate) fn top(&self) -> &Cell<usize> {
        &self.stack[self.top.get() - 1]
    }

    /// Allocates an object of so many bytes, its header among them; this may move all others.
    /// Its references must be written before the next.
    #[inline(always)]
    pub(crate) fn allocate(&self, bytes: usize, references: usize) -> Object {
        world::poll();
        let address = match self.allocate.get() {
            // SAFETY: both lie in this thread's mutator, which nobody else touches while it runs.
            Allocate::Bump(immix, bump) => unsafe { allocate_in_line(immix, bump, bytes) },
            // SAFETY: as above.
            Allocate::FreeList(list) => unsafe { (*list).alloc(bytes, 8, 0) },
        };
        // SAFETY: the object begins there.
        unsafe { address.store((bytes << 8 | references) as u64) };
        Object(address.as_usize())
    }

    /// Writes a reference into an object that is not new.
    pub(crate) fn set(&self, object: Object, at: usize, to: Object) {
        object.init(at, to.0 as u64);
        if let Some(source) = object.reference()
            && self.barrier
        {
            let slot = SimpleSlot::from_address(Address::from_mut_ptr(object.word(at)));
            // SAFETY: it is this thread's own.
            let mutator = unsafe { &mut *self.mutator.get() };
            memory_manager::object_reference_write_post(mutator, source, slot, to.reference());
        }
    }

    /// Forces a full collection, and waits for it.
    pub(crate) fn collect(&self) {
        binding::mmtk().handle_user_collection_request(self.tls(), true, true);
    }
}

/// The default allocator of the mutator.
fn allocator(mutator: &mut Mutator<Vm>) -> Allocate {
    let semantics = AllocationSemantics::Default;
    let selector = memory_manager::get_allocator_mapping(binding::mmtk(), semantics);
    match selector {
        AllocatorSelector::Immix(_) => {
            // SAFETY: the selector says which kind of allocator it is.
            let immix = unsafe { mutator.allocator_impl_mut::<ImmixAllocator<Vm>>(selector) };
            Allocate::Bump(immix, &raw mut immix.bump_pointer)
        }
        AllocatorSelector::FreeList(_) => {
            // SAFETY: as above.
            Allocate::FreeList(unsafe { mutator.allocator_impl_mut(selector) })
        }
        _ => crate::params::fail("this plan's allocator is none that the binding knows"),
    }
}

/// Bumps the pointer, or has MMTk find room.
///
/// # Safety
///
/// * Both are the calling thread's own.
#[inline(always)]
unsafe fn allocate_in_line(
    immix: *mut ImmixAllocator<Vm>,
    bump: *mut BumpPointer,
    bytes: usize,
) -> Address {
    // SAFETY: the caller's promise.
    let bump = unsafe { &mut *bump };
    let (address, end) = (bump.cursor, bump.cursor + bytes);
    if end <= bump.limit {
        bump.cursor = end;
        return address;
    }
    // SAFETY: the caller's promise; `bump` is not used again.
    unsafe { allocate_out_of_line(immix, bytes) }
}

/// # Safety
///
/// * It is the calling thread's own.
#[cold]
#[inline(never)]
unsafe fn allocate_out_of_line(immix: *mut ImmixAllocator<Vm>, bytes: usize) -> Address {
    // SAFETY: the caller's promise.
    unsafe { (*immix).alloc(bytes, 8, 0) }
}

/// A table of references, all of which are roots.
pub(crate) struct Table(Box<[Cell<usize>]>);

impl Table {
    pub(crate) fn new(places: usize) -> Self {
        let table: Box<[Cell<usize>]> = (0..places).map(|_| Cell::new(0)).collect();
        let entry = (table.as_ptr() as usize, places);
        world::state().tables.push(entry);
        Self(table)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> Object {
        Object(self.0[at].get())
    }

    #[inline(always)]
    pub(crate) fn set(&self, at: usize, object: Object) {
        self.0[at].set(object.0);
    }

    pub(crate) fn swap(&self, a: usize, b: usize) {
        self.0[a].swap(&self.0[b]);
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let address = self.0.as_ptr() as usize;
        world::state().tables.retain(|(start, _)| *start != address);
    }
}
