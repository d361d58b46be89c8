//! What a mutator does between the steps of a cycle that marks beside it: a collector of our own
//! stops between them and lets a closure run.
//!
//! Mutants: `drain-though-given-up` is killed here, `given-up-is-clean` beside what it changes.
#![cfg(not(heapwright_loom))]

mod common;

use common::{Drops, panic_of};
use runtime::{
    Barrier, Builder, CollectError, Collector, Crew, Locked, Rebrand, Session, Trace, Visitor,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

type Act = Box<dyn FnOnce() + Send>;

/// What runs between the steps: when every mutator logs, and when the roots are marked.
#[derive(Clone, Default)]
struct Between {
    armed: Arc<Mutex<Option<Act>>>,
    marked: Arc<Mutex<Option<Act>>>,
}

fn run(act: &Mutex<Option<Act>>) {
    if let Some(act) = act.lock().unwrap().take() {
        act();
    }
}

// SAFETY: sweeping begins only when `Beside::drain` says that all that is reachable is marked.
unsafe impl Collector for Between {
    const NAME: &'static str = "between";
    const BARRIER: Barrier = Barrier::Deletion;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        session.finish_sweep();
        let mut crew = Crew::new(1);
        let mut world = session.arm();
        run(&self.armed);
        world.mark(&mut crew)?;
        run(&self.marked);
        while !world.drain(&mut crew)? {}
        // SAFETY: `drain` has just answered true.
        unsafe { world.begin_sweep() };
        Ok(())
    }
}

/// Panics in `trace` when it is told to.
struct Grumpy(Arc<AtomicBool>);

// SAFETY: holds no reference.
unsafe impl Trace for Grumpy {
    const NEEDS_TRACE: bool = true;

    fn trace<V: Visitor>(&self, _visitor: &mut V) {
        assert!(!self.0.load(Ordering::Relaxed), "planned, in trace");
    }
}

// SAFETY: there is no brand.
unsafe impl Rebrand for Grumpy {
    type With<'to> = Grumpy;
}

/// A writer cannot log what the data holds. A marker may have trusted it to: so the cycle is given
/// up, wherever it is; nothing is freed, and the next one is whole.
#[test]
fn a_writer_that_cannot_log_ends_the_cycle() {
    for before_marking in [true, false] {
        let between = Between::default();
        let heap = Builder::new(between.clone()).gc_off().build().unwrap();
        let (mut mutator, mut other) = (heap.mutator(), heap.mutator());
        let (drops, angry) = (Drops::default(), Arc::new(AtomicBool::new(false)));
        mutator.enter(|cx| _ = cx.alloc(drops.token(0)));
        let told = angry.clone();
        let act: Act = Box::new(move || {
            told.store(true, Ordering::Relaxed);
            let said = panic_of(|| {
                other.enter(|cx| _ = cx.alloc(Locked::new(Grumpy(told.clone()))).lock(cx));
            });
            assert!(said.contains("planned, in trace"), "{said}");
            told.store(false, Ordering::Relaxed);
        });
        let place = if before_marking {
            &between.armed
        } else {
            &between.marked
        };
        *place.lock().unwrap() = Some(act);
        let failed = mutator.collect().unwrap_err();
        assert!(
            failed.to_string().contains("while a mutator logged it"),
            "{failed}"
        );
        assert!(drops.dropped().is_empty(), "nothing was freed");
        mutator.collect().unwrap();
        assert_eq!(drops.dropped(), [0]);
    }
}
