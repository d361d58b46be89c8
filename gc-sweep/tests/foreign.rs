//! The crate alone, on a heap that is not Heapwright's: spans are bit sets of numbered objects,
//! marked by hand. Checks against a plain account of what is alive, with real threads.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use gc_sweep::{
    Background, Claims, Debt, GenerationWord, Glue, Outcome, Progress, Reclaimed, Step, SweepSpace,
    Sweeper,
};

const OBJECTS: u32 = 64;
const SLOT_BYTES: usize = 32;

struct Span {
    word: GenerationWord,
    allocated: AtomicU64,
    marked: AtomicU64,
    /// How often each object was reclaimed.
    reclaimed: [AtomicU32; OBJECTS as usize],
    drops: bool,
    panics: AtomicBool,
}

/// Spans begin at every third index only, so that the heap has gaps.
struct Heap {
    sweeper: Sweeper,
    spans: Vec<Span>,
}

const STRIDE: u32 = 3;
/// Spans of the larger heaps; Miri takes a millisecond where others take a microsecond.
const SOME: u32 = if cfg!(miri) { 20 } else { 1_000 };
const MANY: u32 = if cfg!(miri) { 20 } else { 5_000 };

impl Heap {
    fn new(spans: u32) -> Heap {
        let sweeper = Sweeper::new();
        let span = |index: u32| Span {
            word: GenerationWord::new(sweeper.generation()),
            allocated: AtomicU64::new(u64::MAX),
            marked: AtomicU64::new(0),
            reclaimed: std::array::from_fn(|_| AtomicU32::new(0)),
            drops: index.is_multiple_of(4),
            panics: AtomicBool::new(false),
        };
        let spans = (0..spans).map(span).collect();
        Heap { sweeper, spans }
    }

    fn span(&self, index: u32) -> &Span {
        assert!(index.is_multiple_of(STRIDE), "no span begins at {index}");
        &self.spans[(index / STRIDE) as usize]
    }

    fn end(&self) -> u32 {
        self.spans.len() as u32 * STRIDE
    }

