//! A collector written outside of the tree: serial, depth first, forty lines of it.
//!
//! ```text
//! cargo run -p runtime --example custom_collector
//! ```
//!
//! A collector is a type that implements [`Collector`]: the heap asks it to run a cycle and hands
//! it a [`Session`]. The session's methods are the steps, and their types allow no wrong order:
//!
//! 1. [`Session::finish_sweep`]: nothing of the last cycle is left, every mark is clear.
//! 2. [`Session::stop_the_world`]: no mutator is inside a closure, so nobody holds a reference
//!    but the roots and the heap itself. What may be done now is what [`Stopped`] offers.
//! 3. [`Stopped::for_each_root`], [`Stopped::shade`], [`Stopped::scan`]: roots, marks, edges.
//! 4. [`Stopped::for_each_late_root`]: what ephemerons and finalizers keep alive.
//! 5. [`Stopped::begin_sweep`]: what is not marked is dead. The only step that can lose an object,
//!    hence the only `unsafe` promise that a collector makes.
//!
//! Sweeping, drop glue, weak references, cleanups, pacing and statistics are the heap's business
//! and the same for every collector. The tests run the same programs under this collector and under
//! the one that the crate brings, and compare what lives.

use runtime::{
    Barrier, Builder, CollectError, Collector, Gc, GcCell, Kind, Object, Root, Runtime, Session,
    Stopped, Trace,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Marks with one thread and an explicit stack, newest first.
///
/// The stack holds each reference that was seen and not yet looked at: it may grow to the number
/// of *edges* of the heap. What the crate brings holds objects, each once, because it marks
/// before it queues; this one marks what it takes from the stack, which is shorter to write.
#[derive(Debug, Default)]
pub(crate) struct DepthFirst;

// SAFETY: `begin_sweep` is called after `mark_all` alone, which marks what the roots reach and
// shades only what the world reported.
unsafe impl Collector for DepthFirst {
    const NAME: &'static str = "depth-first";
    // The world is stopped from the first mark to the last: a store needs no barrier.
    const BARRIER: Barrier = Barrier::None;

    fn collect(&self, session: &mut Session<'_>) -> Result<(), CollectError> {
        session.finish_sweep();
        session.stop_the_world(|world| {
            mark_all(world)?;
            // SAFETY: `mark_all` has marked every object that the roots reach.
            unsafe { world.begin_sweep() };
            Ok(())
        })?
        // The mutators go on here; the dead are swept behind them.
    }
}

/// Marks every object that the roots reach, and what must live for another reason.
fn mark_all(world: &mut Stopped<'_>) -> Result<(), CollectError> {
    let mut stack: Vec<(Object, Kind)> = Vec::new();
    world.for_each_root(&mut |object, kind| stack.push((object, kind)));
    loop {
        drain(world, &mut stack)?;
        // Values of ephemerons whose keys are marked; then, once, the dead that have finalizers.
        world.for_each_late_root(&mut |object, kind| stack.push((object, kind)));
        if stack.is_empty() {
            return Ok(());
        }
    }
}

/// Marks what the stack's references lead to.
fn drain(world: &mut Stopped<'_>, stack: &mut Vec<(Object, Kind)>) -> Result<(), CollectError> {
    while let Some((object, kind)) = stack.pop() {
        // False: it was marked before, by way of another reference. A noscan kind (numbers, text)
        // is marked and holds nothing to follow.
        if !world.shade(object) || kind.noscan {
            continue;
        }
        // A `trace` is user code. If it panics, nothing is known of what is reachable: give up.
        // The world forgets the marks when it resumes without a sweep.
        let scanning = AssertUnwindSafe(|| {
            // SAFETY: the world reported the object with this kind, as a root or as an edge.
            unsafe { world.scan(object, kind, &mut |object, kind| stack.push((object, kind))) }
        });
        if let Err(payload) = catch_unwind(scanning) {
            let message = payload.downcast_ref::<&str>().unwrap_or(&"no message");
            return Err(CollectError::TracePanicked {
                message: (*message).to_owned(),
            });
        }
    }
    Ok(())
}

/// A person who knows two others: a graph with cycles, which reference counts would leak.
#[derive(Trace)]
struct Person<'gc> {
    name: String,
    left: GcCell<'gc, Person<'gc>>,
    right: GcCell<'gc, Person<'gc>>,
}

/// Seats `count` people around a table and roots one of them: each knows both neighbors.
fn seat(heap: &Runtime<DepthFirst>, count: usize) -> Root<Person<'static>> {
    heap.mutator().enter(|cx| {
        let people: Vec<Gc<'_, Person<'_>>> = (0..count)
            .map(|index| {
                cx.alloc(Person {
                    name: format!("person {index}"),
                    left: GcCell::empty(),
                    right: GcCell::empty(),
                })
            })
            .collect();
        for (index, person) in people.iter().enumerate() {
            person.right.set(cx, Some(people[(index + 1) % count]));
            person
                .left
                .set(cx, Some(people[(index + count - 1) % count]));
        }
        cx.root(people[0])
    })
}

/// How many sit at the table, counted by walking to the right.
fn count(heap: &Runtime<DepthFirst>, seated: &Root<Person<'static>>) -> usize {
    heap.mutator().enter(|cx| {
        let first = seated.get(cx);
        let (mut person, mut count) = (first, 0);
        loop {
            count += usize::from(!person.name.is_empty());
            match person.right.get() {
                Some(next) if !Gc::ptr_eq(next, first) => person = next,
                _ => return count,
            }
        }
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cycles begin when we ask, so that the figures are the same each time.
    let heap = Builder::new(DepthFirst).gc_off().build()?;
    let mut mutator = heap.mutator();

    let kept = seat(&heap, 1_000);
    // A table that nobody roots is garbage at once, though everybody at it is known to somebody.
    for _ in 0..9 {
        seat(&heap, 1_000);
    }
    println!(
        "{}: {} KiB live",
        DepthFirst::NAME,
        heap.stats().live_bytes >> 10
    );

    let cycle = mutator.collect()?;
    println!(
        "cycle {}: {} objects marked, {} -> {} KiB, paused for {:?}",
        cycle.number,
        cycle.objects_marked,
        cycle.before_bytes >> 10,
        cycle.live_bytes >> 10,
        cycle.pause,
    );
    assert_eq!(cycle.objects_marked, 1_000);
    assert_eq!(count(&heap, &kept), 1_000);

    drop(kept);
    let cycle = mutator.collect()?;
    println!(
        "cycle {}: {} KiB live",
        cycle.number,
        cycle.live_bytes >> 10
    );
    assert_eq!(heap.stats().live_bytes, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_runs() -> Result<(), Box<dyn std::error::Error>> {
        super::main()
    }
}
