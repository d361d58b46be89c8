//! Refaults and fragmentation against a twin that remembers each page's life.
//!
//! Mutants: `fresh-pages-count-as-refaults`, `fresh-for-ever`, `released-total-uncounted`,
//! `refusal-untold`, `fragmentation-of-the-whole` and `release-goes-on`.
#![cfg(not(heapwright_loom))]

use alloc_core::{
    FakeSource, PAGE_BYTES, PageAlloc, PageHeap, PageRun, PageState, Reach, SourceCall,
};

/// A small generator, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % limit
    }
}

/// What a page has seen.
#[derive(Clone, Copy, PartialEq)]
enum Life {
    Fresh,
    Committed,
    GivenBack,
}

/// Random allocations, failed commits, frees and releases on 3,072 pages.
fn against_the_twin(seed: u64, granule: u32, huge_from: u32) -> u64 {
    const PAGES: usize = 6 * 512;
    let mut random = Random(seed);
    let mut pages = PageAlloc::new(PAGES as u32);
    pages.set_release_units(granule, huge_from);
    let mut lives = vec![Life::Fresh; PAGES];
    let mut owned: Vec<PageRun> = Vec::new();
    let mut refaulted = 0_u64;
    for _ in 0..4_000 {
        match random.below(10) {
            0..5 => {
                let count = 1 + random.below(80);
                let Some(taken) = pages.alloc(count) else {
                    pages.grow(count);
                    continue;
                };
                if random.below(8) == 0 {
                    pages.free(taken.run);
                    continue;
                }
                pages.committed(taken.run);
                for life in &mut lives[taken.run.start as usize..taken.run.end() as usize] {
                    refaulted += u64::from(*life == Life::GivenBack);
                    *life = Life::Committed;
                }
                owned.push(taken.run);
            }
            5..8 if !owned.is_empty() => {
                let at = random.below(owned.len() as u32) as usize;
                pages.free(owned.swap_remove(at));
            }
            _ => {
                let Some(outgoing) = pages.take_for_release(1 + random.below(300), Reach::All)
                else {
                    continue;
                };
                if random.below(4) == 0 {
                    pages.put_back_retained(outgoing.run);
                    continue;
                }
                pages.put_back_released(outgoing.run);
                let run = outgoing.run.start as usize..outgoing.run.end() as usize;
                for life in lives[run]
                    .iter_mut()
                    .filter(|life| **life == Life::Committed)
                {
                    *life = Life::GivenBack;
                }
            }
        }
        assert_eq!(pages.refaulted_pages(), refaulted, "seed {seed}");
        if random.below(8) > 0 {
            continue;
        }
        let states = (0..pages.counts().grown).map(|page| pages.state(page));
        let mut run = 0;
        let runs = states.map(|state| {
            run = if state == PageState::InUse {
                0
            } else {
                run + 1
            };
            run
        });
        assert_eq!(pages.free_run_max(), runs.max().unwrap_or(0), "seed {seed}");
    }
    pages.check_invariants();
    refaulted
}

#[test]
fn page_refaults_agree_with_their_twin() {
    for seed in 1..=6 {
        let small = against_the_twin(seed * 0x9E37_79B9, 1, u32::MAX);
        let huge = against_the_twin(seed * 0x9E37_79B9, 2, 512);
        assert!(
            small > 500 && huge > 500,
            "{small} and {huge} are too few to tell"
        );
    }
}

/// A page heap tells what went back, what came again, and what was refused.
#[test]
fn page_stats_tell_what_releasing_came_to() {
    let source = FakeSource::new();
    let heap = PageHeap::new(source.clone(), 16 << 20, 16 << 20, |_| 0).unwrap();
    let run = heap.alloc(300).unwrap();
    assert_eq!(heap.stats().refaulted_bytes, 0, "the first touch is none");
    let stats = heap.stats();
    assert_eq!(
        (stats.free_run_max_bytes, stats.fragmentation()),
        (212 * PAGE_BYTES, 0.0)
    );

    // Two holes of 100 pages, with 100 in use between them.
    let part = |start| PageRun { start, count: 100 };
    // SAFETY: the parts came from this heap, and nothing uses them.
    unsafe { heap.free_batch(&[part(0), part(200)]) };
    let stats = heap.stats();
    assert_eq!(stats.free_run_max_bytes, 312 * PAGE_BYTES);
    assert!(
        (stats.fragmentation() - 100.0 / 412.0).abs() < 1e-9,
        "{}",
        stats.fragmentation()
    );

    source.fail_from(SourceCall::Release, 0);
    let refused = heap.try_release(usize::MAX, Reach::Whole);
    assert_eq!(refused.bytes, 0);
    assert!(
        refused
            .refused
            .is_some_and(|error| error.call() == SourceCall::Release)
    );
    let stats = heap.stats();
    assert_eq!((stats.releases, stats.releases_refused), (0, 1));
    assert_eq!(
        (stats.released_total_bytes, stats.retained_bytes),
        (0, 200 * PAGE_BYTES)
    );

    source.heal();
    let release = heap.try_release(usize::MAX, Reach::Whole);
    assert_eq!((release.bytes, release.refused), (200 * PAGE_BYTES, None));
    assert_eq!(heap.stats().released_total_bytes, 200 * PAGE_BYTES as u64);
    assert_eq!(heap.stats().refaulted_bytes, 0, "nobody wanted them yet");
    source.fail_nth_of(SourceCall::Commit, source.calls(SourceCall::Commit));
    assert!(heap.alloc(100).is_err());
    assert_eq!(
        heap.stats().refaulted_bytes,
        0,
        "a commit that failed brought nothing"
    );
    let again = heap.alloc(150).unwrap();
    assert_eq!(
        again.start, 200,
        "the hole at the end and fresh pages behind it"
    );
    assert_eq!(heap.stats().refaulted_bytes, 100 * PAGE_BYTES as u64);
    assert_eq!(run.start, 0);
}

/// A release ends when it is told to, after the source's call and not before it.
#[test]
fn page_release_goes_on_while_it_is_told_to() {
    let heap = PageHeap::new(FakeSource::new(), 32 << 20, 32 << 20, |_| 0).unwrap();
    let run = heap.alloc(3000).unwrap();
    // SAFETY: the run came from this heap, and nothing uses it.
    unsafe { heap.free(run) };
    for calls in [1, 1, 3] {
        let before = heap.stats();
        let mut asked = 0;
        let release = heap.release_while(usize::MAX, Reach::All, || {
            asked += 1;
            asked < calls
        });
        let after = heap.stats();
        assert_eq!((after.releases - before.releases, asked), (calls, calls));
        let went = before.retained_bytes - after.retained_bytes;
        assert_eq!((release.bytes, release.refused), (went, None));
        assert!(went > 0);
    }
}
