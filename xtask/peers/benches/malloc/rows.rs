//! What is done with an allocator: one function a row.
//!
//! Each object's first word is written; where a row says so, a word of each of its pages. What the
//! rows themselves need (places, random numbers) is there before the clock starts.

use peers::process::resident;
use peers::{Cost, Random, cost};
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr::null_mut;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Objects that are held at once in the rows with a set.
const SET: usize = 100_000;
/// Objects that go from one thread to the other at once.
const PARCEL: usize = 10_000;
/// Bytes between words that are written where each page is.
const TOUCH: usize = 4096;

/// What a row found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Operations: an object made and freed counts one.
    pub(crate) done: usize,
    pub(crate) cost: Cost,
    /// Resident bytes when 90 % were dropped just now, and a second later; 0 in other rows.
    pub(crate) dropped_bytes: [u64; 2],
}

/// A row: its name, whether it has threads, and what it does.
pub(crate) struct Row<A> {
    pub(crate) name: String,
    pub(crate) has_threads: bool,
    pub(crate) act: Box<dyn Fn(&A) -> Found>,
}

/// An object and the layout that it was made with.
#[derive(Clone, Copy)]
struct Object(*mut u8, Layout);

// SAFETY: every allocator here takes memory back from any thread.
unsafe impl Send for Object {}

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

/// Writes a byte of each page from `from` on.
fn touch(object: *mut u8, from: usize, bytes: usize) {
    for at in (from..bytes).step_by(TOUCH).chain([bytes - 1]) {
        // SAFETY: inside the object, which is the caller's.
        unsafe { object.wrapping_add(at).write_volatile(1) };
    }
}

#[inline(always)]
fn free<A: GlobalAlloc>(allocator: &A, object: *mut u8, layout: Layout) {
    // SAFETY: each object is freed once, by the layout that it was made with.
    unsafe { allocator.dealloc(black_box(object), layout) };
}

fn found(done: usize, cost: Cost) -> Found {
    Found {
        done,
        cost,
        ..Found::default()
    }
}

/// Made and freed, `held` at a time, the oldest first. The first batch is not counted.
fn batches<A: GlobalAlloc>(allocator: &A, bytes: usize, held: usize, objects: usize) -> Found {
    let layout = layout(bytes);
    let mut places = vec![null_mut(); held];
    let mut batch = || {
        for place in &mut places {
            *place = make(allocator, layout);
        }
        places
            .iter()
            .for_each(|place| free(allocator, *place, layout));
    };
    batch();
    let count = objects / held;
    found(count * held, cost(|| (0..count).for_each(|_| batch())).1)
}

/// Random objects of a set are replaced by others, whose sizes `sizes` draws.
fn replacing<A: GlobalAlloc>(
    allocator: &A,
    set: usize,
    objects: usize,
    sizes: fn(&mut Random) -> usize,
    is_touched: bool,
) -> Found {
    let mut random = Random::new(7);
    let mut fresh = || {
        let layout = layout(sizes(&mut random));
        let object = make(allocator, layout);
        if is_touched {
            touch(object, 0, layout.size());
        }
        Object(object, layout)
    };
    let mut places: Vec<_> = (0..set).map(|_| fresh()).collect();
    let mut choice = Random::new(8);
    let ((), cost) = cost(|| {
        for _ in 0..objects {
            let place = &mut places[choice.below(set)];
            free(allocator, place.0, place.1);
            *place = fresh();
        }
    });
    places
        .into_iter()
        .for_each(|Object(object, layout)| free(allocator, object, layout));
    found(objects, cost)
}

/// A size between 16 B and 1 KiB, small ones more often; now and then up to 64 KiB.
fn mostly_small(random: &mut Random) -> usize {
    match random.below(1000) {
        0 => 1024 + random.below(64 << 10),
        n => 16 + random.below(16 << (n % 7)),
    }
}

fn up_to_8191(random: &mut Random) -> usize {
    16 + random.below(8176)
}

fn up_to_1000(random: &mut Random) -> usize {
    16 + random.below(985)
}

