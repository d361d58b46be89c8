//! Memory that objects own outside of the heap: the collector cannot see it, but should count it.

use crate::sync::{AtomicUsize, Ordering};
use gc_mark::{Rebrand, Trace, Visitor};
use std::fmt;
use std::sync::Arc;

/// A number of bytes that an object owns outside of the heap, such as a buffer or a mapped file.
///
/// Made by [`Cx::external`](crate::Cx::external) and kept in the object: as long as it lives, the
/// heap counts as larger by so many bytes, so that cycles come as often as the memory that they
/// free is worth.
pub struct External {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl External {
    pub(crate) fn new(total: &Arc<AtomicUsize>, bytes: usize) -> Self {
        // Relaxed: a count.
        total.fetch_add(bytes, Ordering::Relaxed);
        Self {
            bytes,
            total: total.clone(),
        }
    }

    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The object owns so many bytes from now on.
    pub fn set_bytes(&mut self, bytes: usize) {
        // Relaxed: a count.
        self.total.fetch_add(bytes, Ordering::Relaxed);
        // Relaxed: as above.
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for External {
    fn drop(&mut self) {
        // Relaxed: a count.
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "External({})", self.bytes)
    }
}

// SAFETY: holds no reference into a heap; neither does its drop glue.
unsafe impl Trace for External {
    const NEEDS_TRACE: bool = false;

    fn trace<V: Visitor>(&self, _visitor: &mut V) {}
}

// SAFETY: it has no brand.
unsafe impl Rebrand for External {
    type With<'to> = External;
}
