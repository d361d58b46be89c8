//! The mark queue of `gc-mark` in simulated time, for more markers than there are processors.
//!
//! A worker's loop is that of `gc-mark/src/worker.rs`, step for step: look at the round's word; the
//! newest packet of the own deque, else the open one; with workers at rest, generosity (open
//! packets are moved to the deque, the only packet is cut in two); else steal the oldest packet of
//! another, beginning with the neighbor; else rest, and look again after a spin, a yield, or 50 µs.
//! Which objects a packet holds, and which of them were new, is not simulated but done, on a graph.
//! What is simulated is time: each step has a cost, and events are taken in the order of their
//! times. A packet's objects are marked when its scan begins; what it queues can be stolen from the
//! moment on at which the scan would have queued it.

use crate::line::{Line, Ps, ps};
use crate::shape::Shape;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// As in `gc-mark`: objects of a packet, of one that is worth sharing, of an open one that is
/// followed, and how far.
const PACKET_OBJECTS: usize = gc_mark::PACKET_OBJECTS;
const SHARE_MIN: usize = 16;
const FEW: usize = 4;
const FOLLOW_MAX: usize = 1024;

/// Rests: 64 spins, then 64 yields, then sleeps, each with what the system adds.
const SPINS: u32 = 64;
const SLEEPS: u32 = 128;
const SPIN_NS: f64 = 10.0;
const YIELD_NS: f64 = 300.0;
const SLEEP_NS: f64 = 55_000.0;

/// More markers than this do not fit a line's holders.
pub(crate) const MARKERS_MAX: usize = 128;

/// What things cost, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// An object of a packet, its misses overlapping with others'.
    pub(crate) object: f64,
    /// A miss that nothing overlaps: at the begin of a packet, and from node to node of a list.
    pub(crate) latency: f64,
    /// A line that another core has written.
    pub(crate) transfer: f64,
    /// The reads of a stolen packet's objects beyond that.
    pub(crate) stolen: f64,
    /// From one marker's start to the next one's.
    pub(crate) start: f64,
    /// An object by the bandwidth of the machine's memory; 0: it has no bounds.
    pub(crate) memory: f64,
    /// Scanned objects are told once so many, on a line of their own; 0: once a packet, on that of
    /// the round's words.
    pub(crate) tell: u64,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) objects: u64,
    pub(crate) packets: u64,
    pub(crate) steals: u64,
    /// Until the last object was scanned, and until the last marker was through.
    pub(crate) scanned_ns: f64,
    pub(crate) over_ns: f64,
    /// Of all markers together: at rest or looking for work, and with the round's line.
    pub(crate) idle_ns: f64,
    pub(crate) shared_ns: f64,
}

/// What a worker is about to do. Each step takes no shared line later than it begins, or it would
/// hold others up that come before.
#[derive(Clone, Copy)]
enum State {
    /// Start.
    Starting,
    /// Take a root job.
    Beginning,
    /// Choose what to do.
    Busy,
    /// Take a packet from this one.
    Stealing { victim: usize },
    /// Count what was scanned.
    Counting,
    /// Rest, if others work; else end the round.
    Leaving,
    /// See whether there is work.
    Resting { waits: u32 },
    /// Work again.
    Waking,
}

struct Worker {
    state: State,
    /// Packets and when they were queued, the oldest first.
    deque: VecDeque<(Ps, Vec<u32>)>,
    line: Line,
    open: Vec<u32>,
    untold: u64,
}

/// A round.
pub(crate) struct Simulation<'s> {
    shape: &'s Shape,
    costs: Costs,
    marked: Vec<u64>,
    workers: Vec<Worker>,
    roots_taken: bool,
    busy: usize,
    resting: usize,
    over: bool,
    /// The words of the round's termination.
    word: Line,
    /// The count of scanned objects, where it is apart.
    count: Line,
    events: BinaryHeap<Reverse<(Ps, usize)>>,
    outcome: Outcome,
}

