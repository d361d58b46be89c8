//! The crate's protocols under loom: every interleaving of small instances.
//!
//! Run: `RUSTFLAGS="--cfg heapwright_loom" cargo test --profile loom -p gc-sweep --features loom
//! --test loom -- --nocapture`. Each model is explored without bound and with at most 1, 2 and 3
//! preemptions, since loom's reduction misses schedules that the bounded search happens on.
//!
//! Spans hold a loom cell, whose accesses the checker orders: two that are not ordered by the
//! protocol fail the model, whether or not they overlapped in the schedule at hand.
#![cfg(heapwright_loom)]

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

use gc_sweep::{
    Background, Claims, GenerationWord, Glue, Outcome, Reclaimed, Step, SweepSpace, Sweeper,
};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// Explores `model` four ways and says that each was explored to its end.
fn explore(name: &str, model: impl Fn() + Clone + Send + Sync + 'static) {
    for preemptions in [Some(1), Some(2), Some(3), None] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        builder.max_duration = None;
        let runs = Arc::new(Count::new(0));
        let (counted, once) = (Arc::clone(&runs), model.clone());
        builder.check(move || {
            counted.fetch_add(1, SeqCst);
            once();
        });
        println!(
            "{name}: complete, preemptions {preemptions:?}, {} runs",
            runs.load(SeqCst)
        );
    }
}

struct Span {
    word: GenerationWord,
    /// Stands for all that a span consists of.
    content: UnsafeCell<()>,
    drops: bool,
    /// Sweeps so far. Of std: not part of what is explored.
    sweeps: Count,
}

/// Spans, and the threads that swept one and have not settled. The list is of std: not explored.
struct Space(Vec<Span>, std::sync::Mutex<Vec<thread::ThreadId>>);

// SAFETY: words are `GenerationWord`s, only `reclaim` touches content of a claimed span, and every
// index is a span. The models stand in for the heap's handshakes where they use content.
unsafe impl SweepSpace for Space {
    fn generation(&self, span: u32) -> u32 {
        self.0[span as usize].word.load()
    }
    fn publish_generation(&self, span: u32, generation: u32) {
        self.0[span as usize].word.publish(generation);
    }
    fn spans(&self, from: u32, glue: Glue) -> u64 {
        let of_kind = |span: &Span| u64::from(span.drops == (glue == Glue::With));
        let spans = self.0.iter().skip(from as usize).take(64);
        spans.rfold(0, |bits, span| bits << 1 | of_kind(span))
    }
    fn reclaim(&self, claims: &mut Claims<'_, Self>, _tally: &mut Reclaimed) {
        for claim in claims {
            let span = &self.0[claim.span() as usize];
            span.content.with_mut(|_| ());
            span.sweeps.fetch_add(1, SeqCst);
            self.1.lock().unwrap().push(thread::current().id());
        }
    }
    fn settle(&self) {
        let own = thread::current().id();
        self.1.lock().unwrap().retain(|sweeping| *sweeping != own);
    }
}

// SAFETY: loom's cell is not `Sync`, but it reports every access that the protocol fails to order.
unsafe impl Sync for Space {}
// SAFETY: as above; nothing in a space belongs to a thread.
unsafe impl Send for Space {}

impl Space {
    fn new(sweeper: &Sweeper, kinds: &[Glue]) -> Arc<Space> {
        let span = |kind: &Glue| Span {
            word: GenerationWord::new(sweeper.generation()),
            content: UnsafeCell::new(()),
            drops: *kind == Glue::With,
            sweeps: Count::new(0),
        };
        Arc::new(Space(kinds.iter().map(span).collect(), Default::default()))
    }

    /// What holds after `cycles` sweeps: each span was swept in each, says so, and may be touched.
    fn assert_swept(&self, sweeper: &Sweeper, cycles: usize) {
        for span in &self.0 {
            assert_eq!(
                span.sweeps.load(SeqCst),
                cycles,
                "each span is swept once a cycle"
            );
            assert_eq!(span.word.load(), sweeper.generation(), "done means swept");
            span.content.with_mut(|_| ());
        }
    }
}

/// An allocator wants a span while a sweeper claims it too, and uses it if it is told that it is
/// swept; the words are used again in a second cycle.
///
/// Kills: `claim-by-store`, `claim-wins-always`, `claims-of-the-cycle-before`, `relaxed-publish`,
/// `relaxed-load`.
#[test]
fn claim_two_cycles() {
    explore("claim_two_cycles", || {
        let sweeper = Arc::new(Sweeper::new());
        let space = Space::new(&sweeper, &[Glue::Without]);
        sweeper.begin(1);
        sweeper.finish(&*space);
        sweeper.begin(1);
        let allocator = thread::spawn({
            let (sweeper, space) = (Arc::clone(&sweeper), Arc::clone(&space));
            move || match sweeper.sweep_span(&*space, 0) {
                Outcome::Swept(_) | Outcome::AlreadySwept => space.0[0].content.with(|_| ()),
                Outcome::InFlight => {}
                Outcome::NoSpan => panic!("there is a span"),
            }
        });
        if let Outcome::Swept(_) = sweeper.sweep_span(&*space, 0) {
            space.0[0].content.with(|_| ());
        }
        allocator.join().unwrap();
        sweeper.finish(&*space);
        space.assert_swept(&sweeper, 2);
    });
}

