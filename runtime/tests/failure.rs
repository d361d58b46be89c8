//! Memory that is not to be had: an allocation fails as a value, nothing is lost, and the heap
//! works again as soon as there is memory.
//!
//! The second half lets each call of the page source fail in turn, in a program that uses every
//! kind of object and every step of a heap's life.
//!
//! Mutants: `length-as-promised`, `take-all-elements` and `limit-ignored` are killed here.

mod common;

use common::{Drops, Token, panic_of};
use runtime::{
    Builder, Cx, Exhausted, FakeSource, Gc, GcCell, Heap, Locked, Mutator, OnTheFly, Root, Trace,
};
use std::any::Any;

const LIMIT_BYTES: usize = 1 << 20;

/// A heap whose memory is soon exhausted, and that is collected when the test says so.
fn small_heap() -> Heap {
    let heap = Heap::builder().gc_off().limit_bytes(LIMIT_BYTES).build();
    heap.unwrap()
}

/// Allocates one more object, whose number is `n`, and roots it; `None` when there is no memory.
type Fill = fn(&Cx<'_>, u64) -> Option<Box<dyn Any>>;

fn small(cx: &Cx<'_>, n: u64) -> Option<Box<dyn Any>> {
    match cx.try_alloc((n, [n; 20])) {
        Ok(gc) => Some(Box::new(cx.root(gc))),
        Err(exhausted) => {
            assert_eq!(exhausted.value, (n, [n; 20]), "the value comes back");
            None
        }
    }
}

fn large(cx: &Cx<'_>, n: u64) -> Option<Box<dyn Any>> {
    match cx.try_alloc([n; 6_000]) {
        Ok(gc) => Some(Box::new(cx.root(gc))),
        Err(exhausted) => {
            assert!(exhausted.value.iter().all(|&word| word == n));
            None
        }
    }
}

fn slice(cx: &Cx<'_>, n: u64) -> Option<Box<dyn Any>> {
    let boxed: Vec<(Box<u64>, [u64; 31])> = (0..10).map(|_| (Box::new(n), [n; 31])).collect();
    match cx.try_alloc_slice(boxed) {
        Ok(gc) => Some(Box::new(cx.root(gc))),
        Err(exhausted) => {
            let rest: Vec<_> = exhausted.value.collect();
            assert_eq!(rest, vec![(Box::new(n), [n; 31]); 10], "nothing was taken");
            None
        }
    }
}

fn large_slice(cx: &Cx<'_>, n: u64) -> Option<Box<dyn Any>> {
    match cx.try_alloc_slice(vec![n; 7_500]) {
        Ok(gc) => Some(Box::new(cx.root(gc))),
        Err(exhausted) => {
            assert_eq!(exhausted.value.len(), 7_500);
            None
        }
    }
}

fn text(cx: &Cx<'_>, n: u64) -> Option<Box<dyn Any>> {
    let text = format!("{n:0>300}");
    match cx.try_alloc_str(&text) {
        Ok(gc) => Some(Box::new(cx.root(gc))),
        Err(exhausted) => {
            assert_eq!(exhausted.value, text);
            None
        }
    }
}

/// Fills the heap a hundred times; each time it takes as much as the first.
fn hundred_rounds(fill: Fill) {
    let heap = small_heap();
    let mut mutator = heap.mutator();
    let mut at_first = None;
    for round in 0..100 {
        let mut roots = Vec::new();
        mutator.enter(|cx| {
            while let Some(root) = fill(cx, roots.len() as u64) {
                roots.push(root);
            }
            assert!(fill(cx, 7).is_none(), "still exhausted");
        });
        assert_eq!(heap.stats().roots, roots.len());
        assert!(heap.stats().heap_bytes <= LIMIT_BYTES);
        let count = *at_first.get_or_insert(roots.len());
        assert!(count > 10, "{count} objects before the memory is exhausted");
        assert_eq!(roots.len(), count, "objects in round {round}");
        let cycle = mutator.collect().unwrap();
        assert_eq!(cycle.objects_marked, count, "roots kept all");
        mutator.enter(|cx| assert!(fill(cx, 7).is_none(), "nothing was garbage"));
        drop(roots);
        let cycle = mutator.collect().unwrap();
        assert_eq!((cycle.objects_marked, cycle.live_bytes), (0, 0));
        let stats = heap.stats();
        assert_eq!((stats.live_bytes, stats.roots), (0, 0));
    }
}

#[test]
fn small_objects_come_back_and_room_with_them() {
    hundred_rounds(small);
}

#[test]
fn large_objects_come_back_and_room_with_them() {
    hundred_rounds(large);
}

#[test]
fn slices_come_back_and_room_with_them() {
    hundred_rounds(slice);
}

#[test]
fn large_slices_come_back_and_room_with_them() {
    hundred_rounds(large_slice);
}

#[test]
fn texts_come_back_and_room_with_them() {
    hundred_rounds(text);
}

/// `alloc` and `downgrade` panic where `try_alloc` fails, and the closure's end is as usual.
#[test]
fn the_forms_that_panic_leave_a_usable_heap() {
    let heap = small_heap();
    let mut mutator = heap.mutator();
    let said = panic_of(|| mutator.enter(|cx| cx.alloc_slice(vec![0_u8; LIMIT_BYTES + 1]).len()));
    assert!(
        said.contains("no memory for a") && said.contains("limit"),
        "{said}"
    );
    let said = panic_of(|| {
        mutator.enter(|cx| {
            loop {
                cx.alloc([1_u64; 64]);
            }
        })
    });
    assert!(said.contains("no memory for a [u64; 64]"), "{said}");
    mutator.collect().unwrap();
    let said = panic_of(|| {
        mutator.enter(|cx| {
            let one = cx.alloc(1_u8);
            while cx.try_alloc([1_u64; 64]).is_ok() {}
            (0..1_000_000).for_each(|_| _ = cx.downgrade(one));
        })
    });
    assert!(said.contains("no memory for a"), "{said}");
    mutator.collect().unwrap();
    assert_eq!(heap.stats().live_bytes, 0);
    mutator.enter(|cx| assert_eq!(cx.alloc([1_u64; 64])[63], 1));
}

/// A length that no memory could hold is refused before anything is asked for.
#[test]
fn absurd_lengths_fail_as_values() {
    struct Endless;
    impl Iterator for Endless {
        type Item = u64;
        fn next(&mut self) -> Option<u64> {
            Some(1)
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (usize::MAX, Some(usize::MAX))
        }
    }
    impl ExactSizeIterator for Endless {}
    let mut mutator = small_heap().mutator();
    mutator.enter(|cx| {
        let failed: Exhausted<Endless> = cx.try_alloc_slice(Endless).unwrap_err();
        assert!(matches!(failed.cause, alloc_core::Exhausted::Range { .. }));
        let failed = cx.try_alloc_slice((0..u32::MAX).map(|_| [0_u64; 1 << 10]));
        assert!(failed.is_err());
        assert_eq!(cx.alloc(5), cx.alloc(5));
    });
}

/// An iterator that yields fewer elements than it promised gives a shorter slice; one that would
/// yield more is asked for no more.
#[test]
fn iterators_may_lie_about_their_length() {
    struct Liar {
        says: usize,
        yields: usize,
        drops: Drops,
    }
    impl Iterator for Liar {
        type Item = Token;
        fn next(&mut self) -> Option<Token> {
            self.yields = self.yields.checked_sub(1)?;
            Some(self.drops.token(self.yields as u64))
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (self.says, Some(self.says))
        }
    }
    impl ExactSizeIterator for Liar {}
    let mut mutator = small_heap().mutator();
    for (says, yields, len) in [(10, 3, 3), (3, 10, 3), (5, 0, 0), (0, 5, 0), (9_000, 1, 1)] {
        let drops = Drops::default();
        let liar = Liar {
            says,
            yields,
            drops: drops.clone(),
        };
        mutator.enter(|cx| assert_eq!(cx.alloc_slice(liar).len(), len));
        mutator.collect().unwrap();
        assert_eq!(
            drops.totals(),
            (len, len),
            "{says} promised, {yields} there"
        );
    }
}

/// One object of each kind, linked.
#[derive(Trace)]
struct Thing<'gc> {
    token: Token,
    next: GcCell<'gc, Thing<'gc>>,
    name: Option<Gc<'gc, str>>,
    words: Option<Gc<'gc, [u64]>>,
    tokens: Option<Gc<'gc, [Token]>>,
    more: Locked<Vec<Gc<'gc, Thing<'gc>>>>,
}

