//! What values of the heap do like any other value: compare, hash, print, copy, start empty. And
//! the settings and figures that no other test asks for.

use runtime::escape::{Callee, Options, Program, Sink, Size};
use runtime::stack::{EntryPoint, FRAME_BYTES_MAX, FrameKind, StackError, StackOptions, Stacks};
use runtime::{
    Builder, CollectError, Ephemeron, FakeSource, Gc, GcCell, Heap, LocalCell, LocalHeap,
    LocalRefCell, LocalRoot, Locked, Mmap, NoGc, OnTheFly, Runtime, RwLocked, SourceCall, Trace,
    Weak, WeakMap,
};
use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};

/// A small heap with nothing running on its own account.
fn heap() -> Heap {
    let builder = Builder::new(OnTheFly::with_markers(1)).reserve_bytes(64 << 20);
    builder.gc_off().build().expect("a range of addresses")
}

#[test]
fn references_compare_hash_and_print_by_value() {
    let hasher = RandomState::new();
    heap().mutator().enter(|cx| {
        let (one, other, more) = (cx.alloc(7_u32), cx.alloc(7_u32), cx.alloc(8_u32));
        assert!(one == other && !Gc::ptr_eq(one, other) && one != more);
        assert_eq!(one.cmp(&more), Ordering::Less);
        assert_eq!(more.partial_cmp(&one), Some(Ordering::Greater));
        assert_eq!(hasher.hash_one(one), hasher.hash_one(other));
        assert_eq!(hasher.hash_one(one), hasher.hash_one(7_u32));
        assert_eq!(format!("{one} {one:?}"), "7 7");
        let text = cx.alloc_str("slot");
        assert_eq!(format!("{text} {text:?}"), "slot \"slot\"");
        assert_eq!(*Gc::get(text), *"slot");
    });
}

#[test]
fn cells_start_empty_print_and_exchange() {
    heap().mutator().enter(|cx| {
        let (one, other) = (cx.alloc(1_u32), cx.alloc(2_u32));
        let cell: Gc<'_, GcCell<'_, u32>> = cx.alloc(GcCell::default());
        assert_eq!(format!("{:?}", *cell), "GcCell(None)");
        assert_eq!(cell.compare_exchange(cx, None, Some(one)), Ok(()));
        assert_eq!(format!("{:?}", *cell), "GcCell(Some(1))");
        let found = cell.compare_exchange(cx, None, Some(other));
        assert!(found.is_err_and(|found| found.is_some_and(|found| Gc::ptr_eq(found, one))));
    });
}

#[test]
fn cells_are_copied_as_if_all_were_read_first() {
    heap().mutator().enter(|cx| {
        for (from, to, copied) in [(0, 1, [0, 0, 1, 2]), (1, 0, [1, 2, 3, 3])] {
            let cells = (0..4_u32).map(|n| GcCell::new(Some(cx.alloc(n))));
            let cells: Gc<'_, [GcCell<'_, u32>]> = cx.alloc_slice(cells);
            GcCell::copy(cx, &cells[from..from + 3], &cells[to..to + 3]);
            let numbers: Vec<_> = cells.iter().map(|cell| *cell.get().unwrap()).collect();
            assert_eq!(numbers, copied);
        }
    });
}

#[test]
#[should_panic = "another length"]
fn cells_are_not_copied_to_fewer() {
    heap().mutator().enter(|cx| {
        let cells: Gc<'_, [GcCell<'_, u32>]> = cx.alloc_slice((0..4).map(|_| GcCell::default()));
        GcCell::copy(cx, &cells[..3], &cells[..2]);
    });
}

#[test]
fn bytes_outside_are_counted_as_they_change() {
    let heap = heap();
    let mut mutator = heap.mutator();
    let outside = mutator.enter(|cx| {
        let mut outside = cx.external(100);
        assert_eq!(heap.stats().external_bytes, 100);
        assert_eq!(
            (outside.bytes(), format!("{outside:?}")),
            (100, "External(100)".into())
        );
        outside.set_bytes(30);
        outside
    });
    assert_eq!(heap.stats().external_bytes, 30);
    drop(outside);
    assert_eq!(heap.stats().external_bytes, 0);
}

#[derive(Trace)]
struct Pair<'gc> {
    weak: Weak<'gc, u32>,
    both: Ephemeron<'gc, u32, u32>,
}

