//! The machine's floor in the same run: what touches the memory that must be touched, and no more.

use super::graph::COLLECTIONS;
use super::ring::{Message, Messages, Table, WORDS, ends, message};
use super::run::{Clocks, Lines, System};
use super::{Failure, Params, Unknown, ring};
use crate::limits::{MarkFloor, bump};
use crate::{Cost, cost};

/// Blocks are rewritten in a region of this size, which stays in a processor's own cache.
const REGION_BYTES: usize = 256 << 10;

/// What a node of our heap takes.
const NODE_BYTES: usize = 32;

/// No system at all.
#[derive(Debug)]
pub struct Floor;

impl System for Floor {
    fn start(_: &Params) -> Result<Self, Failure> {
        Ok(Self)
    }
}

impl Floor {
    /// Runs the workload, where the machine has a floor for it.
    ///
    /// # Errors
    ///
    /// [`Unknown`] where it has none.
    pub fn run(params: &Params) -> Result<Lines, Failure> {
        match params.workload.as_str() {
            "ring" => ring::run(&Self, params),
            "alloc" => alloc(params),
            "graph" => graph(params),
            name => Err(Unknown(name.to_owned()).into()),
        }
    }
}

/// Writing recycled blocks.
fn alloc(params: &Params) -> Result<Lines, Failure> {
    let size: usize = params.number("size", 64)?;
    let count: usize = params.number("count", 50_000_000)?;
    let write = || {
        let mut region = vec![0; REGION_BYTES];
        match size {
            16 => bump::<2>(&mut region, count),
            32 => bump::<4>(&mut region, count),
            64 => bump::<8>(&mut region, count),
            128 => bump::<16>(&mut region, count),
            512 => bump::<64>(&mut region, count),
            _ => bump::<512>(&mut region, count),
        }
    };
    let threads = params.threads()?;
    let clocks = Clocks::start(|| None);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(write);
        }
        write();
    });
    Ok(clocks.stop_unanswered())
}

/// A random line and two look-ups an object; with several threads, each has its share of them.
fn graph(params: &Params) -> Result<Lines, Failure> {
    let nodes: usize = params.number("nodes", 2_000_000)?;
    let threads = params.threads()?;
    let floor = MarkFloor::new(nodes * NODE_BYTES)?;
    let share = nodes / threads;
    let run = || -> Cost {
        let read = || {
            floor.run(share);
        };
        let ((), cost) = cost(|| {
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(read);
                }
                read();
            });
        });
        cost
    };
    run();
    let clocks = Clocks::start(|| None);
    let collections = [(); COLLECTIONS].map(|()| run());
    let mut lines = clocks.stop_unanswered();
    for cost in collections {
        lines.add("collect_ns", cost.wall.as_nanos());
        lines.add("collect_cpu_ns", cost.cpu.as_nanos());
    }
    lines.add("reached", share * threads);
    Ok(lines)
}

/// A ring that was allocated, and touched, beforehand.
pub struct FloorTable(Vec<Message>);

impl Messages for Floor {
    type Table<'s> = FloorTable;

    fn table(&self, places: usize) -> FloorTable {
        FloorTable(vec![[0; WORDS]; places])
    }
}

impl Table for FloorTable {
    #[inline]
    fn replace(&mut self, at: usize, number: u64) -> u64 {
        let place = &mut self.0[at];
        let old = ends(place);
        *place = message(number);
        old
    }

    fn first(&mut self, at: usize) -> u64 {
        self.0[at][0]
    }
}
