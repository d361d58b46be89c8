//! The local heap: random programs beside a twin graph, and each promise of its own.
//!
//! What a cycle must not lose is hidden from it in the one way there is: it is moved into an object
//! that was made while the cycle marked, and which is therefore not scanned. `HEAPWRIGHT_SEED`
//! replays a run.
//!
//! The mutants of `xtask/mutants/runtime-local.toml` are killed here.

mod common;
#[path = "local/graph.rs"]
mod graph;
#[path = "local/objects.rs"]
mod objects;

use common::{panic_of, seed};
use graph::Model;
use objects::{Drops, Node, NodeRoot, node};
use runtime::{CollectError, Gc, LocalCell, LocalCx, LocalHeap, LocalRoot, Trace, Visitor};
use std::cell::Cell;
use std::rc::Rc;

fn manual() -> LocalHeap {
    LocalHeap::builder()
        .gc_off()
        .step_objects(1)
        .build()
        .unwrap()
}

/// Runs a program; `drive` is called between closures, and may take steps.
fn program(mut heap: LocalHeap, seed: u64, mut drive: impl FnMut(&mut LocalHeap, &mut Model)) {
    let mut model = Model::new(seed);
    for round in 0..1_200 {
        heap.enter(|cx| (0..15).for_each(|_| model.step(cx)));
        drive(&mut heap, &mut model);
        if round % 40 == 39 {
            heap.enter(|cx| model.verify(cx));
        }
        if round % 150 == 149 {
            let cycle = heap.collect().unwrap();
            let living = model.reachable();
            assert_eq!(cycle.objects_marked > 0, !living.is_empty());
            let mut all = model.drops.made();
            all.retain(|id| !living.contains(id));
            assert!(model.drops.dropped() == all, "dropped, and unreachable");
        }
    }
    model.drop_roots();
    heap.collect().unwrap();
    assert_eq!(model.drops.dropped(), model.drops.made());
    let stats = heap.stats();
    assert_eq!(
        (stats.live_bytes, stats.drop_panics, stats.roots),
        (0, 0, 0)
    );
}

#[test]
fn cycles_in_steps_drop_what_is_unreachable() {
    let seed = seed();
    for n in 0..4 {
        program(manual(), seed + n, |heap, model| {
            match model.random.below(4) {
                0 => heap.begin_cycle(),
                1 => assert!(heap.step().is_ok()),
                _ => {}
            }
        });
    }
}

#[test]
fn cycles_that_begin_by_themselves_drop_what_is_unreachable() {
    let seed = seed();
    for n in 0..3 {
        let heap = LocalHeap::builder().gc_percent(1).step_objects(1).build();
        program(heap.unwrap(), seed + n, |heap, _| {
            heap.enter(|cx| (0..200).for_each(|n| _ = cx.alloc([n; 9])));
        });
    }
}

/// A list so long that one step does not mark it.
fn chain<'gc>(cx: &LocalCx<'gc>, drops: &Drops, first: u64) -> Gc<'gc, Node<'gc>> {
    let mut head = node(cx, drops, first);
    for id in first + 1..first + 20_000 {
        let next = node(cx, drops, id);
        next.cell.set(cx, Some(head));
        head = next;
    }
    head
}

/// Takes what is left of the cycle's steps.
fn finish(heap: &mut LocalHeap) {
    while heap.step().unwrap() {}
}

/// A new node, black while a cycle marks, that holds `hidden`.
fn hide_in_new<'gc>(cx: &LocalCx<'gc>, hidden: Gc<'gc, Node<'gc>>, drops: &Drops) -> NodeRoot {
    let holder = node(cx, drops, hidden.token.id + 1);
    holder.cell.set(cx, Some(hidden));
    cx.root(holder)
}

