//! What the port and the sweeper promise each other, one by one: what may be done with claims, who
//! is refused before a sweep is opened, when a visit ends and when a sweep does.

#![cfg(not(heapwright_loom))]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use gc_sweep::{Claims, GenerationWord, Glue, Outcome, Reclaimed, SweepSpace, Sweeper};

const SPAN_BYTES: usize = 512;
const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;

type Reclaim = fn(&Heap, &mut Claims<'_, Heap>);

/// A span without drop glue at each index, swept in the way of the test.
struct Heap {
    sweeper: Sweeper,
    words: Vec<GenerationWord>,
    reclaim: Reclaim,
    reclaims: AtomicU32,
    settles: AtomicU32,
    is_inside: AtomicBool,
}

impl Heap {
    fn new(spans: usize, reclaim: Reclaim) -> Heap {
        let sweeper = Sweeper::new();
        let born = |_| GenerationWord::new(sweeper.generation());
        let words = (0..spans).map(born).collect();
        Heap {
            sweeper,
            words,
            reclaim,
            reclaims: AtomicU32::new(0),
            settles: AtomicU32::new(0),
            is_inside: AtomicBool::new(false),
        }
    }

    fn begin(&self) {
        self.sweeper.begin(self.words.len() as u32);
    }

    fn words(&self) -> Vec<u32> {
        self.words.iter().map(GenerationWord::load).collect()
    }
}

// SAFETY: the words are `GenerationWord`s, spans are made by `new` alone, each index has one, and
// there are no objects to destroy.
unsafe impl SweepSpace for Heap {
    fn generation(&self, span: u32) -> u32 {
        self.words[span as usize].load()
    }
    fn publish_generation(&self, span: u32, generation: u32) {
        self.words[span as usize].publish(generation);
    }
    fn spans(&self, from: u32, glue: Glue) -> u64 {
        let spans = (self.words.len() as u32).saturating_sub(from).min(64);
        match glue {
            Glue::Without => (0..spans).fold(0, |bits, span| bits | 1 << span),
            Glue::With => 0,
        }
    }
    fn reclaim(&self, claims: &mut Claims<'_, Self>, tally: &mut Reclaimed) {
        self.reclaims.fetch_add(1, SeqCst);
        let spans = claims.spans().count_ones();
        (self.reclaim)(self, claims);
        tally.freed_bytes += spans as usize * SPAN_BYTES;
        tally.freed_objects += u64::from(spans);
    }
    fn settle(&self) {
        self.settles.fetch_add(1, SeqCst);
    }
}

/// Odd spans are retired one by one, the others published together.
fn by_halves(heap: &Heap, claims: &mut Claims<'_, Heap>) {
    let (first, all) = (claims.first(), claims.spans());
    assert_eq!(all, heap.spans(first, Glue::Without), "all are claimed");
    let apart = claims.split(ODD);
    assert_eq!((apart.first(), apart.spans()), (first, all & ODD));
    assert_eq!((claims.first(), claims.spans()), (first, all & !ODD));
    for claim in apart {
        assert_eq!(claim.span() % 2, 1);
        assert_eq!(claim.generation(), heap.sweeper.generation());
        claim.retire();
    }
    claims.publish();
    assert_eq!(claims.spans(), 0, "none is left");
    assert!(claims.next().is_none());
    let swept = heap.generation(first);
    assert_eq!(swept, heap.sweeper.generation(), "published at once");
}

#[test]
fn claims_are_split_retired_and_published() {
    let heap = Heap::new(70, by_halves);
    heap.begin();
    let progress = heap.sweeper.finish(&heap);
    assert_eq!(progress.spans_swept, 70);
    assert_eq!(progress.freed_objects, 70);
    assert_eq!(progress.freed_bytes, 70 * SPAN_BYTES);
    let now = heap.sweeper.generation();
    let expected: Vec<u32> = (0..70).map(|span| now * (1 - span % 2)).collect();
    assert_eq!(heap.words(), expected);
}

#[test]
fn claims_that_nobody_takes_are_published_and_not_offered_again() {
    let heap = Heap::new(70, |_, _| ());
    heap.begin();
    assert_eq!(heap.sweeper.finish(&heap).spans_swept, 70);
    assert_eq!(heap.words(), vec![heap.sweeper.generation(); 70]);
    assert_eq!(heap.reclaims.load(SeqCst), 2, "once a batch");
}

#[test]
fn nothing_is_swept_before_the_sweep_is_opened() {
    let heap = Heap::new(3, by_halves);
    let born = heap.sweeper.generation();
    let now = heap.sweeper.advance();
    assert_ne!(born, now);
    assert!(heap.sweeper.is_done(), "nobody sweeps");
    for glue in [Glue::With, Glue::Without] {
        let progress = heap.sweeper.sweep_batch(&heap, glue, 1);
        assert!(progress.exhausted && progress.spans_swept == 0);
    }
    assert_eq!(heap.sweeper.sweep_span(&heap, 2), Outcome::InFlight);
    assert_eq!(heap.words(), [born; 3]);
    heap.sweeper.open(3);
    assert_eq!(heap.sweeper.finish(&heap).spans_swept, 3);
    assert_eq!(heap.words(), [now, 0, now]);
}

#[test]
fn a_visit_sweeps_what_was_asked_for_and_takes_no_batch_more() {
    let heap = Heap::new(128, by_halves);
    heap.begin();
    let visit = |spans_max| {
        let progress = heap.sweeper.sweep_batch(&heap, Glue::Without, spans_max);
        (progress.spans_swept, progress.exhausted)
    };
    assert_eq!(visit(0), (0, false));
    assert_eq!(visit(64), (64, false));
    assert_eq!(visit(1), (64, false), "a batch once taken is swept whole");
    assert_eq!(visit(1), (0, true));
}

#[test]
#[should_panic(expected = "span 1 missed a sweep before generation 4")]
fn a_span_that_was_missed_is_reported_when_all_is_done() {
    let heap = Heap::new(2, |_, claims| claims.publish());
    heap.sweeper.begin(1);
    let finished = heap.sweeper.finish(&heap);
    assert!(finished.exhausted && heap.sweeper.is_done());
    heap.sweeper.sweep_span(&heap, 1);
}

#[test]
fn who_finishes_waits_for_a_span_in_flight() {
    let heap = Heap::new(1, |heap, claims| {
        heap.is_inside.store(true, SeqCst);
        // Until the one who finishes has looked for both kinds; not for ever, lest a sweeper that
        // does not come hangs the test.
        let begun = Instant::now();
        while heap.settles.load(SeqCst) < 2 && begun.elapsed() < Duration::from_secs(2) {
            thread::yield_now();
        }
        // Not to be on time, but for who does not wait to be found out.
        thread::sleep(Duration::from_millis(20));
        claims.publish();
    });
    heap.begin();
    thread::scope(|scope| {
        let other = scope.spawn(|| heap.sweeper.sweep_span(&heap, 0));
        while !heap.is_inside.load(SeqCst) && !other.is_finished() {
            thread::yield_now();
        }
        heap.sweeper.finish(&heap);
        assert!(heap.sweeper.is_done());
        assert_eq!(heap.words(), [heap.sweeper.generation()]);
    });
}
