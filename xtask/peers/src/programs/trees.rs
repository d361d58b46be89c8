//! `trees`: a long-lived binary tree, and short-lived ones of all depths.
//!
//! First a *stretch* tree, one deeper than any other, is made, counted and dropped; then a
//! long-lived one is made and held to the end. For each second depth from 4 on as many trees are
//! made, counted and dropped as make the nodes of all depths about equal in number. The answer is
//! every count, those of the short-lived trees times their depth.

use super::run::{Clocks, Lines, System};
use super::{Failure, Params};

/// The least deep of the short-lived trees.
const DEPTH_MIN: u32 = 4;

/// A system that makes binary trees of nodes with two references and nothing else.
pub trait Trees: System {
    /// What a thread makes trees with.
    type Maker<'s>
    where
        Self: 's;
    /// A tree that is held.
    type Kept;

    /// What this thread makes trees with.
    fn maker(&self) -> Self::Maker<'_>;

    /// Makes a tree and holds it.
    fn keep(maker: &mut Self::Maker<'_>, depth: u32) -> Self::Kept;

    /// The nodes of a tree that is held, one by one.
    fn count(maker: &mut Self::Maker<'_>, kept: &Self::Kept) -> u64;

    /// Makes a tree, counts its nodes one by one, and drops it.
    fn make_and_count(maker: &mut Self::Maker<'_>, depth: u32) -> u64;
}

/// The trees of one thread: those whose number is `thread`, `thread + threads` and so on.
fn short_lived<S: Trees>(maker: &mut S::Maker<'_>, depth: u32, thread: usize, step: usize) -> u64 {
    let mut sum = 0_u64;
    for short in (DEPTH_MIN..=depth).step_by(2) {
        let trees = 1_usize << (depth - short + DEPTH_MIN);
        let counts = (thread..trees)
            .step_by(step)
            .map(|_| S::make_and_count(maker, short));
        sum = sum.wrapping_add(u64::from(short).wrapping_mul(counts.sum()));
    }
    sum
}

/// Runs the workload.
pub(super) fn run<S: Trees>(system: &S, params: &Params) -> Result<Lines, Failure> {
    let depth: u32 = params.number("depth", 18)?;
    let threads = params.threads()?;
    let clocks = Clocks::start(|| system.used());
    let mut maker = system.maker();
    let stretch = S::make_and_count(&mut maker, depth + 1);
    let long_lived = S::keep(&mut maker, depth);
    let of_all = if threads == 1 {
        short_lived::<S>(&mut maker, depth, 0, 1)
    } else {
        std::thread::scope(|scope| {
            let work =
                |thread| move || short_lived::<S>(&mut system.maker(), depth, thread, threads);
            let workers: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(work(thread)))
                .collect();
            let sums = workers.into_iter().map(|worker| worker.join());
            sums.sum::<Result<u64, _>>()
        })
        .map_err(|_| "a thread panicked")?
    };
    let kept = S::count(&mut maker, &long_lived);
    let answer = stretch.wrapping_add(of_all).wrapping_add(kept);
    let lines = clocks.stop(answer);
    drop(long_lived);
    Ok(lines)
}
