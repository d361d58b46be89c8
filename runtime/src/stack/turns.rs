//! A mutator that runs fibers: turns of stacks, and checkpoints between them.
//!
//! Between two turns the thread's own stack holds no reference: the brand of a turn's references
//! ends with it, which the borrow checker sees to. So a checkpoint is what a closure's edge is, a
//! step outside and in again; and it can be taken in the middle of a loop that never ends.

use super::fiber::Stack;
use super::frames::Frames;
use crate::collector::Collector;
use crate::cx::Cx;
use crate::heap::Mutator;
use crate::on_the_fly::OnTheFly;
use crate::raw::{self, Inside};
use std::fmt;

/// A mutator inside its heap, which runs turns of stacks. See [`Mutator::fibers`].
pub struct Fibers<'m, C: Collector = OnTheFly> {
    inside: Inside<'m, C>,
}

impl<C: Collector> Mutator<C> {
    /// Runs fibers inside the heap, for as long as `run` takes.
    ///
    /// As in [`Self::enter`], a cycle waits for this mutator while a turn runs. It does not wait
    /// for the closure's end if there is a [`Fibers::checkpoint`] now and then.
    pub fn fibers<R>(&mut self, run: impl for<'m> FnOnce(&mut Fibers<'m, C>) -> R) -> R {
        // SAFETY: the guard lives in this frame, around the call of `run`; frames end in order.
        let inside = unsafe { raw::enter(self) };
        run(&mut Fibers { inside })
    }
}

impl<C: Collector> Fibers<'_, C> {
    /// Runs a turn of `stack`: references live in it, and in the stack's frames after it.
    ///
    /// # Panics
    ///
    /// If the stack is of another heap, or of none.
    #[inline]
    pub fn turn<R>(
        &mut self,
        stack: &mut Stack,
        run: impl for<'a, 'gc> FnOnce(&Cx<'gc, C>, &mut Frames<'a, 'gc>) -> R,
    ) -> R {
        let inside = &self.inside;
        assert!(
            stack.is_of(&inside.shared.core),
            "a stack was run in a heap that it is not of"
        );
        let (cx, moment) = (Cx::new(inside), (inside.phase(), inside.cycle()));
        stack.mounted(moment, Some(inside), |frames| run(&cx, frames))
    }

    /// Acknowledges what a cycle asks of this mutator, whatever it is, and waits while the world is
    /// stopped; collects if it is this thread's to do. Two loads and a compare if there is nothing.
    ///
    /// By its type it cannot be called in a turn.
    #[inline]
    pub fn checkpoint(&mut self) {
        if !self.inside.is_calm() {
            self.inside.step_out();
        }
    }
}

impl<C: Collector> fmt::Debug for Fibers<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fibers")
            .field("collector", &C::NAME)
            .finish_non_exhaustive()
    }
}
