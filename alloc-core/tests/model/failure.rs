//! A system that says no to a heap with explicit free: the n-th call of each kind fails, for every
//! n of a life; or that and all that follow; or two calls of any kind. The oracle sees that nothing
//! is lost by it, and that the healed heap gives everything back.

use super::bytes::{Alone, Oracle};
use super::random::Random;
use alloc_core::malloc::{ByteHeap, Mode};
use alloc_core::{FakeSource, Reach, SourceCall};
use std::alloc::Layout;

const MIB: usize = 1 << 20;
const KINDS: [SourceCall; 5] = [
    SourceCall::Reserve,
    SourceCall::Commit,
    SourceCall::Release,
    SourceCall::AdviseHuge,
    SourceCall::AdviseSmall,
];

/// A whole life; what failed in it, or `None` if it could not begin.
fn live(mode: Mode, fails: &dyn Fn(&FakeSource)) -> Option<usize> {
    let source = FakeSource::new();
    fails(&source);
    let heap = ByteHeap::new(source.clone(), 40 * MIB, 8 * MIB, mode).ok()?;
    let mut oracle = Oracle::new(&heap, 2, Alone);
    oracle.expect_failures();
    let mut random = Random::new(7, 0);
    let steps = |oracle: &mut Oracle<'_, _, _>, random: &mut Random, count| {
        (0..count).for_each(|_| oracle.step(random));
        oracle.look();
    };
    steps(&mut oracle, &mut random, 60);
    // Beyond 16 MiB, where pages are huge; then blocks come free, whole and in part.
    let layout = |bytes| Layout::from_size_align(bytes, 16).expect("a layout");
    let (large, short) = (layout(MIB), layout(40_000));
    for _ in 0..22 {
        oracle.alloc_by(&mut random, large);
        oracle.alloc_by(&mut random, short);
    }
    for reach in [Reach::Whole, Reach::Sparse, Reach::All] {
        (0..8).for_each(|_| oracle.free_largest());
        heap.release(usize::MAX, reach);
        oracle.look();
    }
    steps(&mut oracle, &mut random, 60);
    (0..12).for_each(|_| oracle.alloc_by(&mut random, large));

    source.heal();
    oracle.expect_no_failures();
    let failures = oracle.failures;
    steps(&mut oracle, &mut random, 60);
    oracle.end();
    heap.release(usize::MAX, Reach::All);
    heap.release(usize::MAX, Reach::All);
    assert_eq!(heap.stats().retained_bytes, 0, "all goes");
    Some(failures)
}

/// How often each kind is called in a healthy life.
fn calls(mode: Mode) -> [usize; 5] {
    let seen = std::cell::RefCell::new(None);
    let failures = live(mode, &|source| *seen.borrow_mut() = Some(source.clone()));
    assert_eq!(failures, Some(0), "a healthy source");
    let source = seen.into_inner().expect("the life had a source");
    KINDS.map(|kind| source.calls(kind))
}

const MODES: [Mode; 2] = [Mode::Plain, Mode::Hardened];

#[test]
fn each_call_of_each_kind_may_fail_once() {
    for mode in MODES {
        for (kind, calls) in KINDS.into_iter().zip(calls(mode)) {
            println!("{mode:?}, {kind}: {calls} calls");
            assert!(calls > 0, "{mode:?}: {kind} is never called");
            for n in 0..calls {
                let failures = live(mode, &|source| source.fail_nth_of(kind, n));
                let is_hint = !matches!(kind, SourceCall::Reserve | SourceCall::Commit);
                match failures {
                    None => assert!(!is_hint, "{mode:?}: {kind}, call {n}: no heap"),
                    Some(failures) => assert!(!is_hint || failures == 0, "{kind}, call {n}"),
                }
            }
        }
    }
}

#[test]
fn all_calls_of_a_kind_may_fail_from_some_on() {
    for mode in MODES {
        for (kind, calls) in KINDS.into_iter().zip(calls(mode)) {
            let mut failed = 0;
            for n in (0..calls).step_by(4) {
                if let Some(failures) = live(mode, &|source| source.fail_from(kind, n)) {
                    failed += failures;
                }
            }
            let is_felt = kind == SourceCall::Commit;
            assert!(!is_felt || failed > 0, "{mode:?}: no request failed");
        }
    }
}

#[test]
fn calls_may_fail_two_at_a_time() {
    for mode in MODES {
        let calls = calls(mode).into_iter().sum::<usize>();
        for n in (0..calls).step_by(9) {
            live(mode, &|source| {
                source.fail_nth(n);
                source.fail_nth(n + 1 + n % 5);
            });
        }
    }
}
