//! A program whose allocator is [`Heapwright`]: this test binary itself, harness included. Maps,
//! strings, threads, what threads do at their end, and forks while other threads allocate.
#![cfg(all(unix, not(heapwright_loom)))]

use alloc_core::PAGE_BYTES;
use alloc_core::malloc::{Heapwright, Magazines};
use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Heapwright = Heapwright;

/// Builds and takes apart what programs are made of, and checks it.
fn work(seed: u64, rounds: u64) {
    for round in 0..rounds {
        let mut map: HashMap<String, Vec<u64>> = HashMap::new();
        for n in 0..500 {
            map.entry(format!("key {}", n % 37 + seed))
                .or_default()
                .push(n * round);
        }
        let mut sorted: BTreeMap<_, _> = map.into_iter().collect();
        sorted.retain(|key, _| !key.ends_with('3'));
        for values in sorted.values_mut() {
            values.dedup();
            values.shrink_to_fit();
        }
        let sum: u64 = sorted.values().flatten().sum();
        let naive: u64 = (0..500)
            .filter(|n| !(n % 37 + seed).to_string().ends_with('3'))
            .map(|n| n * round)
            .sum();
        assert_eq!(sum, naive);
        let mut text = String::new();
        (0..2000).for_each(|n| text.push_str(&n.to_string()));
        assert_eq!(text.len(), 6890);
    }
}

#[test]
fn maps_and_strings_on_many_threads() {
    let threads: Vec<_> = (0..8)
        .map(|seed| thread::spawn(move || work(seed, 20)))
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let stats = Heapwright::stats().unwrap();
    assert!(stats.in_use_bytes > 0, "it is our allocator that served");
}

#[test]
fn what_one_thread_allocates_another_frees() {
    let (sender, receiver) = mpsc::channel::<Box<[u8]>>();
    let consumer = thread::spawn(move || {
        receiver
            .into_iter()
            .map(|block| {
                assert!(block.iter().all(|byte| *byte == block.len() as u8));
                block.len()
            })
            .sum::<usize>()
    });
    let mut sent = 0;
    for n in 0..50_000 {
        let bytes = n % 300 + 1;
        sent += bytes;
        sender.send(vec![bytes as u8; bytes].into()).unwrap();
    }
    drop(sender);
    assert_eq!(consumer.join().unwrap(), sent);
}

/// Allocates when its thread ends, and frees what another thread-local holds.
struct AtTheEnd(Vec<String>);

static ENDED: AtomicUsize = AtomicUsize::new(0);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        work(7, 1);
        let copy = self.0.clone();
        assert_eq!(copy.concat().len(), 3 * copy.len());
        ENDED.fetch_add(1, SeqCst);
    }
}

thread_local! {
    static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
}

#[test]
fn threads_come_and_go_and_allocate_at_their_end() {
    let before = ENDED.load(SeqCst);
    // In a child, where this thread is the only one and nobody else allocates.
    in_a_child(|| {
        let mut in_use_bytes = 0;
        for turn in 0..300 {
            thread::spawn(|| LAST.set(Some(AtTheEnd(vec!["abc".to_owned(); 50]))))
                .join()
                .unwrap();
            if turn == 20 {
                in_use_bytes = Heapwright::stats().unwrap().in_use_bytes;
            }
        }
        assert_eq!(ENDED.load(SeqCst) - before, 300);
        let after = Heapwright::stats().unwrap().in_use_bytes;
        assert!(
            after < in_use_bytes + (1 << 20),
            "280 threads later {in_use_bytes} bytes have become {after}"
        );
    });
}

/// The destructors of the system's thread keys run after those of `thread_local!`, in rounds: a
/// key that sets itself again is called when the thread's magazines are gone.
#[test]
fn a_thread_without_magazines_is_served() {
    static KEY: Mutex<libc::pthread_key_t> = Mutex::new(0);
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn again(value: *mut libc::c_void) {
        // SAFETY: made by `Box::into_raw` below or in the call before, and passed on once.
        let mut held = unsafe { Box::from_raw(value.cast::<Vec<String>>()) };
        work(3, 1);
        held.push("once more".to_owned());
        assert!(held.iter().all(|text| text == "once more"));
        if CALLS.fetch_add(1, SeqCst) % 3 != 2 {
            let key = *KEY.lock().unwrap();
            // SAFETY: the key was created, and the value is ours to pass on.
            unsafe { libc::pthread_setspecific(key, Box::into_raw(held).cast()) };
        }
    }
    // SAFETY: the key is written to, and the destructor takes what is set below.
    let made = unsafe { libc::pthread_key_create(&mut *KEY.lock().unwrap(), Some(again)) };
    assert_eq!(made, 0);
    for _ in 0..20 {
        let before = CALLS.load(SeqCst);
        thread::spawn(|| {
            let value = Box::into_raw(Box::<Vec<String>>::default());
            // SAFETY: the key was created above.
            unsafe { libc::pthread_setspecific(*KEY.lock().unwrap(), value.cast()) };
        })
        .join()
        .unwrap();
        assert_eq!(CALLS.load(SeqCst), before + 3);
    }
}

/// Forks; the child calls `act` and ends at once, with 0 if it has not panicked.
fn in_a_child(act: impl FnOnce()) {
    // SAFETY: the child allocates, which is what is tested, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no fork");
    if child == 0 {
        // One that waits for a lock of a thread it does not have is ended by the clock.
        // SAFETY: sets a timer of this process.
        unsafe { libc::alarm(60) };
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_ok();
        // SAFETY: ends the process without any destructor.
        unsafe { libc::_exit(i32::from(!worked)) };
    }
    let mut status = 0;
    // SAFETY: our own child, and a place for its status.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(waited, child);
    assert_eq!(status, 0, "the child has failed, or hung");
}