impl<'s> Simulation<'s> {
    /// Runs a round by so many markers.
    pub(crate) fn run(shape: &'s Shape, markers: usize, costs: Costs) -> Outcome {
        assert!((1..=MARKERS_MAX).contains(&markers), "1 to 128 markers");
        let worker = |_| Worker {
            state: State::Starting,
            deque: VecDeque::new(),
            line: Line::default(),
            open: Vec::new(),
            untold: 0,
        };
        let start = |index| Reverse((ps(costs.start) * index as Ps, index));
        let mut simulation = Self {
            shape,
            costs,
            marked: vec![0; shape.edges.len().div_ceil(64)],
            workers: (0..markers).map(worker).collect(),
            roots_taken: false,
            busy: 0,
            resting: 0,
            over: false,
            word: Line::default(),
            count: Line::default(),
            events: (0..markers).map(start).collect(),
            outcome: Outcome::default(),
        };
        let mut last = 0;
        while let Some(Reverse((now, index))) = simulation.events.pop() {
            let next = simulation.step(index, now);
            last = last.max(next.unwrap_or(now));
            simulation
                .events
                .extend(next.map(|at| Reverse((at, index))));
        }
        simulation.outcome.over_ns = last as f64 / 1000.0;
        simulation.outcome
    }

    /// What a worker does at `now`, and when it does the next; nothing, if the round is over.
    fn step(&mut self, index: usize, now: Ps) -> Option<Ps> {
        match self.workers[index].state {
            State::Starting => self.enter(index, now),
            State::Beginning => Some(self.begin(index, now)),
            State::Busy => Some(self.work(index, now)),
            State::Stealing { victim } => Some(self.steal(index, victim, now)),
            State::Counting => {
                self.workers[index].state = State::Busy;
                self.workers[index].untold = 0;
                Some(self.tell(index, now))
            }
            State::Leaving => self.leave(index, now),
            State::Resting { waits } => self.rest(index, now, waits),
            State::Waking => {
                self.busy += 1;
                self.resting -= 1;
                self.workers[index].state = State::Busy;
                Some(self.idle(now, |own| own.exchange(index, now)))
            }
        }
    }

    fn exchange(&mut self, index: usize, now: Ps) -> Ps {
        let done = self.word.write(index, now, ps(self.costs.transfer));
        self.outcome.shared_ns += (done - now) as f64 / 1000.0;
        done
    }

    fn tell(&mut self, index: usize, now: Ps) -> Ps {
        if self.costs.tell == 0 {
            return self.exchange(index, now);
        }
        let done = self.count.write(index, now, ps(self.costs.transfer));
        self.outcome.shared_ns += (done - now) as f64 / 1000.0;
        done
    }

    /// Counts the time of what is not work.
    fn idle(&mut self, now: Ps, act: impl FnOnce(&mut Self) -> Ps) -> Ps {
        let after = act(self);
        self.outcome.idle_ns += (after - now) as f64 / 1000.0;
        after
    }

    fn enter(&mut self, index: usize, now: Ps) -> Option<Ps> {
        if self.over {
            return None;
        }
        self.busy += 1;
        self.workers[index].state = State::Beginning;
        Some(self.exchange(index, now))
    }

    fn begin(&mut self, index: usize, now: Ps) -> Ps {
        let mut now = self.exchange(index, now);
        if !std::mem::replace(&mut self.roots_taken, true) {
            let shape = self.shape;
            for root in &shape.roots {
                now += ps(self.costs.object);
                self.visit(index, *root, now);
            }
        }
        self.workers[index].state = State::Busy;
        now
    }

