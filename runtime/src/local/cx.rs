//! `LocalCx`: what a closure can do in a local heap.

use crate::cx::{Exhausted, fill_slice, into_str, out_of_memory};
use crate::external::External;
use crate::gc::Gc;
use crate::local::root::LocalRoot;
use crate::raw::core::{Core, Local};
use crate::raw::log::Entry;
use crate::raw::object_type::info;
use crate::raw::phase::Phase;
use crate::raw::roots::Handle;
use crate::raw::world::State;
use crate::raw::{ObjectType, kind_of, object_at};
use crate::repr::Managed;
use crate::sync::{Lent, Ordering};
use crate::weak::{Weak, WeakCell, weak_info};
use alloc_core::{SizeClass, TypeInfo};
use gc_mark::{Kind, Object, Rebrand, Trace, Visitor};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// A heap and its only mutator, which never goes inside: the heap's thread is its collector too.
pub(crate) struct Owner {
    pub(crate) core: Arc<Core>,
    pub(crate) state: Arc<State<Local>>,
}

impl Owner {
    /// What belongs to the mutator.
    ///
    /// # Safety
    ///
    /// It is not lent out already, and is given back before anything of `core` is called that
    /// hands on a phase.
    #[inline(always)]
    pub(crate) unsafe fn local(&self) -> Lent<'_, Local> {
        // SAFETY: whoever has the owner has all of the heap: a `LocalHeap` by `&mut`, or its one
        // `LocalCx`, and neither is shared with another thread. So nobody stops this world or
        // acknowledges for the mutator but this thread, which does not do so now (precondition).
        unsafe { self.state.local() }
    }
}

/// The inside of one local heap, for one closure. Stays on its thread.
pub struct LocalCx<'gc> {
    owner: &'gc Owner,
    /// Invariant, as [`Gc`]'s brand.
    brand: PhantomData<fn(&'gc ()) -> &'gc ()>,
    /// Neither `Send` nor `Sync`.
    one_thread: PhantomData<*mut ()>,
}

impl<'gc> LocalCx<'gc> {
    #[inline(always)]
    pub(crate) fn new(owner: &'gc Owner) -> Self {
        Self {
            owner,
            brand: PhantomData,
            one_thread: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> &Core {
        &self.owner.core
    }

    /// Whether a cycle marks, so that what is overwritten must be logged.
    #[inline(always)]
    pub(crate) fn is_marking(&self) -> bool {
        self.owner.state.phase() == Phase::Marking
    }

    /// The number of the cycle that marks.
    pub(crate) fn marking(&self) -> u64 {
        // Relaxed: written by this thread.
        self.core().cycle.load(Ordering::Relaxed)
    }

    /// Tells the cycle that marks of an object to which a reference was overwritten, or found.
    #[cold]
    #[inline(never)]
    pub(crate) fn log<T: ?Sized + Managed>(&self, gc: Gc<'gc, T>) {
        self.log_entry((object_at(Gc::at(gc)), kind_of(info::<T::Repr>())));
    }

    /// Tells the cycle that marks of all references that `data` holds.
    #[cold]
    #[inline(never)]
    pub(crate) fn log_all<T: Trace>(&self, data: &T) {
        /// Logs what it is shown.
        struct Logging<'a, 'gc>(&'a LocalCx<'gc>);
        impl Visitor for Logging<'_, '_> {
            fn visit(&mut self, object: Object, kind: Kind) {
                self.0.log_entry((object, kind));
            }
        }
        data.trace(&mut Logging(self));
    }

    fn log_entry(&self, entry: Entry) {
        let core = self.core();
        if !core.is_marked(entry.0) {
            // SAFETY: nothing below comes back here, nor hands on a phase.
            core.log(&mut *unsafe { self.owner.local() }, entry);
        }
    }

    /// Memory for an object of `info`'s kind with `bytes` bytes, uninitialised.
    ///
    /// # Safety
    ///
    /// As [`crate::raw::Inside::alloc`]: the object is initialised before the closure ends.
    #[inline(always)]
    unsafe fn alloc_raw(
        &self,
        info: &'static TypeInfo,
        bytes: usize,
    ) -> Result<NonNull<u8>, alloc_core::Exhausted> {
        let class = SizeClass::of(bytes, info.align);
        // SAFETY: nothing below comes back here, nor hands on a phase: what an allocation's slow
        // path sweeps has no drop glue.
        let mut local = unsafe { self.owner.local() };
        if let Some(class) = class {
            if let Some(slot) = local.cache.take(info, class) {
                return Ok(slot);
            }
            if let Some(slot) = local.cache.take_next(&self.core().heap, info, class) {
                return Ok(slot);
            }
        }
        // SAFETY: the local is the one mutator's, the rest is the caller's promise.
        unsafe { self.core().alloc_slow(&mut local, info, class, bytes) }
    }

    /// Allocates `value`, which need be neither `Send` nor `Sync`: it is dropped by this thread.
    ///
    /// # Errors
    ///
    /// [`Exhausted`], with the value, if there is no memory: leave the closure, drop what can be
    /// dropped, [collect](crate::LocalHeap::collect), try again.
    #[inline(always)]
    pub fn try_alloc<T>(&self, value: T) -> Result<Gc<'gc, T>, Exhausted<T>>
    where
        T: Managed + Rebrand<With<'gc> = T>,
    {
        // SAFETY: the size of the kind; initialised by the next statement.
        match unsafe { self.alloc_raw(info::<T::Repr>(), size_of::<T>()) } {
            Ok(at) => {
                // SAFETY: fresh memory of `T`'s size and alignment.
                unsafe { at.cast::<T>().write(value) };
                // SAFETY: just initialised; nothing is freed while the closure runs.
                Ok(unsafe { Gc::from_raw(at) })
            }
            Err(cause) => Err(Exhausted { value, cause }),
        }
    }

    /// Allocates `value`: the form for programs that have nothing to do without memory.
    ///
    /// # Panics
    ///
    /// If there is no memory. The closure unwinds and the heap stays usable.
    #[inline(always)]
    pub fn alloc<T>(&self, value: T) -> Gc<'gc, T>
    where
        T: Managed + Rebrand<With<'gc> = T>,
    {
        match self.try_alloc(value) {
            Ok(gc) => gc,
            Err(exhausted) => out_of_memory(&exhausted),
        }
    }

    /// Allocates a slice of what `elements` yields: as many as it says that it has, or fewer.
    ///
    /// # Errors
    ///
    /// [`Exhausted`], with the iterator as it came, if there is no memory.
    ///
    /// # Panics
    ///
    /// If the iterator does; what it had yielded is dropped.
    pub fn try_alloc_slice<T, I>(&self, elements: I) -> Result<Gc<'gc, [T]>, Exhausted<I::IntoIter>>
    where
        I: IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        T: Trace + Rebrand<With<'gc> = T>,
    {
        // SAFETY: `fill_slice` asks for memory as its kind needs it, and initialises it.
        fill_slice(elements.into_iter(), |info, bytes| unsafe {
            self.alloc_raw(info, bytes)
        })
    }

    /// Allocates a slice of what `elements` yields.
    ///
    /// # Panics
    ///
    /// If there is no memory, or the iterator panics.
    pub fn alloc_slice<T, I>(&self, elements: I) -> Gc<'gc, [T]>
    where
        I: IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        T: Trace + Rebrand<With<'gc> = T>,
    {
        match self.try_alloc_slice(elements) {
            Ok(gc) => gc,
            Err(exhausted) => out_of_memory(&exhausted),
        }
    }

    /// Allocates a copy of `text`.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if there is no memory.
    pub fn try_alloc_str<'t>(&self, text: &'t str) -> Result<Gc<'gc, str>, Exhausted<&'t str>> {
        into_str(text, self.try_alloc_slice(text.bytes()))
    }

    /// Allocates a copy of `text`.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn alloc_str(&self, text: &str) -> Gc<'gc, str> {
        match self.try_alloc_str(text) {
            Ok(gc) => gc,
            Err(exhausted) => out_of_memory(&exhausted),
        }
    }

