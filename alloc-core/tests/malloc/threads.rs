//! Many threads on one heap, which free what others have allocated.

use crate::check_empty;
use crate::twin::{Object, Random, random_layout};
use alloc_core::malloc::{ByteHeap, Magazines, Mode};
use alloc_core::{Mmap, PageSource};
use std::alloc::Layout;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;

fn free<S: PageSource>(heap: &ByteHeap<S>, magazines: &mut Magazines, object: Object) {
    object.check(object.layout.size());
    // SAFETY: each object has one place in the pool or is in one thread's hands.
    unsafe { heap.free(magazines, object.address, object.layout) };
}

/// Takes objects from a shared pool and puts others in, `steps` times.
fn exchange<S: PageSource>(
    heap: &ByteHeap<S>,
    pool: &[Mutex<Vec<Object>>],
    seed: u64,
    steps: usize,
) {
    let (mut magazines, mut random) = (Box::new(Magazines::new()), Random::new(seed));
    for _ in 0..steps {
        let place = &pool[random.below(pool.len())];
        if random.below(2) == 0 {
            let layout = random_layout(&mut random);
            let address = heap.alloc(&mut magazines, layout).unwrap();
            let object = Object::new(address, layout, seed as u8);
            place.lock().unwrap().push(object);
        } else {
            let taken: Vec<_> = place.lock().unwrap().drain(..).collect();
            taken
                .into_iter()
                .for_each(|object| free(heap, &mut magazines, object));
        }
    }
    magazines.flush(heap);
}

fn empty<S: PageSource>(heap: &ByteHeap<S>, pool: Vec<Mutex<Vec<Object>>>) {
    let left: Vec<_> = pool
        .into_iter()
        .flat_map(|place| place.into_inner().unwrap())
        .collect();
    assert_eq!(heap.check_invariants(), left.len());
    let mut magazines = Box::new(Magazines::new());
    left.into_iter()
        .for_each(|object| free(heap, &mut magazines, object));
    magazines.flush(heap);
    check_empty(heap);
}

/// Threads that exchange objects, and what each does; lanes of them one after the other.
const THREADS: u64 = if cfg!(miri) { 3 } else { 6 };
const STEPS: usize = if cfg!(miri) { 50 } else { 15_000 };
const LANES: u64 = if cfg!(miri) { 2 } else { 4 };
const TURNS: u64 = if cfg!(miri) { 2 } else { 60 };

fn pool(places: usize) -> Vec<Mutex<Vec<Object>>> {
    (0..places).map(|_| Mutex::default()).collect()
}

fn exchange_between_threads(mode: Mode) {
    let heap = ByteHeap::new(Mmap::new(), 1 << 30, 64 << 20, mode).unwrap();
    let pool = pool(16);
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (heap, pool) = (&heap, &pool);
            scope.spawn(move || exchange(heap, pool, seed, STEPS));
        }
    });
    empty(&heap, pool);
}

#[test]
fn threads_free_each_others_objects() {
    exchange_between_threads(Mode::Plain);
}

#[test]
fn threads_free_each_others_objects_while_hardened() {
    exchange_between_threads(Mode::Hardened);
}

#[test]
fn threads_come_and_go_and_leave_objects_behind() {
    let heap = ByteHeap::new(Mmap::new(), 1 << 30, 64 << 20, Mode::Plain).unwrap();
    let pool = pool(4);
    thread::scope(|scope| {
        for lane in 0..LANES {
            let (heap, pool) = (&heap, &pool);
            scope.spawn(move || {
                for turn in 0..TURNS {
                    let seed = lane * 1000 + turn + 1;
                    thread::scope(|scope| {
                        scope.spawn(move || exchange(heap, pool, seed, STEPS.min(300)));
                    });
                }
            });
        }
    });
    empty(&heap, pool);
}

/// One thread allocates, another frees: the classic that makes queues of freed memory grow.
#[test]
fn a_producer_and_a_consumer_take_no_more_than_what_is_on_its_way() {
    const OBJECTS: usize = 200_000;
    const ON_ITS_WAY_MAX: usize = 1000;
    let heap = ByteHeap::new(Mmap::new(), 1 << 30, 64 << 20, Mode::Plain).unwrap();
    let layout = Layout::from_size_align(256, 8).unwrap();
    let most_bytes = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::sync_channel::<Object>(ON_ITS_WAY_MAX);
    thread::scope(|scope| {
        let (heap, most_bytes) = (&heap, &most_bytes);
        scope.spawn(move || {
            let mut magazines = Box::new(Magazines::new());
            for n in 0..OBJECTS {
                let address = heap.alloc(&mut magazines, layout).unwrap();
                sender.send(Object::new(address, layout, n as u8)).unwrap();
                if n % 1000 == 0 {
                    most_bytes.fetch_max(heap.stats().in_use_bytes, SeqCst);
                }
            }
            magazines.flush(heap);
        });
        scope.spawn(move || {
            let mut magazines = Box::new(Magazines::new());
            for object in receiver {
                free(heap, &mut magazines, object);
            }
            magazines.flush(heap);
        });
    });
    // What is on its way takes 250 KiB, and a dozen times that in spans that are nearly empty, were
    // the threads' turns as bad as can be; all that passes is 50 MiB.
    let bound = 12 * ON_ITS_WAY_MAX * 256;
    let most = most_bytes.into_inner();
    assert!(most <= bound, "{most} bytes were in use, more than {bound}");
    check_empty(&heap);
}