/// An allocator that has found a span unswept comes to claim it when that cycle is over and the
/// next one has begun: it looks again, and takes no claim that it does not use.
///
/// Kills: `claims-for-the-cycle-before`.
#[test]
fn a_claim_is_of_the_cycle_that_was_looked_at() {
    explore("a_claim_is_of_the_cycle_that_was_looked_at", || {
        let sweeper = Arc::new(Sweeper::new());
        let space = Space::new(&sweeper, &[Glue::Without]);
        sweeper.begin(1);
        let allocator = thread::spawn({
            let (sweeper, space) = (Arc::clone(&sweeper), Arc::clone(&space));
            move || {
                sweeper.sweep_span(&*space, 0);
            }
        });
        sweeper.finish(&*space);
        sweeper.begin(1);
        allocator.join().unwrap();
        sweeper.finish(&*space);
        space.assert_swept(&sweeper, 2);
    });
}

/// An allocator wants a span while another claims its neighbor, and then that span too: each has
/// a bit of its own in the word that they share.
///
/// Kills: `claim-forgets-neighbors`.
#[test]
fn neighbors_are_claimed_apart() {
    explore("neighbors_are_claimed_apart", || {
        let sweeper = Arc::new(Sweeper::new());
        let space = Space::new(&sweeper, &[Glue::Without, Glue::Without]);
        sweeper.begin(2);
        let allocator = thread::spawn({
            let (sweeper, space) = (Arc::clone(&sweeper), Arc::clone(&space));
            move || {
                sweeper.sweep_span(&*space, 0);
            }
        });
        sweeper.sweep_span(&*space, 1);
        sweeper.sweep_span(&*space, 0);
        allocator.join().unwrap();
        sweeper.finish(&*space);
        space.assert_swept(&sweeper, 1);
    });
}

/// A span is born while a sweeper takes its index, for which no claim is held; its owner goes on
/// using it. In the next cycle it is swept as any other.
///
/// Kills: `newborns-are-swept`.
#[test]
fn a_newborn_is_left_to_its_owner() {
    explore("a_newborn_is_left_to_its_owner", || {
        let sweeper = Arc::new(Sweeper::new());
        let space = Space::new(&sweeper, &[Glue::Without]);
        space.publish_generation(0, 0);
        sweeper.begin(1);
        let owner = thread::spawn({
            let (sweeper, space) = (Arc::clone(&sweeper), Arc::clone(&space));
            move || {
                space.0[0].content.with_mut(|_| ());
                space.publish_generation(0, sweeper.generation());
                space.0[0].content.with_mut(|_| ());
            }
        });
        sweeper.finish(&*space);
        owner.join().unwrap();
        sweeper.begin(1);
        sweeper.finish(&*space);
        space.assert_swept(&sweeper, 1);
    });
}

/// A late visitor sweeps one span while a collector finishes the cycle and begins the next
/// without waiting for the visitor.
///
/// Kills: `finish-does-not-wait`, `enter-when-done`, `visit-ends-at-once`, `relaxed-leave`,
/// `notify-without-lock`, `settle-after-the-end`.
#[test]
fn finish_waits_for_claims_in_flight() {
    explore("finish_waits_for_claims_in_flight", || {
        let sweeper = Arc::new(Sweeper::new());
        let space = Space::new(&sweeper, &[Glue::With]);
        sweeper.begin(1);
        // Before the visitor comes, to keep the model small.
        sweeper.sweep_batch(&*space, Glue::Without, 1);
        let visitor = thread::spawn({
            let (sweeper, space) = (Arc::clone(&sweeper), Arc::clone(&space));
            move || {
                sweeper.sweep_span(&*space, 0);
            }
        });
        sweeper.finish(&*space);
        space.0[0].content.with_mut(|_| ());
        assert!(
            space.1.lock().unwrap().is_empty(),
            "the sweep is over and not settled"
        );
        sweeper.begin(1);
        visitor.join().unwrap();
    });
}

/// Two threads take batches, one of them in the cycle that it finds while the other begins one.
///
/// Kills: `relaxed-open`.
#[test]
fn batches_cover_every_index() {
    explore("batches_cover_every_index", || {
        let sweeper = Arc::new(Sweeper::new());
        let space = Space::new(&sweeper, &[Glue::With]);
        let background = thread::spawn({
            let (sweeper, space) = (Arc::clone(&sweeper), Arc::clone(&space));
            move || {
                sweeper.sweep_batch(&*space, Glue::With, 1);
            }
        });
        sweeper.begin(1);
        sweeper.sweep_batch(&*space, Glue::With, 1);
        background.join().unwrap();
        sweeper.finish(&*space);
        space.assert_swept(&sweeper, 1);
    });
}