#[test]
fn weak_references_are_copied_and_printed() {
    let heap = heap();
    let mut mutator = heap.mutator();
    mutator.enter(|cx| {
        let (key, value) = (cx.alloc(1_u32), cx.alloc(2_u32));
        let pair = Pair {
            weak: cx.downgrade(key),
            both: cx.ephemeron(key, value),
        };
        #[expect(clippy::clone_on_copy, reason = "that it is as good as a copy")]
        let (weak, both) = (pair.weak.clone(), pair.both.clone());
        assert!(weak.upgrade(cx).is_some_and(|found| Gc::ptr_eq(found, key)));
        assert!(both.value(cx).is_some_and(|found| Gc::ptr_eq(found, value)));
        assert_eq!(format!("{weak:?} {both:?}"), "(Weak) (Ephemeron)");
        let map: WeakMap<'_, u32, u32> = WeakMap::new();
        assert_eq!(format!("{map:?}"), "WeakMap { .. }");
        let cleanup = cx.on_death(key, || ());
        let finalizer = cx.finalize(value, |_, _| ());
        assert_eq!(
            format!("{cleanup:?} {finalizer:?}"),
            "(Cleanup) (Finalizer)"
        );
        assert!(cleanup.cancel() && finalizer.cancel());
    });
}

#[test]
fn heaps_and_what_guards_them_print_what_they_are() {
    let heap = heap();
    let shown = format!("{heap:?} {:?}", heap.mutator());
    assert!(
        shown.starts_with("Runtime { collector: \"on-the-fly\""),
        "{shown}"
    );
    assert!(
        shown.contains("Mutator { collector: \"on-the-fly\""),
        "{shown}"
    );
    heap.mutator().enter(|cx| {
        // More than the heap's range.
        let error = cx.try_alloc_slice(vec![1_u8; 128 << 20]).err().unwrap();
        assert!(format!("{error:?}").starts_with("Exhausted { cause: "));
        assert_eq!(format!("{:?}", Locked::new(1)), "Locked { .. }");
        let root = cx.root(cx.alloc(1_u32));
        assert!(format!("{root:?}").starts_with("Root<u32>"), "{root:?}");
    });
    for error in [CollectError::Reentrant, panicked()] {
        assert!(error.to_string().len() > 20, "{error}");
    }
}

fn panicked() -> CollectError {
    CollectError::TracePanicked {
        message: "a fault".to_owned(),
    }
}

#[test]
fn the_usual_heap_tells_how_full_it_is() {
    let heap = Heap::new().expect("a range of addresses");
    let mut mutator = heap.mutator();
    let root = mutator.enter(|cx| cx.root(cx.alloc_slice((0..100).map(|n| [n; 4]))));
    let full: usize = heap.occupancy().iter().map(|class| class.spans).sum();
    assert!(full > 0, "{:?}", heap.occupancy());
    drop(root);
}

#[test]
fn a_heap_that_never_collects_says_so() {
    let heap: Runtime<NoGc> = Builder::new(NoGc).reserve_bytes(64 << 20).build().unwrap();
    let mut mutator = heap.mutator();
    mutator.enter(|cx| _ = cx.alloc(1_u32));
    mutator.collect().expect("there is no trace");
    assert!(heap.stats().live_bytes > 0, "what nothing holds is kept");
}

/// A local heap with every setting that a builder has.
fn local() -> LocalHeap {
    let builder = LocalHeap::builder().reserve_bytes(64 << 20).gc_off();
    let builder = builder.limit_bytes(8 << 20).page_source(Mmap::default());
    assert!(format!("{builder:?}").contains("limit_bytes: Some(8388608)"));
    builder.build().expect("a range of addresses")
}

#[derive(Trace)]
struct Held<'gc> {
    cell: LocalCell<'gc, u32>,
    cells: LocalRefCell<Vec<Gc<'gc, u32>>>,
}

#[test]
fn local_values_have_the_same_manners() {
    let mut heap = local();
    let root: LocalRoot<Held<'static>> = heap.enter(|cx| {
        assert_eq!(format!("{cx:?}"), "LocalCx");
        let held = cx.alloc(Held {
            cell: LocalCell::default(),
            cells: LocalRefCell::new(Vec::new()),
        });
        assert_eq!(format!("{:?}", held.cell), "LocalCell(None)");
        let mut cells = held.cells.try_borrow_mut(cx).expect("not borrowed");
        cells.push(cx.alloc(5));
        assert!(held.cells.try_borrow_mut(cx).is_err());
        drop(cells);
        assert!(format!("{:?}", held.cells).contains("[5]"));
        assert_eq!(*cx.alloc_str("local"), *"local");
        cx.root(held)
    });
    let other = root.clone();
    drop(root);
    heap.collect().expect("no trace panics");
    let five = heap.enter(|cx| *other.get(cx).cells.borrow()[0]);
    assert_eq!(five, 5);
    assert!(format!("{other:?}").starts_with("LocalRoot<"), "{other:?}");
    assert!(format!("{heap:?}").contains("in_cycle: false"), "{heap:?}");
    let objects: usize = heap.census().iter().map(|kind| kind.objects).sum();
    assert!(objects >= 2, "{:?}", heap.census());
    drop(other);
    heap.collect().expect("no trace panics");
    assert!(heap.release_os_memory() > 0);
}

