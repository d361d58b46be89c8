//! Who outlives whom: heaps, handles, mutators, roots; and drop glue that comes back to the heap.
//!
//! Mutants: `root-of-any-heap`, `drop-nothing-at-the-end`, `drop-noscan-alone-at-the-end`,
//! `collect-from-drop-glue`, `collect-inside-a-closure`, `collect-at-an-inner-edge` and
//! `enter-while-marking` are killed here.

mod common;

use common::{Drops, Token, in_time, panic_of};
use runtime::{
    CollectError, Gc, Heap, Locked, Mutator, Rebrand, Root, Runtime, StopTheWorld, Trace, Visitor,
};
use std::sync::{Arc, Mutex, PoisonError, Weak};

fn heap() -> Heap {
    Heap::builder().gc_off().build().unwrap()
}

#[test]
fn the_heaps_end_drops_what_lives_and_what_is_dead() {
    let drops = Drops::default();
    let heap = heap();
    let mut mutator = heap.mutator();
    let root = mutator.enter(|cx| {
        (0..100).for_each(|id| _ = cx.alloc(drops.token(id)));
        cx.alloc_slice((100..200_u32).map(|id| drops.token(u64::from(id))));
        cx.alloc((drops.token(200), [0_u8; 100_000]));
        let kept = cx.alloc_slice((300..400_u32).map(|id| drops.token(u64::from(id))));
        cx.root(cx.alloc((kept, drops.token(400))))
    });
    mutator.collect().unwrap();
    assert_eq!(drops.totals(), (302, 201));
    mutator.enter(|cx| (500..600).for_each(|id| _ = cx.alloc(drops.token(id))));
    drop(heap);
    assert_eq!(drops.totals(), (402, 201), "the mutator keeps the heap");
    mutator.enter(|cx| assert_eq!(root.get(cx).0[99].id, 399));
    let again = mutator.heap();
    drop(mutator);
    assert_eq!(drops.totals(), (402, 201), "so does another handle");
    drop(again);
    drops.assert_each_once();
    // The root outlives the heap: it keeps nothing, and can be copied and dropped as ever.
    drop(root.clone());
    let mut other = self::heap().mutator();
    let said = panic_of(|| other.enter(|cx| root.get(cx).1.id));
    assert!(said.contains("another heap"), "{said}");
}

#[test]
fn a_root_finds_its_object_in_its_own_heap_only() {
    let (one, other) = (heap(), heap());
    let (mut one, mut other) = (one.mutator(), other.mutator());
    let root = one.enter(|cx| cx.root(cx.alloc_str("ours")));
    let _same_place = other.enter(|cx| cx.root(cx.alloc_str("theirs")));
    let said = panic_of(|| other.enter(|cx| root.get(cx).len()));
    assert!(said.contains("closure of another heap"), "{said}");
    let said = panic_of(|| one.enter(|_| other.enter(|cx| root.get(cx).len())));
    assert!(said.contains("closure of another heap"), "{said}");
    other.enter(|_| one.enter(|cx| assert_eq!(&*root.get(cx), "ours")));
}

#[test]
fn roots_are_cloned_and_dropped_anywhere() {
    let heap = heap();
    let mut mutator = heap.mutator();
    let drops = Drops::default();
    let root = mutator.enter(|cx| cx.root(cx.alloc(drops.token(1))));
    let clones: Vec<Root<Token>> = (0..100).map(|_| root.clone()).collect();
    assert_eq!(heap.stats().roots, 1, "one object, many handles");
    let thread =
        std::thread::spawn(move || drop((root, clones.into_iter().skip(1).collect::<Vec<_>>())));
    thread.join().unwrap();
    assert_eq!(heap.stats().roots, 0);
    mutator.collect().unwrap();
    drops.assert_each_once();
    // More handles than one job of the table, in use again after they were free.
    for _ in 0..3 {
        let many: Vec<Root<u64>> =
            mutator.enter(|cx| (0..2_000_u64).map(|n| cx.root(cx.alloc(n))).collect());
        assert_eq!(mutator.collect().unwrap().objects_marked, 2_000);
        mutator.enter(|cx| {
            assert!(
                many.iter()
                    .enumerate()
                    .all(|(n, root)| *root.get(cx) == n as u64)
            )
        });
    }
}

/// An object that holds a root, which the heap cannot see through.
#[derive(Trace)]
struct Holder<'gc> {
    token: Token,
    #[trace(skip)]
    root: Mutex<Option<Root<Holder<'static>>>>,
    next: Locked<Option<Gc<'gc, Holder<'gc>>>>,
}

