//! Stacks: a fiber that pops and writes against a marker, against one who shrinks, against
//! handshakes; and who gives a dropped stack's memory back.
//!
//! A frame is a number, which stands for the reference that it holds.

use super::{bounded, model};
use crate::raw::fences::Fences;
use crate::raw::phase::Phase::{self, Idle, Marking};
use crate::raw::world::{State, World};
use crate::stack::Shared;
use crate::sync::{AtomicUsize, Ordering};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

/// The cycle that marks, or is about to.
const CYCLE: u64 = 5;

/// Where frames are.
struct Frames([UnsafeCell<usize>; 2]);

// SAFETY: loom's cell is not `Sync`, but it reports every access that the protocol fails to order.
unsafe impl Sync for Frames {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Frames {}

impl Frames {
    fn new(frames: [usize; 2]) -> Arc<Frames> {
        Arc::new(Frames(frames.map(UnsafeCell::new)))
    }

    fn read(&self, index: usize) -> usize {
        // SAFETY: loom has checked that nobody writes.
        self.0[index].with(|frame| unsafe { *frame })
    }

    fn write(&self, index: usize, value: usize) {
        // SAFETY: loom has checked that nobody else has access.
        self.0[index].with_mut(|frame| unsafe { *frame = value });
    }
}

type Stack = Arc<Shared<Arc<Frames>>>;

/// A stack of two frames that hold 1 and 2.
fn stack() -> Stack {
    let shared = Shared::new(Frames::new([1, 2]));
    let frames = shared.mount(Idle, 0);
    shared.unmount(frames, 2);
    Arc::new(shared)
}

/// Adds what a frame holds to a log, or to what a marker has seen; and its bytes.
fn note(into: &mut Vec<usize>) -> impl FnMut(&Arc<Frames>, u32) -> usize {
    |frames, index| {
        into.push(frames.read(index as usize));
        1
    }
}

/// Opens a frame, as the fiber does before it writes it; what that logs.
fn open(stack: &Stack, index: u32) -> Vec<usize> {
    let mut log = Vec::new();
    while !stack.is_open(index) {
        stack.descend(note(&mut log));
    }
    log
}

/// A marker's pass over the stack: what it has seen.
fn pass(stack: &Stack) -> Vec<usize> {
    let mut seen = Vec::new();
    while stack.scan(CYCLE, note(&mut seen)) {}
    seen
}

fn assert_reported(wanted: &[usize], log: &[usize], seen: &[usize]) {
    for object in wanted {
        assert!(
            log.contains(object) || seen.contains(object),
            "{object} was overwritten before anyone scanned it"
        );
    }
}

/// A fiber goes down its stack and writes each frame, while a marker scans them.
///
/// Kills: `watermark-stored-relaxed`, `watermark-loaded-relaxed`, `mounted-unbegun`,
/// `frames-scanned-but-one`, `descends-into-a-claim`, `met-too-early`.
#[test]
fn watermark_against_the_marker() {
    model("watermark_against_the_marker", || {
        let stack = stack();
        let marker = thread::spawn({
            let stack = stack.clone();
            move || pass(&stack)
        });
        let frames = stack.mount(Marking, CYCLE);
        let mut log = Vec::new();
        for index in [1, 0] {
            log.append(&mut open(&stack, index));
            frames.write(index as usize, 9);
        }
        stack.unmount(frames, 1);
        let seen = marker.join().unwrap();
        assert_reported(&[1, 2], &log, &seen);
    });
}

/// A fiber takes its guard when it is mounted, and writes what lies above it without a further
/// look, while a marker scans.
///
/// Kills: `guard-loaded-relaxed`.
#[test]
fn guard_against_the_marker() {
    model("guard_against_the_marker", || {
        let stack = stack();
        let marker = thread::spawn({
            let stack = stack.clone();
            move || pass(&stack)
        });
        let frames = stack.mount(Marking, CYCLE);
        let (watermark, mut log) = (stack.watermark(), Vec::new());
        for index in [1, 0] {
            // As `Mounted::guard` has it.
            if watermark > 0 && index <= watermark {
                log.append(&mut open(&stack, index));
            }
            frames.write(index as usize, 9);
        }
        stack.unmount(frames, 1);
        let seen = marker.join().unwrap();
        assert_reported(&[1, 2], &log, &seen);
    });
}

/// A mutator that marks reads a frame and hides what it found; the stack goes to one that still
/// arms, which writes the frame.
///
/// Kills: `watermark-forgotten-in-arming`.
#[test]
fn watermark_survives_arming() {
    model("watermark_survives_arming", || {
        let stack = stack();
        let frames = stack.mount(Marking, CYCLE);
        let hidden = frames.read(0);
        let mut log = open(&stack, 1);
        stack.unmount(frames, 2);
        let frames = stack.mount(Phase::Armed, CYCLE);
        log.append(&mut open(&stack, 0));
        frames.write(0, 9);
        stack.unmount(frames, 1);
        assert_reported(&[hidden], &log, &pass(&stack));
    });
}

/// The memory of a stack moves, by one who shrinks it and by its fiber, which grows.
///
/// Kills: `shrinks-what-runs`.
#[test]
fn shrink_against_a_turn() {
    model("shrink_against_a_turn", || {
        let stack = stack();
        let other = thread::spawn({
            let stack = stack.clone();
            move || {
                stack.if_idle(|frames| *frames = Frames::new([frames.read(0), frames.read(1)]));
            }
        });
        let mut frames = stack.mount(Idle, 0);
        frames.write(1, 7);
        stack.relocate(|shared| {
            *shared = Frames::new([frames.read(0), frames.read(1)]);
            frames = shared.clone();
        });
        frames.write(0, 8);
        stack.unmount(frames, 2);
        other.join().unwrap();
        let frames = stack.mount(Idle, 0);
        assert_eq!((frames.read(0), frames.read(1)), (8, 7), "a write is lost");
    });
}

/// A fiber grows its stack while a marker scans it, and who gets the old memory writes it.
///
/// Kills: `moves-while-claimed`.
#[test]
fn growth_against_the_marker() {
    model("growth_against_the_marker", || {
        let stack = stack();
        let marker = thread::spawn({
            let stack = stack.clone();
            move || pass(&stack)
        });
        let mut frames = stack.mount(Marking, CYCLE);
        let left = stack.relocate(|shared| {
            let left = std::mem::replace(shared, Frames::new([frames.read(0), frames.read(1)]));
            frames = shared.clone();
            left
        });
        left.write(0, 9);
        left.write(1, 9);
        stack.unmount(frames, 2);
        let seen = marker.join().unwrap();
        assert_reported(&[1, 2], &[], &seen);
    });
}

/// Two cycles scan one stack, and each finds what is in it then.
///
/// Kills: `scanned-survives-a-cycle`.
#[test]
fn a_cycle_after_a_cycle() {
    model("a_cycle_after_a_cycle", || {
        let stack = stack();
        assert_reported(&[1, 2], &[], &pass(&stack));
        let frames = stack.mount(Idle, 0);
        frames.write(0, 3);
        stack.unmount(frames, 2);
        let marker = thread::spawn({
            let stack = stack.clone();
            move || {
                let mut seen = Vec::new();
                while stack.scan(CYCLE + 1, note(&mut seen)) {}
                seen
            }
        });
        let frames = stack.mount(Marking, CYCLE + 1);
        let mut log = open(&stack, 1);
        frames.write(1, 9);
        stack.unmount(frames, 2);
        let seen = marker.join().unwrap();
        log.retain(|object| *object == 2);
        assert_reported(&[2, 3], &log, &seen);
    });
}

/// A stack is dropped while a marker passes over it and one shrinks it: what was not scanned is
/// logged, and its memory is given back once.
///
/// Kills: `retired-still-idle`, `retired-unlogged`, `retires-while-claimed`.
#[test]
fn drop_against_shrink_and_scan() {
    model("drop_against_shrink_and_scan", || {
        let stack = stack();
        let frames = stack.mount(Marking, CYCLE);
        let hidden = frames.read(0);
        stack.unmount(frames, 2);
        let other = thread::spawn({
            let stack = stack.clone();
            move || {
                let seen = pass(&stack);
                let freed = stack.if_idle(|frames| {
                    let new = Frames::new([frames.read(0), frames.read(1)]);
                    std::mem::replace(frames, new)
                });
                (seen, freed)
            }
        });
        let mut log = Vec::new();
        let frames = stack.retire(|frames, unscanned| {
            let mut note = note(&mut log);
            unscanned.for_each(|index| {
                note(frames, index);
            });
        });
        // Freed: the next owner writes it.
        frames.write(0, 9);
        frames.write(1, 9);
        let (seen, freed) = other.join().unwrap();
        let twice = freed.is_some_and(|freed| Arc::ptr_eq(&freed, &frames));
        assert!(!twice, "memory is given back twice");
        assert_reported(&[hidden], &log, &seen);
    });
}

/// What belongs to a mutator: nothing that matters here.
type Local = ();

fn enter(world: &World<Local>, state: &State<Local>) {
    world.enter(state, &|_, _, _| ());
}

/// A mutator takes a checkpoint between two turns of a stack, with references in its frames, while
/// the collector asks for a handshake and then scans the stack. What the second turn hides, if it
/// logs old values alone by then, is reported.
///
/// Kills: `mounted-unbegun`.
#[test]
fn checkpoint_in_each_handshake() {
    for handshakes in [
        &[Phase::Marking][..],
        &[Phase::Armed, Phase::Marking],
        &[Phase::Marking, Phase::Marking],
    ] {
        let handshakes: &'static [Phase] = Box::leak(handshakes.into());
        bounded("checkpoint_in_each_handshake", move || {
            checkpoint_beside(handshakes);
        });
    }
}

fn checkpoint_beside(handshakes: &'static [Phase]) {
    let (world, stack) = (Arc::new(World::new(Fences::Symmetric)), stack());
    let marking = Arc::new(AtomicUsize::new(0));
    let state = world.register("", |_| ());
    let collector = thread::spawn({
        let (world, stack, marking) = (world.clone(), stack.clone(), marking.clone());
        move || {
            for &phase in handshakes {
                let announce = || marking.store(CYCLE as usize, Ordering::Relaxed);
                world.handshake(phase, announce, &|_, _, _| (), &mut |_, _| ());
            }
            pass(&stack)
        }
    });
    let mut log = Vec::new();
    let mut hidden = None;
    enter(&world, &state);
    for index in [1, 0] {
        let cycle = marking.load(Ordering::Relaxed) as u64;
        let phase = state.phase();
        let frames = stack.mount(phase, cycle);
        let found = frames.read(index as usize);
        log.append(&mut open(&stack, index));
        if phase == Marking {
            hidden = hidden.or(Some(found));
        }
        frames.write(index as usize, 9);
        stack.unmount(frames, index + 1);
        // The checkpoint.
        if !world.is_calm(&state) {
            world.leave(&state);
            enter(&world, &state);
        }
    }
    world.leave(&state);
    let seen = collector.join().unwrap();
    assert_reported(hidden.as_slice(), &log, &seen);
}