#[test]
fn a_store_into_a_cell_is_logged() {
    let (mut heap, drops) = (manual(), Drops::default());
    let root = heap.enter(|cx| {
        let from = node(cx, &drops, 0);
        from.cell.set(cx, Some(node(cx, &drops, 1)));
        cx.root(from)
    });
    heap.begin_cycle();
    let other = heap.enter(|cx| hide_in_new(cx, root.get(cx).cell.take(cx).unwrap(), &drops));
    finish(&mut heap);
    assert!(!drops.is_dropped(1));
    heap.enter(|cx| assert_eq!(other.get(cx).cell.get().unwrap().token.id, 1));
}

#[test]
fn a_mutable_borrow_logs_the_data_in_each_cycle() {
    let (mut heap, drops) = (manual(), Drops::default());
    let root = heap.enter(|cx| cx.root(node(cx, &drops, 0)));
    for round in 1..4 {
        let id = round * 10;
        heap.enter(|cx| {
            let hidden = node(cx, &drops, id);
            root.get(cx).edges.borrow_mut(cx).push(hidden);
        });
        heap.begin_cycle();
        let other = heap.enter(|cx| {
            let from = root.get(cx);
            let moved = from.edges.borrow_mut(cx).pop().unwrap();
            hide_in_new(cx, moved, &drops)
        });
        finish(&mut heap);
        assert!(!drops.is_dropped(id), "round {round}");
        drop(other);
        heap.collect().unwrap();
        assert!(drops.is_dropped(id), "round {round}");
    }
}

#[test]
fn an_upgrade_keeps_its_target() {
    let (mut heap, drops) = (manual(), Drops::default());
    let root = heap.enter(|cx| {
        let from = node(cx, &drops, 0);
        *from.weak.borrow_mut(cx) = Some(cx.downgrade(node(cx, &drops, 1)));
        cx.root(from)
    });
    heap.begin_cycle();
    let other = heap.enter(|cx| {
        let weak = root.get(cx).weak.borrow().unwrap();
        hide_in_new(cx, cx.upgrade(weak).unwrap(), &drops)
    });
    finish(&mut heap);
    assert!(!drops.is_dropped(1));
    drop(other);
    heap.collect().unwrap();
    assert!(drops.is_dropped(1));
    heap.enter(|cx| {
        let weak = root.get(cx).weak.borrow().unwrap();
        assert!(cx.upgrade(weak).is_none());
    });
}

#[test]
fn a_root_dropped_before_it_is_scanned_keeps_its_object_for_the_cycle() {
    let (mut heap, drops) = (manual(), Drops::default());
    let mut roots: Vec<NodeRoot> =
        heap.enter(|cx| (0..2_000).map(|id| cx.root(node(cx, &drops, id))).collect());
    // A place for a handle in the piece that is scanned first.
    drop(roots.remove(0));
    heap.begin_cycle();
    let last = roots.pop().unwrap();
    let other = heap.enter(|cx| {
        let holder = node(cx, &drops, 5_000);
        holder.cell.set(cx, Some(last.get(cx)));
        cx.root(holder)
    });
    drop(last);
    finish(&mut heap);
    heap.enter(|cx| assert_eq!(other.get(cx).cell.get().unwrap().token.id, 1_999));
    assert_eq!(drops.dropped(), [0]);
}

#[test]
fn what_is_made_while_a_cycle_marks_survives_it() {
    let (mut heap, drops) = (manual(), Drops::default());
    let root = heap.enter(|cx| cx.root(chain(cx, &drops, 0)));
    heap.begin_cycle();
    assert!(heap.step().unwrap(), "the list is marked in one step");
    heap.enter(|cx| {
        let head = root.get(cx);
        head.edges.borrow_mut(cx).push(node(cx, &drops, 50_000));
    });
    finish(&mut heap);
    assert!(drops.dropped().is_empty());
    heap.enter(|cx| assert_eq!(root.get(cx).edges.borrow()[0].token.id, 50_000));
}

