//! Values that live in a frame: for Rust code that wants temporaries without a collector.
//!
//! A value has a frame of its own, and its owner a [`Place`], which is no address: the stack may
//! move, and the value with it. The place is branded by its closure, so it cannot leave it; the
//! frame is popped at the closure's end, by a panic too, and the value dropped then.

use super::Refused;
use super::address::FrameAt;
use super::frames::Frames;
use super::kind::{FrameData, FrameKind, Header, TAKEN};
use crate::collector::Collector;
use crate::cx::{Cx, Exhausted};
use crate::gc::Gc;
use crate::repr::Managed;
use gc_mark::Rebrand;
use std::fmt;
use std::marker::PhantomData;

/// Where a value in a frame is. `T` is its type under the brand `'static`.
pub struct Place<'f, T: 'static> {
    at: FrameAt,
    kind: &'static FrameKind<T>,
    /// Invariant: a place of one closure never passes for one of another.
    brand: PhantomData<fn(&'f ()) -> &'f ()>,
}

impl<T> fmt::Debug for Place<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({} at {})", self.kind.name(), self.at.depth())
    }
}

/// A frame that is popped with everything above it, whatever happens.
struct Scope<'s, 'a, 'gc, T: FrameData> {
    frames: &'s mut Frames<'a, 'gc>,
    kind: &'static FrameKind<T>,
    index: u32,
    /// The scope around: its floor, and the guard in it.
    around: (u32, usize),
    /// The guard in this one, which is also where the directory ends while this frame is the top.
    guard: usize,
}

impl<T: FrameData> Drop for Scope<'_, '_, '_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        let (floor, guard) = self.around;
        if !self.frames.leave_top(self.kind, self.guard, floor, guard) {
            self.frames.leave_scope(floor, self.index);
        }
    }
}

impl<'a, 'gc> Frames<'a, 'gc> {
    /// Keeps `value` in a frame while `run` runs, and drops it then, also if `run` panics; with it
    /// goes whatever `run` has pushed and not popped.
    ///
    /// ```
    /// use runtime::stack::{EntryPoint, FrameKind, StackOptions, Stacks};
    ///
    /// static BUFFER: FrameKind<Vec<u8>> = FrameKind::new("buffer");
    /// let stacks = Stacks::new(StackOptions::default())?;
    /// let mut stack = stacks.stack(&EntryPoint::new("main"))?;
    /// let len = stack.run(|frames| {
    ///     frames.with(&BUFFER, vec![1, 2], |frames, mut buffer| {
    ///         frames.value_mut(&mut buffer).push(3);
    ///         frames.value(&buffer).len()
    ///     })
    /// })?;
    /// assert_eq!((len, stack.depth()), (3, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused`], with the value, if there is no room; `run` is not called then.
    #[inline]
    pub fn with<T: FrameData, R>(
        &mut self,
        kind: &'static FrameKind<T>,
        value: T::With<'gc>,
        run: impl for<'f> FnOnce(&mut Frames<'a, 'gc>, Place<'f, T>) -> R,
    ) -> Result<R, Refused<T::With<'gc>>> {
        let at = self.push(kind, value, 0, ())?;
        let around = self.raise_floor();
        let scope = Scope {
            kind,
            index: at.index,
            around,
            guard: self.guard,
            frames: self,
        };
        let place = Place {
            at,
            kind,
            brand: PhantomData,
        };
        Ok(run(scope.frames, place))
    }

    /// The value at a place.
    ///
    /// # Panics
    ///
    /// If the place is of another stack.
    #[inline]
    pub fn value<'v, T: FrameData>(&'v self, place: &'v Place<'_, T>) -> &'v T::With<'gc> {
        let frame = self.frame_of(place.kind, place.at);
        // SAFETY: initialised, of this kind, and written through `&mut self` alone.
        unsafe { Self::head_in::<T, ()>(frame).as_ref() }
    }

    /// The same, to be changed.
    ///
    /// # Panics
    ///
    /// As [`Self::value`].
    #[inline]
    pub fn value_mut<'v, T: FrameData>(
        &'v mut self,
        place: &'v mut Place<'_, T>,
    ) -> &'v mut T::With<'gc> {
        let frame = self.frame_of(place.kind, place.at);
        assert!(self.is_new(place.at.index), "a place of another stack");
        // SAFETY: initialised and of this kind; pushed in this turn, so open; borrowed with `self`.
        unsafe { Self::head_in::<T, ()>(frame).as_mut() }
    }

    /// Moves the value at a place to the heap, where it may stay for as long as anything refers to
    /// it. Its frame stays, empty, until the closure's end.
    ///
    /// # Errors
    ///
    /// [`Exhausted`], with the value, if there is no memory.
    ///
    /// # Panics
    ///
    /// As [`Self::value`].
    pub fn promote<T, C>(
        &mut self,
        cx: &Cx<'gc, C>,
        place: Place<'_, T>,
    ) -> Result<Gc<'gc, T::With<'gc>>, Exhausted<T::With<'gc>>>
    where
        T: FrameData,
        C: Collector,
        T::With<'gc>: Managed + Rebrand<With<'gc> = T::With<'gc>> + Send + Sync,
    {
        let frame = self.frame_of(place.kind, place.at);
        assert!(self.is_new(place.at.index), "a place of another stack");
        // SAFETY: initialised and of this kind; from now on the frame is taken to be empty.
        let value = unsafe { Self::head_in::<T, ()>(frame).read() };
        let taken = Header::new(TAKEN.known(), place.at.serial, 0);
        // SAFETY: a frame begins with its header; it is open, and this thread's.
        unsafe { frame.cast().write(taken) };
        cx.try_alloc(value)
    }
}
