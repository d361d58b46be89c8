//! The allocators as values that a single container takes: the trait of `allocator-api2`.
//!
//! ```
//! use allocator_api2::vec::Vec;
//! use alloc_core::malloc::Heapwright;
//!
//! let mut numbers = Vec::new_in(Heapwright); // Whatever the program's global allocator is.
//! numbers.extend(0..1000u32);
//! assert_eq!(numbers.iter().sum::<u32>(), 499_500);
//! ```

use crate::malloc::global::{Hardened, Heapwright};
use allocator_api2::alloc::{AllocError, Allocator};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

/// Memory of `layout` from `get`, which is asked for at least a byte.
fn block(layout: Layout, get: impl FnOnce(Layout) -> *mut u8) -> Result<NonNull<[u8]>, AllocError> {
    let start = match layout.size() {
        // Of no bytes any aligned address is one.
        0 => NonNull::new(std::ptr::without_provenance_mut(layout.align())),
        _ => NonNull::new(get(layout)),
    };
    let start = start.ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(start, layout.size()))
}

macro_rules! allocator {
    ($name:ident) => {
        // SAFETY: blocks are the global heap's, which lives as long as the program, whatever
        // becomes of the value; all values of the type are the same allocator.
        unsafe impl Allocator for $name {
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: `block` asks for no layout without bytes.
                block(layout, |layout| unsafe { self.alloc(layout) })
            }

            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: as above.
                block(layout, |layout| unsafe { self.alloc_zeroed(layout) })
            }

            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                if layout.size() != 0 {
                    // SAFETY: the caller's block, of this layout, which has bytes.
                    unsafe { self.dealloc(block.as_ptr(), layout) };
                }
            }
        }
    };
}

allocator!(Heapwright);
allocator!(Hardened);

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::boxed::Box;
    use allocator_api2::vec::Vec;

    #[test]
    fn containers_of_single_allocators() {
        let mut rows: Vec<Box<[u64; 5], Heapwright>, Heapwright> = Vec::new_in(Heapwright);
        for n in 0..2000 {
            rows.push(Box::new_in([n; 5], Heapwright));
        }
        rows.retain(|row| row[0] % 3 == 0);
        rows.shrink_to_fit();
        assert_eq!(rows.len(), 667);
        let ours = Heapwright::stats().map(|stats| stats.in_use_bytes);
        assert!(ours.is_some_and(|bytes| bytes >= 667 * 40));
        let empty: Vec<u8, Heapwright> = Vec::with_capacity_in(0, Heapwright);
        assert!(empty.is_empty());
        let huge = Layout::from_size_align(1 << 46, 8).unwrap();
        assert!(Heapwright.allocate(huge).is_err());
    }
}