#[test]
#[should_panic = "no memory for a"]
fn a_local_heap_at_its_limit_panics_where_no_value_is_asked_for() {
    local().enter(|cx| {
        let kept: Vec<_> = (0..10)
            .map(|_| cx.alloc_slice(vec![1_u8; 1 << 20]))
            .collect();
        assert!(kept.is_empty(), "the limit was not kept");
    });
}

#[test]
fn a_source_that_has_nothing_is_an_error_at_once() {
    let source = FakeSource::new();
    source.fail_from(SourceCall::Reserve, 0);
    let error = LocalHeap::builder().page_source(source).build();
    assert!(error.is_err_and(|error| !error.to_string().is_empty()));
}

#[test]
fn who_cannot_write_at_once_is_told() {
    heap().mutator().enter(|cx| {
        let lock = cx.alloc(RwLocked::new(1_u32));
        assert_eq!(format!("{:?}", *lock), "RwLocked { .. }");
        let mut guard = lock.try_write(cx).expect("nobody else has it");
        *guard = 2;
        assert!(lock.try_write(cx).is_none());
        drop(guard);
        assert_eq!(*lock.read(cx), 2);
    });
}

static CALL: FrameKind<u64, u32> = FrameKind::new("call");

#[test]
fn stacks_say_what_they_are_and_why_a_frame_does_not_fit() {
    let options = StackOptions {
        limit_bytes: 32 << 10,
        ..StackOptions::default()
    };
    let stacks = Stacks::new(options).expect("a range of addresses");
    let entry = EntryPoint::new("main");
    let mut stack = stacks.stack(&entry).expect("memory for a stack");
    assert!(
        format!("{stacks:?}").starts_with("Stacks { options: "),
        "{stacks:?}"
    );
    assert!(format!("{stack:?}").contains("depth: 0"), "{stack:?}");
    assert!(
        format!("{entry:?}").starts_with("EntryPoint(main, "),
        "{entry:?}"
    );
    let named: &FrameKind<u64> = FrameKind::leak(&format!("run-{}", 7));
    assert_eq!(
        (named.name(), format!("{CALL:?}")),
        ("run-7", "FrameKind(call)".into())
    );
    stack.run(|frames| {
        let refused = frames.push(&CALL, 1, FRAME_BYTES_MAX, 0).unwrap_err();
        assert!(matches!(
            refused.cause,
            StackError::FrameTooLarge { kind: "call" }
        ));
        assert!(
            refused
                .to_string()
                .contains("keep what is large in the heap")
        );
        assert!(format!("{refused:?}").starts_with("Refused { cause: "));
        let refused = frames.push(&CALL, 1, 15_000, 0).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("raise `StackOptions::limit_bytes`")
        );
        assert_eq!(refused.head, 1);
    });
}

#[test]
fn what_callers_need_of_a_function_is_enough_elsewhere() {
    let mut program = Program::new();
    assert!(program.is_empty());
    let keep = program.declare("keep", &["kept", "passed"], 1);
    let mut body = program.define(keep);
    let (kept, passed) = (body.parameter(0), body.parameter(1));
    body.at(1, 2).set_global("global", kept);
    let result = body.result(0);
    body.at(1, 3).assign(result, 0, passed);
    let report = program.analyze(&Options::default());
    let why = report.explain_leak(keep, 0).expect("it leaks").to_string();
    assert!(
        why.starts_with("keep: what `kept` holds leaks to the heap:"),
        "{why}"
    );
    assert!(report.explain_leak(keep, 1).is_none());
    let summary = report.summary(keep).expect("it is defined").clone();
    assert_eq!(summary.least(0, Sink::Heap), Some(0));
    assert_eq!(summary.least(1, Sink::Result(0)), Some(0));
    assert_eq!(summary.least(1, Sink::Heap), None);
    assert_eq!(summary.to_string(), "#0 -> heap, #1 -> result 0");

    let mut elsewhere = Program::new();
    let keep = elsewhere.declare("keep", &["kept", "passed"], 1);
    elsewhere.import(keep, summary);
    let main = elsewhere.declare("main", &[], 0);
    assert_eq!(elsewhere.len(), 2);
    let mut body = elsewhere.define(main);
    let [x, y, to_x, to_y] =
        ["x", "y", "to x", "to y"].map(|name| body.local(name, Size::Bytes(8)));
    body.address_of(to_x, x).address_of(to_y, y);
    body.call(Callee::Static(keep), &[to_x, to_y], &[]);
    assert_eq!(x.site().function(), main);
    let report = elsewhere.analyze(&Options::default());
    let why = report
        .explain(x.site())
        .expect("it is on the heap")
        .to_string();
    assert!(
        why.contains("passed to `keep` as `kept`, which leaks"),
        "{why}"
    );
    assert!(report.explain(y.site()).is_none());
}
