//! Types that own their elements: each reports what its elements report, in the order in which the
//! container iterates.
//!
//! A container of elements that need no trace needs none either; its `trace` is then empty at
//! compile time, so that a `Vec<u8>` is never walked. Dropping any of these runs its elements' drop
//! glue and nothing else that could follow a reference: no hash and no comparison.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::num::Wrapping;
use std::ops::{Bound, Range, RangeFrom, RangeInclusive, RangeTo, RangeToInclusive};
use std::slice;

use crate::{Rebrand, SizedUnder, Trace, Visitor};

/// Implements both traits for containers of one parameter: for each, what it iterates.
macro_rules! sequences {
    ($($name:ident: |$value:ident| $items:expr;)*) => {$(
        // SAFETY: `$items` yields each element that is owned, and each is asked; drop glue is that
        // of the elements.
        unsafe impl<T: Trace> Trace for $name<T> {
            const NEEDS_TRACE: bool = T::NEEDS_TRACE;
            #[inline]
            fn trace<V: Visitor>(&self, visitor: &mut V) {
                if T::NEEDS_TRACE {
                    let $value = self;
                    for item in $items {
                        item.trace(visitor);
                    }
                }
            }
        }

        // SAFETY: the same container; its element alone changes its brand.
        unsafe impl<T: for<'to> SizedUnder<'to>> Rebrand for $name<T> {
            type With<'to> = $name<T::With<'to>>;
        }
    )*};
}

sequences! {
    Option: |option| option.iter();
    Vec: |vec| vec;
    VecDeque: |deque| deque;
    BinaryHeap: |heap| heap;
    LinkedList: |list| list;
    BTreeSet: |set| set;
    Range: |range| [&range.start, &range.end];
    RangeInclusive: |range| [range.start(), range.end()];
    RangeFrom: |range| [&range.start];
    RangeTo: |range| [&range.end];
    RangeToInclusive: |range| [&range.end];
    Reverse: |reverse| [&reverse.0];
    Wrapping: |wrapping| [&wrapping.0];
    Bound: |bound| match bound {
        Bound::Included(value) | Bound::Excluded(value) => slice::from_ref(value),
        Bound::Unbounded => &[],
    };
}

// SAFETY: as for `sequences!`: each element is asked.
unsafe impl<T: Trace> Trace for [T] {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;
    #[inline]
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        if T::NEEDS_TRACE {
            for item in self {
                item.trace(visitor);
            }
        }
    }
}

// SAFETY: the same slice; its element alone changes its brand.
unsafe impl<T: for<'to> SizedUnder<'to>> Rebrand for [T] {
    type With<'to> = [T::With<'to>];
}

// SAFETY: an array is its slice. One of no elements still answers for its element's type, which
// is true and costs nothing.
unsafe impl<T: Trace, const N: usize> Trace for [T; N] {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;
    #[inline]
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        self.as_slice().trace(visitor);
    }
}

// SAFETY: the same array; its element alone changes its brand.
unsafe impl<T: for<'to> SizedUnder<'to>, const N: usize> Rebrand for [T; N] {
    type With<'to> = [T::With<'to>; N];
}

// SAFETY: a box owns one value and drops it.
unsafe impl<T: Trace + ?Sized> Trace for Box<T> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;
    #[inline]
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        if T::NEEDS_TRACE {
            T::trace(self, visitor);
        }
    }
}

// SAFETY: the same box; its content alone changes its brand.
unsafe impl<T: Rebrand + ?Sized> Rebrand for Box<T> {
    type With<'to> = Box<T::With<'to>>;
}

// SAFETY: it holds nothing.
unsafe impl<T: ?Sized> Trace for PhantomData<T> {
    const NEEDS_TRACE: bool = false;
    #[inline]
    fn trace<V: Visitor>(&self, _: &mut V) {}
}

// SAFETY: the type named changes its brand, and says itself how. It has to: code may rely on a
// lifetime that only a `PhantomData` carries.
unsafe impl<T: Rebrand + ?Sized> Rebrand for PhantomData<T> {
    type With<'to> = PhantomData<T::With<'to>>;
}

// SAFETY: either value is asked, whichever there is.
unsafe impl<T: Trace, E: Trace> Trace for Result<T, E> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE || E::NEEDS_TRACE;
    #[inline]
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        match self {
            Ok(value) => value.trace(visitor),
            Err(error) => error.trace(visitor),
        }
    }
}

