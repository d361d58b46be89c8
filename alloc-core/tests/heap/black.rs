//! Allocating black: which granules are marked, from the word that is at hand when a cache turns
//! black to the flush that ends it.
//!
//! Mutants: those of `xtask/mutants/alloc-core-spans.toml` whose names begin with `black`.

use crate::owner::{KINDS, Object, Owner};
use alloc_core::{FakeSource, SizeClass, ThreadCache, TypeInfo};

/// 16 bytes: as many slots as granules.
static SMALL: &TypeInfo = &KINDS[1];
const WORD_SLOTS: usize = 64;

fn owner() -> Owner {
    Owner::new(FakeSource::new(), 8 << 20).unwrap()
}

fn is_marked(owner: &Owner, object: &Object) -> bool {
    owner
        .heap
        .marks()
        .test(owner.heap.granule_of(object.start()))
}

fn marks(owner: &Owner) -> u32 {
    let words = owner.heap.spans_end() as usize * 8;
    (0..words)
        .map(|word| owner.heap.marks().word(word).count_ones())
        .sum()
}

#[test]
fn a_black_cache_marks_what_it_allocates_and_nothing_else() {
    let owner = owner();
    let mut cache = ThreadCache::new();
    let alloc = |cache: &mut ThreadCache, count: usize| -> Vec<Object> {
        let object = |_| owner.alloc(cache, SMALL, SMALL.size).expect("room");
        (0..count).map(object).collect()
    };
    let white = alloc(&mut cache, 10);
    assert!(!cache.is_black());
    cache.blacken(&owner.heap);
    assert!(cache.is_black());
    // The rest of the word at hand, a whole word, and a part of the next.
    let black = alloc(&mut cache, WORD_SLOTS - 10 + WORD_SLOTS + 5);
    assert!(black.iter().all(|object| is_marked(&owner, object)));
    assert!(!white.iter().any(|object| is_marked(&owner, object)));
    // A marker comes by two that were there before, the second in the word that is given up.
    let reached = [&white[0], &black[black.len() - 1]];
    for object in reached {
        // SAFETY: an object's granule.
        unsafe {
            owner
                .heap
                .marks()
                .claim(owner.heap.granule_of(object.start()))
        };
    }
    owner.flush(&mut cache);
    assert!(!cache.is_black(), "until the next flush");
    assert_eq!(
        marks(&owner) as usize,
        black.len() + 1,
        "slots that were not used are not marked"
    );
    let later = alloc(&mut cache, 1);
    assert!(!is_marked(&owner, &later[0]));
    owner.flush(&mut cache);
    owner.begin_sweep();
    assert_eq!(
        owner.sweep_all(),
        9 + 1,
        "nine that were white, and the last"
    );
    assert_eq!(marks(&owner), 0);
}

/// The word that a black cache takes and gives up holds objects of others, which a marker has
/// marked.
#[test]
fn a_flush_keeps_the_marks_of_others() {
    let owner = owner();
    let mut cache = ThreadCache::new();
    let old: Vec<Object> = (0..3)
        .map(|_| owner.alloc(&mut cache, SMALL, SMALL.size).expect("room"))
        .collect();
    owner.flush(&mut cache);
    cache.blacken(&owner.heap);
    let mark = |object: &Object| {
        let granule = owner.heap.granule_of(object.start());
        // SAFETY: an object's granule.
        assert!(unsafe { owner.heap.marks().claim(granule) });
    };
    mark(&old[2]);
    let new = owner.alloc(&mut cache, SMALL, SMALL.size).expect("room");
    assert!(new.start() / 1024 == old[0].start() / 1024, "the same word");
    mark(&old[1]);
    owner.flush(&mut cache);
    let marked = old.iter().map(|object| is_marked(&owner, object));
    assert!(marked.eq([false, true, true]), "the marker's marks stay");
    assert!(is_marked(&owner, &new));
}

#[test]
fn what_is_given_back_is_not_marked() {
    for info in [SMALL, &KINDS[11]] {
        let owner = owner();
        let mut cache = ThreadCache::new();
        cache.blacken(&owner.heap);
        let alloc = |cache: &mut ThreadCache| {
            let address = match SizeClass::of(info.size, info.align) {
                Some(class) => cache.alloc(&owner.heap, &owner, info, class),
                None => {
                    let black = cache.is_black();
                    owner.heap.alloc_large(&owner, info, info.size, black)
                }
            };
            address.expect("room")
        };
        let [kept, back] = [alloc(&mut cache), alloc(&mut cache)];
        let is_marked = |object: std::ptr::NonNull<u8>| {
            let granule = owner.heap.granule_of(object.as_ptr().addr());
            owner.heap.marks().test(granule)
        };
        assert!(is_marked(kept) && is_marked(back));
        // SAFETY: just allocated, nobody else knows of it, and no flush or cycle since.
        unsafe { owner.heap.unallocate(back) };
        owner.flush(&mut cache);
        assert!(is_marked(kept) && !is_marked(back));
        owner.begin_sweep();
        owner.sweep_all();
        // SAFETY: nobody allocates.
        let found = unsafe { owner.heap.object_containing(kept.as_ptr().addr()) };
        assert!(found.is_some(), "what was born black lives");
    }
}
