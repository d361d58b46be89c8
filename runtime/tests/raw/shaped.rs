//! A kind of object whose layout is in the object.

use runtime::raw::{self, Inside, OBLET_BYTES, ObjectType};
use runtime::{Collector, Kind, Object, Visitor};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An object of a VM. Its first three words say what follows.
///
/// | word | what |
/// |---|---|
/// | 0 | how many references follow, or null |
/// | 1 | how many plain words come after these |
/// | 2 | the address of a count of drops |
pub(crate) struct Shaped;

pub(crate) const HEADER_WORDS: usize = 3;
/// References scanned in one part.
pub(crate) const PART_REFERENCES: usize = 4_096;

/// The words of an object.
///
/// # Safety
///
/// An initialised object of the kind `Shaped` is at `object`, and nobody writes it.
pub(crate) unsafe fn words<'a>(object: NonNull<u8>) -> &'a [usize] {
    // SAFETY: an object begins with its two lengths (precondition).
    let [references, plain] = unsafe { object.cast::<[usize; 2]>().read() };
    let len = HEADER_WORDS + references + plain;
    let all = NonNull::slice_from_raw_parts(object.cast(), len);
    // SAFETY: as long as it says, initialised, not written (precondition).
    unsafe { all.as_ref() }
}

/// # Safety
///
/// As `words`.
pub(crate) unsafe fn references<'a>(object: NonNull<u8>) -> &'a [usize] {
    // SAFETY: this function's own precondition.
    let words = unsafe { words(object) };
    &words[HEADER_WORDS..HEADER_WORDS + words[0]]
}

pub(crate) fn kind() -> Kind {
    raw::kind_of(raw::info::<Shaped>())
}

pub(crate) fn report<V: Visitor>(references: &[usize], visitor: &mut V) {
    let references = references.iter().filter(|reference| **reference != 0);
    references.for_each(|reference| visitor.visit(Object(*reference), kind()));
}

pub(crate) static PARTS_TRACED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: reports all references, whole or in parts that cover them; `drop` counts.
unsafe impl ObjectType for Shaped {
    const SIZE: usize = HEADER_WORDS * size_of::<usize>();
    const ALIGN: usize = align_of::<usize>();
    const NOSCAN: bool = false;
    const NEEDS_DROP: bool = true;

    unsafe fn trace<V: Visitor>(object: NonNull<u8>, visitor: &mut V) {
        // SAFETY: a live object (precondition); nobody writes while the world is stopped.
        report(unsafe { references(object) }, visitor);
    }

    unsafe fn parts(object: NonNull<u8>) -> usize {
        // SAFETY: as in `trace`.
        let words = unsafe { words(object) };
        if size_of_val(words) > OBLET_BYTES {
            words[0].div_ceil(PART_REFERENCES).max(1)
        } else {
            1
        }
    }

    unsafe fn trace_part<V: Visitor>(object: NonNull<u8>, part: usize, visitor: &mut V) {
        // SAFETY: as in `trace`.
        let references = unsafe { references(object) };
        PARTS_TRACED.fetch_add(1, Ordering::Relaxed);
        let piece = references.chunks(PART_REFERENCES).nth(part);
        report(piece.unwrap_or(&[]), visitor);
    }

    unsafe fn drop(object: NonNull<u8>) {
        // SAFETY: an object that nobody uses any more (precondition).
        let count = unsafe { words(object) }[2];
        let count: *const AtomicUsize = std::ptr::with_exposed_provenance(count);
        // SAFETY: `make` stored the address of a static count.
        unsafe { &*count }.fetch_add(1, Ordering::Relaxed);
    }
}

/// A count of drops for one test.
pub(crate) fn count() -> &'static AtomicUsize {
    Box::leak(Box::default())
}

/// Allocates an object; plain words hold `fill`.
pub(crate) fn make<C: Collector>(
    inside: &Inside<'_, C>,
    references: &[Option<NonNull<u8>>],
    plain: usize,
    fill: usize,
    drops: &'static AtomicUsize,
) -> NonNull<u8> {
    let len = HEADER_WORDS + references.len() + plain;
    let bytes = len * size_of::<usize>();
    // SAFETY: the bytes of an object of this shape, initialised below.
    let object = unsafe { inside.alloc(raw::info::<Shaped>(), bytes) }.unwrap();
    let header = [
        references.len(),
        plain,
        std::ptr::from_ref(drops).expose_provenance(),
    ];
    let references = references.iter().map(|reference| match reference {
        Some(object) => raw::object_at(*object).0,
        None => 0,
    });
    let content = header
        .into_iter()
        .chain(references)
        .chain(std::iter::repeat_n(fill, plain));
    for (index, word) in content.enumerate() {
        // SAFETY: below `len`, which is what was allocated.
        let place = unsafe { object.cast::<usize>().add(index) };
        // SAFETY: in the object, aligned.
        unsafe { place.write(word) };
    }
    object
}
