//! From a layout to a size class, by a table: the same answer for allocation and for free.

use crate::pages::PAGE_BYTES;
use crate::size_class::{GRANULE_BYTES, SMALL_BYTES_MAX, SizeClass};

const ENTRIES: usize = SMALL_BYTES_MAX / GRANULE_BYTES + 1;

/// The class for each number of granules.
static BY_GRANULES: [SizeClass; ENTRIES] = {
    let Some(smallest) = SizeClass::of(0, 1) else {
        panic!("there is no class at all");
    };
    let mut table = [smallest; ENTRIES];
    let mut granules = 0;
    while granules < ENTRIES {
        if let Some(class) = SizeClass::of(granules * GRANULE_BYTES, 1) {
            table[granules] = class;
        }
        granules += 1;
    }
    table
};

/// The class for `bytes` aligned to `align`; `None` for what owns its span.
#[inline(always)]
pub(crate) fn class_of(bytes: usize, align: usize) -> Option<SizeClass> {
    if align <= GRANULE_BYTES {
        BY_GRANULES.get(bytes.div_ceil(GRANULE_BYTES)).copied()
    } else if align <= PAGE_BYTES {
        SizeClass::of(bytes, align)
    } else {
        None
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_search() {
        for bytes in 0..SMALL_BYTES_MAX + 40 {
            assert_eq!(class_of(bytes, 8), SizeClass::of(bytes, 8), "{bytes} bytes");
        }
        assert_eq!(class_of(usize::MAX, 1), None);
        assert_eq!(class_of(24, 512), SizeClass::of(24, 512));
        assert_eq!(
            class_of(24, 2 * PAGE_BYTES),
            None,
            "no slot keeps such an alignment"
        );
    }
}