    /// Marks by a fixed rule, different in each cycle; every eighth span dies as a whole.
    fn mark(&self, cycle: u64) {
        for (index, span) in self.spans.iter().enumerate() {
            let mixed = (index as u64 + 1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(7);
            let dies = (index as u64 + cycle).is_multiple_of(8);
            let marks = if dies {
                0
            } else {
                mixed.wrapping_mul(cycle | 1)
            };
            span.marked
                .store(marks & span.allocated.load(SeqCst), SeqCst);
        }
    }

    /// Objects that the account says are dead now: allocated and not marked.
    fn dead(&self) -> u64 {
        let dead = |span: &Span| span.allocated.load(SeqCst) & !span.marked.load(SeqCst);
        self.spans
            .iter()
            .map(|span| u64::from(dead(span).count_ones()))
            .sum()
    }

    /// How often each object was reclaimed must be what the account says: once if it is no more.
    fn check(&self) {
        for span in &self.spans {
            let allocated = span.allocated.load(SeqCst);
            for (object, reclaimed) in span.reclaimed.iter().enumerate() {
                let gone = u32::from(allocated >> object & 1 == 0);
                assert_eq!(
                    reclaimed.load(SeqCst),
                    gone,
                    "reclaimed exactly once, if dead"
                );
            }
            let word = span.word.load();
            let expected = if allocated == 0 {
                0
            } else {
                self.sweeper.generation()
            };
            assert_eq!(word, expected, "swept, or gone");
        }
    }
}

// SAFETY: the words are `GenerationWord`s, spans are made by `new` alone, indexes that are no
// multiple of the stride are left out, and `reclaim` touches dead objects of its span only.
unsafe impl SweepSpace for Heap {
    fn generation(&self, span: u32) -> u32 {
        self.span(span).word.load()
    }
    fn publish_generation(&self, span: u32, generation: u32) {
        self.span(span).word.publish(generation);
    }
    fn spans(&self, from: u32, glue: Glue) -> u64 {
        let heads = (from..self.end().min(from + 64)).filter(|index| index.is_multiple_of(STRIDE));
        heads
            .filter(|head| self.span(*head).drops == (glue == Glue::With))
            .fold(0, |bits, head| bits | 1 << (head - from))
    }
    fn reclaim(&self, claims: &mut Claims<'_, Self>, tally: &mut Reclaimed) {
        for claim in claims {
            let index = claim.span();
            let span = self.span(index);
            let marked = span.marked.swap(0, SeqCst);
            let dead = span.allocated.swap(marked, SeqCst) & !marked;
            for object in (0..OBJECTS).filter(|object| dead >> object & 1 == 1) {
                span.reclaimed[object as usize].fetch_add(1, SeqCst);
            }
            assert!(!span.panics.load(SeqCst), "drop glue of span {index}");
            tally.freed_objects += u64::from(dead.count_ones());
            if marked != 0 {
                claim.publish();
                tally.freed_bytes += dead.count_ones() as usize * SLOT_BYTES;
            } else {
                claim.retire();
                tally.freed_bytes += OBJECTS as usize * SLOT_BYTES;
                tally.spans_freed += 1;
            }
        }
    }
}

#[test]
fn lazily_span_by_span() {
    let heap = Heap::new(40);
    heap.mark(1);
    let dead = heap.dead();
    heap.sweeper.begin(heap.end());
    let mut freed = 0;
    for index in (0..heap.end()).step_by(STRIDE as usize) {
        let Outcome::Swept(reclaimed) = heap.sweeper.sweep_span(&heap, index) else {
            panic!("span {index} was not swept yet");
        };
        freed += reclaimed.freed_objects;
        let again = heap.sweeper.sweep_span(&heap, index);
        let gone = reclaimed.spans_freed == 1;
        assert_eq!(
            again,
            if gone {
                Outcome::NoSpan
            } else {
                Outcome::AlreadySwept
            }
        );
    }
    assert_eq!(freed, dead);
    assert!(
        !heap.sweeper.is_done(),
        "nobody has looked whether that was all"
    );
    assert_eq!(heap.sweeper.finish(&heap).spans_swept, 0);
    heap.check();
}

#[test]
#[cfg_attr(miri, ignore = "needs a thousand spans to spread")]
fn by_debt_all_is_swept_when_the_trigger_is_reached() {
    let heap = Heap::new(1_000);
    heap.mark(1);
    heap.sweeper.begin(heap.end());
    let plain = heap.spans.iter().filter(|span| !span.drops).count() as u64;
    let debt = Debt::new(plain, 16 << 20);
    let (mut swept, mut visits, mut exhausted) = (0, 0, false);
    for step in 1..=256 {
        let due = debt.due(step * (64 << 10), swept);
        if due > 0 {
            let progress = heap.sweeper.sweep_batch(&heap, Glue::Without, due as usize);
            swept += progress.spans_swept as u64;
            visits += 1;
            exhausted |= progress.exhausted;
        }
    }
    assert_eq!(swept, plain);
    assert!(visits > 10, "spread over the runway, not at once");
    assert!(!exhausted || swept == plain);
    heap.sweeper.finish(&heap);
    heap.check();
}

#[test]
fn four_threads_sweep_each_span_once() {
    let heap = Heap::new(MANY);
    for cycle in 1..=6 {
        heap.mark(cycle);
        let dead = heap.dead();
        heap.sweeper.begin(heap.end());
        let total = Mutex::new(Progress::default());
        let add = |progress: Progress| {
            let mut total = total.lock().unwrap();
            total.spans_swept += progress.spans_swept;
            total.spans_freed += progress.spans_freed;
            total.freed_objects += progress.freed_objects;
        };
        let before = heap
            .spans
            .iter()
            .filter(|span| span.word.load() != 0)
            .count();
        let drain = |glue: Glue| loop {
            let progress = heap.sweeper.sweep_batch(&heap, glue, 10);
            add(progress);
            if progress.exhausted {
                break;
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| drain(Glue::With));
            scope.spawn(|| drain(Glue::Without));
            scope.spawn(|| {
                for index in (0..heap.end())
                    .rev()
                    .filter(|index| index.is_multiple_of(STRIDE))
                {
                    if let Outcome::Swept(reclaimed) = heap.sweeper.sweep_span(&heap, index) {
                        add(Progress {
                            spans_swept: 1,
                            spans_freed: reclaimed.spans_freed,
                            freed_objects: reclaimed.freed_objects,
                            ..Progress::default()
                        });
                    }
                }
            });
            scope.spawn(|| add(heap.sweeper.finish(&heap)));
        });
        assert!(heap.sweeper.is_done());
        let total = total.into_inner().unwrap();
        let after = heap
            .spans
            .iter()
            .filter(|span| span.word.load() != 0)
            .count();
        assert_eq!(total.spans_swept, before);
        assert_eq!(total.spans_freed, before - after);
        assert_eq!(total.freed_objects, dead);
        heap.check();
    }
}

