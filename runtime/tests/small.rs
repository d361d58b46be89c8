//! Each kind of object, each handle and each collector once, in the smallest program that has it.
//!
//! Every other file of these tests wants many objects, threads or cycles, which an interpreter does
//! not get to the end of in minutes. These want few, so that Miri can run them: it knows which
//! pointer may be used for what, what is initialized, and which accesses race.
#![cfg(not(heapwright_loom))]

mod common;

use common::{Drops, Token, panic_of};
use runtime::stack::{EntryPoint, FrameKind, StackOptions, Stacks};
use runtime::{
    Builder, Collector, Gc, GcCell, Heap, LocalCell, LocalHeap, Locked, NoGc, OnTheFly, Root,
    Runtime, RwLocked, StopTheWorld, Trace, Weak, WeakMap,
};
use std::thread;

/// One of everything that may refer to something.
#[derive(Trace)]
struct Node<'gc> {
    token: Token,
    name: Gc<'gc, str>,
    slice: Gc<'gc, [GcCell<'gc, Token>]>,
    next: GcCell<'gc, Node<'gc>>,
    locked: Locked<Vec<Gc<'gc, Token>>>,
    read: RwLocked<Option<Gc<'gc, Token>>>,
    weak: Weak<'gc, Token>,
    map: WeakMap<'gc, Token, Token>,
}

fn heap<C: Collector>(collector: C) -> Runtime<C> {
    Builder::new(collector).gc_off().build().unwrap()
}

/// A node that refers to itself and to eight tokens, and to a ninth weakly; 0 to 9.
fn node<C: Collector>(mutator: &mut runtime::Mutator<C>, drops: &Drops) -> Root<Node<'static>> {
    mutator.enter(|cx| {
        let token = |id| cx.alloc(drops.token(id));
        let (key, lost) = (token(1), token(2));
        let map = WeakMap::new();
        assert!(map.insert(cx, key, token(3)).is_none());
        assert!(map.insert(cx, token(4), token(5)).is_none());
        let slice = cx.alloc_slice((0..3).map(|_| GcCell::empty()));
        slice[1].set(cx, Some(key));
        let node = cx.alloc(Node {
            token: drops.token(0),
            name: cx.alloc_str("a node"),
            slice,
            next: GcCell::empty(),
            locked: Locked::new(vec![token(6), token(7)]),
            read: RwLocked::new(Some(token(8))),
            weak: cx.downgrade(lost),
            map,
        });
        node.next.set(cx, Some(node));
        cx.root(node)
    })
}

fn everything_is_kept_and_everything_dies<C: Collector>(collector: C) {
    let (heap, drops) = (heap(collector), Drops::default());
    let mut mutator = heap.mutator();
    let root = node(&mut mutator, &drops);
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [2, 4, 5], "what is weak alone");
    mutator.enter(|cx| {
        let node = root.get(cx);
        assert!(Gc::ptr_eq(node.next.get().unwrap(), node));
        assert_eq!((&*node.name, node.token.id), ("a node", 0));
        let key = node.slice[1].get().unwrap();
        assert_eq!(node.map.get(cx, key).map(|value| value.id), Some(3));
        assert!(node.weak.upgrade(cx).is_none());
        assert_eq!(node.read.read(cx).map(|token| token.id), Some(8));
        *node.read.write(cx) = None;
        let mut locked = node.locked.lock(cx);
        assert_eq!(locked.pop().map(|token| token.id), Some(7));
        locked.push(cx.alloc(drops.token(9)));
    });
    mutator.collect().unwrap();
    assert_eq!(drops.dropped(), [2, 4, 5, 7, 8]);
    drop(root);
    mutator.collect().unwrap();
    assert_eq!(drops.totals(), (10, 10));
    assert_eq!(heap.stats().live_bytes, 0);
}

#[test]
fn on_the_fly_keeps_and_frees() {
    everything_is_kept_and_everything_dies(OnTheFly::with_markers(2));
}

#[test]
fn stop_the_world_keeps_and_frees() {
    everything_is_kept_and_everything_dies(StopTheWorld::with_markers(2));
}

