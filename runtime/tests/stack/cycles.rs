//! Cycles see what frames hold: between turns, in the middle of a loop that never ends, and while
//! a deep stack is being unwound.

use runtime::stack::{EntryPoint, FrameAt, FrameKind, StackOptions, Stacks};
use runtime::{Collector, Debug, Gc, GcCell, Heap, Runtime, StopTheWorld, Trace};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static CALL: FrameKind<Call<'static>, Option<Gc<'static, Node<'static>>>> = FrameKind::new("call");
static FAT: FrameKind<u64, u64> = FrameKind::new("fat");

#[derive(Trace)]
struct Call<'gc> {
    own: Gc<'gc, Node<'gc>>,
    number: u64,
}

#[derive(Trace)]
struct Node<'gc> {
    number: u64,
    check: u64,
    next: GcCell<'gc, Node<'gc>>,
}

fn node<'gc>(number: u64) -> Node<'gc> {
    Node {
        number,
        check: !number,
        next: GcCell::empty(),
    }
}

fn checking() -> Debug {
    Debug {
        check_marks: true,
        poison: true,
        ..Debug::default()
    }
}

fn frames_are_roots_of<C: Collector + Default>() {
    let heap = Runtime::<C>::builder().gc_off().debug(checking());
    let heap = heap.build().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("test")).unwrap();
    let mut mutator = heap.mutator();
    for number in 0..200 {
        mutator.fibers(|fibers| {
            fibers.turn(&mut stack, |cx, frames| {
                let call = Call {
                    own: cx.alloc(node(number)),
                    number,
                };
                frames.push(&CALL, call, 2, None).unwrap();
                frames.top_mut(&CALL).1[1] = Some(cx.alloc(node(number + 1000)));
                cx.alloc(node(7));
            });
        });
        if number % 20 == 0 {
            mutator.collect().unwrap();
        }
    }
    mutator.collect().unwrap();
    let held_bytes = heap.stats().live_bytes;
    assert_eq!(held_bytes, 400 * 32, "what is dropped is freed");
    mutator.fibers(|fibers| {
        fibers.turn(&mut stack, |_, frames| {
            for number in (0..200).rev() {
                let slot = frames.top(&CALL).1[1].unwrap();
                let call = frames.pop(&CALL);
                assert_eq!((call.number, call.own.number), (number, number));
                assert_eq!((slot.number, slot.check), (number + 1000, !(number + 1000)));
            }
        });
    });
    mutator.collect().unwrap();
    assert_eq!(heap.stats().live_bytes, 0, "popped frames hold nothing");
}

/// Kills: `stacks-unscanned`, `stacks-unscanned-when-stopped`.
#[test]
fn frames_are_roots() {
    frames_are_roots_of::<runtime::OnTheFly>();
    frames_are_roots_of::<StopTheWorld>();
}

fn an_endless_loop_delays_no_cycle_of<C: Collector + Default>() {
    let heap = Runtime::<C>::builder().gc_off().debug(checking());
    let heap = heap.build().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let (stop, turns) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stack = stacks.stack(&EntryPoint::new("loop")).unwrap();
            let mut mutator = heap.mutator();
            mutator.fibers(|fibers| {
                let mut number = 0;
                // Without an end, but for a cycle that would wait for it.
                while !stop.load(Relaxed) && number < 5_000_000 {
                    fibers.turn(&mut stack, |cx, frames| {
                        if frames.depth() > 50 {
                            let call = frames.pop(&CALL);
                            assert_eq!(
                                (call.own.number, call.own.check),
                                (call.number, !call.number)
                            );
                        }
                        let own = cx.alloc(node(number));
                        frames.push(&CALL, Call { own, number }, 0, None).unwrap();
                    });
                    number += 1;
                    turns.fetch_add(1, Relaxed);
                    fibers.checkpoint();
                }
            });
            assert!(stop.load(Relaxed), "a cycle waits for the loop");
        });
        // Each waits for the mutator, which never leaves its closure, to acknowledge all of it.
        let mut seen = 0;
        for _ in 0..20 {
            while turns.load(Relaxed) == seen {
                std::thread::yield_now();
            }
            seen = turns.load(Relaxed);
            heap.collect().unwrap();
        }
        stop.store(true, Relaxed);
    });
    assert!(heap.stats().cycles >= 20);
}

/// Kills: `checkpoint-does-nothing`.
#[test]
fn an_endless_loop_delays_no_cycle() {
    an_endless_loop_delays_no_cycle_of::<runtime::OnTheFly>();
    an_endless_loop_delays_no_cycle_of::<StopTheWorld>();
}