#[test]
fn a_background_thread_sweeps_spans_with_glue_and_keeps_no_heap_alive() {
    let heap = Arc::new(Heap::new(SOME));
    let (sender, receiver) = mpsc::channel();
    let background = Background::spawn("sweeper", {
        let heap = Arc::downgrade(&heap);
        move || {
            let Some(heap) = heap.upgrade() else {
                return Step::Done;
            };
            if heap.sweeper.sweep_batch(&*heap, Glue::With, 8).exhausted {
                drop(heap);
                sender.send(()).unwrap();
                return Step::Done;
            }
            Step::More
        }
    })
    .unwrap();
    for cycle in 1..=3 {
        heap.mark(cycle);
        heap.sweeper.begin(heap.end());
        background.wake();
        while !heap
            .sweeper
            .sweep_batch(&*heap, Glue::Without, 64)
            .exhausted
        {}
        receiver.recv().unwrap();
        assert!(
            heap.sweeper.is_done(),
            "both kinds are taken, nobody is left"
        );
        heap.check();
    }
    assert!(
        Arc::into_inner(heap).is_some(),
        "the thread holds no reference"
    );
    background.stop();
}

#[test]
fn a_panic_in_drop_glue_loses_no_other_span() {
    for spans in [1, 2, 20, SOME.min(300)] {
        let heap = Heap::new(spans);
        heap.mark(1);
        heap.sweeper.begin(heap.end());
        heap.spans[0].panics.store(true, SeqCst);
        heap.spans[spans as usize / 2].panics.store(true, SeqCst);
        let visit = || heap.sweeper.sweep_batch(&heap, Glue::With, usize::MAX);
        assert!(
            panic::catch_unwind(AssertUnwindSafe(visit)).is_err(),
            "the panic goes on"
        );
        let rest = || heap.sweeper.finish(&heap);
        let rest = panic::catch_unwind(AssertUnwindSafe(rest));
        assert!(heap.sweeper.is_done(), "claims and visits have ended");
        assert!(rest.is_ok() || spans > 1);
        let generation = heap.sweeper.generation();
        for span in &heap.spans {
            assert_eq!(span.marked.load(SeqCst), 0, "every span was reclaimed");
            let word = span.word.load();
            assert!(word == 0 || word == generation, "and none is left claimed");
        }
    }
}

#[test]
fn a_panic_goes_on_to_the_allocator_and_the_span_counts_as_swept() {
    let heap = Heap::new(1);
    heap.spans[0].panics.store(true, SeqCst);
    heap.sweeper.begin(heap.end());
    let sweep = || heap.sweeper.sweep_span(&heap, 0);
    assert!(panic::catch_unwind(AssertUnwindSafe(sweep)).is_err());
    assert_eq!(heap.sweeper.sweep_span(&heap, 0), Outcome::AlreadySwept);
    heap.sweeper.finish(&heap);
}

#[test]
#[should_panic(expected = "call `finish` first")]
fn beginning_twice_is_misuse() {
    let heap = Heap::new(1);
    heap.sweeper.begin(heap.end());
    heap.sweeper.begin(heap.end());
}

#[test]
#[should_panic(expected = "`Sweeper::open` without `Sweeper::advance`")]
fn opened_without_advance_is_misuse() {
    Heap::new(1).sweeper.open(1);
}

#[test]
#[should_panic(expected = "call `finish` first")]
fn advancing_twice_is_misuse() {
    let heap = Heap::new(1);
    heap.sweeper.advance();
    heap.sweeper.advance();
}