    /// A handle that keeps the object alive after the closure, and finds it again in another.
    ///
    /// Constant time.
    pub fn root<T>(&self, gc: Gc<'gc, T>) -> LocalRoot<T::With<'static>>
    where
        T: ?Sized + Managed + Rebrand,
    {
        let (at, kind) = (Gc::at(gc), kind_of(info::<T::Repr>()));
        LocalRoot::new(Handle::new(&self.core().roots, object_at(at), kind), at)
    }

    /// Counts so many bytes as owned by an object, outside of the heap; to be kept in that object.
    pub fn external(&self, bytes: usize) -> External {
        External::new(&self.core().account.external_bytes, bytes)
    }

    /// A reference that does not keep the object alive; [`Self::upgrade`] gives it back.
    ///
    /// # Panics
    ///
    /// If there is no memory for its 16 bytes.
    pub fn downgrade<T: ?Sized + Managed>(&self, gc: Gc<'gc, T>) -> Weak<'gc, T> {
        // SAFETY: the size of the kind; initialised by the next statement.
        match unsafe { self.alloc_raw(weak_info(), WeakCell::SIZE) } {
            Ok(at) => {
                // SAFETY: fresh memory of the right size and alignment.
                unsafe { at.cast().write(WeakCell::new(Gc::at(gc))) };
                // SAFETY: nothing below comes back here, nor hands on a phase.
                unsafe { self.owner.local() }.weaks.push(object_at(at).0);
                // SAFETY: just initialised with an object of `T`'s kind.
                unsafe { Weak::from_raw(at) }
            }
            Err(cause) => out_of_memory(&Exhausted { value: (), cause }),
        }
    }

    /// The object of a weak reference, if it has not been found dead.
    pub fn upgrade<T: ?Sized + Managed>(&self, weak: Weak<'gc, T>) -> Option<Gc<'gc, T>> {
        let target = weak.target()?;
        // SAFETY: it was not found dead when the last cycle's marking ended; if a cycle marks, it
        // is logged by the next statement, before anything else can happen.
        let gc = unsafe { Gc::from_raw(target) };
        if self.is_marking() {
            self.log(gc);
        }
        Some(gc)
    }
}

impl std::fmt::Debug for LocalCx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalCx")
    }
}