/// From 33 KiB to 4 MiB, each power of two as often.
fn large(random: &mut Random) -> usize {
    let low = (33 << 10) << random.below(7);
    low + random.below(low)
}

/// One thread makes, another frees what was made in the round before. They meet between rounds, so
/// that how often one waits for the other is the same for every allocator.
fn passing<A: GlobalAlloc + Sync>(
    allocator: &A,
    sizes: fn(&mut Random) -> usize,
    rounds: usize,
) -> Found {
    let made = Mutex::new(Vec::with_capacity(PARCEL));
    let meeting = Barrier::new(2);
    let ((), cost) = cost(|| {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random::new(3);
                let mut parcel = Vec::with_capacity(PARCEL);
                for _ in 0..rounds {
                    parcel.extend((0..PARCEL).map(|_| {
                        let layout = layout(sizes(&mut random));
                        Object(make(allocator, layout), layout)
                    }));
                    if let Ok(mut made) = made.lock() {
                        std::mem::swap(&mut *made, &mut parcel);
                    }
                    meeting.wait();
                    // The other has taken it, and left an empty one.
                    meeting.wait();
                }
            });
            scope.spawn(|| {
                let mut parcel: Vec<Object> = Vec::with_capacity(PARCEL);
                for _ in 0..rounds {
                    for Object(object, layout) in parcel.drain(..) {
                        free(allocator, object, layout);
                    }
                    meeting.wait();
                    if let Ok(mut made) = made.lock() {
                        std::mem::swap(&mut *made, &mut parcel);
                    }
                    meeting.wait();
                }
                for Object(object, layout) in parcel {
                    free(allocator, object, layout);
                }
            });
        });
    });
    found(rounds * PARCEL, cost)
}

/// As Larson and Krishnan's server (ISMM 1998): two threads replace random objects of their sets;
/// after a while each ends, and a new one goes on with its set.
fn larson<A: GlobalAlloc + Sync + 'static>(allocator: &A) -> Found {
    const OBJECTS: usize = 5000;
    const GENERATIONS: u64 = 20;
    const ROUND: usize = 50_000;
    let fresh = |random: &mut Random| {
        let layout = layout(up_to_1000(random));
        Object(make(allocator, layout), layout)
    };
    let mut random = Random::new(1);
    let mut sets: [Vec<Object>; 2] =
        std::array::from_fn(|_| (0..OBJECTS).map(|_| fresh(&mut random)).collect());
    let ((), cost) = cost(|| {
        for generation in 0..GENERATIONS {
            thread::scope(|scope| {
                for (n, set) in sets.iter_mut().enumerate() {
                    let mut random = Random::new(generation * 2 + n as u64);
                    scope.spawn(move || {
                        for _ in 0..ROUND {
                            let place = &mut set[random.below(OBJECTS)];
                            free(allocator, place.0, place.1);
                            *place = fresh(&mut random);
                        }
                    });
                }
            });
            // What one thread has made, the other goes on with.
            let [a, b] = &mut sets;
            std::mem::swap(a, b);
        }
    });
    let objects = sets.into_iter().flatten();
    objects.for_each(|Object(object, layout)| free(allocator, object, layout));
    found(2 * ROUND * GENERATIONS as usize, cost)
}