#[test]
fn a_child_of_a_threaded_parent_allocates() {
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let stop = stop.clone();
            thread::spawn(move || {
                while !stop.load(SeqCst) {
                    work(seed, 1);
                    for _ in 0..10_000 {
                        // Pages at each turn: somebody is always in a critical section.
                        drop(std::hint::black_box(Vec::<u64>::with_capacity(5000)));
                    }
                }
            })
        })
        .collect();
    for _ in 0..40 {
        let before = vec![1u8; 300_000];
        in_a_child(|| {
            drop(before);
            work(11, 2);
            thread::spawn(|| work(12, 1)).join().unwrap();
        });
        work(13, 1);
    }
    stop.store(true, SeqCst);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn layouts_of_all_kinds_are_kept_through_resizing() {
    for (shift, bytes) in (0..=16)
        .flat_map(|shift| [1, 16, 100, 4096, 32_768, 32_769, 100_000].map(|bytes| (shift, bytes)))
    {
        for new_bytes in [bytes * 3, bytes + 1, bytes / 2 + 1] {
            let layout = Layout::from_size_align(bytes, 1 << shift).unwrap();
            // SAFETY: the size is not zero.
            let zeroed = unsafe { ALLOCATOR.alloc_zeroed(layout) };
            assert!(!zeroed.is_null() && zeroed.addr().is_multiple_of(layout.align()));
            // SAFETY: just allocated, zeroed, with as many bytes.
            let content = unsafe { std::slice::from_raw_parts_mut(zeroed, bytes) };
            assert!(content.iter().all(|byte| *byte == 0));
            content.fill(9);
            // SAFETY: allocated by this layout; the old address is not used again.
            let moved = unsafe { ALLOCATOR.realloc(zeroed, layout, new_bytes) };
            assert!(moved.addr().is_multiple_of(layout.align()));
            // SAFETY: that many bytes were written, and are kept.
            let kept = unsafe { std::slice::from_raw_parts(moved, bytes.min(new_bytes)) };
            assert!(kept.iter().all(|byte| *byte == 9));
            let new = Layout::from_size_align(new_bytes, layout.align()).unwrap();
            // SAFETY: it has this layout now.
            unsafe { ALLOCATOR.dealloc(moved, new) };
        }
    }
}

/// The other half of the next test; nothing by itself.
#[test]
fn an_object_is_freed_twice_if_asked_for() {
    if std::env::var(TWICE).is_ok() {
        let layout = Layout::new::<[u64; 9]>();
        // SAFETY: the size is not zero.
        let object = std::hint::black_box(unsafe { ALLOCATOR.alloc(layout) });
        for _ in 0..2 {
            // SAFETY: not kept the second time, which a hardened allocator finds.
            unsafe { ALLOCATOR.dealloc(object, layout) };
        }
        // SAFETY: ends the process before the harness allocates from what is spoiled.
        unsafe { libc::_exit(0) };
    }
}

const TWICE: &str = "HEAPWRIGHT_TEST_TWICE";

#[test]
fn the_environment_hardens_it() {
    for hardened in [false, true] {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again
            .args(["--exact", "an_object_is_freed_twice_if_asked_for"])
            .env(TWICE, "1");
        if hardened {
            again.env("HEAPWRIGHT_MALLOC", "hardened");
        }
        let output = again.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let named = text.contains("heapwright: double free at");
        assert_eq!((named, output.status.success()), (hardened, !hardened));
    }
}

#[test]
fn what_cannot_be_had_is_null_and_the_rest_goes_on() {
    let huge = Layout::from_size_align(1 << 46, 8).unwrap();
    // SAFETY: the size is not zero.
    assert!(unsafe { ALLOCATOR.alloc(huge) }.is_null());
    let mut vector: Vec<u8> = vec![1; 10];
    assert!(vector.try_reserve(1 << 46).is_err());
    assert_eq!(vector, [1; 10]);
    work(1, 1);
}

#[test]
fn memory_goes_back_to_the_system_on_demand() {
    drop(vec![1u8; 100 * PAGE_BYTES]);
    assert!(Heapwright::release_os_memory() >= PAGE_BYTES);
    work(2, 1);
}

#[test]
fn a_thread_who_stays_within_its_magazines_gives_back_what_was_dropped() {
    // In a child, where nobody else takes or gives.
    in_a_child(|| {
        let made = |n: usize| vec![1_u8; n * 37 % 8000 + 16];
        let mut kept: Vec<_> = (0..20_000).map(made).collect();
        let released = || Heapwright::stats().unwrap().released_total_bytes;
        // A slow machine gives some of it back while it is being dropped.
        let before = released();
        let mut n = 0;
        kept.retain(|_| {
            n += 1;
            n % 10 == 0
        });
        for _ in 0..5000 {
            let light: [_; 100] = std::array::from_fn(|n| Box::new([n; 30]));
            assert!(light.iter().enumerate().all(|(n, object)| object[29] == n));
            if released() >= before + (8 << 20) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{} bytes went back", released() - before);
    });
}

#[test]
fn a_new_thread_makes_magazines_on_used_memory() {
    // In a child, where nobody else takes the memory in between.
    in_a_child(|| {
        for seed in 0..3 {
            thread::spawn(move || work(seed, 1)).join().unwrap();
            // The pages that its magazines were on, or those that the next ones will be on.
            let used = vec![0xFF_u8; size_of::<Magazines>()];
            assert!(used.iter().all(|byte| *byte == 0xFF));
        }
    });
}
