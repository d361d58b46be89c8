//! What values of the heap do like any other value: compare, hash, print, copy, start empty. And
//! the settings and figures that no other test asks for.

use runtime::{
    Barrier, Builder, CollectError, Collector, Ephemeron, FakeSource, Gc, GcCell, Heap, LocalCell,
    LocalHeap, LocalRefCell, LocalRoot, Locked, Mmap, NoGc, OnTheFly, Reason, Rebrand, Runtime,
    RwLocked, Session, SourceCall, Trace, Visitor, Weak, WeakMap,
};
use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

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

/// What a panic said.
fn message(act: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(act)).unwrap_err();
    *payload.downcast::<String>().expect("a formatted message")
}

#[test]
fn each_form_that_cannot_fail_panics_at_the_limit() {
    let builder = Builder::new(OnTheFly::with_markers(1)).limit_bytes(2 << 20);
    let heap = builder.gc_off().build().expect("a range of addresses");
    let text = "long".repeat(1 << 20);
    let mut mutator = heap.mutator();
    let mut said = vec![message(|| mutator.enter(|cx| _ = cx.alloc_str(&text)))];
    said.push(message(|| {
        mutator.enter(|cx| {
            let key = cx.alloc(1_u32);
            (0..1 << 20).for_each(|_| _ = cx.ephemeron(key, key));
        })
    }));
    let builder = LocalHeap::builder().gc_off().limit_bytes(2 << 20);
    let mut local = builder.build().expect("a range of addresses");
    said.push(message(|| local.enter(|cx| _ = cx.alloc_str(&text))));
    said.push(message(|| {
        local.enter(|cx| {
            let target = cx.alloc(1_u32);
            (0..1 << 20).for_each(|_| _ = cx.downgrade(target));
        })
    }));
    said.push(message(|| {
        local.enter(|cx| (0..1 << 20).for_each(|n| _ = cx.alloc([n; 8])))
    }));
    for said in said {
        assert!(said.starts_with("no memory for a"), "{said}");
    }
}

/// Collects another heap when it is dropped, of each kind, and notes what that said.
struct Nosy;

static NOTED: Mutex<Vec<CollectError>> = Mutex::new(Vec::new());

impl Drop for Nosy {
    fn drop(&mut self) {
        let mut local = LocalHeap::builder().reserve_bytes(8 << 20).build().unwrap();
        let errors = [
            local.collect().err(),
            local.step().err(),
            heap().mutator().collect().err(),
        ];
        NOTED.lock().unwrap().extend(errors.into_iter().flatten());
    }
}

// SAFETY: holds nothing, and its drop glue touches no object.
unsafe impl Trace for Nosy {
    const NEEDS_TRACE: bool = false;

    fn trace<V: Visitor>(&self, _visitor: &mut V) {}
}

// SAFETY: it has no brand.
unsafe impl Rebrand for Nosy {
    type With<'to> = Nosy;
}

#[test]
fn drop_glue_may_not_collect() {
    let mut heap = LocalHeap::builder().gc_off().build().unwrap();
    heap.enter(|cx| _ = cx.alloc(Nosy));
    heap.collect().expect("no trace panics");
    let noted = NOTED.lock().unwrap();
    assert_eq!(noted.len(), 3, "{noted:?}");
    assert!(
        noted
            .iter()
            .all(|error| matches!(error, CollectError::Reentrant))
    );
}

/// Asks what a session tells, and frees nothing.
struct Asking(Arc<Mutex<Vec<(Reason, usize)>>>);

// SAFETY: never begins a sweep.
unsafe impl Collector for Asking {
    const NAME: &'static str = "asking";
    const BARRIER: Barrier = Barrier::None;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        let reason = session.reason();
        let live_bytes = session.stop_the_world(|world| Ok(world.live_bytes()))??;
        self.0.lock().unwrap().push((reason, live_bytes));
        Ok(())
    }
}

#[test]
fn a_session_tells_why_it_is_and_what_lives() {
    let told = Arc::default();
    let heap = Builder::new(Asking(Arc::clone(&told)))
        .gc_off()
        .build()
        .unwrap();
    let mut mutator = heap.mutator();
    let root = mutator.enter(|cx| cx.root(cx.alloc([1_u64; 4])));
    mutator.collect().expect("it asks only");
    drop(root);
    assert_eq!(*told.lock().unwrap(), [(Reason::Explicit, 32)]);
}