#[test]
fn a_heap_without_a_collector_drops_at_its_end() {
    let drops = Drops::default();
    let heap = heap(NoGc);
    let root = node(&mut heap.mutator(), &drops);
    assert_eq!(drops.totals(), (9, 0));
    drop((heap, root));
    drops.assert_each_once();
}

/// Two cells hand one token to and fro while cycles run on another thread.
#[test]
fn a_cycle_beside_a_mutator_that_stores() {
    let (heap, drops) = (heap(OnTheFly::with_markers(1)), Drops::default());
    let mut mutator = heap.mutator();
    let root = mutator.enter(|cx| {
        let cells = [GcCell::new(Some(cx.alloc(drops.token(0)))), GcCell::empty()];
        cx.root(cx.alloc_slice(cells))
    });
    thread::scope(|scope| {
        let collects = scope.spawn(|| {
            for _ in 0..2 {
                heap.collect().unwrap();
            }
        });
        let mut turn = 0;
        while turn < 4 || !collects.is_finished() {
            mutator.enter(|cx| {
                let cells = root.get(cx);
                let (from, to) = (&cells[turn % 2], &cells[(turn + 1) % 2]);
                let token = from.swap(cx, None).expect("what is reachable is not freed");
                assert_eq!(token.id, 0);
                to.set(cx, Some(token));
            });
            turn += 1;
            thread::yield_now();
        }
        collects.join().unwrap();
    });
    assert_eq!(drops.totals(), (1, 0));
}

#[test]
fn objects_of_all_shapes() {
    #[derive(Clone, Copy, Debug, PartialEq, Trace)]
    #[repr(align(64))]
    struct Aligned(u8);
    let (heap, drops) = (Heap::builder().gc_off().build().unwrap(), Drops::default());
    let mut mutator = heap.mutator();
    let roots = mutator.enter(|cx| {
        let (empty, none) = (cx.alloc(()), cx.alloc_slice::<u64, _>([]));
        let aligned = cx.alloc(Aligned(3));
        assert!(Gc::address(aligned).is_multiple_of(64));
        let large = cx.alloc(([7_u8; 40_000], drops.token(0)));
        let slice = cx.alloc_slice((1..20_u32).map(|id| drops.token(u64::from(id))));
        assert_eq!(cx.alloc_slice([1_u16, 2, 3])[2], 3);
        (
            cx.root(empty),
            cx.root(none),
            cx.root(aligned),
            cx.root(large),
            cx.root(slice),
        )
    });
    mutator.collect().unwrap();
    mutator.enter(|cx| {
        assert!(roots.1.get(cx).is_empty());
        assert_eq!(*roots.2.get(cx), Aligned(3));
        assert_eq!(roots.3.get(cx).0[39_999], 7);
        assert_eq!(roots.4.get(cx)[18].id, 19);
    });
    assert_eq!(drops.totals(), (20, 0));
    drop(roots);
    mutator.collect().unwrap();
    drops.assert_each_once();
}

#[test]
fn the_dead_are_reported_and_may_come_back() {
    #[derive(Trace)]
    struct Place<'gc>(GcCell<'gc, Token>);
    let (heap, drops) = (Heap::builder().gc_off().build().unwrap(), Drops::default());
    let mut mutator = heap.mutator();
    let (sender, receiver) = std::sync::mpsc::channel();
    let place = mutator.enter(|cx| {
        let place: Root<Place<'static>> = cx.root(cx.alloc(Place(GcCell::empty())));
        let back = place.clone();
        let token = cx.alloc(drops.token(1));
        cx.finalize(token, move |cx, token| back.get(cx).0.set(cx, Some(token)));
        let dead = cx.alloc(drops.token(2));
        cx.on_death(dead, move || sender.send(()).unwrap());
        place
    });
    mutator.collect().unwrap();
    heap.run_cleanups();
    assert_eq!(receiver.try_recv(), Ok(()));
    assert_eq!(mutator.run_finalizers(), 1);
    mutator.collect().unwrap();
    mutator.enter(|cx| assert_eq!(place.get(cx).0.get().map(|token| token.id), Some(1)));
    assert_eq!(drops.dropped(), [2]);
}