fn holder<'gc>(token: Token) -> Holder<'gc> {
    Holder {
        token,
        root: Mutex::default(),
        next: Locked::default(),
    }
}

#[test]
fn objects_may_hold_roots_and_a_cycle_of_them_lives_until_the_heap_goes() {
    let drops = Drops::default();
    let heap = heap();
    let mut mutator = heap.mutator();
    mutator.enter(|cx| {
        let chained = cx.alloc(holder(drops.token(1)));
        let chain = cx.alloc(holder(drops.token(2)));
        *chain.root.lock().unwrap() = Some(cx.root(chained));
        let own = cx.alloc(holder(drops.token(3)));
        *own.root.lock().unwrap() = Some(cx.root(own));
        *own.next.lock(cx) = Some(cx.alloc(holder(drops.token(4))));
    });
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [2], "its drop let go of 1");
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [1, 2]);
    mutator.collect().unwrap();
    assert_eq!((drops.dropped(), heap.stats().roots), (vec![1, 2], 1));
    drop((mutator, heap));
    drops.assert_each_once();
}

#[test]
fn objects_may_hold_roots_of_another_heap() {
    let drops = Drops::default();
    let (holds, held) = (heap(), heap());
    let (mut outer, mut inner) = (holds.mutator(), held.mutator());
    let root = inner.enter(|cx| cx.root(cx.alloc(holder(drops.token(1)))));
    outer.enter(|cx| {
        let object = cx.alloc(holder(drops.token(2)));
        *object.root.lock().unwrap() = Some(root.clone());
    });
    drop(root);
    inner.collect().unwrap();
    assert!(
        drops.dropped().is_empty(),
        "rooted by the other heap's garbage"
    );
    outer.collect().unwrap();
    inner.collect().unwrap();
    drops.assert_each_once();
    // And the heap whose objects hold them may go last.
    outer.enter(|outer| {
        let object = outer.alloc(holder(drops.token(3)));
        let root = inner.enter(|inner| inner.root(inner.alloc(holder(drops.token(4)))));
        *object.root.lock().unwrap() = Some(root);
    });
    drop((inner, held));
    assert_eq!((drops.of(3), drops.of(4)), (0, 1));
    drop((outer, holds));
    drops.assert_each_once();
}

/// Drop glue that enters its own heap, allocates, roots, and asks for a cycle.
#[derive(Trace)]
#[trace(noscan)]
struct Returner {
    token: Token,
    home: Weak<Mutex<Home>>,
}

#[derive(Default)]
struct Home {
    mutator: Option<Mutator>,
    made: Vec<Root<(Token, [u64; 20])>>,
    answers: Vec<Result<(), CollectError>>,
}

impl Drop for Returner {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else {
            return;
        };
        let home = &mut *home.lock().unwrap();
        let Some(mutator) = &mut home.mutator else {
            return;
        };
        let token = self.token.renamed(1_000 + self.token.id);
        let made = mutator.enter(|cx| cx.root(cx.alloc((token, [self.token.id; 20]))));
        home.made.push(made);
        home.answers.push(mutator.collect().map(drop));
    }
}

#[test]
fn drop_glue_may_enter_and_allocate_but_not_collect() {
    in_time(drop_glue_may_enter_and_allocate);
}

fn drop_glue_may_enter_and_allocate() {
    let drops = Drops::default();
    let heap = heap();
    let mut mutator = heap.mutator();
    let home = Arc::new(Mutex::new(Home::default()));
    home.lock().unwrap().mutator = Some(heap.mutator());
    mutator.enter(|cx| {
        for id in 0..500 {
            let home = Arc::downgrade(&home);
            cx.alloc(Returner {
                token: drops.token(id),
                home,
            });
        }
    });
    mutator.collect().unwrap();
    {
        let home = home.lock().unwrap();
        assert_eq!(home.made.len(), 500);
        let reentrant =
            |answer: &Result<(), CollectError>| matches!(answer, Err(CollectError::Reentrant));
        assert!(home.answers.iter().all(reentrant));
        assert_eq!(drops.dropped(), (0..500).collect::<Vec<u64>>());
        mutator.enter(|cx| {
            assert!(home.made.iter().all(|made| {
                let made = made.get(cx);
                made.0.id - 1_000 == made.1[19]
            }));
        });
    }
    mutator.collect().unwrap();
    assert_eq!(
        drops.dropped().len(),
        500,
        "what drop glue made and rooted lives"
    );
    let home = std::mem::take(&mut *home.lock().unwrap());
    drop(home);
    mutator.collect().unwrap();
    drops.assert_each_once();
    assert_eq!(heap.stats().live_bytes, 0);
}

