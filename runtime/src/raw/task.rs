//! What this thread does for a collector just now, so that user code called from there can be
//! told that it must not come back in.
//!
//! Drop glue may enter a heap and allocate, but not collect: the collection would wait for the
//! span that is being swept around it. A `trace` may do neither: the world is stopped.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why user code runs on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// It runs by itself.
    None,
    /// A collector calls `trace`: in a stopped world, or in that cycle, beside the mutators.
    Marking { cycle: u64 },
    /// A mutator calls `trace` of what it has locked, to log it.
    Logging,
    /// A sweeper calls drop glue.
    DropGlue,
}

/// A collector calls `trace` while the world is stopped: the number of no cycle.
pub(crate) const STOPPED: Task = Task::Marking { cycle: u64::MAX };

std::thread_local!(static TASK: Cell<Task> = const { Cell::new(Task::None) });

/// What this thread is doing; nothing, where its locals are gone already.
pub(crate) fn current() -> Task {
    TASK.try_with(Cell::get).unwrap_or(Task::None)
}

/// Runs user code that nothing else depends on; whether it panicked. What its panic carries is
/// dropped, and may panic as well.
pub(crate) fn panics(run: impl FnOnce()) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else {
        return false;
    };
    discard(payload);
    true
}

/// Drops what a panic carried, whose own drop may panic.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// Runs `run` as part of `task`.
pub(crate) fn during<R>(task: Task, run: impl FnOnce() -> R) -> R {
    struct Restore(Task);
    impl Drop for Restore {
        fn drop(&mut self) {
            let _ = TASK.try_with(|cell| cell.set(self.0));
        }
    }
    let _restore = Restore(
        TASK.try_with(|cell| cell.replace(task))
            .unwrap_or(Task::None),
    );
    run()
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_task_ends_with_its_closure_by_panic_too() {
        let nested = during(Task::DropGlue, || during(STOPPED, current));
        assert_eq!((nested, current()), (STOPPED, Task::None));
        let panicked = std::panic::catch_unwind(|| during(Task::DropGlue, || panic!("planned")));
        assert!(panicked.is_err() && current() == Task::None);
    }
}
