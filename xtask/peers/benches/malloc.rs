//! Explicit free: alloc-core's allocator beside mimalloc, both asked through `GlobalAlloc`.
//!
//! Neither is the program's allocator, so that what a round measures is the requests alone. Each
//! round does the same for both, one after the other, in turns as to who is first, and writes the
//! first word of each object as a program would. What the checks of a hardened heap cost is
//! measured against a plain heap by the same calls, without the process-wide allocator.

use alloc_core::Mmap;
use alloc_core::malloc::{ByteHeap, Heapwright, Magazines, Mode};
use mimalloc::MiMalloc;
use peers::cost::Each;
use peers::{Basis, Cost, Random, Report, cost};
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::mpsc;
use std::thread;

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 11;
/// Objects that are held at once in the rows with a set.
const SET: usize = 100_000;
/// Pointers that go from one thread to the other at once.
const PARCEL: usize = 256;

/// A pointer that another thread frees.
struct Sent(*mut u8);

// SAFETY: both allocators take memory back from any thread.
unsafe impl Send for Sent {}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).unwrap_or(Layout::new::<u64>())
}

/// An object whose first word is written.
#[inline(always)]
fn make<A: GlobalAlloc>(allocator: &A, layout: Layout) -> *mut u8 {
    // SAFETY: no size here is zero.
    let object = unsafe { allocator.alloc(layout) };
    assert!(!object.is_null(), "no memory");
    // SAFETY: at least a word, aligned to it.
    unsafe { object.cast::<u64>().write(1) };
    black_box(object)
}

#[inline(always)]
fn free<A: GlobalAlloc>(allocator: &A, object: *mut u8, layout: Layout) {
    // SAFETY: each object is freed once, by the layout that it was made with.
    unsafe { allocator.dealloc(black_box(object), layout) };
}

/// Made and freed, `held` at a time, the oldest first.
fn batches<A: GlobalAlloc>(allocator: &A, bytes: usize, held: usize, objects: usize) -> Cost {
    let layout = layout(bytes);
    let mut places = vec![std::ptr::null_mut(); held];
    let act = || {
        for _ in 0..objects / held {
            for place in &mut places {
                *place = make(allocator, layout);
            }
            places
                .iter()
                .for_each(|place| free(allocator, *place, layout));
        }
    };
    cost(act).1
}

/// A size between 16 B and 1 KiB, small ones more often; now and then up to 64 KiB.
fn random_bytes(random: &mut Random) -> usize {
    match random.below(1000) {
        0 => 1024 + random.below(64 << 10),
        n => 16 + random.below(16 << (n % 7)),
    }
}

/// Random objects of a set are replaced by others of random sizes.
fn replacing<A: GlobalAlloc>(allocator: &A, objects: usize) -> Cost {
    let mut random = Random::new(7);
    let mut fresh = || {
        let layout = layout(random_bytes(&mut random));
        (make(allocator, layout), layout)
    };
    let mut set: Vec<_> = (0..SET).map(|_| fresh()).collect();
    let mut choice = Random::new(8);
    let ((), cost) = cost(|| {
        for _ in 0..objects {
            let place = &mut set[choice.below(SET)];
            free(allocator, place.0, place.1);
            *place = fresh();
        }
    });
    set.into_iter()
        .for_each(|(object, layout)| free(allocator, object, layout));
    cost
}

/// One thread makes, another frees.
fn passing<A: GlobalAlloc + Sync>(allocator: &A, bytes: usize, objects: usize) -> Cost {
    let layout = layout(bytes);
    let act = || {
        let (sender, receiver) = mpsc::sync_channel::<Vec<Sent>>(64);
        thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..objects / PARCEL {
                    let parcel = (0..PARCEL).map(|_| Sent(make(allocator, layout)));
                    if sender.send(parcel.collect()).is_err() {
                        return;
                    }
                }
            });
            scope.spawn(move || {
                let sent = receiver.into_iter().flatten();
                sent.for_each(|Sent(object)| free(allocator, object, layout));
            });
        });
    };
    cost(act).1
}

/// Both allocators do the same in each round.
fn row(
    report: &mut Report,
    what: &str,
    basis: Basis,
    objects: usize,
    ours: impl Fn() -> Cost,
    rival: impl Fn() -> Cost,
) {
    if std::env::args()
        .skip(1)
        .any(|arg| !arg.starts_with('-') && !what.contains(&arg))
    {
        return;
    }
    for round in 0..ROUNDS {
        let (ours, rival): (Each, Each) = if round % 2 == 0 {
            let ours = ours();
            (ours.each(objects), rival().each(objects))
        } else {
            let rival = rival();
            (ours().each(objects), rival.each(objects))
        };
        report.round(what, basis, ours, Some(rival), None);
    }
}

/// Made and freed by a heap that is not the process's.
fn heap_batches(mode: Mode, bytes: usize, objects: usize) -> Result<Cost, Failure> {
    let heap = ByteHeap::new(Mmap::new(), 256 << 20, 64 << 20, mode)?;
    let (mut magazines, layout) = (Magazines::new(), layout(bytes));
    let mut places: Vec<NonNull<u8>> = Vec::with_capacity(1000);
    let (result, cost) = cost(|| -> Result<(), Failure> {
        for _ in 0..objects / 1000 {
            for _ in 0..1000 {
                let object = heap.alloc(&mut magazines, layout)?;
                // SAFETY: at least a word, aligned to it.
                unsafe { object.cast::<u64>().write(1) };
                places.push(black_box(object));
            }
            for object in places.drain(..) {
                // SAFETY: made above, freed once.
                unsafe { heap.free(&mut magazines, object, layout) };
            }
        }
        Ok(())
    });
    result.map(|()| cost)
}

fn main() -> Result<(), Failure> {
    let mut report = Report::new("malloc");
    for bytes in [16, 64, 256, 1024] {
        for (held, objects) in [(1, 2_000_000), (1000, 2_000_000), (SET, 1_000_000)] {
            row(
                &mut report,
                &format!("malloc and free, {bytes} B, {held} at a time"),
                Basis::Cpu,
                objects,
                || batches(&Heapwright, bytes, held, objects),
                || batches(&MiMalloc, bytes, held, objects),
            );
        }
    }
    row(
        &mut report,
        "malloc and free, random sizes and lifetimes",
        Basis::Cpu,
        1_000_000,
        || replacing(&Heapwright, 1_000_000),
        || replacing(&MiMalloc, 1_000_000),
    );
    for bytes in [64, 256] {
        row(
            &mut report,
            &format!("malloc here, free there, {bytes} B"),
            Basis::Cpu,
            1_000_000,
            || passing(&Heapwright, bytes, 1_000_000),
            || passing(&MiMalloc, bytes, 1_000_000),
        );
    }
    let mut hardened = Report::new("malloc-hardened");
    for bytes in [64, 1024] {
        for round in 0..ROUNDS {
            let ours = heap_batches(Mode::Hardened, bytes, 500_000)?;
            let plain = heap_batches(Mode::Plain, bytes, 500_000)?;
            let what = format!("hardened beside plain (in mimalloc's place), {bytes} B");
            let each = |cost: Cost| cost.each(500_000);
            hardened.round(&what, Basis::Cpu, each(ours), Some(each(plain)), None);
            black_box(round);
        }
    }
    report.finish()?;
    hardened.finish()?;
    Ok(())
}
