//! The plain map that the heap is compared with, and the random choices that drive both.

use crate::owner::{DYNAMIC, KINDS, Object, Owner};
use alloc_core::{PAGE_BYTES, TypeInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::SeqCst;

/// A sequence that is the same in each run (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// An object of a random kind, and sometimes of dynamic size.
pub(crate) fn random_kind(random: &mut Random) -> (&'static TypeInfo, usize) {
    match random.below(KINDS.len() * 4) {
        n if n < KINDS.len() => (&KINDS[n], KINDS[n].size),
        n if n < KINDS.len() * 2 => (&DYNAMIC, random.below(3000)),
        n => (&KINDS[n % 6], KINDS[n % 6].size),
    }
}

/// What is allocated, by address.
#[derive(Default)]
pub(crate) struct Twin(pub(crate) BTreeMap<usize, Object>);

impl Twin {
    pub(crate) fn insert(&mut self, object: Object) {
        let start = object.start();
        assert!(
            start.is_multiple_of(object.info.align.max(16)),
            "{object:?} is not aligned"
        );
        if let Some((_, before)) = self.0.range(..=start).next_back() {
            assert!(
                before.start() + before.slot_bytes <= start,
                "{object:?} over {before:?}"
            );
        }
        if let Some((_, after)) = self.0.range(start..).next() {
            assert!(
                start + object.slot_bytes <= after.start(),
                "{object:?} over {after:?}"
            );
        }
        self.0.insert(start, object);
    }

    pub(crate) fn containing(&self, address: usize) -> Option<&Object> {
        let (_, object) = self.0.range(..=address).next_back()?;
        (address < object.start() + object.slot_bytes).then_some(object)
    }

    pub(crate) fn check_contents(&self) {
        self.0.values().for_each(Object::check);
    }

    /// Compares everything that can be asked of a heap whose caches are flushed and whose spans
    /// are swept.
    pub(crate) fn check(&self, owner: &Owner, random: &mut Random) {
        let heap = &owner.heap;
        heap.check_invariants();
        self.check_contents();
        let bytes: usize = self.0.values().map(|object| object.slot_bytes).sum();
        assert_eq!(
            owner.live_bytes.load(SeqCst),
            bytes,
            "what is charged is what lives"
        );
        let mut census = BTreeMap::new();
        for object in self.0.values() {
            let key = (std::ptr::from_ref(object.info).addr(), object.slot_bytes);
            *census.entry(key).or_insert(0) += 1;
        }
        let rows = heap.census().into_iter().filter(|row| row.objects > 0);
        let counted: BTreeMap<_, _> = rows
            .map(|row| {
                (
                    (std::ptr::from_ref(row.info).addr(), row.slot_bytes),
                    row.objects,
                )
            })
            .collect();
        assert_eq!(counted, census);
        let (base, end) = (
            heap.base().as_ptr().addr(),
            heap.spans_end() as usize * PAGE_BYTES,
        );
        let anywhere = (0..500).map(|_| base + random.below(end + PAGE_BYTES));
        let around = self.0.values().flat_map(|object| {
            let (start, slot) = (object.start(), object.slot_bytes);
            [
                start.wrapping_sub(1),
                start,
                start + slot / 2,
                start + slot - 1,
                start + slot,
            ]
        });
        for address in anywhere.chain(around) {
            // SAFETY: nobody allocates or sweeps.
            let found = unsafe { heap.object_containing(address) };
            let expected = self.containing(address);
            assert_eq!(
                found.map(|f| f.start),
                expected.map(|e| e.address),
                "{address:#x}"
            );
            if let (Some(found), Some(expected)) = (found, expected) {
                assert_eq!(found.slot_bytes, expected.slot_bytes);
                assert!(std::ptr::eq(found.info, expected.info));
            }
        }
        assert!(
            walk(owner, false).iter().eq(self.0.keys()),
            "the spans hold what was allocated"
        );
    }

    /// Marks about `percent` of the objects and forgets the others; how many are forgotten.
    pub(crate) fn mark_some(&mut self, owner: &Owner, random: &mut Random, percent: usize) -> u32 {
        self.mark_where(owner, |_| random.below(100) < percent)
    }

    /// Marks the objects that `lives` says and forgets the others; how many are forgotten.
    pub(crate) fn mark_where(
        &mut self,
        owner: &Owner,
        mut lives: impl FnMut(&Object) -> bool,
    ) -> u32 {
        let before: BTreeSet<usize> = self.0.keys().copied().collect();
        self.0.retain(|start, object| {
            let lives = lives(object);
            if lives {
                let granule = owner.heap.granule_of(*start);
                // SAFETY: an object's granule.
                assert!(unsafe { owner.heap.marks().claim(granule) });
            }
            lives
        });
        assert_eq!(walk(owner, false), before, "marks change no allocation bit");
        let dead = walk(owner, true);
        let lost = before.iter().filter(|start| !self.0.contains_key(start));
        assert!(dead.iter().eq(lost), "what is not marked is dead");
        dead.len() as u32
    }
}

/// The objects of all spans, or the dead among them.
fn walk(owner: &Owner, dead_only: bool) -> BTreeSet<usize> {
    let heap = &owner.heap;
    let (mut seen, mut from) = (BTreeSet::new(), 0);
    while let Some(span) = heap.next_span(from, heap.spans_end()) {
        let visit = |object: NonNull<u8>| {
            assert!(
                seen.insert(object.as_ptr().addr()),
                "{object:?} is there twice"
            );
        };
        // SAFETY: nobody allocates or sweeps.
        unsafe { heap.for_each_object(span, dead_only, visit) };
        let needs_drop = heap.info(span).is_some_and(|info| info.needs_drop);
        for asked in [true, false] {
            let found = heap.spans_by_drop(span & !63, asked) >> (span % 64) & 1 == 1;
            assert_eq!(found, asked == needs_drop, "span {span} is of the one kind");
        }
        from = span + 1;
    }
    seen
}