/// Each step is small, a program that allocates gets through its cycles, and these end before the
/// goal.
#[test]
fn cycles_are_paced() {
    let builder = LocalHeap::builder().gc_off().step_objects(2_000);
    let (mut heap, drops) = (builder.build().unwrap(), Drops::default());
    let roots: Vec<_> = (0..10)
        .map(|n| heap.enter(|cx| cx.root(chain(cx, &drops, n * 20_000))))
        .collect();
    heap.collect().unwrap();
    heap.set_gc_percent(Some(100));
    let (cycles, steps) = (heap.stats().cycles, heap.steps());
    loop {
        heap.enter(|cx| (0..100).for_each(|n| _ = cx.alloc([n; 16])));
        let stats = heap.stats();
        assert!(
            stats.live_bytes <= stats.goal_bytes,
            "beyond the goal: {stats:?}"
        );
        if stats.cycles == cycles + 4 {
            break;
        }
    }
    let steps = heap.steps() - steps;
    // 200,000 objects a cycle, at most 2,000 and some 1,300 a step.
    assert!(steps > 4 * 200_000 / 3_300, "{steps}");
    drop(roots);
}

/// Drop glue waits for the edge of a closure, runs once and on this thread, and may panic.
#[test]
fn drop_glue_runs_between_closures() {
    #[derive(Trace)]
    #[trace(noscan)]
    struct Loud(Rc<Cell<u32>>);
    impl Drop for Loud {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            assert!(!self.0.get().is_multiple_of(1_000), "planned");
        }
    }
    let mut heap = LocalHeap::builder().gc_percent(1).build().unwrap();
    let dropped = Rc::new(Cell::new(0));
    for _ in 0..2_000 {
        heap.enter(|cx| {
            let before = dropped.get();
            (0..50).for_each(|_| _ = cx.alloc(Loud(dropped.clone())));
            assert_eq!(dropped.get(), before, "dropped inside a closure");
        });
    }
    assert!(dropped.get() > 25_000, "{}", dropped.get());
    heap.collect().unwrap();
    assert_eq!(dropped.get(), 100_000);
    assert_eq!(heap.stats().drop_panics, 100);
    assert_eq!(Rc::strong_count(&dropped), 1);
}

#[test]
fn a_heap_drops_all_that_is_left_at_any_stage() {
    for steps in 0..14 {
        let (mut heap, drops) = (manual(), Drops::default());
        let roots = [0, 20_000].map(|first| heap.enter(|cx| cx.root(chain(cx, &drops, first))));
        let [first, _kept] = roots;
        drop(first);
        heap.begin_cycle();
        for step in 0..steps * 2 {
            _ = heap.step().unwrap();
            heap.enter(|cx| _ = node(cx, &drops, 100_000 + step));
        }
        drop(heap);
        assert_eq!(drops.dropped(), drops.made(), "after {steps} steps");
    }
}

/// A type whose `trace` panics when it is told to.
struct Bomb(Rc<Cell<bool>>);

// SAFETY: it holds no reference.
unsafe impl Trace for Bomb {
    const NEEDS_TRACE: bool = true;

    fn trace<V: Visitor>(&self, _visitor: &mut V) {
        assert!(!self.0.get(), "planned");
    }
}

// SAFETY: it has no brand.
unsafe impl runtime::Rebrand for Bomb {
    type With<'to> = Bomb;
}

#[test]
fn a_panic_in_trace_frees_nothing() {
    let (mut heap, drops) = (manual(), Drops::default());
    let armed = Rc::new(Cell::new(true));
    let roots = heap.enter(|cx| {
        node(cx, &drops, 100_000);
        let bomb = cx.root(cx.alloc(Bomb(armed.clone())));
        (bomb, cx.root(chain(cx, &drops, 0)))
    });
    let failed = heap.collect();
    assert!(matches!(failed, Err(CollectError::TracePanicked { .. })));
    assert!(drops.dropped().is_empty());
    heap.begin_cycle();
    while let Ok(true) = heap.step() {}
    assert!(drops.dropped().is_empty());
    assert_eq!(heap.stats().trace_panics, 2);
    armed.set(false);
    heap.collect().unwrap();
    assert_eq!(drops.dropped(), [100_000]);
    drop(roots);
    heap.collect().unwrap();
    assert_eq!(drops.dropped(), drops.made());
}