#[test]
fn a_panic_loses_nothing() {
    let (heap, drops) = (Heap::builder().gc_off().build().unwrap(), Drops::default());
    let mut mutator = heap.mutator();
    let said = panic_of(|| {
        mutator.enter(|cx| {
            cx.alloc_slice([0_u64, 1, 2].map(|id| (id, drops.clone())).into_iter().map(
                |(id, drops)| {
                    assert_ne!(id, 2, "planned");
                    drops.token(id)
                },
            ))
            .len()
        })
    });
    assert!(said.contains("planned"), "{said}");
    mutator.collect().unwrap();
    drops.assert_each_once();
    assert_eq!(mutator.enter(|cx| *cx.alloc(5)), 5);
}

#[test]
fn a_limit_is_an_error_and_what_dies_makes_room() {
    let heap = Heap::builder()
        .gc_off()
        .limit_bytes(1 << 20)
        .build()
        .unwrap();
    let mut mutator = heap.mutator();
    for _ in 0..2 {
        let filled = mutator.enter(|cx| {
            let mut filled = 0;
            while cx.try_alloc([filled as u8; 100_000]).is_ok() {
                filled += 1;
            }
            filled
        });
        assert!((4..=11).contains(&filled), "{filled}");
        mutator.collect().unwrap();
    }
}

#[test]
fn a_local_heap_in_steps() {
    #[derive(Trace)]
    struct Cell<'gc>(LocalCell<'gc, u32>, LocalCell<'gc, Cell<'gc>>);
    let mut heap = LocalHeap::builder()
        .gc_off()
        .step_objects(1)
        .build()
        .unwrap();
    let root = heap.enter(|cx| {
        let cell = cx.alloc(Cell(LocalCell::new(Some(cx.alloc(7))), LocalCell::empty()));
        cell.1.set(cx, Some(cell));
        cx.root(cell)
    });
    heap.begin_cycle();
    // What the cycle has not seen moves into what it does not scan.
    heap.enter(|cx| {
        let (cell, new) = (
            root.get(cx),
            cx.alloc(Cell(LocalCell::empty(), LocalCell::empty())),
        );
        new.0.set(cx, cell.0.take(cx));
        cell.1.set(cx, Some(new));
    });
    while !heap.step().unwrap() {}
    heap.enter(|cx| {
        let new = root.get(cx).1.get().unwrap();
        assert_eq!(new.0.get().as_deref(), Some(&7));
    });
    drop(root);
    heap.collect().unwrap();
    assert_eq!(heap.stats().live_bytes, 0);
}

#[test]
fn frames_are_roots_and_stacks_grow() {
    #[derive(Trace)]
    struct Call<'gc>(Gc<'gc, Token>);
    static CALL: FrameKind<Call<'static>, Option<Gc<'static, u64>>> = FrameKind::new("call");
    static VALUE: FrameKind<Vec<u8>> = FrameKind::new("value");
    const DEPTH: u64 = 40;
    let (heap, drops) = (Heap::builder().gc_off().build().unwrap(), Drops::default());
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    let small = stack.capacity_bytes();
    let mut mutator = heap.mutator();
    mutator.fibers(|fibers| {
        fibers.turn(&mut stack, |cx, frames| {
            for id in 0..DEPTH {
                let call = Call(cx.alloc(drops.token(id)));
                frames
                    .push(&CALL, call, 20, None)
                    .map_err(|refused| refused.cause)
                    .unwrap();
                frames.top_mut(&CALL).1[19] = Some(cx.alloc(id));
            }
        });
    });
    assert!(stack.capacity_bytes() > small, "{small} bytes are enough");
    mutator.collect().unwrap();
    assert_eq!(drops.totals(), (DEPTH as usize, 0));
    mutator.fibers(|fibers| {
        fibers.turn(&mut stack, |_, frames| {
            let pushed = frames.with(&VALUE, vec![1, 2], |frames, mut value| {
                frames.value_mut(&mut value).push(3);
                frames.value(&value).len()
            });
            assert_eq!(pushed.ok(), Some(3));
            for id in (0..DEPTH).rev() {
                assert_eq!(frames.top(&CALL).1[19].as_deref(), Some(&id));
                assert_eq!(frames.pop(&CALL).0.id, id);
            }
        });
    });
    mutator.collect().unwrap();
    drops.assert_each_once();
}
