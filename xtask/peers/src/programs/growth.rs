//! `growth`: what a byte costs that is allocated, while more and more lives, on more and more
//! threads.
//!
//! A thread has a plot with its share of the trees: complete ones of 31 nodes, each of two
//! references and two words, 992 B in all. A random tree is replaced by a new one, again and again.
//! When the plots are full, as many trees are replaced as there are, so that the heap has the size
//! that it will keep; then the system collects once, so that the measured part begins where a cycle
//! ends: `count` times, shared by the threads, a tree is replaced. The answer is the sum of the
//! roots' and the rightmost leaves' numbers of those that were there. A tree's nodes die together,
//! but lie where the allocator has put them.

use super::params::SplitMix;
use super::run::{Clocks, Lines, System};
use super::{Failure, Params};
use std::sync::Barrier;

/// The depth of a tree: 31 nodes.
pub(super) const DEPTH: u32 = 4;

/// Bytes of a tree, headers and rounding apart.
pub(super) const TREE_BYTES: usize = ((2 << DEPTH) - 1) * 32;

/// A system that holds trees.
pub(super) trait Plots: System {
    /// One thread's.
    type Plot<'s>: Plot
    where
        Self: 's;

    /// A plot of so many empty places.
    fn plot(&self, places: usize) -> Self::Plot<'_>;

    /// Collects, if the system does that.
    fn settle(&self) -> Result<(), Failure>;
}

/// A thread's trees.
pub(super) trait Plot {
    /// Makes the tree of this number and puts it at this place; the sum of the numbers of the root
    /// and the rightmost leaf of the one that was there, 0 if there was none.
    fn replace(&mut self, at: usize, number: u64) -> u64;
}

/// What one thread does.
struct Work {
    places: usize,
    /// The number of its first tree, and of its first replacement.
    first: u64,
    next: u64,
    count: u64,
    random: SplitMix,
}

/// Runs the workload.
pub(super) fn run<S: Plots>(system: &S, params: &Params) -> Result<Lines, Failure> {
    let threads = params.threads()?;
    let live_mib: usize = params.number("live", 64)?;
    let live = (live_mib << 20) / TREE_BYTES;
    let part = live / threads;
    let count = params.number("count", 4 * live as u64)? / threads as u64;
    let work = |thread: usize| -> Result<Work, Failure> {
        Ok(Work {
            places: part,
            first: (thread * part) as u64,
            next: live as u64,
            count,
            random: params.random(thread)?,
        })
    };
    let works: Vec<Work> = (0..threads).map(work).collect::<Result<_, _>>()?;
    // Waited at when all plots are full, when the system has settled, when all are through, and
    // when the process's memory was looked at.
    let step = &Barrier::new(threads + 1);
    let act = |mut work: Work| {
        let mut plot = system.plot(work.places);
        for at in 0..work.places {
            plot.replace(at, work.first + at as u64);
        }
        let mut replace = |from: u64, to: u64| {
            let number = work.next + from..work.next + to;
            number.fold(0_u64, |sum, number| {
                let at = work.random.below(work.places);
                sum.wrapping_add(plot.replace(at, number))
            })
        };
        let grown = work.places as u64;
        let before = replace(0, grown);
        step.wait();
        step.wait();
        let sum = before.wrapping_add(replace(grown, grown + work.count));
        step.wait();
        step.wait();
        sum
    };
    let act = &act;
    std::thread::scope(|scope| {
        let spawn = |work| scope.spawn(move || act(work));
        let workers: Vec<_> = works.into_iter().map(spawn).collect();
        step.wait();
        let settled = system.settle();
        let clocks = Clocks::start(|| system.used());
        step.wait();
        step.wait();
        let mut lines = clocks.stop_unanswered();
        step.wait();
        let mut answer = 0_u64;
        for worker in workers {
            answer = answer.wrapping_add(worker.join().map_err(|_| "a thread panicked")?);
        }
        settled?;
        lines.add("answer", answer);
        lines.add("allocated_bytes", count * (threads * TREE_BYTES) as u64);
        Ok(lines)
    })
}
