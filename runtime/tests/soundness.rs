//! Programs that keep to the safe API and try to get at memory that is not theirs: what the
//! compiler cannot refuse (`ui.rs`) is refused when they run.
//!
//! Mutants: `trace-without-the-lock` and `mark-on-the-callers-pool` are killed here.

#![forbid(unsafe_code)]

mod common;

use common::{in_time, panic_of};
use runtime::{Gc, Heap, Kind, Locked, Object, StopTheWorld, Trace, Visitor};

#[derive(Trace)]
struct Node<'gc> {
    edges: Locked<Vec<Gc<'gc, Node<'gc>>>>,
}

/// A visitor of the user's own that changes what is being visited.
struct Meddler<F: FnMut()>(F, usize);

impl<F: FnMut()> Visitor for Meddler<F> {
    fn visit(&mut self, _: Object, _: Kind) {
        self.1 += 1;
        (self.0)();
    }
}

/// `trace` is a safe method: called by hand while the content is being written, it must not walk
/// a vector that is reallocated under it.
#[test]
fn tracing_by_hand_cannot_see_locked_data_being_written() {
    let mut mutator = Heap::new().unwrap().mutator();
    mutator.enter(|cx| {
        let node = cx.alloc(Node {
            edges: Locked::default(),
        });
        let mut guard = node.edges.lock(cx);
        guard.push(node);
        let mut meddler = Meddler(|| (0..1000).for_each(|_| guard.push(node)), 0);
        let said = panic_of(|| node.edges.trace(&mut meddler));
        assert!(said.contains("while its lock is held"), "{said}");
        assert_eq!(meddler.1, 0, "nothing of the content was seen");
        drop(guard);
        let mut counter = Meddler(|| {}, 0);
        node.edges.trace(&mut counter);
        assert_eq!(counter.1, 1, "traced where nobody has the lock");
    });
}

/// A program's own thread pool collects in one job while another, queued behind it, wants to go
/// inside: the collecting thread must not take that job up while the world is stopped.
#[test]
fn a_cycle_on_a_pools_thread_takes_up_no_job_of_the_pool() {
    in_time(|| {
        let heap = runtime::Builder::new(StopTheWorld::with_markers(2))
            .gc_off()
            .build()
            .unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let (mut collects, mut enters) = (heap.mutator(), heap.mutator());
        // Enough that a second marker is worth its thread.
        let keep = collects.enter(|cx| {
            let parts: Vec<_> = (0..40).map(|_| cx.alloc_slice(0..1_usize << 16)).collect();
            cx.root(cx.alloc_slice(parts))
        });
        pool.scope(|scope| {
            scope.spawn(|scope| {
                scope.spawn(|_| enters.enter(|cx| assert_eq!(keep.get(cx).len(), 40)));
                let cycle = collects.collect().unwrap();
                assert_eq!((cycle.markers, cycle.objects_marked), (2, 41));
            });
        });
    });
}