// SAFETY: the same enum; both parameters change their brand.
unsafe impl<T, E> Rebrand for Result<T, E>
where
    T: for<'to> SizedUnder<'to>,
    E: for<'to> SizedUnder<'to>,
{
    type With<'to> = Result<T::With<'to>, E::With<'to>>;
}

/// Implements both traits for maps: keys and values are owned; a hasher is `'static` and holds no
/// reference.
macro_rules! maps {
    ($([$($hasher:ident)?] $name:ident;)*) => {$(
        // SAFETY: each key and each value is asked; drop glue is theirs and that of a `'static`
        // hasher.
        unsafe impl<K: Trace, T: Trace $(, $hasher: 'static)?> Trace for $name<K, T $(, $hasher)?> {
            const NEEDS_TRACE: bool = K::NEEDS_TRACE || T::NEEDS_TRACE;
            #[inline]
            fn trace<V: Visitor>(&self, visitor: &mut V) {
                if Self::NEEDS_TRACE {
                    for (key, value) in self {
                        key.trace(visitor);
                        value.trace(visitor);
                    }
                }
            }
        }

        // SAFETY: the same map; keys and values alone change their brand.
        unsafe impl<K, T $(, $hasher: 'static)?> Rebrand
            for $name<K, T $(, $hasher)?>
        where
            K: for<'to> SizedUnder<'to>,
            T: for<'to> SizedUnder<'to>,
        {
            type With<'to> = $name<K::With<'to>, T::With<'to> $(, $hasher)?>;
        }
    )*};
}

maps! {
    [] BTreeMap;
    [S] HashMap;
}

// SAFETY: each element is asked; drop glue is theirs and that of a `'static` hasher.
unsafe impl<T: Trace, S: 'static> Trace for HashSet<T, S> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;
    #[inline]
    fn trace<V: Visitor>(&self, visitor: &mut V) {
        if T::NEEDS_TRACE {
            for item in self {
                item.trace(visitor);
            }
        }
    }
}

// SAFETY: the same set; its element alone changes its brand.
unsafe impl<T: for<'to> SizedUnder<'to>, S: 'static> Rebrand for HashSet<T, S> {
    type With<'to> = HashSet<T::With<'to>, S>;
}

/// Implements both traits for tuples.
macro_rules! tuples {
    ($(($($name:ident)+))*) => {$(
        // SAFETY: each member is asked; drop glue is that of the members.
        unsafe impl<$($name: Trace),+> Trace for ($($name,)+) {
            const NEEDS_TRACE: bool = $($name::NEEDS_TRACE)||+;
            #[inline]
            #[allow(non_snake_case, reason = "a member's binding is named as its type")]
            fn trace<Vis: Visitor>(&self, visitor: &mut Vis) {
                let ($($name,)+) = self;
                $(if $name::NEEDS_TRACE {
                    $name.trace(visitor);
                })+
            }
        }

        // SAFETY: the same tuple; each member changes its brand.
        unsafe impl<$($name),+> Rebrand for ($($name,)+)
        where
            $($name: for<'to> SizedUnder<'to>,)+
        {
            type With<'to> = ($($name::With<'to>,)+);
        }
    )*};
}

tuples! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    struct Edge;

    // SAFETY: leads nowhere.
    unsafe impl Trace for Edge {
        const NEEDS_TRACE: bool = true;
        fn trace<V: Visitor>(&self, _: &mut V) {}
    }

    /// As a type that passes for noscan and holds references, which are lost.
    #[test]
    fn either_part_of_a_type_decides_whether_it_is_traced() {
        let needs = [
            <Result<Edge, u8>>::NEEDS_TRACE,
            <Result<u8, Edge>>::NEEDS_TRACE,
            <BTreeMap<Edge, u8>>::NEEDS_TRACE,
            <BTreeMap<u8, Edge>>::NEEDS_TRACE,
            <HashMap<Edge, u8>>::NEEDS_TRACE,
            <HashMap<u8, Edge>>::NEEDS_TRACE,
            <(Edge, u8)>::NEEDS_TRACE,
            <(u8, u8, Edge)>::NEEDS_TRACE,
        ];
        assert_eq!(needs, [true; 8]);
        let needs = [<Result<u8, u8>>::NEEDS_TRACE, <(u8, u8)>::NEEDS_TRACE];
        assert_eq!(needs, [false; 2]);
    }
}
