//! What stands beside the heap's operations: the same loops over what a program has otherwise.
//!
//! Slices are taken before a loop, as the heap's are: within it an atomic access would have a
//! `Vec`'s address loaded anew for each element.

use crate::ops::{BATCH, COLD, HOT, Places};
use std::hint::black_box;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence as memory_fence};
use std::sync::{Arc, Weak};

type Leaf = [u64; 2];

/// The rivals' data, of the same extent as the heap's.
pub(crate) struct Rivals {
    inside: AtomicUsize,
    attention: AtomicUsize,
    /// Their addresses are stored in the cells; each stays where it is.
    leaves: Vec<Arc<Leaf>>,
    weak: Vec<Weak<Leaf>>,
    hot: Vec<AtomicPtr<Leaf>>,
    cold: Vec<AtomicPtr<Leaf>>,
    locked: parking_lot::Mutex<Vec<usize>>,
    places: Places,
}

impl Rivals {
    pub(crate) fn new() -> Self {
        let leaves: Vec<_> = (0..HOT).map(|n| Arc::new([n as u64; 2])).collect();
        let cells = |len: usize| {
            let cell = |at: usize| AtomicPtr::new(address(&leaves, at));
            (0..len).map(cell).collect()
        };
        Self {
            inside: AtomicUsize::new(0),
            attention: AtomicUsize::new(0),
            weak: leaves.iter().map(Arc::downgrade).collect(),
            hot: cells(HOT),
            cold: cells(COLD),
            locked: parking_lot::Mutex::new(vec![0; 4]),
            places: Places::new(),
            leaves,
        }
    }
}

#[inline(always)]
fn address(leaves: &[Arc<Leaf>], at: usize) -> *mut Leaf {
    Arc::as_ptr(&leaves[at % HOT]).cast_mut()
}

/// The least that a closure's edge can be where both sides use fences.
pub(crate) fn fence(rivals: &mut Rivals) {
    for at in 0..BATCH {
        // Relaxed, twice: the fence between them orders the store before the load.
        rivals.inside.store(at + 1, Ordering::Relaxed);
        // SeqCst: would pair with the fence of who stops the world.
        memory_fence(Ordering::SeqCst);
        black_box(rivals.attention.load(Ordering::Relaxed));
        // Release: would pair with who waits for it to leave.
        rivals.inside.store(0, Ordering::Release);
    }
}

pub(crate) fn store<const IS_COLD: bool>(rivals: &mut Rivals) {
    let cells = if IS_COLD {
        &rivals.cold[..]
    } else {
        &rivals.hot[..]
    };
    let leaves = &rivals.leaves[..];
    let (places, turn) = rivals.places.next::<IS_COLD>();
    for &at in places {
        let leaf = address(leaves, at as usize + turn);
        // Release: what `GcCell::set` promises to who reads it.
        cells[at as usize].store(leaf, Ordering::Release);
    }
}

pub(crate) fn load<const IS_COLD: bool>(rivals: &mut Rivals) {
    let cells = if IS_COLD {
        &rivals.cold[..]
    } else {
        &rivals.hot[..]
    };
    let (places, _) = rivals.places.next::<IS_COLD>();
    let sum = places.iter().fold(0, |sum, &at| {
        // Acquire: what `GcCell::get` promises; pairs with the Release in `store`.
        sum ^ cells[at as usize].load(Ordering::Acquire).addr()
    });
    black_box(sum);
}

pub(crate) fn lock(rivals: &mut Rivals) {
    let leaves = &rivals.leaves[..];
    for at in 0..BATCH {
        rivals.locked.lock()[at % 4] = address(leaves, at).addr();
    }
}

pub(crate) fn clone(rivals: &mut Rivals) {
    let leaves = &rivals.leaves[..];
    for at in 0..BATCH {
        drop(black_box(Arc::clone(&leaves[at % HOT])));
    }
}

pub(crate) fn downgrade(rivals: &mut Rivals) {
    let leaves = &rivals.leaves[..];
    for at in 0..BATCH {
        drop(black_box(Arc::downgrade(&leaves[at % HOT])));
    }
}

pub(crate) fn upgrade(rivals: &mut Rivals) {
    let weak = &rivals.weak[..];
    for at in 0..BATCH {
        drop(black_box(weak[at % HOT].upgrade()));
    }
}
