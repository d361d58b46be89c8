//! `alloc`: objects without references, each held until the next is there.

use super::run::{Clocks, Lines, System};
use super::{Failure, Params};

/// A system that allocates arrays of words.
pub trait Alloc: System {
    /// Allocates `count` objects of `WORDS` words, the first word of each its number, holds each
    /// until the next is there, and then adds its first word to the sum that is returned.
    fn allocate<const WORDS: usize>(&self, count: u64) -> u64;
}

fn of_size<S: Alloc>(system: &S, size: usize, count: u64) -> Result<u64, Failure> {
    Ok(match size {
        16 => system.allocate::<2>(count),
        32 => system.allocate::<4>(count),
        64 => system.allocate::<8>(count),
        128 => system.allocate::<16>(count),
        512 => system.allocate::<64>(count),
        4096 => system.allocate::<512>(count),
        _ => return Err("size is 16, 32, 64, 128, 512 or 4096".into()),
    })
}

/// Runs the workload; each thread allocates `count` objects.
pub(super) fn run<S: Alloc>(system: &S, params: &Params) -> Result<Lines, Failure> {
    let size: usize = params.number("size", 64)?;
    let count: u64 = params.number("count", 50_000_000)?;
    let threads = params.threads()?;
    let clocks = Clocks::start(|| system.used());
    let answer = if threads == 1 {
        of_size(system, size, count)?
    } else {
        std::thread::scope(|scope| {
            let work = || of_size(system, size, count).map_err(|failure| failure.to_string());
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut answer = 0_u64;
            for worker in workers {
                let sum = worker.join().map_err(|_| "a thread panicked")??;
                answer = answer.wrapping_add(sum);
            }
            Ok::<u64, Failure>(answer)
        })?
    };
    Ok(clocks.stop(answer))
}
