//! [`Trace`](crate::Trace) and [`Rebrand`](crate::Rebrand) for the standard library's types.
//!
//! Three families. What *owns* its elements (`containers`) reports theirs. What is *plain*
//! (`plain`) holds no reference into a heap, whatever its parameters, because they are `'static`
//! and a reference is branded. What is *shared between threads* (`shared`) is plain too, and apart
//! because its names are those of std's atomics and locks.
//!
//! Left out on purpose:
//!
//! * `Cell`, `RefCell`, `UnsafeCell`, `OnceCell`: a marker may read the value on another thread
//!   while its owner writes. One that holds no reference can be a skipped field.
//! * `Mutex<T>` and the like of a `T` that holds references: the marker would have to lock, and a
//!   store into the content would bypass the write barrier. A heap brings its own places.
//! * `Rc<T>`, and `Arc<T>` of a `T` that holds references: owned outside the heap and by many, so a
//!   cycle through the heap and back would keep itself alive.
//! * `&'a T`: its lifetime is a borrow and no brand; under another brand it would outlive itself.
//! * Raw pointers: nobody says what is behind them. Skip them.

mod containers;
mod plain;
mod shared;

use crate::Rebrand;

/// A type that is sized under the brand `'to`. Implemented for every type that is.
///
/// To ask that a parameter be sized under *every* brand, write `T: for<'to> SizedUnder<'to>`, not
/// `for<'to> T::With<'to>: Sized`: the latter says the same, but rustc 1.95 cannot infer through
/// it, and would refuse `vec![1]` for want of a type for `1`.
pub trait SizedUnder<'to>: Rebrand<With<'to>: Sized> {}

impl<'to, T: Rebrand<With<'to>: Sized> + ?Sized> SizedUnder<'to> for T {}

/// Implements both traits for types that hold no reference into a heap: for each,
/// `[generics] type`. The caller sees to it that all parameters are `'static`.
macro_rules! noscan {
    ($([$($generics:tt)*] $ty:ty;)*) => {$(
        // SAFETY: the type and what it owns is `'static`. A reference into a heap is branded with
        // a lifetime that is not, so no value holds one, and drop glue has none to follow.
        unsafe impl<$($generics)*> $crate::Trace for $ty {
            const NEEDS_TRACE: bool = false;
            #[inline]
            fn trace<V: $crate::Visitor>(&self, _: &mut V) {}
        }

        // SAFETY: without a reference there is no brand to replace.
        unsafe impl<$($generics)*> $crate::Rebrand for $ty {
            type With<'to> = Self;
        }
    )*};
}
use noscan;