#[test]
fn exhaustion_is_a_value() {
    let mut heap = LocalHeap::builder().gc_off().limit_bytes(2 << 20).build();
    let heap = heap.as_mut().unwrap();
    for _ in 0..3 {
        let given_back = heap.enter(|cx| {
            loop {
                if let Err(exhausted) = cx.try_alloc(vec![1_u8; 100]) {
                    break exhausted.value;
                }
            }
        });
        assert_eq!(given_back.len(), 100);
        heap.enter(|cx| assert!(cx.try_alloc_slice(0..1_000_000_i32).is_err()));
        heap.collect().unwrap();
        assert_eq!(heap.stats().live_bytes, 0);
    }
}

#[test]
fn bytes_outside_of_the_heap_begin_cycles() {
    let mut heap = LocalHeap::new().unwrap();
    for _ in 0..2_000 {
        heap.enter(|cx| _ = cx.alloc(cx.external(1 << 20)));
    }
    let stats = heap.stats();
    assert!(stats.cycles > 10, "{} cycles", stats.cycles);
    assert!(
        stats.external_bytes < 1_000 << 20,
        "{}",
        stats.external_bytes
    );
}

#[test]
fn a_panic_in_a_closure_loses_nothing() {
    let (mut heap, drops) = (manual(), Drops::default());
    let root = heap.enter(|cx| cx.root(node(cx, &drops, 0)));
    let said = panic_of(|| {
        heap.enter(|cx| {
            root.get(cx).cell.set(cx, Some(node(cx, &drops, 1)));
            let from = root.get(cx);
            let guard = from.edges.borrow_mut(cx);
            cx.alloc_slice((0..9_u8).inspect(|n| assert!(*n < 5, "planned")));
            drop(guard);
        })
    });
    assert_eq!(said, "planned");
    // A guard that is leaked keeps its data borrowed, and alive.
    heap.enter(|cx| {
        let from = root.get(cx);
        from.edges.borrow_mut(cx).push(node(cx, &drops, 2));
        std::mem::forget(from.edges.borrow_mut(cx));
    });
    heap.collect().unwrap();
    assert!(drops.dropped().is_empty());
    heap.enter(|cx| assert!(root.get(cx).edges.try_borrow().is_err()));
    let (one, mut other) = (root, manual());
    let said = panic_of(|| other.enter(|cx| _ = one.get(cx)));
    assert!(said.contains("another heap"), "{said}");
}

/// What the docs of `LocalHeap` promise: a heap, its roots and what is in it may move together.
#[test]
fn a_heap_moves_with_all_that_belongs_to_it() {
    #[derive(Trace)]
    struct Plain<'gc> {
        #[trace(skip)]
        number: Cell<u64>,
        next: LocalCell<'gc, Plain<'gc>>,
    }
    struct Vm {
        heap: LocalHeap,
        list: LocalRoot<Plain<'static>>,
    }
    // SAFETY: all roots are here, and a `Plain` could be sent but for its reference.
    unsafe impl Send for Vm {}

    let mut heap = manual();
    let list = heap.enter(|cx| {
        let plain = |number, next| {
            cx.alloc(Plain {
                number: Cell::new(number),
                next: LocalCell::new(next),
            })
        };
        cx.root(plain(1, Some(plain(2, None))))
    });
    heap.begin_cycle();
    let mut vm = Vm { heap, list };
    for round in 0..4 {
        let thread = std::thread::spawn(move || {
            let mut vm = vm;
            vm.heap.enter(|cx| {
                let list = vm.list.get(cx);
                list.number.set(list.number.get() + 1);
                let next = list.next.take(cx).unwrap();
                list.next.set(cx, Some(next));
            });
            vm.heap.collect().unwrap();
            vm
        });
        vm = thread.join().unwrap();
        assert_eq!(vm.heap.stats().live_bytes, 32, "round {round}");
    }
    vm.heap
        .enter(|cx| assert_eq!(vm.list.get(cx).number.get(), 5));
}