/// A fiber unwinds a deep stack, and moves what it finds to where markers do not look again, while
/// one cycle follows another.
#[test]
fn a_deep_stack_is_scanned_while_it_is_unwound() {
    const DEPTH: u64 = 20_000;
    let heap = Heap::builder().gc_off().debug(checking()).build().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                heap.collect().unwrap();
            }
        });
        let mut mutator = heap.mutator();
        let mut stack = stacks.stack(&EntryPoint::new("deep")).unwrap();
        mutator.fibers(|fibers| {
            for _ in 0..6 {
                for first in (0..DEPTH).step_by(100) {
                    fibers.turn(&mut stack, |cx, frames| {
                        for number in first..first + 100 {
                            let own = cx.alloc(node(number));
                            frames.push(&CALL, Call { own, number }, 1, None).unwrap();
                        }
                    });
                    fibers.checkpoint();
                }
                let last = std::cell::Cell::new(DEPTH);
                while last.get() > 0 {
                    fibers.turn(&mut stack, |cx, frames| {
                        let kept = cx.alloc(node(0));
                        for _ in 0..100 {
                            last.set(last.get() - 1);
                            let call = frames.pop(&CALL);
                            assert_eq!(call.number, last.get());
                            assert_eq!(
                                (call.own.number, call.own.check),
                                (last.get(), !last.get())
                            );
                            // The new object is black: its field is not looked at again.
                            kept.next.set(cx, Some(call.own));
                            if frames.depth() > 0 {
                                frames.top_mut(&CALL).1[0] = Some(kept);
                            }
                        }
                    });
                    fibers.checkpoint();
                }
            }
        });
        stop.store(true, Relaxed);
    });
    assert!(heap.stats().cycles > 0);
}

/// Kills: `shrinks-nothing`.
#[test]
fn a_cycle_shrinks_what_is_mostly_empty() {
    let heap = Heap::builder().gc_off().build().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("shrinks")).unwrap();
    let mut mutator = heap.mutator();
    mutator.fibers(|fibers| {
        fibers.turn(&mut stack, |_, frames| {
            for number in 0..10_000 {
                frames.push(&FAT, number, 10, number).unwrap();
            }
            for number in (100..10_000).rev() {
                assert_eq!(frames.pop(&FAT), number);
            }
        });
    });
    let mut capacity_bytes = stack.capacity_bytes();
    assert!(capacity_bytes >= 1 << 20);
    for _ in 0..20 {
        heap.collect().unwrap();
        assert!(
            stack.capacity_bytes() * 2 >= capacity_bytes,
            "a step a cycle"
        );
        capacity_bytes = stack.capacity_bytes();
    }
    assert!((stack.used_bytes()..=stack.used_bytes() * 8).contains(&capacity_bytes));
    mutator.fibers(|fibers| {
        fibers.turn(&mut stack, |_, frames| {
            for number in (0..100).rev() {
                assert!(frames.top(&FAT).1.iter().all(|slot| *slot == number));
                assert_eq!(frames.pop(&FAT), number);
            }
        });
    });
}

#[test]
fn a_stack_of_another_heap_is_refused() {
    let (one, other) = (Heap::new().unwrap(), Heap::new().unwrap());
    let entry = EntryPoint::new("test");
    let mut stack = Stacks::of(&one, StackOptions::default())
        .stack(&entry)
        .unwrap();
    let mut plain = Stacks::new(StackOptions::default())
        .unwrap()
        .stack(&entry)
        .unwrap();
    let refused = |act: &mut dyn FnMut()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err()
    };
    let mut mutator = other.mutator();
    mutator.fibers(|fibers| {
        assert!(refused(&mut || fibers.turn(&mut stack, |_, _| ())));
        assert!(refused(&mut || fibers.turn(&mut plain, |_, _| ())));
    });
    assert!(refused(&mut || stack.run(|_| ())));
}

/// A stack that is dropped in the middle of a cycle takes nothing along that was read from it.
#[test]
fn a_stack_dropped_in_mid_cycle_loses_nothing() {
    let heap = Heap::builder().gc_off().debug(checking()).build().unwrap();
    let stacks = Stacks::of(&heap, StackOptions::default());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                heap.collect().unwrap();
            }
        });
        let mut mutator = heap.mutator();
        let entry = EntryPoint::new("dropped");
        for round in 0..300 {
            let kept = mutator.fibers(|fibers| {
                let mut gone = stacks.stack(&entry).unwrap();
                let bottom = fibers.turn(&mut gone, |cx, frames| {
                    let at: Vec<FrameAt> = (0..1000)
                        .map(|number| {
                            let own = cx.alloc(node(number));
                            frames.push(&CALL, Call { own, number }, 0, None).unwrap()
                        })
                        .collect();
                    at[0]
                });
                (0..round % 7).for_each(|_| fibers.checkpoint());
                fibers.turn(&mut gone, |cx, frames| {
                    // Read, and not written: that opens nothing.
                    let holder = cx.alloc(node(0));
                    holder.next.set(cx, Some(frames.head(&CALL, bottom).own));
                    cx.root(holder)
                })
            });
            mutator.enter(|cx| {
                let found = kept.get(cx).next.get();
                assert!(found.is_some_and(|found| found.check == !found.number));
            });
        }
        stop.store(true, Relaxed);
    });
}