    fn work(&mut self, index: usize, now: Ps) -> Ps {
        let looked = self.word.read(index, now, ps(self.costs.transfer));
        self.outcome.shared_ns += (looked - now) as f64 / 1000.0;
        if let Some(packet) = self.next(index, looked) {
            return self.scan(index, packet, looked);
        }
        self.idle(now, |own| {
            let (found, after) = own.find(index, looked);
            own.workers[index].state = match found {
                Some(victim) => State::Stealing { victim },
                None => State::Leaving,
            };
            after
        })
    }

    /// A busy worker with nothing to do ends the round, if it is the last; or it rests.
    fn leave(&mut self, index: usize, now: Ps) -> Option<Ps> {
        if self.busy > 1 {
            self.busy -= 1;
            self.resting += 1;
            self.workers[index].state = State::Resting { waits: 0 };
            return Some(self.idle(now, |own| own.exchange(index, now)));
        }
        let (found, after) = self.find(index, now);
        if found.is_some() {
            self.workers[index].state = State::Busy;
            return Some(after);
        }
        self.over = true;
        self.exchange(index, now);
        None
    }

    fn rest(&mut self, index: usize, now: Ps, waits: u32) -> Option<Ps> {
        if self.over {
            return None;
        }
        Some(self.idle(now, |own| {
            let looked = own.word.read(index, now, ps(own.costs.transfer));
            let (found, after) = own.find(index, looked);
            if found.is_some() {
                own.workers[index].state = State::Waking;
                return after;
            }
            own.workers[index].state = State::Resting { waits: waits + 1 };
            after
                + ps(match waits {
                    0..SPINS => SPIN_NS,
                    SPINS..SLEEPS => YIELD_NS,
                    _ => SLEEP_NS,
                })
        }))
    }

    /// The next work at hand.
    fn next(&mut self, index: usize, now: Ps) -> Option<Vec<u32>> {
        let is_generous = self.resting > 0;
        let worker = &mut self.workers[index];
        if is_generous && worker.deque.len() < 2 && worker.open.len() >= SHARE_MIN {
            let open = std::mem::take(&mut worker.open);
            self.queue(index, open, now);
        }
        let worker = &mut self.workers[index];
        let mut packet = match worker.deque.pop_back() {
            Some((_, packet)) => packet,
            None => std::mem::take(&mut worker.open),
        };
        if is_generous && worker.deque.is_empty() && packet.len() / 2 >= SHARE_MIN {
            let other = packet.split_off(packet.len() / 2);
            self.queue(index, other, now);
        }
        (!packet.is_empty()).then_some(packet)
    }

    fn queue(&mut self, index: usize, packet: Vec<u32>, now: Ps) {
        let worker = &mut self.workers[index];
        worker.line.take(index);
        worker.deque.push_back((now, packet));
    }

    /// Looks at the others' deques, beginning with the neighbor's: whose is not empty, and when
    /// that is known.
    fn find(&mut self, index: usize, mut now: Ps) -> (Option<usize>, Ps) {
        let count = self.workers.len();
        for distance in 1..count {
            let victim = (index + distance) % count;
            let victim_of = &mut self.workers[victim];
            now = victim_of.line.read(index, now, ps(self.costs.transfer));
            if victim_of
                .deque
                .front()
                .is_some_and(|(queued, _)| *queued <= now)
            {
                return (Some(victim), now);
            }
        }
        (None, now)
    }

    /// Takes the oldest packet of another, if it is still there, and scans it.
    fn steal(&mut self, index: usize, victim: usize, now: Ps) -> Ps {
        self.workers[index].state = State::Busy;
        let transfer = ps(self.costs.transfer);
        let victim = &mut self.workers[victim];
        let is_there = victim
            .deque
            .front()
            .is_some_and(|(queued, _)| *queued <= now);
        if !is_there {
            return now + transfer;
        }
        let after = victim.line.write(index, now, transfer) + ps(self.costs.stolen);
        let packet = victim.deque.pop_front().map(|(_, packet)| packet);
        self.outcome.steals += 1;
        self.outcome.idle_ns += (after - now) as f64 / 1000.0;
        self.scan(index, packet.unwrap_or_default(), after)
    }