/// The same on the background thread, while a program runs that collects at its goal: drop glue
/// that enters and allocates does not stand in the way of the next cycle.
#[test]
fn drop_glue_enters_while_cycles_begin_by_themselves() {
    let drops = Drops::default();
    let heap = Heap::builder().gc_percent(25).build().unwrap();
    let home = Arc::new(Mutex::new(Home::default()));
    home.lock().unwrap().mutator = Some(heap.mutator());
    let mut mutator = heap.mutator();
    let mut id = 0;
    while heap.stats().cycles < 10 {
        mutator.enter(|cx| {
            for _ in 0..10 {
                id += 1;
                let token = drops.token(2_000 * id);
                let home = if id % 50 == 0 {
                    Arc::downgrade(&home)
                } else {
                    Weak::new()
                };
                cx.alloc((Returner { token, home }, [0_u64; 200]));
            }
        });
    }
    drop(std::mem::take(&mut *home.lock().unwrap()));
    mutator.collect().unwrap();
    drop(std::mem::take(&mut *home.lock().unwrap()));
    mutator.collect().unwrap();
    drops.assert_each_once();
}

/// Enters a heap in its `trace`, which the contract of `Trace` forbids.
struct Intruder(Weak<Mutex<Mutator<StopTheWorld>>>);

// SAFETY: holds no reference. (What its `trace` does is what is tested: it is refused.)
unsafe impl Trace for Intruder {
    const NEEDS_TRACE: bool = true;

    fn trace<V: Visitor>(&self, _: &mut V) {
        let Some(mutator) = self.0.upgrade() else {
            return;
        };
        let mut mutator = mutator.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(matches!(mutator.collect(), Err(CollectError::Reentrant)));
        mutator.enter(|cx| _ = cx.alloc(1));
    }
}

// SAFETY: it has no brand.
unsafe impl Rebrand for Intruder {
    type With<'to> = Self;
}

#[test]
fn a_trace_that_enters_is_refused() {
    in_time(a_trace_that_enters);
}

fn a_trace_that_enters() {
    let heap = Runtime::<StopTheWorld>::builder().gc_off().build().unwrap();
    let mut mutator = heap.mutator();
    let other = Arc::new(Mutex::new(heap.mutator()));
    let root = mutator.enter(|cx| cx.root(cx.alloc(Intruder(Arc::downgrade(&other)))));
    let failed = mutator.collect().unwrap_err();
    assert!(matches!(failed, CollectError::TracePanicked { .. }));
    assert!(
        failed.to_string().contains("`trace` entered a heap"),
        "{failed}"
    );
    drop(other);
    mutator.collect().unwrap();
    assert_eq!(mutator.enter(|cx| root.get(cx).0.strong_count()), 0);
}

#[test]
fn collecting_inside_another_mutators_closure_is_refused() {
    let heap = heap();
    let (mut outer, mut inner) = (heap.mutator(), heap.mutator());
    let said = panic_of(|| outer.enter(|_| inner.collect().map(drop)));
    assert!(said.contains("leave that closure first"), "{said}");
    outer.enter(|cx| {
        let kept = cx.alloc(7_u32);
        // Nesting is no misuse, and the inner closure's end begins no cycle.
        inner.enter(|cx| (0..10_000).for_each(|n| _ = cx.alloc([n; 100])));
        drop(heap.mutator());
        assert_eq!(*kept, 7);
    });
    outer.collect().unwrap();
    assert_eq!(heap.stats().live_bytes, 0);
}

/// Nested mutators under a tiny goal: the wish for a cycle waits for the outermost closure.
#[test]
fn a_nested_closures_end_begins_no_cycle() {
    let heap = Runtime::<StopTheWorld>::builder()
        .gc_percent(0)
        .build()
        .unwrap();
    let (mut outer, mut inner) = (heap.mutator(), heap.mutator());
    let drops = Drops::default();
    outer.enter(|cx| {
        let tokens: Vec<Gc<'_, Token>> = (0..500).map(|id| cx.alloc(drops.token(id))).collect();
        inner.enter(|cx| (0..500).for_each(|n| _ = cx.alloc([n; 100])));
        assert!(
            tokens
                .iter()
                .enumerate()
                .all(|(id, token)| token.id == id as u64)
        );
        assert_eq!((heap.stats().cycles, drops.dropped().len()), (0, 0));
    });
    assert!(heap.stats().cycles >= 1, "the outermost end does");
}