/// Builds things on top of each other; what could not be allocated is left out.
fn build(mutator: &mut Mutator, drops: &Drops, first: u64) -> Vec<(u64, Root<Thing<'static>>)> {
    mutator.enter(|cx| {
        let mut last = None;
        let mut roots = Vec::new();
        for id in first..first + 12 {
            let len = if id.is_multiple_of(3) { 30_000 } else { 20 };
            let elements = (0..3).map(|n| drops.token(1_000 * (id + 1) + n));
            let elements: Vec<Token> = elements.collect();
            let thing = cx.try_alloc(Thing {
                token: drops.token(id),
                next: GcCell::new(last),
                name: cx.try_alloc_str(&format!("thing {id}")).ok(),
                words: cx.try_alloc_slice(vec![id; len]).ok(),
                tokens: cx.try_alloc_slice(elements).ok(),
                more: Locked::default(),
            });
            let Ok(thing) = thing else { continue };
            thing.more.lock(cx).extend(last);
            if id.is_multiple_of(4) {
                roots.push((id, cx.root(thing)));
            }
            last = Some(thing);
        }
        roots
    })
}

/// Whether everything that the roots reach is as it was built, and was not dropped.
fn check(mutator: &mut Mutator, drops: &Drops, roots: &[(u64, Root<Thing<'static>>)]) {
    mutator.enter(|cx| {
        for (id, root) in roots {
            let mut thing = Some(root.get(cx));
            assert_eq!(thing.map(|thing| thing.token.id), Some(*id));
            while let Some(one) = thing {
                let id = one.token.id;
                assert_eq!(drops.of(id), 0, "{id} is reachable");
                if let Some(name) = one.name {
                    assert_eq!(&*name, format!("thing {id}"));
                }
                if let Some(words) = one.words {
                    assert!(words.iter().all(|&word| word == id));
                }
                for token in one.tokens.iter().flat_map(|tokens| tokens.iter()) {
                    assert_eq!((token.id / 1_000 - 1, drops.of(token.id)), (id, 0));
                }
                thing = one.next.get();
                assert_eq!(
                    one.more.lock(cx).first().copied().map(Gc::address),
                    thing.map(Gc::address)
                );
            }
        }
    });
}

/// A heap's whole life on a source that fails somewhere; true if the heap could be built.
fn live(source: &FakeSource) -> bool {
    let drops = Drops::default();
    let builder = Builder::new(OnTheFly::with_markers(1));
    let builder = builder.gc_off().reserve_bytes(24 << 20);
    let Ok(heap) = builder.page_source(source.clone()).build() else {
        return false;
    };
    let mut mutator = heap.mutator();
    let mut roots = build(&mut mutator, &drops, 0);
    check(&mut mutator, &drops, &roots);
    mutator.collect().unwrap();
    check(&mut mutator, &drops, &roots);
    heap.release_os_memory();
    roots.extend(build(&mut mutator, &drops, 100));
    drop(roots.drain(..1.min(roots.len())));
    mutator.collect().unwrap();
    heap.release_os_memory();
    check(&mut mutator, &drops, &roots);

    source.heal();
    let before = roots.len();
    roots.extend(build(&mut mutator, &drops, 200));
    assert_eq!(
        roots.len(),
        before + 3,
        "a source that is healed gives memory"
    );
    mutator.collect().unwrap();
    check(&mut mutator, &drops, &roots);
    roots.truncate(1);
    mutator.collect().unwrap();
    check(&mut mutator, &drops, &roots);
    drop((mutator, heap));
    drops.assert_each_once();
    true
}

#[test]
fn each_call_of_the_page_source_may_fail() {
    let healthy = FakeSource::new();
    assert!(live(&healthy));
    let calls = healthy.calls_total();
    assert!(calls > 15, "{calls} calls are too few to learn from");
    for n in 0..calls {
        let source = FakeSource::new();
        source.fail_nth(n);
        // The range and its metadata are tried again at half the size.
        assert!(live(&source), "call {n} of {calls}");
    }
}

#[test]
fn a_source_may_fail_from_a_call_on() {
    use alloc_core::SourceCall::{AdviseHuge, Commit, Release, Reserve};
    let healthy = FakeSource::new();
    assert!(live(&healthy));
    for call in [Commit, Release, AdviseHuge] {
        for n in 0..healthy.calls(call) {
            let source = FakeSource::new();
            source.fail_from(call, n);
            let built = live(&source);
            assert!(built || (call, n) == (Commit, 0), "{call} from {n} on");
        }
    }
    let source = FakeSource::new();
    source.fail_from(Reserve, 0);
    assert!(!live(&source), "no range, no heap");
}