    /// Scans a packet, and what can be followed from it; when that is done.
    fn scan(&mut self, index: usize, packet: Vec<u32>, now: Ps) -> Ps {
        let before = self.outcome.objects;
        self.outcome.packets += 1;
        self.outcome.objects += packet.len() as u64;
        let by_memory = self.costs.memory * self.busy as f64;
        let object = ps(self.costs.object.max(by_memory));
        let mut now = now + ps(self.costs.latency);
        for node in packet {
            now += object;
            self.visit_targets(index, node, now);
        }
        for _ in 0..FOLLOW_MAX {
            let few = self.workers[index].open.len();
            if few >= FEW {
                break;
            }
            let Some(node) = self.workers[index].open.pop() else {
                break;
            };
            self.outcome.objects += 1;
            now += ps(self.costs.latency / few as f64).max(object);
            self.visit_targets(index, node, now);
        }
        self.outcome.scanned_ns = self.outcome.scanned_ns.max(now as f64 / 1000.0);
        let worker = &mut self.workers[index];
        worker.untold += self.outcome.objects - before;
        if worker.untold >= self.costs.tell {
            worker.state = State::Counting;
        }
        now
    }

    fn visit_targets(&mut self, index: usize, node: u32, now: Ps) {
        for target in self.shape.targets(node) {
            self.visit(index, target, now);
        }
    }

    fn visit(&mut self, index: usize, node: u32, now: Ps) {
        let (at, bit) = (node as usize / 64, 1 << (node % 64));
        if self.marked[at] & bit != 0 {
            return;
        }
        self.marked[at] |= bit;
        if self.workers[index].open.len() == PACKET_OBJECTS {
            let full = std::mem::take(&mut self.workers[index].open);
            self.queue(index, full, now);
        }
        self.workers[index].open.push(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs {
        object: 10.0,
        latency: 100.0,
        transfer: 100.0,
        stolen: 300.0,
        start: 1000.0,
        memory: 0.0,
        tell: 1024,
    };

    #[test]
    fn every_object_is_scanned_once_by_any_number_of_markers() {
        for shape in [
            Shape::tree(100_000),
            Shape::lists(100_000),
            Shape::list(3000),
        ] {
            for markers in [1, 2, 7, 128] {
                let outcome = Simulation::run(&shape, markers, COSTS);
                assert_eq!(outcome.objects, shape.edges.len() as u64, "{}", shape.name);
            }
        }
        let random = Shape::random(100_000);
        let one = Simulation::run(&random, 1, COSTS).objects;
        assert_eq!(Simulation::run(&random, 128, COSTS).objects, one);
    }

    #[test]
    fn one_marker_takes_what_its_objects_take() {
        let shape = Shape::tree(1_000_000);
        let outcome = Simulation::run(&shape, 1, COSTS);
        let ns = outcome.over_ns / outcome.objects as f64;
        assert!((10.0..12.0).contains(&ns), "{ns}");
        assert_eq!(outcome.steals, 0);
    }

    #[test]
    fn more_markers_are_faster_and_a_list_gives_them_nothing() {
        let tree = Shape::tree(1_000_000);
        let time = |markers| Simulation::run(&tree, markers, COSTS).over_ns;
        assert!(time(2) < time(1) * 0.55);
        assert!(time(8) < time(2) * 0.3);
        let list = Shape::list(20_000);
        let time = |markers| Simulation::run(&list, markers, COSTS).over_ns;
        assert!(time(8) > time(1) * 0.95);
    }

    #[test]
    fn memory_bounds_all_markers_together() {
        let shape = Shape::tree(1_000_000);
        let costs = Costs {
            memory: 2.0,
            ..COSTS
        };
        let outcome = Simulation::run(&shape, 64, costs);
        assert!(outcome.over_ns > 2.0 * 0.5 * 1e6, "{outcome:?}");
    }
}