/// A collector moves the generation on, and opens sweeping only when a mutator has given up the
/// span that it fills; meanwhile an allocator and the background thread ask for work. Nobody sweeps
/// before; in the end each span was swept once, in the new generation. In a second cycle as well.
///
/// Kills: `closed-not-told`, `closed-lets-batches-in`, `open-keeps-the-cursors`,
/// `open-before-its-end`, `open-before-its-claims`.
#[test]
fn nobody_sweeps_before_it_is_opened() {
    explore("nobody_sweeps_before_it_is_opened", || {
        let sweeper = Arc::new(Sweeper::new());
        let space = Space::new(&sweeper, &[Glue::Without]);
        sweeper.begin(1);
        sweeper.finish(&*space);
        let visitor = thread::spawn({
            let (sweeper, space) = (Arc::clone(&sweeper), Arc::clone(&space));
            move || {
                if let Outcome::Swept(_) = sweeper.sweep_span(&*space, 0) {
                    assert_eq!(space.0[0].word.load(), sweeper.generation());
                }
                sweeper.sweep_batch(&*space, Glue::Without, 1);
            }
        });
        let before = sweeper.generation();
        assert_ne!(sweeper.advance(), before);
        // The mutator, in the generation before: no sweeper may be at the span.
        space.0[0].content.with_mut(|_| ());
        assert_eq!(space.0[0].word.load(), before, "nobody has claimed it");
        assert_eq!(sweeper.sweep_span(&*space, 0), Outcome::InFlight);
        sweeper.open(1);
        visitor.join().unwrap();
        sweeper.finish(&*space);
        space.assert_swept(&sweeper, 2);
    });
}

/// Who finds the sweep done may touch the spans, also when the next cycle has been announced since.
///
/// Kills: `relaxed-advance`.
#[test]
fn done_is_done_when_closed_again() {
    explore("done_is_done_when_closed_again", || {
        let sweeper = Arc::new(Sweeper::new());
        let space = Space::new(&sweeper, &[Glue::Without]);
        sweeper.begin(1);
        let reader = thread::spawn({
            let (sweeper, space) = (Arc::clone(&sweeper), Arc::clone(&space));
            move || {
                if sweeper.is_done() {
                    space.0[0].content.with(|_| ());
                }
            }
        });
        sweeper.finish(&*space);
        sweeper.advance();
        reader.join().unwrap();
    });
}

/// A visitor that looked at one cycle enters the next, of a heap that has grown meanwhile: it sees
/// where that one ends, and does not take its spans for swept.
///
/// Kills: `relaxed-entry`.
#[test]
fn a_late_visitor_sees_the_new_end() {
    explore("a_late_visitor_sees_the_new_end", || {
        let sweeper = Arc::new(Sweeper::new());
        sweeper.begin(0);
        let space = Space::new(&sweeper, &[Glue::Without]);
        let visitor = thread::spawn({
            let (sweeper, space) = (Arc::clone(&sweeper), Arc::clone(&space));
            move || {
                sweeper.sweep_batch(&*space, Glue::Without, 1);
            }
        });
        sweeper.finish(&*space);
        sweeper.begin(1);
        visitor.join().unwrap();
        sweeper.finish(&*space);
        space.assert_swept(&sweeper, 1);
    });
}

/// Work is handed to the background thread twice; both are done without a third wake-up, and
/// the thread ends when it is told to.
///
/// Kills: `look-then-wait`, `request-cleared-after-the-step`, `wake-without-notify`,
/// `stop-without-notify`.
#[test]
fn no_wake_up_is_lost() {
    explore("no_wake_up_is_lost", || {
        let handed = Arc::new(AtomicUsize::new(0));
        let finished = Arc::new((Mutex::new(0), Condvar::new()));
        let background = Background::spawn("model", {
            let (handed, finished) = (Arc::clone(&handed), Arc::clone(&finished));
            move || {
                let got = handed.swap(0, Ordering::AcqRel);
                if got > 0 {
                    *finished.0.lock().unwrap() += got;
                    finished.1.notify_one();
                }
                Step::Done
            }
        })
        .unwrap();
        // Not dropped if the model fails: the join would panic while the failure unwinds.
        let background = ManuallyDrop::new(background);
        for _ in 0..2 {
            handed.fetch_add(1, Ordering::AcqRel);
            background.wake();
        }
        let mut done = finished.0.lock().unwrap();
        while *done < 2 {
            done = finished.1.wait(done).unwrap();
        }
        drop(done);
        ManuallyDrop::into_inner(background).stop();
    });
}