#[test]
#[should_panic(expected = "span 3 missed a sweep before generation 6")]
fn a_span_beyond_the_end_is_reported_in_the_next_cycle() {
    let heap = Heap::new(2);
    heap.mark(1);
    heap.sweeper.begin(1);
    heap.sweeper.finish(&heap);
    heap.sweeper.begin(heap.end());
    heap.sweeper.finish(&heap);
}

#[test]
#[should_panic(expected = "span 3 missed a sweep before generation 4")]
fn a_span_beyond_the_end_is_not_swept_alone() {
    let heap = Heap::new(2);
    heap.sweeper.begin(1);
    heap.sweeper.sweep_span(&heap, STRIDE);
}

#[test]
fn the_background_thread_survives_a_panic() {
    let (sender, receiver) = mpsc::channel();
    let mut calls = 0;
    let background = Background::spawn("sweeper", move || {
        calls += 1;
        sender.send(calls).unwrap();
        assert_ne!(calls, 1, "the first step fails");
        Step::Done
    })
    .unwrap();
    assert_eq!(background.panics(), 0);
    background.wake();
    assert_eq!(receiver.recv(), Ok(1));
    while background.panics() == 0 {
        thread::yield_now();
    }
    background.wake();
    assert_eq!(receiver.recv(), Ok(2));
    assert_eq!(background.panics(), 1);
}

#[test]
fn a_thread_that_has_always_more_to_do_ends_when_it_must() {
    let (sender, receiver) = mpsc::channel();
    let background = Background::spawn("sweeper", move || {
        sender.send(()).ok();
        Step::More
    })
    .unwrap();
    background.wake();
    assert_eq!(receiver.recv(), Ok(()));
    background.stop();
    // Until the step, and its sender with it, is gone.
    while receiver.recv().is_ok() {}
}

/// Dropping what a step has panicked with may panic too: nobody drops it.
#[test]
fn a_panic_that_panics_when_dropped_ends_no_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("planned, of a payload");
        }
    }
    let (sender, receiver) = mpsc::channel();
    let mut calls = 0;
    let background = Background::spawn("sweeper", move || {
        calls += 1;
        sender.send(calls).unwrap();
        if calls == 1 {
            std::panic::panic_any(Bomb);
        }
        Step::Done
    })
    .unwrap();
    background.wake();
    assert_eq!(receiver.recv(), Ok(1));
    background.wake();
    assert_eq!(receiver.recv(), Ok(2), "the thread goes on");
    assert_eq!(background.panics(), 1);
}

#[test]
fn the_step_may_drop_the_owner() {
    struct Owner(#[allow(dead_code, reason = "held to be dropped")] Background);
    let slot: Arc<Mutex<Option<Owner>>> = Arc::default();
    let (sender, receiver) = mpsc::channel();
    let background = Background::spawn("sweeper", {
        let slot = Arc::clone(&slot);
        move || {
            let owner = slot.lock().unwrap().take();
            drop(owner);
            sender.send("alive").unwrap();
            Step::Done
        }
    })
    .unwrap();
    let mut owner = slot.lock().unwrap();
    background.wake();
    *owner = Some(Owner(background));
    drop(owner);
    assert_eq!(receiver.recv(), Ok("alive"), "it did not wait for itself");
    assert!(receiver.recv().is_err(), "and the thread has ended");
}

/// A step that has nothing to do just now comes again by itself, and before that when it is woken.
#[test]
fn a_step_for_later_comes_by_itself() {
    let (sender, steps) = std::sync::mpsc::channel();
    let mut pauses = [1, 1, 3_600_000].into_iter();
    let background = Background::spawn("later", move || {
        sender.send(()).ok();
        pauses
            .next()
            .map_or(Step::Done, |ms| Step::Later(Duration::from_millis(ms)))
    });
    let background = background.expect("a thread");
    background.wake();
    (0..3).for_each(|_| steps.recv().expect("a step"));
    assert!(
        steps.recv_timeout(Duration::from_millis(50)).is_err(),
        "an hour is not over"
    );
    background.wake();
    steps.recv().expect("a step");
}