/// A set is made, every page of it written, and nine tenths of it freed in random order; then a
/// second of light load, since an allocator without a thread can give memory back only when it is
/// called.
fn dropping<A: GlobalAlloc>(allocator: &A) -> Found {
    const OBJECTS: usize = 50_000;
    let mut random = Random::new(5);
    let order = random.permutation(OBJECTS);
    let mut places = vec![Object(null_mut(), layout(16)); OBJECTS];
    let ((), cost) = cost(|| {
        for place in &mut places {
            let layout = layout(up_to_8191(&mut random));
            *place = Object(make(allocator, layout), layout);
            touch(place.0, 0, layout.size());
        }
        for at in &order[..OBJECTS / 10 * 9] {
            let Object(object, layout) = places[*at as usize];
            free(allocator, object, layout);
        }
    });
    let now = || resident().map_or(0, |resident| resident.now_bytes);
    let at_once = now();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(1) {
        let layouts: [_; 100] = std::array::from_fn(|_| layout(up_to_1000(&mut random)));
        let objects = layouts.map(|layout| make(allocator, layout));
        for (object, layout) in objects.into_iter().zip(layouts) {
            free(allocator, object, layout);
        }
        thread::sleep(Duration::from_millis(1));
    }
    let later = now();
    for at in &order[OBJECTS / 10 * 9..] {
        let Object(object, layout) = places[*at as usize];
        free(allocator, object, layout);
    }
    Found {
        dropped_bytes: [at_once, later],
        ..found(OBJECTS, cost)
    }
}

/// Buffers grow by doubling, in turns, from 16 B to `bytes_max`; what is new is written.
fn growing<A: GlobalAlloc>(allocator: &A, buffers: usize, bytes_max: usize, times: usize) -> Found {
    let mut steps = 0;
    let mut places = vec![null_mut(); buffers];
    let ((), cost) = cost(|| {
        for _ in 0..times {
            let mut bytes = 16;
            for place in &mut places {
                *place = make(allocator, layout(bytes));
            }
            while bytes < bytes_max {
                for place in &mut places {
                    // SAFETY: made or resized with this layout.
                    *place = unsafe { allocator.realloc(*place, layout(bytes), bytes * 2) };
                    assert!(!place.is_null(), "no memory");
                    touch(*place, bytes, bytes * 2);
                    steps += 1;
                }
                bytes *= 2;
            }
            for place in &places {
                free(allocator, *place, layout(bytes));
            }
        }
    });
    found(steps, cost)
}

fn row<A>(
    name: impl Into<String>,
    has_threads: bool,
    act: impl Fn(&A) -> Found + 'static,
) -> Row<A> {
    Row {
        name: name.into(),
        has_threads,
        act: Box::new(act),
    }
}

/// Every row.
pub(crate) fn rows<A: GlobalAlloc + Sync + 'static>() -> Vec<Row<A>> {
    let mut rows = Vec::new();
    for bytes in [16, 64, 256, 1024] {
        for (held, objects) in [(1, 2_000_000), (1000, 2_000_000), (SET, 1_000_000)] {
            let name = format!("small, {bytes} B, {held} at a time");
            rows.push(row(name, false, move |allocator: &A| {
                batches(allocator, bytes, held, objects)
            }));
        }
    }
    rows.push(row("random, mostly below 1 KiB", false, |allocator: &A| {
        replacing(allocator, SET, 1_000_000, mostly_small, false)
    }));
    rows.push(row("random, 16 to 8191 B", false, |allocator: &A| {
        replacing(allocator, 20_000, 1_000_000, up_to_8191, false)
    }));
    rows.push(row("producer and consumer, 64 B", true, |allocator: &A| {
        passing(allocator, |_| 64, 200)
    }));
    rows.push(row(
        "producer and consumer, 256 B",
        true,
        |allocator: &A| passing(allocator, |_| 256, 200),
    ));
    rows.push(row(
        "producer and consumer, 16 to 1000 B",
        true,
        |allocator: &A| passing(allocator, up_to_1000, 100),
    ));
    rows.push(row("larson, two threads", true, larson));
    rows.push(row("large, first word written", false, |allocator: &A| {
        replacing(allocator, 64, 20_000, large, false)
    }));
    rows.push(row("large, each page written", false, |allocator: &A| {
        replacing(allocator, 64, 5_000, large, true)
    }));
    rows.push(row("realloc, one to 32 MiB", false, |allocator: &A| {
        growing(allocator, 1, 32 << 20, 10)
    }));
    rows.push(row("realloc, 1000 to 16 KiB", false, |allocator: &A| {
        growing(allocator, 1000, 16 << 10, 20)
    }));
    rows.push(row("drop 90 % at random", false, dropping));
    rows
}
