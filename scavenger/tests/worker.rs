//! The worker beside a policy that says what it is asked: who tells whom of what, what is counted,
//! and what a heap need not bring.

#![cfg(not(heapwright_loom))]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use scavenger::{Action, Goal, Outcome, PageHeap, Policy, Refused, Usage, Worker, monotonic};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const SPARSE: Action = Action::Release {
    bytes_max: 5,
    sparse: true,
};

/// A heap of what must be there, and no more.
struct Plain;

impl PageHeap for Plain {
    fn retained_bytes(&self) -> usize {
        7
    }
    fn released_bytes(&self) -> usize {
        0
    }
    fn in_use_bytes(&self) -> usize {
        0
    }
    fn release(&self, bytes_max: usize) -> Result<usize, Refused> {
        Ok(bytes_max)
    }
}

/// Does the same each time that it is told, once, and says what came of it.
struct Scribe {
    action: Action,
    is_told: bool,
    says: Sender<Outcome>,
}

impl Policy for Scribe {
    fn next(&mut self, _now: Duration, _usage: Usage, _goal: Goal) -> Action {
        match std::mem::take(&mut self.is_told) {
            true => self.action,
            false => Action::Park,
        }
    }
    fn released(&mut self, _now: Duration, outcome: Outcome) {
        self.says.send(outcome).ok();
    }
    fn tell(&mut self, _now: Duration) {
        self.is_told = true;
    }
}

#[test]
fn a_boxed_policy_is_asked_and_told_and_a_plain_heap_has_nothing_sparse() {
    let (says, said) = channel();
    let policy: Box<dyn Policy> = Box::new(Scribe {
        action: SPARSE,
        is_told: false,
        says,
    });
    let heap = Arc::new(Plain);
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy).unwrap();
    for calls in 1..=3 {
        worker.wake();
        let outcome = said.recv_timeout(LONG).expect("told, and released");
        assert_eq!((outcome.bytes, outcome.is_refused), (0, false));
        let statistics = worker.statistics();
        assert_eq!((statistics.calls, statistics.sparse_calls), (calls, calls));
        assert_eq!(statistics.refaulted_bytes, 0);
    }
    worker.stop();
}

/// Answers its first question when it may, and says when it is told.
struct Slow {
    is_asked: Option<(Sender<()>, Receiver<()>)>,
    is_told: Sender<()>,
}

impl Policy for Slow {
    fn next(&mut self, _now: Duration, _usage: Usage, _goal: Goal) -> Action {
        if let Some((asked, may_answer)) = self.is_asked.take() {
            asked.send(()).ok();
            may_answer.recv().ok();
        }
        Action::Park
    }
    fn released(&mut self, _now: Duration, _outcome: Outcome) {}
    fn tell(&mut self, _now: Duration) {
        self.is_told.send(()).ok();
    }
}

#[test]
fn news_that_come_while_the_policy_thinks_are_not_slept_through() {
    let ((asked, is_asked), (answer, may_answer), (told, is_told)) =
        (channel(), channel(), channel());
    let policy = Slow {
        is_asked: Some((asked, may_answer)),
        is_told: told,
    };
    let heap = Arc::new(Plain);
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy).unwrap();
    is_asked.recv_timeout(LONG).expect("asked at once");
    worker.wake();
    answer.send(()).unwrap();
    is_told.recv_timeout(LONG).expect("told before it sleeps");
    worker.stop();
}

#[test]
fn who_parks_is_not_asked_again_and_again() {
    let (asked, is_asked) = channel();
    let policy = Asked(asked);
    let heap = Arc::new(Plain);
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), policy).unwrap();
    is_asked.recv_timeout(LONG).expect("asked at once");
    // A worker that does not sleep asks thousands of times meanwhile.
    let again = is_asked.recv_timeout(Duration::from_millis(20));
    assert!(again.is_err(), "it sleeps");
    worker.stop();
}

/// Says that it is asked.
struct Asked(Sender<()>);

impl Policy for Asked {
    fn next(&mut self, _now: Duration, _usage: Usage, _goal: Goal) -> Action {
        self.0.send(()).ok();
        Action::Park
    }
    fn released(&mut self, _now: Duration, _outcome: Outcome) {}
    fn tell(&mut self, _now: Duration) {}
}

/// Who has news all the time does not wake the worker for each.
#[test]
fn a_worker_that_has_looked_settles() {
    let (asked, is_asked) = channel();
    let heap = Arc::new(Plain);
    let worker = Worker::spawn(Arc::downgrade(&heap), monotonic(), Asked(asked)).unwrap();
    is_asked.recv_timeout(LONG).expect("asked at once");
    let begun = Instant::now();
    for _ in 0..200 {
        worker.wake();
        std::thread::sleep(Duration::from_micros(100));
    }
    worker.stop();
    // Twice in 10 ms: when it is told, and when it has settled.
    let looks_max = 2 * (begun.elapsed().as_millis() / 10 + 2);
    let looks = is_asked.try_iter().count();
    assert!(looks as u128 <= looks_max, "{looks} of {looks_max}");
}
